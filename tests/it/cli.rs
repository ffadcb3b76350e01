//! The command line as it is typed: what it prints, where, and the exit code. Tenants and domains are in `tenants.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::command::{Folder, Ran, with_store};

#[test]
fn usage_faults_are_exit_code_2() {
    let folder = Folder::new("");
    for line in [
        &[][..],
        &["nonsense"],
        &["tenant", "create", "Not A Slug"],
        &["tenant", "create", "a", "--limit", "speed=1"],
        &["tenant", "list", "--output", "xml"],
        &["tenant", "show", "Ünknown"],
        &["domain", "add", "acme", "1.2.3.4", "--trusted"],
        &["explain", "http://a/", "--header", "no colon"],
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 2, "{line:?}: {ran:?}");
        assert!(ran.out.is_empty(), "{line:?}: {ran:?}");
        assert!(
            ran.err.contains("error:") || ran.err.contains("Usage:"),
            "{line:?}: {ran:?}"
        );
    }
    folder.run(&["--help"]).succeeds();
}

#[test]
fn version_and_completions_need_no_configuration() {
    let folder = Folder::new("this is no configuration");
    assert!(
        folder
            .run(&["version"])
            .succeeds()
            .starts_with("vestibule ")
    );
    let version = folder.run(&["version", "--output", "json"]).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            folder
                .run(&["completions", shell])
                .succeeds()
                .contains("vestibule"),
            "{shell}"
        );
    }
}

#[test]
fn only_store_migrate_makes_a_store() {
    let folder = Folder::new("[store]\nurl = \"sqlite:there/x.db\"");
    for line in [
        &["tenant", "list"][..],
        &["tenant", "create", "acme"],
        &["tenant", "export"],
        &["domain", "list"],
        &["domain", "add", "acme", "a.example", "--trusted"],
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err.contains("error: ") && ran.err.contains("there/x.db"),
            "{ran:?}"
        );
        assert!(ran.err.contains("hint: "), "{ran:?}");
        assert!(!folder.path("there").exists());
    }
    folder.run(&["store", "migrate"]).succeeds();
    assert!(folder.path("there/x.db").exists());
    folder.run(&["tenant", "list"]).succeeds();
}

#[test]
fn what_is_not_built_yet_says_so() {
    let folder = with_store("");
    for line in [
        &["upstream", "--help"][..],
        &["trust", "-h"],
        &["migrate", "run", "--help"],
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("not supported yet"), "{ran:?}");
        assert_eq!(ran.out, "", "{ran:?}");
    }
}

#[test]
fn signing_keys_are_rotated_retired_and_sealed_anew() {
    let folder = with_store("");
    let kids = |ran: Ran| {
        let rows = ran.json();
        let rows = rows.as_array().unwrap().iter();
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.map(|row| (text(row, "kid"), text(row, "state")))
            .collect::<Vec<_>>()
    };
    assert!(kids(folder.run(&["key", "list", "--output", "json"])).is_empty());
    let first = kids(folder.run(&["key", "rotate", "--output", "json"]));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1, "active");

    let rotated = folder.run(&["key", "rotate", "--output", "json"]);
    assert!(rotated.err.contains("note: "), "{rotated:?}");
    let both = kids(rotated);
    assert_eq!(
        both.iter()
            .map(|(_, state)| state.as_str())
            .collect::<Vec<_>>(),
        ["active", "next"]
    );
    assert_eq!(folder.run(&["key", "rotate"]).code, 1);

    let before = std::fs::read(folder.path("var/secret.key")).unwrap();
    let resealed = folder.run(&["key", "reseal"]);
    assert!(resealed.err.contains("every node"), "{resealed:?}");
    assert!(resealed.succeeds().contains("2 keys"));
    assert_ne!(
        std::fs::read(folder.path("var/secret.key")).unwrap(),
        before
    );
    assert!(!folder.path("var/secret.key.new").exists());
    // What was cut short after the store was sealed anew is ended by running it again.
    std::fs::rename(
        folder.path("var/secret.key"),
        folder.path("var/secret.key.new"),
    )
    .unwrap();
    folder.run(&["key", "reseal"]).succeeds();

    let now = kids(folder.run(&["key", "rotate", "--now", "--output", "json"]));
    assert_eq!(now.iter().filter(|(_, state)| state == "active").count(), 1);
    let retired = kids(folder.run(&["key", "retire", &first[0].0, "--output", "json"]));
    assert_eq!(
        retired
            .iter()
            .filter(|(_, state)| state == "retired")
            .count(),
        1
    );
    assert_eq!(folder.run(&["key", "retire", "nobody"]).code, 1);
}

