//! What the `domain` verbs and their neighbours answer to whoever typed something that cannot be done, or asks for one claim of several.

use serde_json::json;

use crate::command::{Folder, with_store};

/// Nobody answers questions about names.
const UNHEARD: &str =
    "[domains]\nresolvers = [\"127.0.0.1:1\"]\ncname_target = \"edge.example.net\"\n";

const NAME: &str = "shop.acmecorp.com";

/// acme has the name, and globex claims it too.
fn contested() -> Folder {
    let folder = with_store(UNHEARD);
    for line in [
        "tenant create acme",
        "tenant create globex",
        "tenant create initech",
    ] {
        folder.typed(line).succeeds();
    }
    folder
        .typed(&format!("domain add acme {NAME} --trusted"))
        .succeeds();
    folder
        .typed(&format!("domain add globex {NAME}"))
        .succeeds();
    folder
}

#[test]
fn each_tenant_can_be_asked_of_alone() {
    let folder = contested();
    let acme = folder.typed("tenant show acme --output json").json();
    let doctor = format!("domain doctor {NAME} --tenant acme --output json");
    let found: serde_json::Value = serde_json::from_str(&folder.typed(&doctor).out).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(
        (&found[0]["tenant"], &found[0]["tenant_slug"]),
        (&acme["id"], &json!("acme"))
    );
    let show = format!("domain show {NAME} --tenant globex --output json");
    let shown = folder.typed(&show).json();
    assert_eq!(
        (&shown["tenant_slug"], &shown["claims"]),
        (&json!("globex"), &json!([]))
    );
    let verify = format!("domain verify {NAME} --tenant globex --output json");
    let verified = folder.typed(&verify).json();
    assert_eq!(verified["tenant_slug"], "globex");
    for verb in ["doctor", "show", "verify"] {
        let ran = folder.typed(&format!("domain {verb} {NAME} --tenant initech"));
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("initech does not claim"), "{ran:?}");
    }
}

#[test]
fn what_was_to_be_done_for_a_claim_ends_with_it() {
    let folder = contested();
    let verify = format!("domain verify {NAME} --tenant globex --output json");
    let looked = folder.typed(&verify).json();
    assert!(!looked["checks"].as_array().unwrap().is_empty());
    folder
        .typed(&format!("domain remove {NAME} --tenant globex"))
        .succeeds();
    let show = format!("domain show {NAME} --tenant globex --output json");
    let shown = folder.typed(&show).json();
    assert_eq!(
        (&shown["state"], &shown["checks"]),
        (&json!("removed"), &json!([]))
    );
}

#[test]
fn a_name_that_nobody_has_proved_is_not_said_to_be() {
    let folder = contested();
    for line in [
        "domain add acme www.split.com",
        "domain add globex www.split.com",
    ] {
        folder.typed(line).succeeds();
    }
    for tenant in ["acme", "globex"] {
        let ran = folder.typed(&format!("domain move www.split.com {tenant}"));
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("www.split.com is nobody's yet"), "{ran:?}");
    }
}

#[test]
fn hints_are_of_the_fault_that_they_stand_under() {
    let ca = "[edge]\nhttps = [\"127.0.0.1:0\"]\n[[acme]]\ndirectory_url = \"https://ca.example/directory\"\n";
    let folder = with_store(&format!(
        "{ca}[routing]\nplatform_hosts = [\"my.service.example\"]\n{UNHEARD}"
    ));
    folder.typed("tenant create acme").succeeds();
    folder.typed(&format!("domain add acme {NAME}")).succeeds();
    folder
        .typed("domain add acme *.acmecorp.com --trusted")
        .succeeds();
    for (line, code, says, never) in [
        (
            "domain add acme *.other.com",
            2,
            "dns-01",
            "write the whole name",
        ),
        (
            "domain add acme my.service.example",
            2,
            "platform host",
            "write the whole name",
        ),
        ("domain add acme com", 2, "write the whole name", "dns-01"),
        (
            "domain add acme https://acmecorp.com/",
            2,
            "hint: the name alone: acmecorp.com",
            "For more",
        ),
        (
            "domain add acme shop.acmecorp.com --trusted",
            1,
            "domain remove shop.acmecorp.com --tenant acme",
            "cause",
        ),
        (
            "domain doctor foo.acmecorp.com",
            1,
            "ask of '*.acmecorp.com'",
            "nobody has the domain foo.acmecorp.com\n",
        ),
        (
            "cert renew shop.acmecorp.com",
            1,
            "pending and needs its proof first",
            "imported",
        ),
        (
            "webhook add https://hooks.example/",
            2,
            "--all",
            "required arguments",
        ),
    ] {
        let ran = folder.typed(line);
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert!(ran.err.contains(says), "{line}: {ran:?}");
        assert!(!ran.err.contains(never), "{line}: {ran:?}");
    }
}

#[test]
fn a_line_of_an_import_is_counted_once() {
    let folder = with_store("");
    let lines = "{\"slug\":\"a\"}\n{\"slug\":\"b\",\"domains\":3}\n";
    let ran = folder.run_with_input(&["tenant", "import", "-"], lines);
    assert!(ran.err.contains("line 2: "), "{ran:?}");
    assert!(!ran.err.contains("at line"), "{ran:?}");
}
