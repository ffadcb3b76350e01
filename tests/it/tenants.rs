//! Tenants and domains from the command line.

use serde_json::json;

use crate::command::with_store;

#[test]
fn a_tenant_is_made_changed_and_shown() {
    let folder = with_store(
        "[[upstream]]\nname = \"default\"\nendpoints = [\"http://127.0.0.1:3000\"]\n\
                             [[upstream]]\nname = \"big\"\nendpoints = [\"http://127.0.0.1:3001\"]",
    );
    let made = folder
        .typed("tenant create acme --name Rockets --plan pro --limit requests_per_second=5 --limit body=1MiB --meta region=eu --meta seats=3 --output json")
        .json();
    assert_eq!(made["slug"], "acme");
    assert_eq!(made["state"], "active");
    assert_eq!(
        made["limits"],
        json!({ "requests_per_second": 5, "body": 1 << 20 })
    );
    assert_eq!(made["meta"], json!({ "region": "eu", "seats": 3 }));
    let id = made["id"].as_str().unwrap().to_owned();

    folder
        .run(&[
            "tenant",
            "set",
            &id,
            "--upstream",
            "big",
            "--plan",
            "",
            "--limit",
            "body=",
            "--meta",
            "seats=",
        ])
        .succeeds();
    folder.typed("tenant rename acme acme-corp").succeeds();
    folder
        .typed("domain add acme shop.example --trusted")
        .succeeds();

    for name in ["acme", "acme-corp", &id] {
        let shown = folder
            .run(&["tenant", "show", name, "--output", "json"])
            .json();
        assert_eq!(shown["id"], id.as_str());
        shows_the_changes(&shown);
    }
    let people = folder.typed("tenant show acme").succeeds();
    for word in [
        "acme-corp",
        "Rockets",
        "big",
        "requests_per_second=5",
        "shop.example (active)",
    ] {
        assert!(people.contains(word), "{people}");
    }
    let table = folder.typed("tenant list").succeeds();
    assert!(
        table.starts_with("SLUG") || table.trim_start().starts_with("SLUG"),
        "{table}"
    );
    assert!(table.contains("Rockets"), "{table}");
}

fn shows_the_changes(shown: &serde_json::Value) {
    for (member, value) in [
        ("slug", json!("acme-corp")),
        ("name", json!("Rockets")),
        ("plan", json!(null)),
        ("upstream", json!("big")),
        ("limits", json!({ "requests_per_second": 5 })),
        ("meta", json!({ "region": "eu" })),
        ("aliases", json!(["acme"])),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    assert_eq!(shown["placement"]["isolation"], "shared");
    assert_eq!(shown["domains"][0]["hostname"], "shop.example");
    assert!(shown["created_at"].is_i64());
}

#[test]
fn a_tenant_goes_through_its_states() {
    let folder = with_store("");
    folder.typed("tenant create acme").succeeds();
    for (verb, state) in [
        ("suspend", "suspended"),
        ("resume", "active"),
        ("maintain", "maintenance"),
        ("resume", "active"),
    ] {
        folder.run(&["tenant", verb, "acme"]).succeeds();
        let shown = folder.typed("tenant show acme --output json").json();
        assert_eq!(shown["state"], state);
    }
    let refused = folder.typed("tenant remove acme");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--yes"), "{refused:?}");
    let removed = folder
        .typed("tenant remove acme --yes --output json")
        .json();
    assert_eq!(removed["state"], "removed");
    let listed = folder
        .typed("tenant list --state removed --output json")
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    folder.typed("tenant restore acme").succeeds();

    let unknown = folder.typed("tenant show nobody");
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("error: ") && unknown.err.contains("nobody"),
        "{unknown:?}"
    );
    assert_eq!(folder.typed("tenant create acme").code, 1);
}