#[test]
fn where_a_secret_signs_no_key_can_be_rotated() {
    let folder = Folder::new(
        "[signing]\nalgorithm = \"HS256\"\n[[upstream]]\nname = \"default\"\n\
         endpoints = [\"http://127.0.0.1:3000\"]\nhmac_secret_file = \"hmac\"\n",
    );
    folder.write("hmac", &"s".repeat(32));
    folder.typed("store migrate").succeeds();
    for line in ["key rotate", "key rotate --now"] {
        let ran = folder.typed(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err
                .contains("hmac_secret_file signs; replace that file"),
            "{ran:?}"
        );
    }
    let listed = folder.typed("key list --output json");
    assert!(
        listed.err.contains("note: ") && listed.err.contains("hmac_secret_file"),
        "{listed:?}"
    );
    assert_eq!(listed.json(), serde_json::json!([]));
}

#[test]
fn a_store_that_is_no_database_is_named_and_its_cause_told_once() {
    let folder = Folder::new("[store]\nurl = \"sqlite:notes.db\"");
    folder.write("notes.db", &"this is no database\n".repeat(100));
    for line in ["tenant list", "store migrate"] {
        let ran = folder.typed(line);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.err.contains("notes.db") && ran.err.contains("hint: "),
            "{ran:?}"
        );
        assert_eq!(
            ran.err.matches("file is not a database").count(),
            1,
            "{ran:?}"
        );
    }
}

#[test]
fn check_reports_what_the_configuration_shadows() {
    let config =
        "[routing]\nbase_domains = [\"example.com\"]\nplatform_hosts = [\"my.example.com\"]";
    let folder = Folder::new(config);
    let alone = folder.run(&["check"]).succeeds();
    assert!(
        alone.contains("not looked at") && alone.contains("var/vestibule.db"),
        "{alone}"
    );

    folder.run(&["store", "migrate"]).succeeds();
    folder.run(&["tenant", "create", "acme"]).succeeds();
    folder.run(&["check"]).succeeds();

    let noted = folder.run(&["tenant", "create", "my"]);
    assert!(
        noted.code == 0 && noted.err.contains("platform host"),
        "{noted:?}"
    );
    folder.run(&["tenant", "create", "www"]).succeeds();
    // Claimed when the name was nobody's.
    let elsewhere = [("VESTIBULE_ROUTING__BASE_DOMAINS", "[\"example.org\"]")];
    let claim = ["domain", "add", "acme", "shop.example.com", "--trusted"];
    let refused = folder.run(&claim);
    assert!(
        refused.code == 2 && refused.err.contains("base domain"),
        "{refused:?}"
    );
    folder.run_with_env(&claim, &elsewhere).succeeds();
    let found = folder.run(&["check", "--output", "json"]);
    assert_eq!(found.code, 1, "{found:?}");
    let report: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    let shadowed = report["shadowed"].as_array().unwrap();
    let name = |row: &serde_json::Value| {
        format!(
            "{} {}",
            row["kind"].as_str().unwrap(),
            row["name"].as_str().unwrap()
        )
    };
    let names: Vec<String> = shadowed.iter().map(name).collect();
    assert_eq!(
        names,
        ["tenant my", "tenant www", "domain shop.example.com"]
    );
}

#[test]
fn healthcheck_asks_the_admin_listener() {
    for address in ["127.0.0.1", "[::1]"] {
        for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
            let listener = TcpListener::bind(format!("{address}:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            // An unspecified address is asked over loopback.
            let listen = if address == "[::1]" {
                format!("[::]:{port}")
            } else {
                format!("0.0.0.0:{port}")
            };
            let folder = Folder::new(&format!("[admin]\nlisten = {listen:?}"));
            let answered = std::thread::spawn(move || answer(&listener, status));
            let ran = folder.run(&["healthcheck", "--output", "json"]);
            assert_eq!(ran.code, code, "{ran:?}");
            let said = serde_json::from_str::<serde_json::Value>(&ran.out).ok();
            let ready = (code == 0).then(|| serde_json::json!({ "ready": true }));
            assert_eq!(said, ready, "{ran:?}");
            assert!(
                answered
                    .join()
                    .unwrap()
                    .starts_with("GET /readyz HTTP/1.1\r\n")
            );
        }
    }
    let refused = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refused.local_addr().unwrap();
    drop(refused);
    let folder = Folder::new(&format!("[admin]\nlisten = \"{address}\""));
    let ran = folder.run(&["healthcheck", "--alive"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("error: ") && ran.err.contains("cause: "),
        "{ran:?}"
    );
    assert_eq!(
        Folder::new("[admin]\nlisten = \"\"")
            .run(&["healthcheck"])
            .code,
        2
    );
}

/// Answers one request; returns its head.
fn answer(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    String::from_utf8(head).unwrap()
}

#[test]
fn a_reader_that_stops_reading_is_no_fault() {
    let folder = with_store("");
    let lines: String = (0..2000)
        .map(|n| format!("{{\"slug\":\"tenant-{n}\"}}\n"))
        .collect();
    folder
        .run_with_input(&["tenant", "import", "-"], &lines)
        .succeeds();
    let ran: Ran = folder.run_until_first_line(&["tenant", "export"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err, "");
}
