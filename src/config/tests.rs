//! What a configuration means, and what the page of its faults says.

use std::time::Duration;

use super::*;
use crate::model::{DomainPattern, Slug};

mod names;
mod property;
mod values;

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, "vestibule.toml", std::iter::empty())
}

fn with_env(text: &str, env: &[(&str, &str)]) -> Result<Config, Faults> {
    let env = env
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Config::parse(text, "vestibule.toml", env)
}

/// The reasons for which `text` is refused, each with its line and column.
fn reasons(text: &str) -> Vec<String> {
    let faults = parse(text).map(|_| ()).expect_err(text);
    let line = |fault: &Fault| format!("{}:{} {}", fault.line, fault.column, fault.reason);
    faults.list().iter().map(line).collect()
}

#[test]
fn the_example_is_valid_and_says_what_is_built_in() {
    let example = include_str!("../../config/vestibule.example.toml");
    let example = parse(example).unwrap_or_else(|faults| panic!("{faults}"));
    let built_in = parse("").unwrap();
    let examples_only = |config: &Config| {
        let mut config = config.clone();
        config.routing.tokens.clear();
        config.routes.clear();
        config.acme.clear();
        config.warnings.clear();
        config.upstreams.truncate(1);
        format!("{config:#?}")
    };
    assert_eq!(examples_only(&example), examples_only(&built_in));
    assert_eq!(example.routing.tokens.len(), 1);
}

#[test]
fn what_is_not_built_yet_is_recommended_to_nobody() {
    let hint = |text: &str| {
        let faults = parse(text).map(|_| ()).expect_err(text);
        faults.list()[0].hint.clone().unwrap()
    };
    for (text, there, not_there) in [
        ("[admin]\nzebra = 1", "`listen`", &["`public_url`"][..]),
        ("[admin]\npublic_ulr = \"x\"", "`listen`", &["`public_url`"]),
        ("[edge]\nzebra = 1", "`workers`", &["`proxy_protocol`"]),
    ] {
        let hint = hint(text);
        assert!(hint.contains(there), "{hint}");
        for key in not_there {
            assert!(!hint.contains(key), "{hint}");
        }
    }
}

#[test]
fn nothing_written_is_a_working_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].endpoints[0].port, 3000);
    assert!(config.edge.workers > 0);
    assert_eq!(config.routing.base_domains[0].as_str(), "localhost");
}

