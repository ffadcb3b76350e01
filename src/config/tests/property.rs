//! No text makes the reader panic, and what is written is what is meant.

use std::time::Duration;

use proptest::prelude::*;

use super::{parse, with_env};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        if let Err(faults) = parse(&text) {
            let _ = faults.to_string();
        }
    }

    #[test]
    fn no_toml_makes_it_panic(lines in prop::collection::vec(any_line(), 0..12)) {
        if let Err(faults) = parse(&lines.join("\n")) {
            prop_assert!(!faults.list().is_empty());
            prop_assert!(!faults.to_string().is_empty());
        }
    }

    #[test]
    fn no_variable_makes_it_panic(
        name in "VESTIBULE_(EDGE|UPSTREAM|ROUTING)__([A-Z0-9]|__){0,8}",
        value in "\\PC{0,30}",
    ) {
        if let Err(faults) = with_env("[[upstream]]\nname = \"a\"", &[(&name, &value)]) {
            let _ = faults.to_string();
        }
    }

    #[test]
    fn what_is_written_is_what_is_meant(
        ports in prop::collection::btree_set(1024_u16..9000, 1..4),
        (head, body, ttl) in (1_u64..86_400, 1_u64..86_400, 1_u64..86_400),
        (workers, rps, size) in (1_usize..64, any::<u32>(), any::<u32>()),
        names in prop::collection::btree_set("[a-z]{1,10}", 1..5),
        (redirect, strip) in any::<(bool, bool)>(),
    ) {
        let http: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let upstreams: String = names
            .iter()
            .map(|name| format!("[[upstream]]\nname = {name:?}\nendpoints = [\"https://{name}.internal:9443\"]\n"))
            .collect();
        let text = format!(
            "[edge]\nhttp = {http:?}\nworkers = {workers}\nredirect_https = {redirect}\n\
             timeouts = {{ head = \"{head}s\", body = \"{body}s\" }}\n\
             [routing]\nstrip_path_prefix = {strip}\n[cache]\nttl = \"{ttl}s\"\n\
             [limits]\nrequests_per_second = {rps}\nbody = \"{size}KiB\"\n{upstreams}"
        );
        let config = parse(&text).map_err(|faults| TestCaseError::fail(faults.to_string()))?;
        prop_assert_eq!(config.edge.http.iter().map(ToString::to_string).collect::<Vec<_>>(), http);
        prop_assert_eq!(config.edge.workers, workers);
        prop_assert_eq!(config.edge.redirect_https, redirect);
        prop_assert_eq!(config.edge.timeouts.head, Duration::from_secs(head));
        prop_assert_eq!(config.edge.timeouts.body, Duration::from_secs(body));
        prop_assert_eq!(config.cache.ttl, Duration::from_secs(ttl));
        prop_assert_eq!(config.routing.strip_path_prefix, strip);
        prop_assert_eq!(config.limits.tenant.requests_per_second, rps);
        prop_assert_eq!(config.limits.tenant.body, u64::from(size) << 10);
        let read: Vec<String> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        prop_assert_eq!(read, names.into_iter().collect::<Vec<_>>());
    }
}

/// Lines that look like a configuration, most of them wrong in some way.
fn any_line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "http",
        "workers",
        "url",
        "endpoints",
        "name",
        "base_domains",
        "path_prefix",
        "token",
        "timeouts",
        "level",
        "hmac_secret_file",
        "balance",
        "edge",
        "jwks",
        "x",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "true",
        "\"a\"",
        "\"60s\"",
        "[\"127.0.0.1:80\"]",
        "[[1], {a = 1}]",
        "{ a = 1 }",
        "1.5",
        "1979-05-27",
        "\"http://a\"",
        "\"ä\"",
        "[",
        "\"",
        "\"\"\"",
        "",
        "{",
    ]);
    let header = prop::sample::select(vec![
        "[edge]",
        "[edge.timeouts]",
        "[[upstream]]",
        "[upstream.timeouts]",
        "[routing]",
        "[[routing.token]]",
        "[[route]]",
        "[store]",
        "[log]",
        "[",
        "[]",
        "[[edge]]",
        "[upstream]",
    ]);
    prop_oneof![
        (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        header.prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}
