//! The configuration as the process sees it: file, environment, faults on stderr.

use crate::command::Folder;

#[test]
fn the_annotated_example_passes_check() {
    let folder = Folder::new(include_str!("../../config/vestibule.example.toml"));
    folder.run(&["check"]).succeeds();
}

#[test]
fn without_a_file_there_is_what_is_built_in() {
    let folder = Folder::new("");
    std::fs::remove_file(folder.path("vestibule.toml")).unwrap();
    folder.run(&["check"]).succeeds();
    let ran = folder.run(&["--config", "other.toml", "check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("other.toml"), "{ran:?}");
}

#[test]
fn every_fault_is_reported_in_one_run() {
    let folder = Folder::new(
        "[edge]\nhtpp = [\"127.0.0.1:80\"]\nworkers = \"two\"\nproxy_protocol = true\n",
    );
    let ran = folder.run_with_env(&["check"], &[("VESTIBULE_LOG__LEVEL", "loud")]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "");
    for part in [
        "vestibule.toml:2:1",
        "did you mean `http`?",
        "vestibule.toml:3:11",
        "vestibule.toml:4:1",
        "not supported yet",
        "environment variable VESTIBULE_LOG__LEVEL:1:",
        "error: the configuration has 4 faults",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ran = folder.run(&["check", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["faults"].as_array().unwrap().len(), 3);
    assert_eq!(report["faults"][0]["line"], 2);
    assert_eq!(ran.code, 2);
}

#[test]
fn every_verb_that_reads_the_configuration_refuses_a_wrong_one() {
    let folder = Folder::new("[edge]\nworkers = \"two\"");
    for line in [
        &["tenant", "list"][..],
        &["domain", "list"],
        &["store", "migrate"],
        &["healthcheck"],
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("edge.workers"), "{ran:?}");
    }
}

#[test]
fn the_environment_lies_over_the_file() {
    let folder = Folder::new("[store]\nurl = \"sqlite:file.db\"");
    let env = [("VESTIBULE_STORE__URL", "sqlite:variable.db")];
    folder.run_with_env(&["store", "migrate"], &env).succeeds();
    assert!(folder.path("variable.db").exists());
    assert!(!folder.path("file.db").exists());
}

#[test]
fn planted_secrets_show_nowhere() {
    let folder = Folder::new("[store]\nurl_file = \"url\"\n");
    folder.write("url", "postgres://app:CANARY@127.0.0.1:1/vestibule\n");
    for line in [
        &["check"][..],
        &["tenant", "list"],
        &["store", "migrate"],
        &["check", "--output", "json"],
    ] {
        let ran = folder.run(line);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(
            !ran.out.contains("CANARY") && !ran.err.contains("CANARY"),
            "{ran:?}"
        );
    }
    let env = [(
        "VESTIBULE_STORE__OWNER_URL",
        "postgres://app:CANARY@host:port/x",
    )];
    let ran = folder.run_with_env(&["check"], &env);
    assert_eq!(ran.code, 2);
    assert!(
        !ran.out.contains("CANARY") && !ran.err.contains("CANARY"),
        "{ran:?}"
    );
}
