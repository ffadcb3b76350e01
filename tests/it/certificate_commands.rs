//! `cert …` as it is typed: one certificate or many in, all or none, and out again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::certificates::Folder as Issuer;
use crate::command::{Folder, Ran, with_store};

/// The words of an import of `name` for `hostname`.
fn import(folder: &Folder, issuer: &Issuer, name: &str, hostname: &str) -> Ran {
    let (chain, key) = pair(issuer, name);
    folder.run(&["cert", "import", hostname, "--chain", &chain, "--key", &key])
}

fn pair(issuer: &Issuer, name: &str) -> (String, String) {
    let path = |ending| {
        let path = issuer.path(&format!("{name}.{ending}"));
        path.to_str().unwrap().to_owned()
    };
    (path("crt"), path("key"))
}

fn hostnames(ran: Ran) -> Vec<String> {
    let rows = ran.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["hostname"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_certificate_is_imported_listed_shown_and_exported() {
    let folder = with_store("");
    let issuer = Issuer::new().with("acme", &["acme.test", "*.acme.test"]);
    let shown = import(&folder, &issuer, "acme", "acme.test").succeeds();
    assert!(
        shown.contains("acme.test, *.acme.test") && shown.contains("valid"),
        "{shown}"
    );
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert_eq!(hostnames(list), ["*.acme.test", "acme.test"]);
    let table = folder.run(&["cert", "list"]).succeeds();
    assert!(
        table.starts_with("HOSTNAME") && table.contains("4000-01-01"),
        "{table}"
    );
    // As a visitor would be shown it.
    let one = folder
        .run(&["cert", "show", "x.acme.test", "--output", "json"])
        .json();
    assert_eq!(one["hostname"], "*.acme.test");
    assert_eq!(one["names"], json!(["acme.test", "*.acme.test"]));
    assert_eq!(
        (&one["state"], &one["source"]),
        (&json!("valid"), &json!("import"))
    );
    let chain = folder.run(&["cert", "export", "acme.test"]).succeeds();
    let (file, _) = pair(&issuer, "acme");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(&chain),
        lines(&std::fs::read_to_string(file).unwrap())
    );
    let unknown = folder.run(&["cert", "show", "globex.test"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown
            .err
            .contains("error: there is no certificate for globex.test")
            && unknown.err.contains("hint: "),
        "{unknown:?}"
    );
    folder.run(&["cert", "remove", "acme.test"]).succeeds();
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert_eq!(hostnames(list), ["*.acme.test"]);
}

#[test]
fn i8_a_key_leaves_the_store_only_where_it_is_asked_for() {
    let folder = with_store("");
    let issuer = Issuer::new().with("acme", &["acme.test"]);
    import(&folder, &issuer, "acme", "acme.test").succeeds();
    let (_, key) = pair(&issuer, "acme");
    let key = std::fs::read_to_string(key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for line in [
        &["cert", "export", "acme.test"][..],
        &["cert", "export", "acme.test", "--output", "json"],
        &["cert", "show", "acme.test", "--output", "json"],
        &["cert", "list", "--output", "json"],
    ] {
        let ran = folder.run(line);
        assert!(
            !ran.out.contains(secret) && !ran.out.contains("PRIVATE"),
            "{line:?}"
        );
    }
    let database = std::fs::read(folder.path("var/vestibule.db")).unwrap();
    let holds = |text: &[u8]| database.windows(text.len()).any(|part| part == text);
    assert!(
        !holds(secret.as_bytes()) && holds(b"acme.test"),
        "sealed at rest"
    );
    let to_files = [
        "cert",
        "export",
        "acme.test",
        "--chain",
        "out.crt",
        "--key",
        "out.key",
    ];
    let said = folder.run(&to_files).succeeds();
    assert!(
        said.contains("out.crt") && !said.contains("PRIVATE"),
        "{said}"
    );
    let out = folder.path("out.key");
    let mode = std::fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&std::fs::read_to_string(&out).unwrap()), lines(&key));
    let again = folder.run(&to_files);
    assert_eq!(again.code, 1, "a key is never written over a file");
    // What came out can be brought in again.
    let line = [
        "cert",
        "import",
        "acme.test",
        "--chain",
        "out.crt",
        "--key",
        "out.key",
    ];
    folder.run(&line).succeeds();
}

#[test]
fn each_bad_certificate_is_refused_with_its_reason() {
    let folder = with_store("");
    let issuer = Issuer::new().with("good", &["good.test"]);
    issuer.issue_valid("old", &["old.test"], 2020, 2021);
    issuer.issue_valid("early", &["early.test"], 3000, 3001);
    issuer.issue("address", &["127.0.0.1"]);
    issuer.issue("weak", &["weak.test"]);
    weaken(&issuer);
    std::fs::write(issuer.path("noise.crt"), "no certificate").unwrap();
    for (name, hostname, reason) in [
        ("old", "old.test", "has expired"),
        ("early", "early.test", "is not valid yet"),
        ("address", "address.test", "names no host"),
        (
            "good",
            "x.good.test",
            "does not cover x.good.test, only good.test",
        ),
        ("good", "*.good.test", "does not cover *.good.test"),
        ("weak", "weak.test", "its RSA key has 1024 bits"),
        ("noise", "noise.test", "noise.crt holds no PEM certificate"),
        ("absent", "absent.test", "absent.crt cannot be read"),
    ] {
        let ran = import(&folder, &issuer, name, hostname);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.err.contains("error: 1 certificate cannot be imported"),
            "{ran:?}"
        );
        assert!(
            ran.err.contains("cause: ") && ran.err.contains(reason),
            "{ran:?}"
        );
    }
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert!(hostnames(list).is_empty());
}

