//! A network between an edge and PostgreSQL that swallows or cuts what it carries.

use super::{ask, serves, unknown_is_unavailable};
use crate::harness::edge::Edge;
use crate::harness::fault_proxy::FaultProxy;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, postgres};

/// A node that reaches the database through a faulty network, and one beside it that reaches it directly.
struct Pair {
    network: FaultProxy,
    far: Edge,
    near: Edge,
    _upstream: TestUpstream,
}

async fn pair() -> Pair {
    let url = postgres::database().await;
    let upstream = TestUpstream::echo();
    let near = Edge::with(upstream.address).store(&url);
    let near = near.tenants(&["acme", "globex", "initech"]).start().await;
    let network = FaultProxy::before(&url).await;
    let far = Edge::with(upstream.address).in_fleet_of(&near);
    let far = far.store(&network.url(&url)).start().await;
    far.comes_to("acme.localhost", 200).await;
    Pair {
        network,
        far,
        near,
        _upstream: upstream,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_a_server_that_takes_connections_and_never_answers() {
    let Pair {
        network,
        far,
        near,
        _upstream,
    } = pair().await;
    network.stall();
    unknown_is_unavailable(&far, "globex.localhost").await;
    serves(&far, &["acme.localhost"]).await;
    assert_eq!(far.readiness().await, 200);

    let far = far.pause().await.start().await;
    assert_eq!(far.readiness().await, 200);
    serves(&far, &["acme.localhost"]).await;
    unknown_is_unavailable(&far, "globex.localhost").await;

    near.command("tenant suspend acme").await.succeeds();
    network.pass();
    far.comes_to("acme.localhost", 403).await;
    far.comes_to("globex.localhost", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_what_others_changed_meanwhile_is_in_force_when_the_network_is_back() {
    let Pair {
        network,
        far,
        near,
        _upstream,
    } = pair().await;
    serves(&far, &["initech.localhost"]).await;
    network.cut();
    unknown_is_unavailable(&far, "globex.localhost").await;
    for line in [
        "tenant suspend acme",
        "tenant rename initech hooli",
        "tenant create umbrella",
        "domain add globex shop.example --trusted",
    ] {
        near.command(line).await.succeeds();
    }
    near.comes_to("shop.example", 200).await;
    serves(&far, &["acme.localhost", "initech.localhost"]).await;
    assert_eq!(ask(&far, "shop.example").await.status, 503);

    network.pass();
    far.comes_to("acme.localhost", 403).await;
    for host in [
        "umbrella.localhost",
        "hooli.localhost",
        "shop.example",
        "globex.localhost",
    ] {
        far.comes_to(host, 200).await;
    }
    assert_eq!(ask(&far, "initech.localhost").await.status, 308);
    assert_eq!(ask(&far, "nobody.localhost").await.status, 404);
}

/// All connections are forgotten, as when a firewall between the two is replaced: new ones work, old ones never say a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i12_connections_that_are_silently_dropped_are_replaced() {
    let Pair {
        network,
        far,
        near,
        _upstream,
    } = pair().await;
    network.forget();
    near.command("tenant suspend acme").await.succeeds();
    far.comes_to("acme.localhost", 403).await;
    far.comes_to("globex.localhost", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i12_a_listening_connection_that_is_silently_dropped_is_made_anew() {
    let url = postgres::database().await;
    let upstream = TestUpstream::echo();
    let network = FaultProxy::before(&url).await;
    let listening = format!(
        "[store]\nlisten_url = \"{}\"\nheartbeat = \"100ms\"",
        network.url(&url)
    );
    let node = Edge::with(upstream.address).store(&url).config(&listening);
    let node = node.start().await;
    let connected = async |count: usize| {
        eventually("a connection to listen on", async || {
            (network.connections() >= count).then_some(())
        })
        .await;
    };
    connected(1).await;
    network.forget();
    node.command("tenant create acme").await.succeeds();
    node.comes_to("acme.localhost", 200).await;
    connected(2).await;
    network.cut();
    node.command("tenant create globex").await.succeeds();
    node.comes_to("globex.localhost", 200).await;
    assert_eq!(
        node.metric("vestibule_store_up").await,
        1.0,
        "only listening is broken"
    );
}
