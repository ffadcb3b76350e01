//! Signatures, as resolvers that check them tell of them.

use super::*;

#[tokio::test]
async fn a_zone_without_signatures_is_as_well() {
    let world = World::of(WELL).await;
    let told = world.told(
        &world.preflight("app.acme.test").await.checks,
        CheckCode::Dnssec,
    );
    let well = "ok
        expected: good signatures of the zone acme.test, or none
        observed: not signed";
    assert_eq!(told, finding(well));
}

#[tokio::test]
async fn g17_what_resolvers_give_only_unchecked_has_bad_signatures() {
    let bogus = but("_vestibule.app.acme.test TXT !BOGUS
         app.acme.test A !BOGUS
         app.acme.test A 198.51.100.7");
    let world = World::of(&bogus).await;
    let told = finding(
        "not ok
        expected: good signatures of the zone acme.test, or none
        observed: resolver R refuses what it would answer unchecked
        hint: The signatures of acme.test, or of a zone above it, are bad. Remove the DS record of acme.test at the registrar, or \
         have the DNS provider sign the zone anew.",
    );
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(preflight.ready[0], []);
    assert_eq!(world.told(&preflight.checks, CheckCode::Dnssec), told);
    // The life cycle is told too, though it asks for other records.
    assert_eq!(
        world.told(&world.look().await.checks, CheckCode::Dnssec),
        told
    );
}

#[tokio::test]
async fn g17_a_resolver_that_merely_fails_says_nothing_of_signatures() {
    let world = World::of(&but("app.acme.test A !SERVFAIL")).await;
    let checks = world.look().await.checks;
    assert_eq!(world.told(&checks, CheckCode::Dnssec), "");
}