#[test]
fn a_key_that_does_not_belong_to_the_certificate_is_refused() {
    let folder = with_store("");
    let issuer = Issuer::new()
        .with("good", &["good.test"])
        .with("other", &["other.test"]);
    let (good, key) = pair(&issuer, "good");
    let (other, _) = pair(&issuer, "other");
    let line = [
        "cert",
        "import",
        "other.test",
        "--chain",
        &other,
        "--key",
        &key,
    ];
    let ran = folder.run(&line);
    assert!(
        ran.err
            .contains("good.key is not the key of the certificate in")
            && ran.code == 1,
        "{ran:?}"
    );
    assert!(ran.err.contains("hint: "), "{ran:?}");
    let line = [
        "cert",
        "import",
        "good.test",
        "--chain",
        &good,
        "--key",
        &good,
    ];
    let ran = folder.run(&line);
    assert!(ran.err.contains("holds no PEM private key"), "{ran:?}");
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert!(hostnames(list).is_empty());
}

/// Puts a self-signed certificate with an RSA key of 1024 bits in the place of `weak`.
fn weaken(issuer: &Issuer) {
    let (chain, key) = pair(issuer, "weak");
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "30",
        ])
        .args([
            "-subj",
            "/CN=weak.test",
            "-addext",
            "subjectAltName=DNS:weak.test",
        ])
        .args(["-out", &chain, "-keyout", &key])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn a_folder_is_imported_all_or_none() {
    let folder = with_store("");
    let issuer = Issuer::new()
        .with("one", &["one.test"])
        .with("two", &["two.test", "*.two.test"])
        .with("both", &["one.test", "three.test"]);
    issuer.issue_valid("old", &["old.test"], 2020, 2021);
    std::fs::copy(issuer.path("one.key"), issuer.path("lonely.key")).unwrap();
    let from = issuer.directory.path().to_str().unwrap().to_owned();
    let line = ["cert", "import", "--from", &from];
    let ran = folder.run(&line);
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = [
        "error: 3 certificates cannot be imported, so nothing was",
        "lonely.key has no certificate beside it",
        "one.crt: it is for one.test, and so is the one in",
        "old.crt has expired",
    ];
    for text in expected {
        assert!(ran.err.contains(text), "{text}: {}", ran.err);
    }
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert!(hostnames(list).is_empty());
    for file in ["lonely.key", "old.crt", "old.key", "both.crt", "both.key"] {
        std::fs::remove_file(issuer.path(file)).unwrap();
    }
    let imported = folder
        .run(&[&line[..], &["--output", "json"]].concat())
        .json();
    let expected = json!({ "certificates": 2, "names": 3, "replaced": 0 });
    assert_eq!(imported, expected);
    let again = folder.run(&line).succeeds();
    assert!(again.contains("3 had another one before"), "{again}");
}