#[test]
fn the_environment_lies_over_the_file() {
    let file =
        "[edge]\nworkers = 2\n[[upstream]]\nname = \"default\"\nendpoints = [\"http://a:1\"]\n";
    let config = with_env(
        file,
        &[
            ("VESTIBULE_EDGE__WORKERS", "4"),
            ("VESTIBULE_EDGE__TIMEOUTS__HEAD", "3s"),
            ("VESTIBULE_EDGE__NODE", "n1"),
            ("VESTIBULE_EDGE__HTTP", "[\"127.0.0.1:0\"]"),
            ("VESTIBULE_UPSTREAM__0__ENDPOINTS", "[\"http://b:2\"]"),
            ("VESTIBULE_UPSTREAM__1__NAME", "second"),
            ("VESTIBULE_UPSTREAM__1__ENDPOINTS", "[\"http://c\"]"),
            ("VESTIBULE_ROUTING__PATH_PREFIX", ""),
            ("VESTIBULE_STORE__URL", "sqlite:x.db"),
            ("VESTIBULE_PORT", "tcp://10.0.0.1:80"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.edge.workers, 4);
    assert_eq!(config.edge.timeouts.head, Duration::from_secs(3));
    assert_eq!(config.edge.node, "n1");
    assert_eq!(config.edge.http[0].port(), 0);
    assert_eq!(config.upstreams[0].endpoints[0].port, 2);
    assert_eq!(config.upstreams[1].name, "second");
    assert_eq!(config.routing.path_prefix, None);
    assert_eq!(config.store.url, StoreUrl::Sqlite("x.db".into()));
}

#[test]
fn a_fault_of_the_environment_names_the_variable() {
    for (name, value) in [
        ("VESTIBULE_EDGE__WORKERS", "many"),
        ("VESTIBULE_EDGE__WROKERS", "4"),
        ("VESTIBULE_EDGE__HTTP", "[\"127.0.0.1:80\""),
        ("VESTIBULE_EDGE__HTTP__3__X", "1"),
        ("VESTIBULE_EDGE__WORKERS__X", "1"),
        ("VESTIBULE_NO_SUCH__KEY", "1"),
        ("VESTIBULE_EDGE____X", "1"),
        ("VESTIBULE_UPSTREAM__5__NAME", "x"),
    ] {
        let faults = with_env("[edge]\nworkers = 1", &[(name, value)]).unwrap_err();
        assert_eq!(
            faults.list()[0].source,
            format!("environment variable {name}"),
            "{faults}"
        );
    }
}

#[test]
fn every_fault_stands_on_one_page() {
    let text = include_str!("golden/faulty.toml");
    let page = parse(text).unwrap_err().to_string();
    golden("faulty.txt", &page, include_str!("golden/faulty.txt"));
}

#[test]
fn broken_syntax_does_not_hide_other_faults() {
    let text = include_str!("golden/syntax.toml");
    let page = parse(text).unwrap_err().to_string();
    golden("syntax.txt", &page, include_str!("golden/syntax.txt"));
}

/// Compares with a file beside this one; `GOLDEN=write cargo test` writes it anew.
fn golden(name: &str, now: &str, kept: &str) {
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden/");
        std::fs::write(format!("{folder}{name}"), format!("{now}\n")).unwrap();
        return;
    }
    assert_eq!(now.trim_end(), kept.trim_end());
}

#[test]
fn what_is_not_built_yet_is_refused() {
    for (text, place) in [
        ("[edge]\nproxy_protocol = true", "2:1"),
        ("[admin]\npublic_url = \"https://x\"", "2:1"),
        ("[signing]\nprofile = \"message\"", "2:11"),
        ("[signing]\nprofile = \"both\"", "2:11"),
        (
            "[[upstream]]\nname = \"a\"\nendpoints = [\"h2c://a\"]",
            "3:14",
        ),
        (
            "[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\nbalance = \"hash\"",
            "4:11",
        ),
        (
            "[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\n[upstream.health]\npath = \"/\"",
            "4:11",
        ),
        (
            "[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\nretry.attempts = 1",
            "4:1",
        ),
    ] {
        let found = reasons(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("not supported yet"), "{text}: {found:?}");
        assert!(found[0].starts_with(place), "{text}: {found:?}");
    }
    parse("[edge]\nproxy_protocol = false\n[signing]\nprofile = \"assertion\"").unwrap();
}

#[test]
fn lists_come_in_the_order_in_which_they_are_tried() {
    let config = parse(
        "[routing]\nbase_domains = [\"example.com\", \"eu.example.com\"]\n\
         [[route]]\npath = \"/a\"\nupstream = \"default\"\n\
         [[route]]\npath = \"/a/b\"\nupstream = \"default\"",
    )
    .unwrap();
    assert_eq!(config.routing.base_domains[0].as_str(), "eu.example.com");
    assert_eq!(config.routes[0].path, "/a/b");
}

#[test]
fn secrets_come_from_files_and_show_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let key = file("key", "CANARYCANARYCANARYCANARYCANARYCANARY\n\n");
    let short = file("short", "CANARY\n");
    let url = file("url", "postgres://app:CANARY@db/vestibule\n");
    let bad_url = file("bad", "postgres://app:CANARY@db:CANARY/vestibule\n");

    let good = format!(
        "[store]\nurl_file = {url:?}\nlisten_url = \"postgres://a:CANARY@b/c\"\n\
         [signing]\nalgorithm = \"HS256\"\n\
         [[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\nhmac_secret_file = {key:?}"
    );
    let config = parse(&good).unwrap_or_else(|faults| panic!("{faults}"));
    let secret = config.upstreams[0].hmac_secret.as_ref().unwrap();
    assert_eq!(secret.expose(), b"CANARYCANARYCANARYCANARYCANARYCANARY\n");
    let StoreUrl::Postgres(text) = &config.store.url else {
        panic!()
    };
    assert_eq!(text.expose(), "postgres://app:CANARY@db/vestibule");
    assert!(!format!("{config:?}").contains("CANARY"));

    for text in [
        format!(
            "[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\nhmac_secret_file = {short:?}"
        ),
        "[[upstream]]\nname = \"a\"\nendpoints = [\"http://u:CANARY@a\"]".to_owned(),
        "[[upstream]]\nname = \"a\"\nendpoints = [\"http://a\"]\nhmac_secret = \"CANARY\""
            .to_owned(),
        format!("[store]\nurl_file = {bad_url:?}"),
        format!("[store]\nurl = \"postgres://app:CANARY@db\"\nurl_file = {url:?}"),
        "[store]\nurl = \"postgres://app:CANARY@db:CANARY/x\"".to_owned(),
        "[store]\nurl = \"postgres://app:CANARY@db/x".to_owned(),
        "[store]\nurl = [\"postgres://app:CANARY@db/x\"]".to_owned(),
        "[store]\nowner_url = \"postgres://app:CANARY@db/x\"".to_owned(),
        "[stroe]\nurl = \"mysql://app:CANARY@db/x\"".to_owned(),
        "store = { url = \"CANARY\" }".to_owned(),
    ] {
        let faults = parse(&text).unwrap_err();
        let shown = format!("{faults} {faults:?}");
        assert!(!shown.contains("CANARY"), "{shown}");
    }
    let faults =
        with_env("", &[("VESTIBULE_STORE__URL", "postgres://a:CANARY@b:x/c")]).unwrap_err();
    assert!(!format!("{faults} {faults:?}").contains("CANARY"));
}

