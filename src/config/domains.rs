//! `[domains]`, `[[acme]]`, `[acme_dns]`: customers' own names, who certifies them, and where we answer for that ourselves.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::edge::{listener, networks};
use super::item::Item;
use super::notes::Reason;
use super::routing::hostname;
use super::secret_file::{self, MIN_EAB_KEY};
use super::section::Section;
use crate::model::{ChallengeKind, Hostname, Secret};

/// `[domains]`
#[derive(Debug, Clone)]
pub struct Domains {
    /// Where customers' names point by CNAME.
    pub cname_target: Option<Hostname>,
    /// Where they point by A and AAAA.
    pub addresses: Vec<IpAddr>,
    /// The zone below which a proof may be delegated: `_vestibule.<hostname> CNAME <secret>.<proof zone>`.
    pub proof_zone: Option<Hostname>,
    /// Resolvers that must see what the name servers say; the system's where there are none.
    pub resolvers: Vec<SocketAddr>,
    /// Networks that are private and in which name servers are asked all the same.
    pub private_name_servers: Vec<IpNet>,
    /// The port at which name servers are asked.
    pub name_server_port: u16,
    /// How often a name in service is looked at.
    pub recheck: Duration,
    /// How long a degraded name is still served.
    pub grace: Duration,
    /// How long a removed name is kept from other tenants that bring no fresh proof.
    pub cooloff: Duration,
    /// How long a claim without proof is waited for.
    pub give_up: Duration,
    /// How long nobody else can have the slug of a removed or renamed tenant.
    pub slug_cooloff: Duration,
}

/// `[[acme]]`: one certificate authority.
#[derive(Debug, Clone)]
pub struct AcmeIssuer {
    /// Its directory (RFC 8555 section 7.1.1).
    pub directory_url: String,
    /// Who is told about trouble, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// An account there that orders are charged to (RFC 8555 section 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// The kind of certificate to ask for, of those that the directory offers.
    pub profile: Option<String>,
    /// How control of names is shown, in order of preference.
    pub challenges: Vec<ChallengeKind>,
    /// A CA certificate to trust for the directory besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The names by which CAA records mean this CA; what the directory says of itself where there are none.
    pub caa_identities: Vec<String>,
    /// The kind of key that certificates get.
    pub key: CertificateKey,
    /// What it lets an account do.
    pub limits: AcmeLimits,
}

/// Which limits of a CA are kept before it has to refuse anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeLimits {
    /// Those that Let's Encrypt publishes.
    LetsEncrypt,
    /// None, as for a CA of one's own: it says itself when it has had enough.
    None,
}

/// A binding to an account outside of ACME.
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// The key's id, as the CA gave it.
    pub kid: String,
    /// The key itself, decoded.
    pub hmac_key: Secret,
}

/// Kinds of keys of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKey {
    /// ECDSA on P-256
    EcdsaP256,
    /// RSA with 2048 bits
    Rsa2048,
}

/// `[acme_dns]`
#[derive(Debug, Clone)]
pub struct AcmeDns {
    /// Where it is listened, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The zone that is answered; customers point `_acme-challenge.<hostname>` below it.
    pub zone: Hostname,
    /// The name under which this name server is delegated to.
    pub name_server: Hostname,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl Domains {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let time = |key, default| section.duration(key, default, SECOND..=DAY * 3650);
        Self {
            cname_target: section.text("cname_target", hostname),
            addresses: section
                .get("addresses", |item| item.texts(address))
                .unwrap_or_default(),
            proof_zone: zone(section, "proof_zone", "domains.proof_zone"),
            resolvers: section
                .get("resolvers", |item| item.texts(resolver))
                .unwrap_or_default(),
            private_name_servers: networks(section, "private_name_servers"),
            name_server_port: section.number("name_server_port", 53, 1..=u16::MAX),
            recheck: time("recheck", DAY),
            grace: time("grace", DAY * 3),
            cooloff: time("cooloff", DAY * 30),
            give_up: time("give_up", DAY * 7),
            slug_cooloff: time("slug_cooloff", DAY * 90),
        }
    }
}