#[test]
fn an_import_is_all_or_nothing_and_an_export_reads_back() {
    let folder = with_store("");
    let good = "{\"slug\":\"acme\",\"name\":\"Acme\",\"plan\":\"pro\",\"domains\":[\"*.acme.example\",\"acme.example\"]}\n\
                {\"slug\":\"globex\",\"meta\":{\"a\":[1,2]},\"limits\":{\"burst\":3},\"state\":\"suspended\"}\n";
    let bad = format!("{good}nonsense\n{{\"slug\":\"acme\"}}\n");

    let refused = folder.run_with_input(&["tenant", "import", "-", "--trusted"], &bad);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("line 3: ") && refused.err.contains("line 4: "),
        "{refused:?}"
    );
    assert_eq!(folder.typed("tenant export").succeeds(), "");

    folder.write("tenants.jsonl", good);
    let summary = folder
        .typed("tenant import tenants.jsonl --trusted --output json")
        .json();
    assert_eq!(summary, json!({ "tenants": 2, "domains": 2 }));
    let exported = folder.typed("tenant export").succeeds();
    assert_eq!(exported.lines().count(), 2);
    for output in ["table", "json"] {
        let again = folder.typed(&format!("tenant export --output {output}"));
        assert_eq!(again.succeeds(), exported);
    }

    let other = with_store("");
    other
        .run_with_input(&["tenant", "import", "-", "--trusted"], &exported)
        .succeeds();
    assert_eq!(other.typed("tenant export").succeeds(), exported);
    assert_eq!(folder.typed("tenant import missing.jsonl").code, 1);
}

#[test]
fn domains_are_added_moved_and_removed() {
    let folder = with_store("");
    for slug in ["acme", "globex"] {
        folder.run(&["tenant", "create", slug]).succeeds();
    }
    let added = folder
        .typed("domain add acme Shop.Example. --trusted --output json")
        .json();
    assert_eq!(added["hostname"], "shop.example");
    assert_eq!(added["state"], "active");
    folder
        .typed("domain add globex *.globex.example --trusted")
        .succeeds();
    let taken = folder.typed("domain add globex shop.example --trusted");
    assert_eq!(taken.code, 1);
    assert!(taken.err.contains("hint: "), "{taken:?}");

    folder.typed("domain move shop.example globex").succeeds();
    let listed = folder.typed("domain list globex --output json").json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(
        folder
            .typed("domain list")
            .succeeds()
            .contains("*.globex.example")
    );
    assert!(
        folder
            .typed("domain show shop.example")
            .succeeds()
            .contains("globex")
    );
    let removed = folder
        .typed("domain remove shop.example --output json")
        .json();
    assert_eq!(removed["state"], "removed");
    assert_eq!(folder.typed("domain show nobody.example").code, 1);
}

#[test]
fn a_name_is_shown_as_one_object_the_routed_claim_first() {
    let folder = with_store("");
    for slug in ["acme", "globex"] {
        folder.run(&["tenant", "create", slug]).succeeds();
    }
    folder
        .typed("domain add acme shop.example --trusted")
        .succeeds();
    let alone = folder
        .typed("domain show shop.example --output json")
        .json();
    assert_eq!(alone["tenant_slug"], "acme");
    assert_eq!(alone["claims"], json!([]));
    // The claim that is left behind is older than the one that is routed.
    folder.typed("domain move shop.example globex").succeeds();
    let shown = folder
        .typed("domain show shop.example --output json")
        .json();
    assert_eq!(shown["hostname"], "shop.example");
    assert_eq!(
        (&shown["tenant_slug"], &shown["state"]),
        (&json!("globex"), &json!("active"))
    );
    let others = shown["claims"].as_array().unwrap();
    assert_eq!(others.len(), 1, "{shown:#}");
    assert_eq!(
        (&others[0]["tenant_slug"], &others[0]["state"]),
        (&json!("acme"), &json!("removed"))
    );
    let table = folder.typed("domain show shop.example").succeeds();
    let tenants: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("tenant"))
        .map(str::trim)
        .collect();
    assert_eq!(tenants, ["globex", "acme"], "{table}");
}

