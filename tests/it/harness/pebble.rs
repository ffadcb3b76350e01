//! Pebble, the ACME server for tests (Debian's package `pebble`), with a DNS of its own. It validates for real.
//!
//! ```ignore
//! let pebble = Pebble::plan().http_port(edge_port).reject_nonces(50).start().await;
//! let config = pebble.config();                       // `[[acme]]` for an edge
//! pebble.dns.set_txt("_acme-challenge.shop.example", &value).await;
//! pebble.restart().await;                             // another CA, at the same address, that knows no account
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use tempfile::TempDir;
use vestibule::config::{AcmeIssuer, AcmeLimits, CertificateKey};
use vestibule::model::ChallengeKind;

use super::challtestsrv::{HTTP_PORT, MockDns, TLS_PORT};
use super::client::{Visitor, get};
use super::guarded::{Background, own_address};
use super::identity::TestIdentity;

const ACME: u16 = 14000;
const MANAGEMENT: u16 = 15000;

/// A running CA with its DNS; both end with the test.
pub(crate) struct Pebble {
    program: Background,
    /// What it asks for names.
    pub(crate) dns: MockDns,
    plan: PebblePlan,
    address: Ipv4Addr,
    identity: TestIdentity,
    folder: TempDir,
}

/// What a CA will be.
pub(crate) struct PebblePlan {
    http_port: u16,
    tls_port: u16,
    dns_server: Option<SocketAddr>,
    environment: Vec<(&'static str, String)>,
    external_accounts: Vec<(String, Vec<u8>)>,
    validity: u64,
    blocked: Vec<String>,
}

impl Pebble {
    /// One that never rejects a good nonce, validates at once, and never reuses an authorization.
    pub(crate) fn plan() -> PebblePlan {
        PebblePlan {
            http_port: HTTP_PORT,
            tls_port: TLS_PORT,
            dns_server: None,
            environment: vec![
                ("PEBBLE_VA_NOSLEEP", "1".to_owned()),
                ("PEBBLE_WFE_NONCEREJECT", "0".to_owned()),
                ("PEBBLE_AUTHZREUSE", "0".to_owned()),
            ],
            external_accounts: Vec::new(),
            validity: 90 * 86_400,
            blocked: Vec::new(),
        }
    }

    /// Its directory's address.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}:{ACME}/dir", self.address)
    }

    /// Who signed the certificate of its ACME listener (not those that it issues).
    pub(crate) fn ca_file(&self) -> &Path {
        self.identity.ca_file()
    }

    /// An `[[acme]]` section that means it; more keys may follow.
    pub(crate) fn config(&self) -> String {
        section(&self.directory(), self.ca_file())
    }

    /// It, as read from a configuration.
    pub(crate) fn issuer(&self) -> AcmeIssuer {
        issuer(self.directory(), self.ca_file().to_owned())
    }

    /// The certificate of its root CA of now, PEM: what clients of the names trust.
    pub(crate) async fn root(&self) -> String {
        self.manage("/roots/0").await
    }

    /// The certificate of its intermediate CA of now, PEM.
    pub(crate) async fn intermediate(&self) -> String {
        self.manage("/intermediates/0").await
    }

    /// Orders placed since it was started.
    pub(crate) fn orders(&self) -> usize {
        self.said("Added order ")
    }

    /// Times that it has looked at challenges (an attempt each) since it was started.
    pub(crate) fn validations(&self) -> usize {
        self.said("Pulled a task from the Tasks queue")
    }

    /// Requests that it has answered since it was started.
    pub(crate) fn requests(&self) -> usize {
        self.said("-> calling handler()")
    }

    fn said(&self, what: &str) -> usize {
        self.program.log().matches(what).count()
    }

    /// What it has logged since it was started.
    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    /// Kills it and starts it again at the same address: other CA certificates, no accounts, no orders. Its DNS goes on.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.program = self.plan.run(self.folder.path(), &self.dns);
        self.program.listens((self.address, ACME).into()).await;
        self.program
            .listens((self.address, MANAGEMENT).into())
            .await;
    }

    /// Kills it: from now on nobody answers at its address, until [`Pebble::restart`].
    pub(crate) fn stop(&mut self) {
        self.program.kill();
    }

    async fn manage(&self, path: &str) -> String {
        let address = SocketAddr::from((self.address, MANAGEMENT));
        let stream = self.identity.connect(address).await;
        let asked = get(&address.to_string(), path, &["connection: close"]);
        let answer = Visitor::over(stream).ask(asked).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    }
}

