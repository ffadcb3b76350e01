//! A customer whose CAA records let in only the second of two CAs.

use vestibule::model::DomainState;

use super::bench::{claim, comes_to, hard_to_please, node};
use crate::harness::upstream::TestUpstream;

const NAME: &str = "app.acmecorp.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_caa_forbids_is_passed_over_and_nobody_is_told_to_let_it_in() {
    let first = hard_to_please().start().await;
    let second = hard_to_please().dns_server(first.dns.address).start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&first, upstream.address, &[]);
    // With dns-01 there is a delegation that is missing, beside the record.
    let config = format!(
        "{}caa_identities = [\"second.example\"]\n[acme_dns]\nlisten = [\"127.0.0.1:0\"]\nzone = \"challenges.test\"\n",
        second.config()
    );
    let edge = plan.config(&config).tenants(&["acme"]).start().await;
    let proof = claim(&edge, "acme", NAME).await;
    first.dns.set_a(NAME, &[here]).await;
    first.dns.set_caa(NAME, "second.example").await;
    let place = format!("_vestibule.{NAME}");
    first.dns.set_txt(&place, &proof).await;
    comes_to(&edge, NAME, DomainState::Active).await;
    assert_eq!(first.orders(), 0);
    assert!(second.orders() > 0);
    let ran = edge.command(&format!("domain doctor {NAME}")).await;
    assert!(!ran.out.contains("FIX "), "{ran:?}");
    assert!(ran.out.contains("ok  caa: "), "{ran:?}");
    let shown = edge.command(&format!("cert show {NAME}")).await.succeeds();
    assert!(
        !shown.contains("to do") && shown.contains(&second.directory()),
        "{shown}"
    );
}
