//! Values that are refused, each for one reason.

use super::{parse, reasons};
use crate::config::{AcmeLimits, CertificateKey};
use crate::model::ChallengeKind;

fn each_is_one_fault(texts: &[String]) {
    for text in texts {
        let found = reasons(text);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    }
}

fn edge(line: &str) -> String {
    format!("[edge]\n{line}")
}

#[test]
fn edge_and_tls_are_checked() {
    each_is_one_fault(&[
        edge("http = []"),
        edge("http = [\"localhost:80\"]"),
        edge("http = [\"127.0.0.1:80\", \"127.0.0.1:80\"]"),
        edge("http = [\"127.0.0.1:80\"]\nhttps = [\"0.0.0.0:80\"]\n[tls]\ndirectory = \"/\""),
        edge("http = [\"127.0.0.1:9900\"]"),
        edge("https = [\"127.0.0.1:8443\"]\n[tls]\ndirectory = \"Cargo.toml\""),
        edge("https = [\"127.0.0.1:8443\"]\n[tls]\ndirectory = \"/no/such/folder\""),
        edge("public_https_port = 0"),
        edge("public_https_port = 65536"),
        edge("workers = -1"),
        edge("node = \"a b\""),
        edge("probe_path = \"healthy\""),
        edge("probe_path = \"/a?b\""),
        edge("trusted_proxies = [\"10.0.0.1/8\"]"),
        edge("trusted_proxies = [\"10.0.0.0/33\"]"),
        edge("timeouts.head = 10"),
        edge("timeouts.head = \"0s\""),
        edge("timeouts.head = \"10\""),
        edge("redirect_https = \"yes\""),
        "edge = 3".to_owned(),
        "[tls]\nminimum = \"1.1\"".to_owned(),
        "[tls]\ndefault = \"../x\"".to_owned(),
        "[tls]\nmemory = \"1KiB\"".to_owned(),
    ]);
}

#[test]
fn store_and_cache_are_checked() {
    each_is_one_fault(&[
        "[store]\nurl = \"mysql://x\"".to_owned(),
        "[store]\nurl = \"sqlite::memory:\"".to_owned(),
        "[store]\nurl = \"sqlite:\"".to_owned(),
        "[store]\nurl = \"postgres://h:port/x\"".to_owned(),
        "[store]\nowner_url = \"postgres://h/x\"".to_owned(),
        "[store]\nurl_file = \"/no/such/file\"".to_owned(),
        "[store]\npoll = \"2s\"".to_owned(),
        "[store]\nconnections = 0".to_owned(),
        "[cache]\ncapacity = 0".to_owned(),
        "[cache]\nttl = \"0s\"".to_owned(),
    ]);
}

fn routing(line: &str) -> String {
    format!("[routing]\n{line}")
}

#[test]
fn routing_settings_are_checked() {
    each_is_one_fault(&[
        routing("base_domains = [\"a.example\", \"a.example\"]"),
        routing("base_domains = [\"a.example\"]\nplatform_hosts = [\"A.example\"]"),
        routing("base_domains = [\"*.a.example\"]"),
        routing("base_domains = \"a.example\""),
        routing("platform_hosts = [\"127.0.0.1\"]"),
        routing("platform_upstream = \"nobody\""),
        routing("path_prefix = \"/t/\""),
        routing("path_prefix = \"/t/{tenant}/x\""),
        routing("path_prefix = \"/t/x{tenant}\""),
        routing("path_prefix = \"/{tenant}/{tenant}\""),
        routing("path_prefix = \"//{tenant}\""),
        routing("path_prefix = \"/a%20/{tenant}\""),
        routing("path_prefix = \"t/{tenant}\""),
        routing("reserved_slugs = [\"WWW\"]"),
        routing("reserved_slugs = [\"a\", \"a\"]"),
        routing("cors_origins = [\"*\"]"),
        routing("cors_origins = [\"https://a.example/\"]"),
        routing("cors_origins = [\"https://a.example:443\"]"),
        routing("cors_origins = [\"https://u@a.example\"]"),
        routing("foreign_tokens = \"maybe\""),
        routing("jwks.timeout = \"0s\""),
    ]);
}

fn token(lines: &str) -> String {
    let issuer = "issuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"RS256\"]";
    format!("[[routing.token]]\n{issuer}\n{lines}")
}