impl PebblePlan {
    /// The port at which http-01 is validated, wherever a name leads (127.0.0.1 by default): that of an edge's plain listener.
    pub(crate) fn http_port(mut self, port: u16) -> Self {
        self.http_port = port;
        self
    }

    /// The port at which tls-alpn-01 is validated.
    pub(crate) fn tls_port(mut self, port: u16) -> Self {
        self.tls_port = port;
        self
    }

    /// Asks another DNS server than [`Pebble::dns`].
    pub(crate) fn dns_server(mut self, address: SocketAddr) -> Self {
        self.dns_server = Some(address);
        self
    }

    /// Refuses so many of a hundred good nonces.
    pub(crate) fn reject_nonces(self, percent: u8) -> Self {
        self.environment("PEBBLE_WFE_NONCEREJECT", percent)
    }

    /// Looks at a challenge at some time within so many seconds, not at once.
    pub(crate) fn validates_within(self, seconds: u64) -> Self {
        self.environment("PEBBLE_VA_NOSLEEP", 0)
            .environment("PEBBLE_VA_SLEEPTIME", seconds)
    }

    /// Takes authorizations over from earlier orders in so many of a hundred cases.
    pub(crate) fn reuse_authorizations(self, percent: u8) -> Self {
        self.environment("PEBBLE_AUTHZREUSE", percent)
    }

    /// Believes every challenge without looking.
    pub(crate) fn always_valid(self) -> Self {
        self.environment("PEBBLE_VA_ALWAYS_VALID", 1)
    }

    /// Any other of its variables; the last word counts.
    pub(crate) fn environment(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// Takes accounts only with a binding to one of those given so.
    pub(crate) fn external_account(mut self, kid: &str, key: &[u8]) -> Self {
        self.external_accounts.push((kid.to_owned(), key.to_vec()));
        self
    }

    /// How long its certificates are valid, in seconds.
    pub(crate) fn validity(mut self, seconds: u64) -> Self {
        self.validity = seconds;
        self
    }

    /// Refuses to issue for this domain (`rejectedIdentifier`).
    pub(crate) fn blocked(mut self, domain: &str) -> Self {
        self.blocked.push(domain.to_owned());
        self
    }

    /// Starts it at a loopback address of its own.
    pub(crate) async fn start(self) -> Pebble {
        let address = own_address();
        let identity = TestIdentity::of(&[&address.to_string()]);
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("cert.pem", &identity.certificate).unwrap();
        write("key.pem", &identity.key).unwrap();
        write("config.json", &self.settings(address)).unwrap();
        let dns = MockDns::start(address).await;
        let mut program = self.run(folder.path(), &dns);
        program.listens((address, ACME).into()).await;
        program.listens((address, MANAGEMENT).into()).await;
        Pebble {
            program,
            dns,
            plan: self,
            address,
            identity,
            folder,
        }
    }

    fn settings(&self, address: Ipv4Addr) -> String {
        let keys: serde_json::Map<_, _> = self
            .external_accounts
            .iter()
            .map(|(kid, key)| (kid.clone(), BASE64_URL_SAFE_NO_PAD.encode(key).into()))
            .collect();
        let settings = json!({
            "listenAddress": format!("{address}:{ACME}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT}"),
            "certificate": "cert.pem",
            "privateKey": "key.pem",
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !keys.is_empty(),
            "externalAccountMACKeys": keys,
            "certificateValidityPeriod": self.validity,
            "domainBlocklist": self.blocked,
        });
        json!({ "pebble": settings }).to_string()
    }

    fn run(&self, folder: &Path, dns: &MockDns) -> Background {
        let dns_server = self.dns_server.unwrap_or(dns.address).to_string();
        Background::start(
            Command::new("pebble")
                .args(["-config", "config.json", "-dnsserver", &dns_server])
                .current_dir(folder)
                .envs(self.environment.iter().map(|(name, value)| (name, value))),
            "pebble",
        )
    }
}

/// The section of a configuration that means a CA.
pub(super) fn section(directory_url: &str, ca_file: &Path) -> String {
    format!("[[acme]]\ndirectory_url = {directory_url:?}\nca_file = {ca_file:?}\n")
}

/// A CA as a configuration with nothing else in it would say.
pub(super) fn issuer(directory_url: String, ca_file: PathBuf) -> AcmeIssuer {
    AcmeIssuer {
        directory_url,
        contact: Vec::new(),
        external_account: None,
        profile: None,
        challenges: ChallengeKind::ALL.to_vec(),
        ca_file: Some(ca_file),
        caa_identities: Vec::new(),
        key: CertificateKey::EcdsaP256,
        limits: AcmeLimits::LetsEncrypt,
    }
}