#[test]
fn names_that_are_imported_without_trust_are_claims_that_wait_for_their_proof() {
    let folder = with_store("[domains]\ncname_target = \"edge.example.net\"");
    let line = "{\"slug\":\"acme\",\"domains\":[\"*.acmecorp.com\",\"acmecorp.com\"]}\n";
    folder
        .run_with_input(&["tenant", "import", "-"], line)
        .succeeds();
    for name in ["*.acmecorp.com", "acmecorp.com"] {
        let shown = folder
            .typed(&format!("domain show {name} --output json"))
            .json();
        assert_eq!(shown["state"], "pending");
        assert_eq!(shown["records"][0]["name"], "_vestibule.acmecorp.com");
        let proof = shown["records"][0]["value"].as_str().unwrap();
        let secret = proof.strip_prefix("vestibule-verify=").unwrap();
        assert_eq!(secret.len(), 32, "{shown:#}");
    }
}

#[test]
fn a_wildcard_is_claimed_only_where_its_certificate_can_be_had() {
    let acme = "[edge]\nhttps = [\"127.0.0.1:0\"]\n[[acme]]\ndirectory_url = \"https://ca.example/directory\"\n";
    let folder = with_store(acme);
    folder.typed("tenant create acme").succeeds();
    let refused = folder.typed("domain add acme *.acmecorp.com");
    assert!(
        refused.code == 2 && refused.err.contains("dns-01"),
        "{refused:?}"
    );
    // An operator may bring the certificate too.
    folder
        .typed("domain add acme *.acmecorp.com --trusted")
        .succeeds();
    let answered =
        format!("{acme}[acme_dns]\nlisten = [\"127.0.0.1:0\"]\nzone = \"acme.example.net\"\n");
    let folder = with_store(&answered);
    folder.typed("tenant create acme").succeeds();
    folder.typed("domain add acme *.acmecorp.com").succeeds();
}

#[test]
fn a_name_kept_for_tests_is_taken_on_the_operators_word_alone() {
    let folder = with_store("");
    folder.typed("tenant create acme").succeeds();
    for name in ["shop.test", "*.acme.example", "www.example.com"] {
        let refused = folder.typed(&format!("domain add acme {name}"));
        assert!(
            refused.code == 2 && refused.err.contains("RFC 6761"),
            "{refused:?}"
        );
        let add = format!("domain add acme {name} --trusted");
        folder.typed(&add).succeeds();
    }
}

/// Nothing builds a schema or a database yet: such a tenant is made, shown as what it is, and whoever makes it is told.
#[test]
fn a_tenant_that_nothing_builds_stays_in_provisioning_and_that_is_said() {
    let folder = with_store("");
    for isolation in ["schema", "database"] {
        let line = format!("tenant create {isolation} --isolation {isolation} --output json");
        let made = folder.typed(&line);
        assert!(made.err.contains("not supported yet"), "{made:?}");
        assert_eq!(made.json()["state"], "provisioning");
    }
    let made = folder.typed("tenant create acme --isolation shared");
    assert!(!made.err.contains("not supported yet"), "{made:?}");
}

#[test]
fn a_name_that_nobody_can_own_is_refused_even_on_the_operators_word() {
    let folder = with_store("");
    folder.typed("tenant create acme").succeeds();
    for name in ["intranet", "*.com", "*.co.uk"] {
        let refused = folder.typed(&format!("domain add acme {name} --trusted"));
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.err.contains(name) && refused.err.contains("hint: "),
            "{refused:?}"
        );
        let line = format!("{{\"slug\":\"globex\",\"domains\":[\"{name}\"]}}");
        let refused = folder.run_with_input(&["tenant", "import", "-", "--trusted"], &line);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains(name), "{refused:?}");
    }
    for name in ["localhost", "a.b.localhost", "app.internal", "x.onion"] {
        let refused = folder.typed(&format!("domain add acme {name}"));
        assert_eq!(refused.code, 2, "{refused:?}");
    }
}