#[test]
fn token_issuers_are_checked() {
    each_is_one_fault(&[
        token(""),
        token("jwks_url = \"http://a.example/\""),
        token("jwks_url = \"https://u:p@a.example/\""),
        token("jwks_url = \"ftp://a.example/\""),
        token("jwks_url = \"https://a/\"\njwks_file = \"/dev/null\""),
        token("jwks_file = \"/no/such/file\""),
        token("hmac_secret_file = \"/no/such/file\""),
        token("hmac_secret_file = \"/dev/null\""),
        token("jwks_url = \"https://a/\"\nclaim = \"a..b\""),
        token("jwks_url = \"https://a/\"\ncookie = \"a b\""),
        token("jwks_url = \"https://a/\"").replace("RS256", "none"),
        token("jwks_url = \"https://a/\"").replace("RS256", "HS256"),
        token("jwks_url = \"https://a/\"").replace("[\"a\"]", "[]"),
        token("jwks_url = \"https://a/\"").replace("issuer = \"i\"", ""),
        format!("{0}\n{0}", token("jwks_url = \"https://a/\"")),
    ]);
}

#[test]
fn routes_are_checked() {
    each_is_one_fault(&[
        "[[route]]\npath = \"/a/\"\nupstream = \"default\"".to_owned(),
        "[[route]]\npath = \"/a/../b\"\nupstream = \"default\"".to_owned(),
        "[[route]]\npath = \"/a\"\nupstream = \"nobody\"".to_owned(),
        "[[route]]\npath = \"/a\"".to_owned(),
        "[[route]]\npath = \"/a\"\nupstream = \"default\"\n".repeat(2),
        "[route]\npath = \"/a\"\nupstream = \"default\"".to_owned(),
    ]);
}

fn upstream(line: &str) -> String {
    format!("[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\n{line}")
}

#[test]
fn upstreams_are_checked() {
    each_is_one_fault(&[
        format!("[signing]\nalgorithm = \"HS256\"\n{}", upstream("")),
        upstream("hmac_secret_file = \"/no/such/file\""),
        upstream("ca_file = \"/no/such/file\""),
        upstream("host = \"a b\""),
        upstream("balance = \"p3c\""),
        upstream("idle_connections = -1"),
        upstream("timeouts.connect = \"0s\""),
        upstream("").replace("name = \"a\"", ""),
        upstream("").replace("\"a\"", "\"a b\""),
        upstream("").replace("\"http://a\"", ""),
        format!("{0}{0}", upstream("")),
    ]);
}

fn endpoint(url: &str) -> String {
    format!("[[upstream]]\nname = \"a\"\nendpoints = [\"{url}\"]")
}

#[test]
fn endpoints_are_checked() {
    each_is_one_fault(&[
        endpoint("unix:/run/x"),
        endpoint("file:///etc/passwd"),
        endpoint("http://u:p@a"),
        endpoint("http://a/b"),
        endpoint("http://a/.."),
        endpoint("http://a?b"),
        endpoint("http://a:22"),
        endpoint("http://a:0"),
        endpoint("http://a:+80"),
        endpoint("http://a:"),
        endpoint("http://"),
        endpoint("http://0x7f.1"),
        endpoint("http://2130706433"),
        endpoint("http://0.0.0.0:1"),
        endpoint("http://169.254.169.254"),
        endpoint("http://[::ffff:169.254.169.254]"),
        endpoint("http://[fd00:ec2::254]"),
        endpoint("http://[::1"),
        endpoint("http://127.0.0.1:8080"),
    ]);
}

#[test]
fn everything_else_is_checked() {
    each_is_one_fault(&[
        "[signing]\nlifetime = \"39s\"".to_owned(),
        "[signing]\nalgorithm = \"HS256\"".to_owned(),
        "[signing]\nalgorithm = \"RS256\"".to_owned(),
        "[limits]\nbody = \"100MB\"".to_owned(),
        "[limits]\nheader = \"1MiB\"".to_owned(),
        "[limits]\nrequests_per_second = 1.5".to_owned(),
        "[limits]\nrequests_per_second = 99_999_999_999_999_999_999".to_owned(),
        "[limits]\nconnections = 0".to_owned(),
        "[limits]\nnode_in_flight = 0".to_owned(),
        "[limits]\nbody_rate = \"2GiB\"".to_owned(),
        "[admin]\nlisten = \"9900\"".to_owned(),
        "[metrics]\nlisten = \"127.0.0.1:9900\"".to_owned(),
        "[log]\nlevel = \"inof\"".to_owned(),
        "[log]\nlevel = \"vestibule=loud\"".to_owned(),
        "[log]\naccess = \"stdotu\"".to_owned(),
        "[log]\nformat = \"xml\"".to_owned(),
    ]);
}

