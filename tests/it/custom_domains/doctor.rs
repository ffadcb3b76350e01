//! `domain doctor`, fault by fault: word for word what it says, and that a name which is not well costs the CA nothing.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use vestibule::domains::delegated_name;
use vestibule::model::{CheckCode, DomainPattern, DomainState, Hostname};
use vestibule::store::{Domain, Store};

use super::bench::{claimed, comes_to, hard_to_please, in_time, node_at, put_off, store_of};
use super::faults::{self, Fault};
use crate::harness::edge::Edge;
use crate::harness::guarded::own_address;
use crate::harness::identity::TestIdentity;
use crate::harness::name_server::{NameServers, Says};
use crate::harness::pebble::Pebble;
use crate::harness::upstream::TestUpstream;

/// What is above the zones of customers, and our own name.
const WORLD: &str = "test SOA\ntest NS ns.test\nns.test A 127.0.0.2\nedge.vestibule.test A {here}";
const CHALLENGES: &str = "challenges.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_what_is_wrong_with_a_name_is_said_word_for_word_and_nothing_is_ordered() {
    Ward::open(faults::of_names(), "").await.see_to_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_what_is_wrong_with_a_wildcard_is_said_word_for_word_and_nothing_is_ordered() {
    let dns01 = format!("[acme_dns]\nlisten = [\"127.0.0.1:0\"]\nzone = \"{CHALLENGES}\"\n");
    let ward = Ward::open(faults::of_wildcards(), &dns01).await;
    ward.see_to_all().await;
}

/// A node that orders of a CA, with names of which each has one thing wrong.
struct Ward {
    here: Ipv4Addr,
    edge: Edge,
    pebble: Pebble,
    servers: NameServers,
    patients: Vec<Patient>,
    _upstream: TestUpstream,
}

/// A name, and what the words in a fault's texts stand for.
struct Patient {
    fault: &'static Fault,
    pattern: DomainPattern,
    words: Vec<(&'static str, String)>,
}

impl Ward {
    /// The claims are there, and the zones as they are, before the node looks for the first time.
    async fn open(faults: impl Iterator<Item = &'static Fault>, config: &str) -> Self {
        let nothing = || Says::lines("");
        let servers = [
            ("127.0.0.2", nothing()),
            ("127.0.0.3", nothing()),
            ("127.0.0.4", Says::Code(ResponseCode::Refused)),
            ("127.0.0.5", Says::Silent),
            ("127.0.0.6", nothing()),
            ("127.0.0.7", nothing()),
        ];
        let servers = NameServers::start(nothing(), &servers).await;
        let resolver = servers.resolver();
        let pebble = hard_to_please().dns_server(resolver).start().await;
        let upstream = TestUpstream::echo();
        let domains = format!(
            "cname_target = \"edge.vestibule.test\"\nname_server_port = {}\nprivate_name_servers = [\"127.0.0.0/8\"]\n",
            servers.port
        );
        let here = own_address();
        let asks = (resolver, domains.as_str());
        let plan = node_at((here, &[]), &pebble, upstream.address, asks);
        let plan = plan.config(config).tenants(&["acme", "globex"]);
        let plan = plan.filled().await;
        let store = store_of(&plan).await;
        let mut patients = Vec::new();
        for fault in faults {
            patients.push(Patient::admitted(fault, &store, here, &servers).await);
        }
        // For those who have a name already nothing is to be ordered.
        let held = patients.iter().filter(|it| it.fault.holder.is_some());
        let held: Vec<_> = held.map(|it| it.fault.name()).collect();
        let held = TestIdentity::of(&held.iter().map(String::as_str).collect::<Vec<_>>());
        let certs = plan.folder().join("certs");
        std::fs::write(certs.join("held.crt"), held.certificate).unwrap();
        std::fs::write(certs.join("held.key"), held.key).unwrap();
        say(&servers, here, &patients);
        Self {
            here,
            edge: plan.start().await,
            pebble,
            servers,
            patients,
            _upstream: upstream,
        }
    }

    async fn see_to_all(mut self) {
        for patient in &self.patients {
            patient.is_looked_at(&self.edge).await;
        }
        let ca = self.pebble.directory();
        let account = self.edge.store.acme_account_url(&ca).await.unwrap();
        for patient in &mut self.patients {
            patient.words.push(("{ca}", ca.clone()));
            let account = account.clone().unwrap_or_default();
            patient.words.push(("{account}", account));
        }
        for few in self.patients.chunks(4) {
            join_all(few.iter().map(|it| it.hears_the_doctor(&self.edge))).await;
        }
        assert_eq!(self.pebble.orders(), 0);
        self.orders_for_one_that_is_well().await;
    }

