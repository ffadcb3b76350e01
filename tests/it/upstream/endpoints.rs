//! Where requests go: several endpoints, names, TLS, ourselves.

use std::net::IpAddr;
use std::sync::Mutex;

use vestibule::dns::{Dns, DnsError, Resolved, SystemDns};
use vestibule::model::Hostname;
use vestibule::shutdown::{Phase, Shutdown};

use super::*;
use crate::harness::identity::TestIdentity;
use crate::harness::upstream::Reply;

fn named(name: &str, port: u16, tls: bool) -> Endpoint {
    Endpoint {
        tls,
        host: EndpointHost::Name(Hostname::parse(name).unwrap()),
        port,
    }
}

/// An address where nobody listens.
fn refused() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn several_endpoints_share_the_work() {
    local(async {
        let (one, two) = (TestUpstream::echo(), TestUpstream::echo());
        for balance in [Balance::RoundRobin, Balance::PowerOfTwo] {
            let fixture = Fixture::with(&[one.address, two.address], |config| {
                config.balance = balance
            });
            let before = (one.requests().len(), two.requests().len());
            let all = (0..40).map(|_| fixture.get());
            for response in futures_util::future::join_all(all).await {
                response.unwrap();
            }
            let (ones, twos) = (
                one.requests().len() - before.0,
                two.requests().len() - before.1,
            );
            assert_eq!(ones + twos, 40);
            assert!(ones.abs_diff(twos) <= 2, "{balance:?}: {ones} and {twos}");
        }
    });
}

#[test]
fn j13_nobody_there_is_unreachable() {
    local(async {
        let fixture = Fixture::with(&[refused()], |_| {});
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable { .. }), "{error:?}");
        assert_eq!(error.code().as_str(), "upstream_unreachable");
        assert!(
            fixture
                .counted()
                .contains(r#"result="unreachable",upstream="app"} 1"#)
        );
    });
}

#[test]
fn an_endpoint_that_is_down_costs_no_request() {
    local(async {
        let server = TestUpstream::echo();
        for balance in [Balance::RoundRobin, Balance::PowerOfTwo] {
            let fixture = Fixture::with(&[refused(), server.address], |config| {
                config.balance = balance
            });
            for _ in 0..6 {
                let answer = fixture.send(request("POST", "/", full("x"))).await.unwrap();
                assert_eq!(answer.endpoint, server.address);
            }
        }
    });
}

#[test]
fn j13_certificates_are_verified() {
    local(async {
        let identity = TestIdentity::of(&["localhost", "app.internal", "127.0.0.1"]);
        let server = TestUpstream::answering_tls(&identity.server, |_| Reply::text("ok"));
        let to = |name: &'static str, host: HostPolicy, trusted: bool| {
            let mut config = settings(vec![Endpoint {
                tls: true,
                host: EndpointHost::Ip(server.address.ip()),
                port: server.address.port(),
            }]);
            config.host = host;
            let other = TestIdentity::of(&[name]);
            let ca = if trusted {
                identity.ca_file()
            } else {
                other.ca_file()
            };
            config.ca_file = Some(ca.to_owned());
            Fixture::of(&config, &[])
        };
        let name = |name| HostPolicy::Name(Hostname::parse(name).unwrap());
        for host in [
            HostPolicy::Preserve,
            HostPolicy::Endpoint,
            name("app.internal"),
        ] {
            let fixture = to("localhost", host, true);
            fixture.get().await.unwrap();
            assert_eq!(fixture.get().await.unwrap().body(), "ok");
        }
        assert_eq!(server.connections(), 3);
        for fixture in [
            to("x.test", name("other.internal"), true),
            to("localhost", name("app.internal"), false),
        ] {
            let error = fixture.get().await.unwrap_err();
            assert!(matches!(error, SendError::Tls { .. }), "{error:?}");
            assert!(
                fixture
                    .counted()
                    .contains(r#"result="tls",upstream="app"} 1"#)
            );
        }
        assert_eq!(server.requests().len(), 6);
    });
}

#[test]
fn the_host_is_the_one_of_the_policy() {
    local(async {
        let server = TestUpstream::echo();
        let fixed = HostPolicy::Name(Hostname::parse("in.example").unwrap());
        let own = server.address.to_string();
        for (policy, expected) in [
            (HostPolicy::Preserve, "acme.test"),
            (HostPolicy::Endpoint, own.as_str()),
            (fixed, "in.example"),
        ] {
            let fixture = Fixture::with(&[server.address], |config| config.host = policy);
            fixture.get().await.unwrap();
            assert_eq!(server.seen().await.header("host"), Some(expected));
            let shown = fixture.upstream.host_for(0);
            assert!(shown.is_none_or(|host| host == expected));
        }
    });
}

