//! Signatures as a real name server has made them: Knot DNS, with a zone that it has signed and that was spoilt since.

use super::*;
use crate::harness::knot::{Knot, PORT};

/// The zone of the customer, signed.
fn signed() -> Knot {
    let records = format!("app A 198.51.100.7\n_vestibule.app TXT \"vestibule-verify={SECRET}\"");
    Knot::sign("acme.test", &records)
}

/// A looker whose resolver knows the zone of `knot` by what its parent says.
async fn looker_at(knot: &Knot, delegation: &str) -> (NameServers, Looker) {
    let address = knot.address;
    let resolver = format!(
        "acme.test SOA\nacme.test NS ns1.acme.test\nns1.acme.test A {address}\n{delegation}\napp.acme.test A 198.51.100.7\n\
         _vestibule.app.acme.test TXT \"vestibule-verify={SECRET}\""
    );
    let servers = NameServers::start(Says::lines(&resolver), &[]).await;
    let settings = settings(&format!(
        "resolvers = [\"{}\"]\nname_server_port = {PORT}\nprivate_name_servers = [\"127.0.0.0/8\"]",
        servers.resolver()
    ));
    (servers, Looker::new(&settings).unwrap())
}

/// What is found of the signatures at `now`, and whether http-01 is ready.
async fn signatures(looker: &Looker, now: Timestamp) -> (bool, String) {
    let pattern = DomainPattern::parse("app.acme.test").unwrap();
    let preflight = looker.preflight(&pattern, &expected(), now).await;
    let found = preflight
        .checks
        .iter()
        .find(|check| check.code == CheckCode::Dnssec);
    let check = found.unwrap();
    let ready = preflight.ready[0].contains(&ChallengeKind::Http01);
    let hint = check.hint.clone().unwrap_or_default();
    (ready, format!("{}\n{hint}", check.observed))
}

const ANEW: &str =
    "Have the DNS provider sign acme.test anew, or remove its DS record at the registrar.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_zone_is_well_until_its_signatures_end() {
    let knot = signed();
    let _serving = knot.serve("198.51.100.7", "198.51.100.7");
    let (_resolver, looker) = looker_at(&knot, &knot.delegation()).await;
    let now = vestibule::clock::Clock::system().now();
    assert_eq!(
        signatures(&looker, now).await,
        (true, "good signatures\n".into())
    );
    let looked = looker.look(&claim("app.acme.test"), &expected(), now).await;
    assert_eq!(looked.proof, vestibule::domains::Seen::Yes);

    let later = now.plus(std::time::Duration::from_secs(90 * 86_400));
    let (ready, told) = signatures(&looker, later).await;
    assert!(!ready);
    assert!(
        told.starts_with("the signature of acme.test DNSKEY ended on "),
        "{told}"
    );
    assert!(told.ends_with(ANEW), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_records_that_were_changed_without_signing_anew() {
    let knot = signed();
    let _serving = knot.serve("198.51.100.7", "198.51.100.66");
    let (_resolver, looker) = looker_at(&knot, &knot.delegation()).await;
    let now = vestibule::clock::Clock::system().now();
    let told = format!("the signature of app.acme.test A does not fit the records\n{ANEW}");
    assert_eq!(signatures(&looker, now).await, (false, told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_ds_record_left_behind_by_the_provider_before() {
    let knot = signed();
    let _serving = knot.serve("198.51.100.7", "198.51.100.7");
    let left =
        "acme.test DS 12345 13 2 00000000000000000000000000000000000000000000000000000000000000ff";
    let (_resolver, looker) = looker_at(&knot, left).await;
    let now = vestibule::clock::Clock::system().now();
    let told = "no key of the zone is one that the DS record at the registrar names\nRemove the DS record of acme.test at the \
                registrar, or enter there the one that the DNS provider gives.";
    assert_eq!(signatures(&looker, now).await, (false, told.into()));
}
