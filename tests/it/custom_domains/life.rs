//! The whole life of one name, on one node and on two.

use std::net::Ipv4Addr;

use vestibule::model::DomainState;

use super::bench::{
    certificate, claim, comes_to, front_page, hard_to_please, in_time, node, node_at, of, shake,
};
use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::guarded::own_address;
use crate::harness::pebble::Pebble;
use crate::harness::postgres;
use crate::harness::upstream::TestUpstream;
use crate::tls::presented;

const NAME: &str = "app.acmecorp.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_claim_to_the_lapse_on_one_node_with_an_embedded_store() {
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let edge = plan.tenants(&["acme"]).start().await;
    let life = Life {
        pebble,
        nodes: vec![(here, edge)],
    };
    life.lived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_claim_to_the_lapse_on_two_nodes_that_share_postgresql() {
    let url = postgres::database().await;
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let [first_at, second_at] = [own_address(), own_address()];
    let node = |here, other| {
        let asks = (pebble.dns.address, "");
        node_at((here, &[other]), &pebble, upstream.address, asks)
    };
    let first = node(first_at, second_at).store(&url).tenants(&["acme"]);
    let first = first.start().await;
    let second = node(second_at, first_at).in_fleet_of(&first);
    let second = second.by_the_clock_of(&first).start().await;
    let life = Life {
        pebble,
        nodes: vec![(first_at, first), (second_at, second)],
    };
    life.lived().await;
}

/// A CA, and the nodes that a name lives on. Each is asked by the CA only once all of them listen.
struct Life {
    pebble: Pebble,
    nodes: Vec<(Ipv4Addr, Edge)>,
}

impl Life {
    async fn lived(mut self) {
        let proof = self.is_claimed().await;
        self.is_proved_and_served(&proof).await;
        self.is_renewed().await;
        self.is_led_elsewhere().await;
        self.lapses().await;
    }

    /// Claimed and led here, it is served to nobody and ordered of nobody. What would prove it.
    async fn is_claimed(&self) -> String {
        let (here, edge) = self.last();
        let proof = claim(edge, "acme", NAME).await;
        self.pebble.dns.set_a(NAME, &[*here]).await;
        let verify = format!("domain verify {NAME} --output json");
        let looked = edge.command(&verify).await.json();
        assert_eq!(looked["state"], "pending");
        for edge in self.edges() {
            let plain = edge.visit().await.ask(get(NAME, "/", &[])).await;
            assert_eq!(plain.status, 404);
        }
        assert_eq!(self.pebble.orders(), 0);
        proof
    }

    /// Proved, it gets one certificate, whichever node orders it and whichever is asked for the challenge, and all of them serve it.
    async fn is_proved_and_served(&self, proof: &str) {
        let at = format!("_vestibule.{NAME}");
        self.pebble.dns.set_txt(&at, proof).await;
        for edge in self.edges() {
            comes_to(edge, NAME, DomainState::Active).await;
        }
        self.shown(&self.pebble.root().await).await;
        assert_eq!(self.pebble.orders(), 1, "of all nodes one orders");
    }

    /// Renewed, once, by a CA that has forgotten everything, its account too; it asks another node than before.
    async fn is_renewed(&mut self) {
        let root = self.pebble.root().await;
        let old = self.shown(&root).await;
        let kept = certificate(&self.last().1, NAME, None).await;
        self.pebble.restart().await;
        assert_eq!(self.shown(&root).await, old, "served without its CA");

        let (here, edge) = &self.nodes[0];
        self.pebble.dns.set_a(NAME, &[*here]).await;
        edge.command(&format!("cert renew {NAME}")).await.succeeds();
        certificate(edge, NAME, Some(&kept)).await;
        let new = self.shown(&self.pebble.root().await).await;
        assert_ne!(new, old);
        assert_eq!(self.pebble.orders(), 1, "of all nodes one renews");
    }

    /// Led elsewhere and without its proof it is still served for a while.
    async fn is_led_elsewhere(&self) {
        let elsewhere = "203.0.113.7".parse().unwrap();
        self.pebble.dns.set_a(NAME, &[elsewhere]).await;
        let at = format!("_vestibule.{NAME}");
        self.pebble.dns.clear_txt(&at).await;
        let (_, edge) = self.last();
        let verify = format!("domain verify {NAME}");
        edge.command(&verify).await.succeeds();
        assert_eq!(of(edge, NAME).await.state, DomainState::Degraded);
        self.shown(&self.pebble.root().await).await;
    }

    /// After its time of grace no node serves it, and nobody has ordered anything for it meanwhile.
    async fn lapses(&self) {
        // One clock for all of them: no node may hold what another has leased for over.
        self.nodes[0].1.clock.shift(61_000);
        let root = self.pebble.root().await;
        for edge in self.edges() {
            comes_to(edge, NAME, DomainState::Lapsed).await;
            edge.comes_to(NAME, 404).await;
            // Over TLS too, whether or not a certificate is still shown.
            if let Ok(stream) = shake(edge, &root, NAME).await {
                assert_eq!(front_page(stream, NAME).await.status, 404);
            }
        }
        assert_eq!(self.pebble.orders(), 1, "the renewal");
    }

    /// The certificate that visitors who believe `root` are shown, by every node the same one; and each is answered, for the tenant.
    async fn shown(&self, root: &str) -> Vec<u8> {
        let mut all = Vec::new();
        for edge in self.edges() {
            let what = "to be shown with a certificate of this CA";
            let stream = in_time(edge, NAME, what, async || {
                shake(edge, root, NAME).await.ok()
            });
            let stream = stream.await;
            all.push(presented(&stream));
            let answer = front_page(stream, NAME).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = answer.json()["headers"].to_string();
            assert!(seen.contains(r#"["x-tenant-slug","acme"]"#), "{seen}");
        }
        all.dedup();
        assert_eq!(all.len(), 1, "every node shows the same");
        all.remove(0)
    }

    fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.nodes.iter().map(|(_, edge)| edge)
    }

    fn last(&self) -> &(Ipv4Addr, Edge) {
        self.nodes.last().unwrap()
    }
}