#[test]
fn a_manifest_is_imported_all_or_none() {
    let folder = with_store("");
    let issuer = Issuer::new()
        .with("one", &["one.test"])
        .with("wild", &["*.two.test"]);
    let good = "{\"chain\":\"one.crt\",\"key\":\"one.key\"}\n\n\
                {\"hostname\":\"X.two.test\",\"chain\":\"wild.crt\",\"key\":\"wild.key\"}\n";
    let bad = "{\"hostname\":\"a.test\",\"chain\":\"one.crt\",\"key\":\"one.key\"}\nnonsense\n\
               {\"chain\":\"one.crt\",\"key\":\"wild.key\"}\n{\"hostname\":\"1.2.3.4\",\"chain\":\"a\",\"key\":\"b\"}\n";
    let file = issuer.path("manifest.jsonl");
    std::fs::write(&file, format!("{good}{bad}")).unwrap();
    let line = ["cert", "import", "--from", file.to_str().unwrap()];
    let ran = folder.run(&line);
    assert_eq!(ran.code, 1, "{ran:?}");
    for text in [
        "error: 4 certificates cannot be imported",
        "cause: line 4: ",
        "does not cover a.test",
        "cause: line 5: ",
        "cause: line 6: ",
        "is not the key of",
        "cause: line 7: \"1.2.3.4\"",
    ] {
        assert!(ran.err.contains(text), "{text}: {}", ran.err);
    }
    std::fs::write(&file, good).unwrap();
    folder.run(&line).succeeds();
    let list = folder.run(&["cert", "list", "--output", "json"]);
    assert_eq!(hostnames(list), ["*.two.test", "one.test", "x.two.test"]);
}

#[test]
fn usage_faults_and_what_is_not_built_yet_are_exit_code_2() {
    let folder = with_store("");
    for line in [
        &["cert"][..],
        &["cert", "import"],
        &["cert", "import", "acme.test"],
        &["cert", "import", "acme.test", "--chain", "x"],
        &["cert", "import", "acme.test", "--from", "x"],
        &["cert", "import", "--from", "x", "--key", "y"],
        &["cert", "show", "1.2.3.4"],
        &["cert", "renew", "acme.test"],
        &["cert", "import", "--from", "."],
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 2, "{line:?}: {ran:?}");
    }
    let renew = folder.run(&["cert", "renew", "acme.test"]);
    assert!(renew.err.contains("[[acme]]"), "{renew:?}");
    let acme = "[[acme]]\ndirectory_url = \"https://ca.test/directory\"\n";
    let renew = with_store(acme).run(&["cert", "renew", "acme.test"]);
    assert_eq!(renew.code, 2, "{renew:?}");
    assert!(renew.err.contains("`edge.https` is empty"), "{renew:?}");
    let left_out =
        "[routing]\nbase_domains = [\"acme.test\"]\n[tls]\nnot_ordered = [\"acme.test\"]\n";
    let https = "[edge]\nhttps = [\"127.0.0.1:0\"]\n";
    let renew =
        with_store(&format!("{https}{left_out}{acme}")).run(&["cert", "renew", "acme.test"]);
    assert_eq!(renew.code, 2, "{renew:?}");
    assert!(renew.err.contains("`tls.not_ordered` has it"), "{renew:?}");
    let renew = with_store(&format!("{https}{acme}")).run(&["cert", "renew", "acme.test"]);
    assert!(
        renew.code == 1
            && renew
                .err
                .contains("no certificate is ordered for acme.test"),
        "{renew:?}"
    );
    let missing = Folder::new("").run(&["cert", "list"]);
    assert!(
        missing.code == 2 && missing.err.contains("vestibule.db"),
        "{missing:?}"
    );
}

#[test]
fn who_imports_is_told_of_a_file_that_is_shown_instead() {
    let issuer = Issuer::new().with("file", &["acme.test"]);
    let directory = issuer.directory.path().display();
    let folder = with_store(&format!("[tls]\ndirectory = \"{directory}\""));
    let ran = import(&folder, &issuer, "file", "acme.test");
    assert!(
        ran.err
            .contains("note: visitors of acme.test are shown file.crt"),
        "{ran:?}"
    );
    ran.succeeds();
}