#[test]
fn i1_this_node_does_not_send_to_itself() {
    local(async {
        let server = TestUpstream::echo();
        let config = settings(vec![Endpoint {
            tls: false,
            host: EndpointHost::Ip(server.address.ip()),
            port: server.address.port(),
        }]);
        let everywhere = SocketAddr::from(([0, 0, 0, 0], server.address.port()));
        for listener in [server.address, everywhere] {
            let fixture = Fixture::of(&config, &[listener]);
            let error = fixture.get().await.unwrap_err();
            assert!(matches!(error, SendError::Loop(_)), "{error:?}");
            assert_eq!(error.code().status(), 508);
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_name_is_resolved_by_the_system() {
    local(async {
        let server = TestUpstream::echo();
        let metrics = Metrics::new(0).unwrap();
        let configs = [settings(vec![named(
            "localhost",
            server.address.port(),
            false,
        )])];
        let upstreams = Upstreams::new(&configs, &[], &metrics).unwrap();
        let upstream = Arc::clone(upstreams.get("app").unwrap());
        let pool = Pool::new(&upstreams);
        let error = pool.send(&upstream, outgoing(get("/"))).await.unwrap_err();
        assert!(matches!(error, SendError::NoEndpoint));

        let (shutdown, stopping) = Shutdown::new();
        let dns = SystemDns::new().unwrap();
        let keeper = tokio::spawn(Arc::clone(&upstreams).keep_resolved(dns, stopping));
        upstreams.resolved_once().await;
        // The name has an IPv6 address too, where nobody listens.
        assert_eq!(upstream.addresses().len(), 2);
        for _ in 0..4 {
            let answer = pool.send(&upstream, outgoing(get("/"))).await.unwrap();
            assert_eq!(answer.endpoint, server.address);
        }
        shutdown.enter(Phase::Ended);
        keeper.await.unwrap();
    });
}

/// A resolver whose answers are written down beforehand; the last one stays.
struct Script {
    answers: Mutex<Vec<Option<Resolved>>>,
    asked: Arc<Mutex<usize>>,
}

impl Dns for Script {
    async fn lookup(&self, name: &Hostname) -> Result<Resolved, DnsError> {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        answer.ok_or_else(|| DnsError::NoAddress(name.clone()))
    }
}

fn found(addresses: &[IpAddr], valid_for: Duration) -> Option<Resolved> {
    Some(Resolved {
        addresses: addresses.to_vec(),
        valid_for,
    })
}

#[tokio::test(start_paused = true)]
async fn i20_addresses_outlive_failures_for_a_day_and_a_time_to_live_of_zero_is_no_flood() {
    let first: IpAddr = "192.0.2.1".parse().unwrap();
    let second: IpAddr = "192.0.2.2".parse().unwrap();
    let metrics = Metrics::new(0).unwrap();
    let configs = [settings(vec![named("app.internal", 80, false)])];
    let upstreams = Upstreams::new(&configs, &[], &metrics).unwrap();
    let upstream = Arc::clone(upstreams.get("app").unwrap());
    let ips = || {
        upstream
            .addresses()
            .iter()
            .map(SocketAddr::ip)
            .collect::<Vec<_>>()
    };

    let asked = Arc::new(Mutex::new(0));
    let dns = Script {
        answers: Mutex::new(vec![
            None,
            found(&[first], Duration::ZERO),
            found(&[second, first, second], Duration::from_secs(3600)),
            None,
        ]),
        asked: Arc::clone(&asked),
    };
    let (_shutdown, stopping) = Shutdown::new();
    let keeper = tokio::spawn(Arc::clone(&upstreams).keep_resolved(dns, stopping));
    let after = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;

    upstreams.resolved_once().await;
    assert!(ips().is_empty());
    after(3).await;
    assert_eq!((ips(), *asked.lock().unwrap()), (vec![first], 2));
    after(1).await;
    assert_eq!((ips(), *asked.lock().unwrap()), (vec![first, second], 3));
    after(61).await;
    assert_eq!(
        *asked.lock().unwrap(),
        4,
        "a change is noticed within a minute"
    );
    after(23 * 3600).await;
    assert_eq!(ips(), vec![first, second]);
    after(2 * 3600).await;
    assert!(ips().is_empty());
    keeper.abort();
}