#[test]
fn certificate_authorities_and_names_of_customers() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("eab.key");
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODw==\n").unwrap();
    let config = parse(&format!(
        "[domains]\ncname_target = \"edge.example.com\"\nresolvers = [\"9.9.9.9\", \"127.0.0.1:5353\", \"[::1]:53\"]\n\
         private_name_servers = [\"10.0.0.0/8\"]\n\
         [[acme]]\ndirectory_url = \"https://ca.test/dir\"\ncontact = \"ops@example.com\"\neab_kid = \"kid-1\"\n\
         eab_hmac_file = {key:?}\nchallenges = [\"dns-01\"]\n[[acme]]\ndirectory_url = \"https://other.test/dir\"\n\
         contact = [\"mailto:a@example.com\", \"b@example.com\"]\nkey = \"rsa\"\nlimits = \"none\"\n\
         [acme_dns]\nlisten = [\"127.0.0.1:5300\"]\nzone = \"acme.example.com\""
    ))
    .unwrap_or_else(|faults| panic!("{faults}"));
    let resolvers: Vec<String> = config
        .domains
        .resolvers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(resolvers, ["9.9.9.9:53", "127.0.0.1:5353", "[::1]:53"]);
    let [first, second] = &config.acme[..] else {
        panic!("two")
    };
    assert_eq!(first.contact, ["mailto:ops@example.com"]);
    assert_eq!(first.challenges, [ChallengeKind::Dns01]);
    let bound = first.external_account.as_ref().unwrap();
    assert_eq!(bound.hmac_key.expose(), (0..16).collect::<Vec<u8>>());
    assert_eq!(second.contact.len(), 2);
    assert_eq!(second.key, CertificateKey::Rsa2048);
    assert_eq!(first.limits, AcmeLimits::LetsEncrypt);
    assert_eq!(second.limits, AcmeLimits::None);
    assert_eq!(second.challenges, ChallengeKind::ALL);
    let dns = config.acme_dns.unwrap();
    assert_eq!(dns.name_server, dns.zone);
}

#[test]
fn what_is_wrong_with_certificate_authorities_is_said() {
    for (text, reason) in [
        (
            "[[acme]]\ncontact = \"a@b\"",
            "`acme.directory_url` is missing",
        ),
        (
            "[[acme]]\ndirectory_url = \"http://ca.test/dir\"",
            "`acme.directory_url` must be an https address",
        ),
        (
            "[[acme]]\ndirectory_url = \"https://ca.test\"\ncontact = \"nobody\"",
            "`acme.contact` is no contact",
        ),
        (
            "[[acme]]\ndirectory_url = \"https://ca.test\"\neab_kid = \"k\"",
            "`eab_kid` and `eab_hmac_file` go together: a CA gives both",
        ),
        (
            "[[acme]]\ndirectory_url = \"https://ca.test\"\nchallenges = []",
            "`acme.challenges` is empty: control of a name must be shown somehow",
        ),
        (
            "[[acme]]\ndirectory_url = \"https://ca.test\"\nchallenges = [\"http-1\"]",
            "`acme.challenges` is none of the values it may have",
        ),
        (
            "[[acme]]\ndirectory_url = \"https://ca.test\"\nchallenges = [\"dns-01\"]",
            "`acme.challenges` has dns-01, but [acme_dns] is off",
        ),
        (
            "[acme_dns]\nzone = \"a.test\"",
            "`acme_dns.listen` and `acme_dns.zone` go together",
        ),
        (
            "[domains]\naddresses = [\"edge\"]",
            "`domains.addresses` is no IP address",
        ),
        (
            "[domains]\nresolvers = [\"dns.test\"]",
            "`domains.resolvers` is no resolver",
        ),
    ] {
        let found = reasons(text);
        assert!(
            found.iter().any(|it| it.ends_with(reason)),
            "{text}: {found:?}"
        );
    }
}
