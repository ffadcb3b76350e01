//! The store goes away, stays away, comes back: what an edge answers meanwhile, also one that is started meanwhile.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod embedded;
mod network;
mod postgres;
mod replaced;
mod snapshot;

use crate::harness::client::{Answer, get};
use crate::harness::edge::Edge;

/// Waits until the loss is noticed, which shows in the answer for a name that does not exist. From then on nothing is said to be
/// absent: not what is known to be, not what was never asked for, not what exists and is not in memory.
async fn unknown_is_unavailable(edge: &Edge, cold: &str) {
    let hosts = [
        "nobody.localhost",
        "nobody-new.localhost",
        "nobody.example",
        cold,
    ];
    edge.comes_to(hosts[0], 503).await;
    for host in hosts {
        let refused = ask(edge, host).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (503, "store_unavailable"),
            "{host}"
        );
        let wait = refused.header("retry-after").expect("when to come back");
        assert!(wait.parse::<u32>().unwrap() > 0);
    }
}

/// One request for the front page of `host`.
async fn ask(edge: &Edge, host: &str) -> Answer {
    edge.visit().await.ask(get(host, "/", &[])).await
}

/// Each of `hosts` is answered by the upstream.
async fn serves(edge: &Edge, hosts: &[&str]) {
    for host in hosts {
        let answer = ask(edge, host).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
}