#[test]
fn a_file_that_is_not_there_is_a_fault_only_where_it_was_asked_for() {
    let faults =
        Config::load(Some(Path::new("/no/such/file.toml")), std::iter::empty()).unwrap_err();
    assert!(faults.to_string().contains("/no/such/file.toml"));
}

#[test]
fn rows_that_the_configuration_shadows_are_found() {
    let config = parse(
        "[routing]\nbase_domains = [\"example.com\", \"eu.example.com\"]\n\
         platform_hosts = [\"my.example.com\", \"portal.example.org\"]\nreserved_slugs = [\"www\"]",
    )
    .unwrap();
    let slug = |text: &str| Slug::parse(text).unwrap();
    let domain = |text: &str| Shadowed::Domain(DomainPattern::parse(text).unwrap());
    for (name, word) in [
        (Shadowed::Tenant(slug("www")), "reserved"),
        (Shadowed::Tenant(slug("my")), "platform host"),
        (Shadowed::Alias(slug("eu")), "base domain"),
        (domain("example.com"), "base domain"),
        (domain("shop.example.com"), "base domain"),
        (domain("*.shop.eu.example.com"), "base domain"),
        (domain("portal.example.org"), "platform host"),
        (domain("*.example.org"), "not for portal.example.org"),
        (domain("*.com"), "not for example.com"),
    ] {
        let found = config.shadows([(name.clone(), slug("t"))]);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].reason.contains(word), "{found:?}");
    }
    for name in [
        Shadowed::Tenant(slug("acme")),
        domain("example.org"),
        domain("badexample.com"),
        domain("*.shop.example.org"),
    ] {
        assert!(config.shadow(&name).is_none(), "{name}");
    }
}