impl AcmeIssuer {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let directory_url = section.need("directory_url", |item| {
            item.checked(directory_url(item.text()?))
        });
        let contact = section.get("contact", contacts).unwrap_or_default();
        let challenges = section
            .get("challenges", |item| {
                let named = |kind: ChallengeKind| (kind.as_str(), kind);
                let kinds = item.set(|item| item.one_of(&ChallengeKind::ALL.map(named)))?;
                match kinds.is_empty() && item.is_empty() {
                    true => item.refuse("is empty: control of a name must be shown somehow"),
                    false => Some(kinds),
                }
            })
            .unwrap_or_else(|| ChallengeKind::ALL.to_vec());
        Some(Self {
            contact,
            external_account: external_account(section),
            profile: section.text("profile", |text| Ok(text.to_owned())),
            challenges,
            ca_file: section.text("ca_file", secret_file::present),
            caa_identities: section
                .get("caa_identities", |item| {
                    item.texts(|text| Ok(hostname(text)?.as_str().to_owned()))
                })
                .unwrap_or_default(),
            key: section.one_of(
                "key",
                CertificateKey::EcdsaP256,
                &[
                    ("ecdsa", CertificateKey::EcdsaP256),
                    ("rsa", CertificateKey::Rsa2048),
                ],
            ),
            limits: section.one_of(
                "limits",
                AcmeLimits::LetsEncrypt,
                &[
                    ("letsencrypt", AcmeLimits::LetsEncrypt),
                    ("none", AcmeLimits::None),
                ],
            ),
            directory_url: directory_url?,
        })
    }
}

impl AcmeDns {
    /// Nothing where the section is not written.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let listen = section.get("listen", |item| item.list(listener));
        let zone = zone(section, "zone", "acme_dns.zone");
        let name_server = section.text("name_server", hostname);
        let (Some(listen), Some(zone)) = (listen, zone.clone()) else {
            if section.has("listen") != section.has("zone") {
                let what = "`acme_dns.listen` and `acme_dns.zone` go together";
                section.flaw(section.place(), what);
            }
            return None;
        };
        if listen.is_empty() {
            return None;
        }
        Some(Self {
            listen,
            name_server: name_server.unwrap_or_else(|| zone.clone()),
            zone,
        })
    }
}

/// A zone of our own; what else may stand in it is judged when all has been read.
fn zone(section: &Section<'_>, key: &'static str, setting: &'static str) -> Option<Hostname> {
    let zone = section.text(key, hostname)?;
    let noted = (setting, zone.clone(), section.place_of(key));
    section.notes.zones.borrow_mut().push(noted);
    Some(zone)
}

fn external_account(section: &Section<'_>) -> Option<ExternalAccount> {
    let kid = section.text("eab_kid", |text| Ok(text.to_owned()));
    let hmac_key = section.text("eab_hmac_file", |path| {
        let text = secret_file::read(path, 1)?;
        secret_file::base64url(&text, MIN_EAB_KEY)
    });
    if section.has("eab_kid") != section.has("eab_hmac_file") {
        let what = "`eab_kid` and `eab_hmac_file` go together: a CA gives both";
        section.flaw(section.place(), what);
    }
    Some(ExternalAccount {
        kid: kid?,
        hmac_key: hmac_key?,
    })
}

/// `"ops@example.com"`, or a list of such.
fn contacts(item: &Item<'_>) -> Option<Vec<String>> {
    match item.is_list() {
        true => item.texts(contact),
        false => match item.text()? {
            "" => Some(Vec::new()),
            text => item.checked(contact(text)).map(|it| vec![it]),
        },
    }
}

fn contact(text: &str) -> Result<String, Reason> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let parts = address.split_once('@');
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
    match parts {
        // RFC 8555 section 7.3: one address, no header fields.
        Some((local, host))
            if plain(local) && plain(host) && !address.contains(['?', ',', '<', '>']) =>
        {
            Ok(format!("mailto:{address}"))
        }
        _ => {
            let hint = "one mail address: \"ops@example.com\"";
            Err(Reason::with_hint("is no contact", hint))
        }
    }
}

fn directory_url(text: &str) -> Result<String, Reason> {
    let url: http::Uri = text
        .parse()
        .map_err(|_| Reason::from("is no address of a directory"))?;
    let scheme = url.scheme_str();
    if scheme != Some("https") || url.host().is_none() {
        let hint = "as in \"https://acme-v02.api.letsencrypt.org/directory\"";
        return Err(Reason::with_hint("must be an https address", hint));
    }
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<IpAddr, Reason> {
    text.parse()
        .map_err(|_| Reason::with_hint("is no IP address", "as in \"203.0.113.7\""))
}

/// An address, with port 53 unless it says another.
fn resolver(text: &str) -> Result<SocketAddr, Reason> {
    let bare = || Ok::<_, std::net::AddrParseError>(SocketAddr::new(text.parse()?, 53));
    text.parse().or_else(|_| bare()).map_err(|_| {
        let hint = "an IP address, with or without a port: \"9.9.9.9\" or \"127.0.0.1:5353\"";
        Reason::with_hint("is no resolver", hint)
    })
}
