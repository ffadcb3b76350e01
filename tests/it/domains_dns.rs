//! Looking at customers' names, against name servers over real sockets: one trouble after another, and the exact words for it.

use vestibule::clock::Timestamp;
use vestibule::config::{Config, Domains};
use vestibule::dns::Patience;
use vestibule::domains::{
    CaExpectation, Claimed, Expected, Here, Looked, Looker, Preflight, Whose, delegated_name,
};
use vestibule::model::{ChallengeKind, Check, CheckCode, DomainPattern, Hostname};

use crate::harness::client::PATIENCE;
use crate::harness::name_server::{NameServers, Says};

mod caa;
mod challenge;
mod knot;
mod own;
mod pointing;
mod proof;
mod signatures;
mod zone;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The customer's zone, with everything as it should be.
const WELL: &str = r#"
    acme.test SOA
    acme.test NS ns1.acme.test
    acme.test NS ns2.acme.test
    ns1.acme.test A 127.0.0.2
    ns2.acme.test A 127.0.0.3
    app.acme.test CNAME edge.vestibule.test
    edge.vestibule.test A 198.51.100.7
    _vestibule.app.acme.test TXT "vestibule-verify=0123456789abcdef0123456789abcdef"
    _acme-challenge.app.acme.test CNAME d8e6b7a25b7d7b4a9a4a1b7f3e2d1c0b.challenges.test
"#;

/// A zone like [`WELL`], where these names have these records and no others.
fn but(lines: &str) -> String {
    let lines = lines.trim();
    let named = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let changed: Vec<String> = lines.lines().filter_map(named).collect();
    let kept = WELL
        .lines()
        .filter(|line| named(line).is_none_or(|name| !changed.contains(&name)));
    let zone = kept.chain(lines.lines()).collect::<Vec<_>>().join("\n");
    right(&zone)
}

/// The zone with the name by which our own zone answers for the customer.
fn right(zone: &str) -> String {
    let target = delegated_name(&hostname("app.acme.test"), &hostname("challenges.test")).unwrap();
    zone.replace(
        "d8e6b7a25b7d7b4a9a4a1b7f3e2d1c0b.challenges.test",
        target.as_str(),
    )
}

fn hostname(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn claim(pattern: &str) -> Claimed {
    Claimed {
        pattern: DomainPattern::parse(pattern).unwrap(),
        secret: SECRET.into(),
    }
}

fn expected() -> Expected {
    Expected {
        cname_target: Some(hostname("edge.vestibule.test")),
        addresses: vec![
            "198.51.100.7".parse().unwrap(),
            "2001:db8::7".parse().unwrap(),
        ],
        proof_zone: Some(hostname("proofs.test")),
        challenge_zone: Some(hostname("challenges.test")),
        cas: vec![CaExpectation {
            directory_url: "https://ca.test/directory".into(),
            identities: vec!["ca.test".into()],
            account: Some("https://ca.test/acct/1".into()),
            challenges: ChallengeKind::ALL.to_vec(),
        }],
        whose: Whose::Customer,
    }
}

/// A world of names in which a looker looks.
struct World {
    servers: NameServers,
    looker: Looker,
    expected: Expected,
}

impl World {
    /// Where everybody says the same.
    async fn of(zone: &str) -> Self {
        let says = Says::lines(&right(zone));
        Self::with(
            says.clone(),
            &[("127.0.0.2", says.clone()), ("127.0.0.3", says)],
        )
        .await
    }

    async fn with(resolver: Says, servers: &[(&str, Says)]) -> Self {
        let servers = NameServers::start(resolver, servers).await;
        let looker = looker(&servers, "private_name_servers = [\"127.0.0.0/8\"]");
        Self {
            servers,
            looker,
            expected: expected(),
        }
    }

    async fn look(&self) -> Looked {
        self.looker
            .look(&claim("app.acme.test"), &self.expected, NOW)
            .await
    }

    async fn preflight(&self, pattern: &str) -> Preflight {
        let pattern = DomainPattern::parse(pattern).unwrap();
        self.looker.preflight(&pattern, &self.expected, NOW).await
    }

    async fn doctor(&self) -> Vec<Check> {
        self.looker
            .doctor(&claim("app.acme.test"), &self.expected, NOW)
            .await
    }

    /// What was found with this code, as an operator reads it; the resolver without its port.
    fn told(&self, checks: &[Check], code: CheckCode) -> String {
        let found = checks.iter().filter(|check| check.code == code);
        let lines = found.map(|check| {
            assert_eq!(check.at, NOW.0);
            let well = if check.ok { "ok" } else { "not ok" };
            let hint = check.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
            let text = format!(
                "{well}\nexpected: {}\nobserved: {}{}",
                check.expected,
                check.observed,
                hint.unwrap_or_default()
            );
            text.replace(&self.servers.resolver().to_string(), "R")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn looker(servers: &NameServers, more: &str) -> Looker {
    let resolver = servers.resolver();
    let port = servers.port;
    Looker::new(&settings(&format!(
        "resolvers = [\"{resolver}\"]\nname_server_port = {port}\n{more}"
    )))
    .unwrap()
    .with_patience(Patience {
        in_all: 3 * PATIENCE,
        ..Patience::default()
    })
}

fn settings(lines: &str) -> Domains {
    let text = format!("[domains]\n{lines}");
    Config::parse(&text, "test", std::iter::empty())
        .unwrap()
        .domains
}

/// A finding in the words of [`World::told`].
fn finding(text: &str) -> String {
    let lines = text.trim().lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

fn codes(checks: &[Check]) -> Vec<(CheckCode, bool)> {
    checks.iter().map(|check| (check.code, check.ok)).collect()
}
