//! `pebble-challtestsrv` as the DNS that a test's CA asks, where every name is at 127.0.0.1 until a test says otherwise, and as a server
//! that answers challenges where a test has no edge to do so (at its own address: [`MockDns::leads_here`]).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Visitor, request};
use super::guarded::Background;

/// Where it answers http-01 and tls-alpn-01.
pub(crate) const HTTP_PORT: u16 = 5002;
pub(crate) const TLS_PORT: u16 = 5001;

/// A running server; ends with the test.
pub(crate) struct MockDns {
    _program: Background,
    /// Where names are asked for, over UDP and TCP.
    pub(crate) address: SocketAddr,
    management: SocketAddr,
}

impl MockDns {
    /// Starts at `address`, which must be the test's own.
    pub(crate) async fn start(address: Ipv4Addr) -> Self {
        let dns = SocketAddr::from((address, 8053));
        let management = SocketAddr::from((address, 8055));
        let mut program = Background::start(
            Command::new("pebble-challtestsrv")
                .args([
                    "-http01",
                    &SocketAddr::from((address, HTTP_PORT)).to_string(),
                ])
                .args(["-https01", ""])
                .args([
                    "-tlsalpn01",
                    &SocketAddr::from((address, TLS_PORT)).to_string(),
                ])
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
                .args(["-dns01", &dns.to_string()])
                .args(["-management", &management.to_string()]),
            "pebble",
        );
        program.listens(dns).await;
        program.listens(management).await;
        Self {
            _program: program,
            address: dns,
            management,
        }
    }

    /// Gives `name` one more TXT record.
    pub(crate) async fn set_txt(&self, name: &str, value: &str) {
        self.tell("set-txt", json!({ "host": dotted(name), "value": value }))
            .await;
    }

    /// Takes all TXT records of `name` away.
    pub(crate) async fn clear_txt(&self, name: &str) {
        self.tell("clear-txt", json!({ "host": dotted(name) }))
            .await;
    }

    /// Gives `name` these A records instead of 127.0.0.1.
    pub(crate) async fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        let host = dotted(name);
        self.tell("clear-a", json!({ "host": host })).await;
        self.tell("add-a", json!({ "host": host, "addresses": addresses }))
            .await;
    }

    /// From now on names that nothing was said of have no address.
    pub(crate) async fn set_no_default(&self) {
        self.tell("set-default-ipv4", json!({ "ip": "" })).await;
    }

    /// Lets `name` lead to this server itself, which answers challenges.
    pub(crate) async fn leads_here(&self, name: &str) {
        let IpAddr::V4(here) = self.address.ip() else {
            unreachable!("it was started at an IPv4 address");
        };
        self.set_a(name, &[here]).await;
    }

    /// Answers the http-01 challenge `token` from now on.
    pub(crate) async fn answer_http(&self, token: &str, content: &str) {
        self.tell("add-http01", json!({ "token": token, "content": content }))
            .await;
    }

    /// Answers tls-alpn-01 for `name` from now on.
    pub(crate) async fn answer_tls(&self, name: &str, content: &str) {
        self.tell("add-tlsalpn01", json!({ "host": name, "content": content }))
            .await;
    }

    /// Makes `name` another name for `target`.
    pub(crate) async fn set_cname(&self, name: &str, target: &str) {
        let told = json!({ "host": dotted(name), "target": dotted(target) });
        self.tell("set-cname", told).await;
    }

    /// Lets only the CA called `issuer` issue for `name`.
    pub(crate) async fn set_caa(&self, name: &str, issuer: &str) {
        let policies = json!([{ "tag": "issue", "value": issuer }]);
        self.tell(
            "add-caa",
            json!({ "host": dotted(name), "policies": policies }),
        )
        .await;
    }

    /// From now on every question about `name` is answered with SERVFAIL.
    pub(crate) async fn set_servfail(&self, name: &str) {
        self.tell("set-servfail", json!({ "host": dotted(name) }))
            .await;
    }

    /// Ends [`MockDns::set_servfail`].
    pub(crate) async fn clear_servfail(&self, name: &str) {
        self.tell("clear-servfail", json!({ "host": dotted(name) }))
            .await;
    }

    /// The questions asked about `name` so far.
    pub(crate) async fn asked(&self, name: &str) -> Vec<Value> {
        // The one order that wants the name without its dot.
        let text = self
            .tell("dns-request-history", json!({ "host": name }))
            .await;
        serde_json::from_str(&text).unwrap()
    }

    /// Sends an order of its management interface; the answer.
    pub(crate) async fn tell(&self, order: &str, body: Value) -> String {
        let body = body.to_string();
        let length = format!("content-length: {}", body.len());
        let sent = request(
            "POST",
            &self.management.to_string(),
            &format!("/{order}"),
            &[&length],
            body.as_bytes(),
        );
        let answer = Visitor::connect(self.management).await.ask(sent).await;
        assert_eq!(answer.status, 200, "{order}: {}", answer.text());
        answer.text()
    }
}

fn dotted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
