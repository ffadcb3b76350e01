//! What names demand of their visitors: `explain` says of each connection and host what a visitor who meets it gets.

use rustls::version::TLS13;
use vestibule::config::TlsVersion;
use vestibule::store::NameTlsPatch;

use super::*;
use crate::harness::client::Visitor;
use crate::tls::policies::{Club, edge, folder, set, status, until_refused, visitor};

/// Names of one certificate; of two of them something is demanded.
const NAMES: [&str; 5] = ["a.test", "b.test", "y.w.test", "x.w.test", "acme.localhost"];

async fn explained(edge: &Edge, line: &str) -> Value {
    edge.command(&format!("explain {line} --output json"))
        .await
        .json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_which_host_may_be_asked_for_on_which_connection_is_explained_as_it_happens() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    let minimum = NameTlsPatch {
        minimum: Some(Some(TlsVersion::Tls13)),
        ..NameTlsPatch::default()
    };
    set(&edge, "*.w.test", minimum).await;
    set(&edge, "a.test", club.demand()).await;
    // Of the two that is in force last.
    until_refused(&edge, &visitor(&folder, &TLS13, None), "a.test").await;
    let member = visitor(&folder, &TLS13, Some(club.member()));
    let mut misdirected = 0;
    for sni in NAMES {
        for host in NAMES {
            let said = explained(&edge, &format!("https://{sni}/ --header Host:{host}")).await;
            match status(&edge, &member, (sni, host)).await.unwrap() {
                200 => assert_eq!(said["outcome"], "forward", "{sni} {host}: {said:#}"),
                status => {
                    assert_eq!((&said["status"], status), (&421.into(), 421), "{said:#}");
                    assert_eq!(said["code"], "misdirected");
                    misdirected += 1;
                }
            }
        }
    }
    // Of a, of y.w, and of the three others, each with all but its like.
    assert_eq!(misdirected, 2 * (4 + 3));
    for host in NAMES {
        let mut plain = Visitor::connect(edge.http()).await;
        let answer = plain.ask(get(host, "/", &[])).await;
        let said = explained(&edge, &format!("http://{host}/")).await;
        match answer.status {
            200 => assert_eq!(said["outcome"], "forward", "{host}: {said:#}"),
            status => assert_eq!(said["status"], status, "{host}: {said:#}"),
        }
        assert_eq!(answer.status == 421, host == "a.test", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_demanded_is_said() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    let both = NameTlsPatch {
        minimum: Some(Some(TlsVersion::Tls13)),
        ..club.demand()
    };
    set(&edge, "a.test", both).await;
    let said = explained(&edge, "https://a.test/").await;
    let of = |said: &Value, source: &str| {
        let steps = said["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["source"] == source);
        step.map(|step| step["found"].as_str().unwrap().to_owned())
    };
    let demands = "TLS 1.3 at least and a certificate that its own CA vouches for";
    assert!(
        of(&said, "handshake").unwrap().starts_with(demands),
        "{said:#}"
    );
    assert!(
        of(&said, "demands")
            .unwrap()
            .contains("of the same demands"),
        "{said:#}"
    );
    let said = explained(&edge, "https://b.test/ --header Host:a.test").await;
    assert_eq!(of(&said, "handshake"), None);
    assert!(
        of(&said, "demands").unwrap().contains("of other demands"),
        "{said:#}"
    );
    let said = explained(&edge, "http://a.test/").await;
    assert!(
        of(&said, "demands").unwrap().contains("in the clear"),
        "{said:#}"
    );
    let said = explained(&edge, "https://b.test/").await;
    assert_eq!(of(&said, "demands"), None);
}
