//! Sessions that are offered again: to whom they are given, they are of use, and to nobody else.

use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use rustls_pki_types::ServerName;

use super::{Edge, client, naming, only_tls12};
use crate::certificates::Folder;

/// Offers any session it has to whomever it visits.
#[derive(Debug)]
struct Promiscuous(ClientSessionMemoryCache);

/// Visits `first` twice and then `second`, offering whatever session there is: whether each was a new handshake, with TLS 1.3 and 1.2,
/// and as somebody who names ChaCha20 first, for whom a configuration is copied.
pub(crate) async fn c19_handshakes(
    edge: &Edge,
    folder: &Folder,
    (first, second): (&str, &str),
) -> Vec<Vec<HandshakeKind>> {
    let mut all = Vec::new();
    let chacha = naming(
        folder,
        vec![TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256],
    );
    for mut config in [
        client(folder),
        ClientConfig::clone(&only_tls12(folder)),
        ClientConfig::clone(&chacha),
    ] {
        let sessions = Promiscuous(ClientSessionMemoryCache::new(8));
        config.resumption = Resumption::store(Arc::new(sessions));
        let config = Arc::new(config);
        let mut kinds = Vec::new();
        for name in [first, first, second] {
            let stream = edge.visit(&config, name).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        all.push(kinds);
    }
    all
}

/// What they must be.
pub(crate) const C19_EXPECTED: [HandshakeKind; 3] = [
    HandshakeKind::Full,
    HandshakeKind::Resumed,
    HandshakeKind::Full,
];

fn anyone() -> ServerName<'static> {
    ServerName::try_from("any.test").unwrap()
}

impl ClientSessionStore for Promiscuous {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(anyone(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&anyone())
    }
    fn set_tls12_session(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls12ClientSessionValue,
    ) {
        self.0.set_tls12_session(anyone(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.0.tls12_session(&anyone())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&anyone());
    }
    fn insert_tls13_ticket(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.insert_tls13_ticket(anyone(), value);
    }
    fn take_tls13_ticket(
        &self,
        _: &ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&anyone())
    }
}

#[tokio::test]
async fn c19_a_session_is_resumed_for_the_same_name_only() {
    let folder = Folder::new()
        .with("acme", &["acme.test"])
        .with("globex", &["globex.test"]);
    let edge = Edge::start(&folder).await;
    let kinds = c19_handshakes(&edge, &folder, ("acme.test", "globex.test")).await;
    assert_eq!(kinds, [C19_EXPECTED; 3]);
}
