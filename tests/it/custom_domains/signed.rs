//! Names in signed zones, which a real name server has signed. Pebble looks at no signatures: what keeps an order from it is our own look.

use vestibule::model::{CheckCode, DomainState};

use super::bench::{ask, claim_in, comes_to, hard_to_please, node_at, of, put_off};
use crate::harness::guarded::{Guarded, own_address};
use crate::harness::knot::{self, Knot};
use crate::harness::name_server::{NameServers, Says};
use crate::harness::upstream::TestUpstream;

/// A customer with a zone of its own.
struct Customer {
    zone: &'static str,
    name: &'static str,
    proof: String,
    /// Where the name is to lead.
    here: String,
}

impl Customer {
    /// The zone is signed and served with `served` as the address of the name. What its parent and resolvers that check nothing say of
    /// it.
    fn signed(&self, served: &str) -> (Guarded, String) {
        let Self {
            zone,
            name,
            proof,
            here,
        } = self;
        let knot = Knot::sign(
            zone,
            &format!("app A {here}\n_vestibule.app TXT \"{proof}\""),
        );
        let lines = format!(
            "{zone} SOA\n{zone} NS ns1.{zone}\nns1.{zone} A {}\n{}\n{name} A {here}\n_vestibule.{name} TXT \"{proof}\"\n",
            knot.address,
            knot.delegation(),
        );
        (knot.serve(here, served), lines)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_name_in_a_signed_zone_gets_its_certificate_and_one_with_bad_signatures_no_order() {
    let resolver = NameServers::start(Says::lines(""), &[]).await;
    let asked = resolver.resolver();
    let pebble = hard_to_please().dns_server(asked).start().await;
    let upstream = TestUpstream::echo();
    let domains = format!(
        "name_server_port = {}\nprivate_name_servers = [\"127.0.0.0/8\"]\n",
        knot::PORT
    );
    let here = own_address();
    let plan = node_at((here, &[]), &pebble, upstream.address, (asked, &domains));
    let plan = plan.tenants(&["acme"]).filled().await;
    let mut customers = Vec::new();
    for (zone, name) in [
        ("signed.test", "app.signed.test"),
        ("spoilt.test", "app.spoilt.test"),
    ] {
        customers.push(Customer {
            zone,
            name,
            proof: claim_in(&plan, "acme", name).await,
            here: here.to_string(),
        });
    }
    let [good, spoilt] = &customers[..] else {
        unreachable!("two of them")
    };
    let (_serving, good_lines) = good.signed(&good.here);
    let (_spoilt, spoilt_lines) = spoilt.signed("192.0.2.80");
    resolver.say("127.0.0.1", Says::Lines(good_lines + &spoilt_lines));

    let edge = plan.start().await;
    // Both are proved; what was changed behind the signatures' back is found before anything is ordered.
    comes_to(&edge, good.name, DomainState::Active).await;
    assert_eq!(ask(&edge, &pebble, good.name).await.status, 200);
    let checks = put_off(&edge, spoilt.name).await.checks;
    let wrong: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
    let said = (wrong[0].code, wrong[0].observed.as_str());
    let observed = "the signature of app.spoilt.test A does not fit the records";
    assert_eq!((wrong.len(), said), (1, (CheckCode::Dnssec, observed)));
    assert_eq!(of(&edge, spoilt.name).await.state, DomainState::Verified);
    assert_eq!(pebble.orders(), 1, "for the good one");
    assert!(!pebble.log().contains(spoilt.zone));
}
