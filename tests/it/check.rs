//! `check` reads what a node would read, and says of all of it what is wrong, in one report.

use std::path::Path;

use serde_json::Value;

use crate::certificates;
use crate::command::{Folder, with_store};

/// The certificates of a test that has nothing wrong with them.
fn sound() -> certificates::Folder {
    certificates::Folder::new().with("acme", &["acme.localhost"])
}

/// A configuration each of whose files has something wrong with it.
fn faulty(directory: &Path) -> Folder {
    for (name, text) in [
        ("torn.crt", "no certificate"),
        ("torn.key", "no key"),
        ("lonely.key", "no key"),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let folder = Folder::new(&format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\ndefault = \"gone\"\n\
         [[upstream]]\nname = \"default\"\nendpoints = [\"https://127.0.0.1:3000\"]\nca_file = \"empty.pem\"\n\
         [[upstream]]\nname = \"api\"\nendpoints = [\"http://127.0.0.1:3001\"]\nca_file = \"broken.pem\"\n\
         [[routing.token]]\nissuer = \"one\"\naudience = [\"app\"]\nalgorithms = [\"RS256\"]\njwks_file = \"text.json\"\n\
         [[routing.token]]\nissuer = \"two\"\naudience = [\"app\"]\nalgorithms = [\"RS256\"]\njwks_file = \"none.json\"\n\
         [store]\nsecret_key_file = \"short.key\"\n"
    ));
    let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    folder.write("empty.pem", "");
    folder.write("broken.pem", torn);
    folder.write("text.json", "keys");
    folder.write("none.json", "{\"keys\":[]}");
    folder.write("short.key", "short");
    folder
}

#[test]
fn every_file_is_read_and_every_fault_is_in_one_report() {
    let certs = sound();
    let directory = certs.directory.path();
    let folder = faulty(directory);
    let expected = [
        ("text.json", "\"one\""),
        ("none.json", "no key for any"),
        ("empty.pem", "no certificate in it"),
        ("broken.pem", "\"api\""),
        ("lonely.key", "no certificate beside it"),
        ("torn.crt", "no PEM certificate"),
        ("certs", "\"gone\""),
        ("short.key", "mode"),
    ];
    let ran = folder.typed("check");
    assert_eq!(ran.code, 2, "{ran:?}");
    for (file, what) in expected.iter().filter(|(file, _)| *file != "certs") {
        assert!(
            ran.err.contains(file) && ran.err.contains(what),
            "{file} {what}: {}",
            ran.err
        );
    }
    assert!(ran.err.contains("8 faults"), "{}", ran.err);
    let ran = folder.typed("check --output json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let faults = report["faults"].as_array().unwrap();
    assert_eq!(
        (faults.len(), report["ok"].as_bool()),
        (8, Some(false)),
        "{report:#}"
    );
    for (file, what) in expected {
        let told = |fault: &&Value| {
            let source = fault["source"].as_str().unwrap();
            let right = source.ends_with(file)
                || (file == "certs" && source == directory.to_str().unwrap());
            right && fault["reason"].as_str().unwrap().contains(what)
        };
        assert!(
            faults.iter().any(|fault| told(&fault)),
            "{file} {what}: {report:#}"
        );
    }
}

/// A fault of a setting does not hide those of files.
#[test]
fn faults_of_settings_and_of_files_are_told_together() {
    let folder = Folder::new(
        "[edge]\nhtttp = []\n[[upstream]]\nname = \"default\"\nendpoints = [\"https://127.0.0.1:3000\"]\nca_file = \"empty.pem\"\n",
    );
    folder.write("empty.pem", "");
    let ran = folder.typed("check");
    assert_eq!(ran.code, 2, "{ran:?}");
    for part in ["htttp", "vestibule.toml:2", "empty.pem", "2 faults"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let report: Value = serde_json::from_str(&folder.typed("check --output json").out).unwrap();
    assert_eq!(report["faults"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(report["faults"][0]["line"], 2);
}

#[test]
fn what_comes_to_nothing_is_warned_of_and_no_fault() {
    let folder = with_store("[[acme]]\ndirectory_url = \"https://ca.test/directory\"\n");
    let said = folder.typed("check").succeeds();
    for part in [
        "no faults",
        "warning: vestibule.toml:",
        "[[acme]] orders nothing",
        "hint: set `edge.https`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let report: Value = serde_json::from_str(&folder.typed("check --output json").out).unwrap();
    assert_eq!(report["ok"], true, "{report:#}");
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{report:#}");
    assert!(
        warnings[0]["reason"]
            .as_str()
            .unwrap()
            .contains("orders nothing")
    );
}

#[test]
fn files_that_are_sound_are_no_fault() {
    let certs = sound();
    let ca = certs.path("ca.pem");
    let folder = with_store(&format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {:?}\ndefault = \"acme\"\n\
         [[upstream]]\nname = \"default\"\nendpoints = [\"https://127.0.0.1:3000\"]\nca_file = {ca:?}\n",
        certs.directory.path()
    ));
    folder.typed("key rotate").succeeds();
    let said = folder.typed("check").succeeds();
    assert!(
        said.contains("no faults") && said.contains("looked at"),
        "{said}"
    );
}

#[test]
fn tenants_whose_upstream_is_not_configured_are_named() {
    let folder =
        with_store("[[upstream]]\nname = \"default\"\nendpoints = [\"http://127.0.0.1:3000\"]\n");
    folder
        .typed("tenant create acme --upstream default")
        .succeeds();
    folder.typed("tenant create globex").succeeds();
    folder.typed("check").succeeds();
    for slug in ["initech", "umbrella", "gone"] {
        folder
            .typed(&format!("tenant create {slug} --upstream elsewhere"))
            .succeeds();
    }
    folder.typed("tenant remove gone --yes").succeeds();
    let ran = folder.typed("check");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("initech") && ran.out.contains("elsewhere"),
        "{ran:?}"
    );
    assert!(ran.err.contains("hint: "), "{ran:?}");
    let report: Value = serde_json::from_str(&folder.typed("check --output json").out).unwrap();
    let lost = report["unknown_upstreams"].as_array().unwrap();
    let slugs: Vec<_> = lost
        .iter()
        .map(|row| row["tenant"].as_str().unwrap())
        .collect();
    assert_eq!(slugs, ["initech", "umbrella"]);
    assert_eq!(lost[0]["upstream"], "elsewhere");
    assert_eq!(report["ok"], false);
}

/// A store that cannot be asked takes nothing away from what was found before.
#[test]
fn a_store_that_cannot_be_asked_is_in_the_report() {
    let folder = Folder::new("[store]\nurl = \"sqlite:notes.db\"");
    folder.write("notes.db", &"this is no database\n".repeat(100));
    for (config, code, faults) in [("", 1, 0), ("secret_key_file = \"short.key\"\n", 2, 1)] {
        folder.write("short.key", "short");
        folder.write(
            "vestibule.toml",
            &format!("[store]\nurl = \"sqlite:notes.db\"\n{config}"),
        );
        let ran = folder.typed("check");
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(
            ran.out.contains("store: not looked at: ") && ran.out.contains("notes.db"),
            "{ran:?}"
        );
        assert_eq!(ran.err.contains("short.key"), faults == 1, "{ran:?}");
        let ran = folder.typed("check --output json");
        assert_eq!(ran.code, code, "{ran:?}");
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["ok"], false, "{report:#}");
        assert_eq!(
            report["faults"].as_array().unwrap().len(),
            faults,
            "{report:#}"
        );
        let store = report["store"].as_str().unwrap();
        assert!(store.ends_with("file is not a database"), "{store}");
    }
}