    /// It is no fault of the node's that it has ordered nothing.
    async fn orders_for_one_that_is_well(mut self) {
        let store = &self.edge.store;
        let well = Patient::admitted(&faults::NONE, store, self.here, &self.servers).await;
        let name = well.fault.name();
        self.patients.push(well);
        say(&self.servers, self.here, &self.patients);
        comes_to(&self.edge, &name, DomainState::Active).await;
        assert_eq!(self.pebble.orders(), 1);
        assert!(self.pebble.log().contains(&name));
    }
}

/// Puts the zones of all patients into the name servers.
fn say(servers: &NameServers, here: Ipv4Addr, patients: &[Patient]) {
    let lines = |of: fn(&Fault) -> String| {
        let zones = patients.iter().map(|it| it.with_words(&of(it.fault)));
        let world = WORLD.replace("{here}", &here.to_string());
        std::iter::once(world)
            .chain(zones)
            .collect::<Vec<_>>()
            .join("\n")
    };
    servers.say(
        "127.0.0.1",
        Says::Lines(lines(Fault::lines_of_the_resolver)),
    );
    servers.say("127.0.0.2", Says::Lines(lines(Fault::lines)));
    servers.say("127.0.0.3", Says::Lines(lines(Fault::lines)));
    servers.say("127.0.0.6", Says::Foreign(lines(Fault::lines)));
    servers.say("127.0.0.7", Says::Lines(lines(Fault::lines_without_proof)));
}

impl Patient {
    /// Claimed by acme; by globex before that, where somebody is to have the name.
    async fn admitted(
        fault: &'static Fault,
        store: &Store,
        here: Ipv4Addr,
        servers: &NameServers,
    ) -> Self {
        let name = fault.name();
        let holder = match fault.holder {
            Some(claim) => claimed(store, "globex", &name, claim).await,
            None => String::new(),
        };
        let proof = claimed(store, "acme", &name, fault.claim).await;
        let hostname = |text: &str| Hostname::parse(text).unwrap();
        let ours = delegated_name(&hostname(fault.zone), &hostname(CHALLENGES)).unwrap();
        let secret = proof.rsplit('=').next().unwrap().to_owned();
        let words = vec![
            ("{name}", name.clone()),
            ("{zone}", fault.zone.to_owned()),
            ("{proof}", proof),
            ("{secret}", secret),
            ("{holder}", holder),
            ("{here}", here.to_string()),
            ("{ours}", ours.to_string()),
            ("{resolver}", servers.resolver().to_string()),
        ];
        Self {
            fault,
            pattern: DomainPattern::parse(&name).unwrap(),
            words,
        }
    }

    fn with_words(&self, text: &str) -> String {
        let words = self.words.iter();
        words.fold(text.to_owned(), |text, (word, is)| text.replace(word, is))
    }

    /// Waits until the node has looked at the name, and, where it is proved, has found that it cannot be ordered for.
    async fn is_looked_at(&self, edge: &Edge) {
        let name = self.fault.name();
        in_time(edge, &name, "to be looked at", async || {
            let claims = edge.store.domain(&self.pattern).await.unwrap();
            let of_acme = |claim: &Domain| claim.tenant_slug.to_string() == "acme";
            let claim = claims.into_iter().find(of_acme).unwrap();
            let held = |claim: &Domain| claim.checks.iter().any(|it| it.code == CheckCode::Holder);
            let looked = !claim.checks.is_empty();
            (looked && (self.fault.holder.is_none() || held(&claim))).then_some(())
        })
        .await;
        match (self.fault.claim.state.holds(), self.fault.holder) {
            (true, _) => drop(put_off(edge, &name).await),
            (false, None) => assert_eq!(edge.store.order(&self.pattern).await.unwrap(), None),
            (false, Some(_)) => {}
        }
    }

    /// What is printed is what the fault says, and that the order is put off where there is one.
    async fn hears_the_doctor(&self, edge: &Edge) {
        let name = self.fault.name();
        let (mut said, to_be_said) = (String::new(), self.to_be_said());
        // On a machine that is short of time a server may not have been heard.
        for _ in 0..3 {
            let ran = edge
                .command(&format!("domain doctor {name} --tenant acme"))
                .await;
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.err.contains("to be fixed"), "{ran:?}");
            said = to_fix(&ran.out);
            if said == to_be_said {
                return;
            }
        }
        assert_eq!(said, to_be_said, "{name}");
    }

    fn to_be_said(&self) -> String {
        let found = self.with_words(self.fault.found);
        let lines = found.lines().map(str::trim).filter(|it| !it.is_empty());
        let mut said: Vec<String> = lines.map(str::to_owned).collect();
        if !self.fault.claim.state.holds() {
            return said.join("\n");
        }
        let faults = said.iter().filter_map(|line| line.strip_prefix("FIX "));
        let refused = match self.fault.refused {
            Some(refused) => self.with_words(refused),
            None => faults.collect::<Vec<_>>().join("; "),
        };
        // Of a name that no CA certifies it says nothing that nobody has.
        if !found.contains("FIX certificate: ") {
            said.push(format!(
                "FIX certificate: none yet; the last try: {refused}"
            ));
            said.push("expected: a valid certificate".to_owned());
            said.push(format!(
                "hint: it is tried again at T; `cert renew {}` tries now",
                self.pattern
            ));
        }
        said.join("\n")
    }
}

/// The findings that are not well of those that are printed, but for who has seen them and for the time of the next order.
fn to_fix(out: &str) -> String {
    let mut wrong = false;
    let mut lines = Vec::new();
    for line in out.lines() {
        if !line.starts_with(' ') {
            wrong = line.starts_with("FIX ");
        }
        let line = line.trim();
        if !wrong || line.starts_with("seen by: ") {
            continue;
        }
        let again = line.split_once("it is tried again at ");
        let again = again.and_then(|(before, at)| Some((before, at.split_once(';')?.1)));
        lines.push(match again {
            Some((before, behind)) => format!("{before}it is tried again at T;{behind}"),
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}
