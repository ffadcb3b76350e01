//! I8: secrets are planted wherever there are any, everything is done that prints something, and nothing that was printed has them.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::path::Path;

use serde_json::json;

use crate::command::{self, Folder};
use crate::harness::client::{Visitor, get, request};
use crate::harness::mint::Signer;
use crate::harness::postgres;
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;

const BEARER: &str = "canary-bearer-7d1f";
const COOKIE: &str = "canary-cookie-58aa";
const QUERY: &str = "canary-query-e01b";
const FIELD: &str = "canary-field-93cc";
const BODY: &str = "canary-body-2c4e";
const STORE: &str = "canary-store-b7d0";
const UPSTREAM: &str = "canary-upstream-6f12";
const HMAC: &str = "canary-hmac-4a9e-0123456789abcdef0123456789";

/// What must not be found: a name for it, and its bytes.
struct Canaries(Vec<(String, Vec<u8>)>);

impl Canaries {
    fn new() -> Self {
        let all = [BEARER, COOKIE, QUERY, FIELD, BODY, STORE, UPSTREAM, HMAC];
        let mut canaries = Self(Vec::new());
        all.iter().for_each(|text| canaries.add(text, text));
        canaries
    }

    fn add(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), bytes.as_ref().to_owned()));
    }

    /// A file's content, also as a log might write bytes.
    fn add_key(&mut self, file: &Path) {
        let bytes = std::fs::read(file).unwrap();
        let name = file.display().to_string();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let decimals = format!("{bytes:?}");
        self.add(&name, crate::harness::mint::encode(&bytes));
        self.add(&name, hex);
        self.add(&name, decimals);
        self.add(&name, bytes);
    }

    fn assert_absent(&self, place: &str, output: impl AsRef<[u8]>) {
        let output = output.as_ref();
        for (name, canary) in &self.0 {
            let at = output
                .windows(canary.len())
                .position(|window| window == canary);
            let Some(at) = at else { continue };
            let around = &output[at.saturating_sub(300)..output.len().min(at + 100)];
            panic!("{name} is in {place}: {}", String::from_utf8_lossy(around));
        }
    }
}

fn config(store: &str, upstream: &str) -> String {
    format!(
        "[edge]\nhttp = [\"127.0.0.1:0\"]\nnode = \"canary-node\"\n\
         [edge.timeouts]\nshutdown_wait = \"0s\"\n\
         [store]\nurl = \"{store}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [routing]\nplatform_hosts = [\"app.localhost\"]\n\
         [[routing.token]]\nissuer = \"https://auth.test\"\naudience = [\"app\"]\nalgorithms = [\"HS256\"]\n\
         hmac_secret_file = \"issuer.secret\"\nclaim = \"tenant_id\"\ncookie = \"session\"\n\
         [[upstream]]\nname = \"default\"\nendpoints = [\"{upstream}\"]\n"
    )
}

/// Serves, and logs whatever there is to say.
async fn run(folder: &Folder) -> Process {
    let mut command = command::vestibule();
    command.arg("run").env("VESTIBULE_LOG__LEVEL", "trace");
    let mut node = Process::spawn(command, &folder.path(""));
    node.http().await;
    node
}

/// Stops it, and gives all that it said: standard output, standard error.
async fn stop(mut node: Process) -> (String, String) {
    node.terminate();
    assert_eq!(node.ended().await, 0, "{}", node.log());
    (node.output(), node.log())
}

/// Requests with every secret that a visitor can bring, served and refused; answers with all that came back.
async fn visit(node: &mut Process, valid: &str) -> String {
    let target = format!("/path?token={QUERY}");
    let field = format!("X-Api-Key: {FIELD}");
    let cookie = format!("Cookie: session={COOKIE}; other={COOKIE}");
    let bearer = format!("Authorization: Bearer {BEARER}.{BEARER}.{BEARER}");
    let good = format!("Authorization: Bearer {valid}");
    let length = format!("Content-Length: {}", BODY.len());
    let mut all = String::new();
    for host in [
        "acme.localhost",
        "app.localhost",
        "globex.localhost",
        "nobody.localhost",
    ] {
        for token in [&bearer, &good] {
            for accept in ["Accept: text/html", "Accept: */*"] {
                let lines = [&field, &cookie, token, &length, accept].map(|line| line as &str);
                let asked = request("POST", host, &target, &lines, BODY.as_bytes());
                let answer = node.visit().await.ask(asked).await;
                if answer.status != 200 {
                    all.push_str(&format!("{answer:?}\n{}\n", answer.text()));
                }
            }
        }
    }
    // Malformed in ways whose errors might quote what they could not read.
    for bad in [
        format!("GET {target} HTTP/1.1\r\nHost: a b\r\n{cookie}\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: acme.localhost\r\n{bearer}\r\n{good}\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: acme.localhost\r\n{cookie}\0\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: user:{FIELD}@acme.localhost\r\n\r\n"),
        format!("GET http://user:{FIELD}@acme.localhost/ HTTP/1.1\r\nHost: acme.localhost\r\n\r\n"),
        format!("{BODY} not http at all\r\n\r\n"),
        // U+009B begins an order to a terminal as ESC does.
        "GET / HTTP/1.1\r\nHost: \u{9b}31m\r\nUser-Agent: \u{9b}31m\r\n\r\n".to_owned(),
    ] {
        let mut visitor = node.visit().await;
        visitor.write(bad).await;
        if let Some(answer) = visitor.reply_to("GET").await {
            all.push_str(&format!("{answer:?}\n{}\n", answer.text()));
        }
    }
    all
}

/// The same over HTTP/2, whose codec has a log of its own.
async fn visit_h2(node: &mut Process, valid: &str) {
    let uri = format!("http://acme.localhost/path?token={QUERY}");
    let asked = http::Request::post(uri)
        .header("authorization", format!("Bearer {valid}"))
        .header("cookie", format!("session={COOKIE}"))
        .header("x-api-key", FIELD);
    let asked = asked.body(()).unwrap();
    crate::harness::frames::ask_h2(node.http().await, asked, BODY.as_bytes()).await;
}

async fn admin(node: &mut Process) -> String {
    let mut all = String::new();
    for path in [
        "/metrics",
        "/readyz",
        "/healthz",
        "/.well-known/jwks.json",
        "/nothing",
    ] {
        let asked = get(
            "localhost",
            &format!("{path}?token={QUERY}"),
            &[&format!("Authorization: Bearer {BEARER}")],
        );
        let answer = Visitor::connect(node.admin().await).await.ask(asked).await;
        all.push_str(&format!("{answer:?}\n{}\n", answer.text()));
    }
    all
}

/// A token of the tenant `acme` that verifies.
fn valid_token() -> String {
    let claims = json!({ "iss": "https://auth.test", "aud": "app", "exp": 4_000_000_000_i64, "tenant_id": "acme", "note": BODY });
    Signer::hs256(HMAC.as_bytes()).token(&claims)
}

/// Serves with everything planted, and looks through all that came out of it.
async fn serve_and_look(store: &str) {
    let upstream = TestUpstream::answering(|_| crate::harness::upstream::Reply::text("ok"));
    let folder = Folder::new(&config(store, &format!("http://{}", upstream.address)));
    folder.write("issuer.secret", HMAC);
    let mut canaries = Canaries::new();
    let valid = valid_token();
    canaries.add("a valid token", &valid);
    canaries.add("a token's signature", valid.rsplit('.').next().unwrap());
    for line in [
        "store migrate",
        "tenant create acme",
        "tenant create globex",
        "tenant create stopped",
        "tenant suspend stopped",
    ] {
        let ran = folder.typed(line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        canaries.assert_absent(line, format!("{ran:?}"));
    }
    let mut node = run(&folder).await;
    canaries.add_key(&folder.path("var/secret.key"));
    let answers = visit(&mut node, &valid).await;
    visit_h2(&mut node, &valid).await;
    canaries.assert_absent("answers", answers);
    canaries.assert_absent("the operator's answers", admin(&mut node).await);
    // What the upstream got proves that the secrets went where they belong.
    let seen = upstream.seen().await;
    assert!(seen.header("cookie").unwrap().contains(COOKIE));
    for seen in upstream.requests() {
        canaries.add("an assertion", seen.header("x-tenant-assertion").unwrap());
    }
    let (out, err) = stop(node).await;
    assert!(out.contains("\"path\":\"/path\""), "access lines: {out}");
    assert!(err.contains("TRACE"), "the log says everything: {err}");
    for said in [&out, &err] {
        let order = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(order, None, "an order to a terminal in {said}");
    }
    canaries.assert_absent("standard output", &out);
    canaries.assert_absent("standard error", &err);
    let snapshot = std::fs::read(folder.path("var/routes.snapshot")).unwrap();
    assert!(snapshot.windows(4).any(|part| part == b"acme"));
    canaries.assert_absent("the snapshot", snapshot);
    look_through_commands(&folder, &canaries, &valid);
}

fn look_through_commands(folder: &Folder, canaries: &Canaries, valid: &str) {
    let cookie = format!("Cookie: session={COOKIE}");
    let good = format!("Authorization: Bearer {valid}");
    let bad = format!("Authorization: Bearer {BEARER}.{BEARER}.{BEARER}");
    let url = "http://acme.localhost/path";
    for arguments in [
        &["check"][..],
        &["explain", url, "--header", &good, "--header", &cookie],
        &["explain", url, "--header", &bad, "--output", "json"],
        &[
            "explain",
            "http://app.localhost/",
            "--header",
            &good,
            "--output",
            "json",
        ],
        &["key", "list", "--output", "json"],
        &["key", "rotate"],
        &["tenant", "list", "--output", "json"],
        &["tenant", "export"],
    ] {
        let ran = folder.run(arguments);
        let printed = format!("{}\n{}", ran.out, ran.err);
        canaries.assert_absent(&arguments.join(" "), printed);
    }
}

#[tokio::test]
async fn i8_nothing_that_is_printed_holds_a_secret() {
    serve_and_look("sqlite:var/vestibule.db").await;
}

#[tokio::test]
async fn i8_nor_with_a_password_in_the_address_of_the_store() {
    let url = postgres::database().await;
    // The server trusts everybody here; the password is sent for nothing.
    let url = url.replace("postgres@", &format!("postgres:{STORE}@"));
    assert!(url.contains(STORE));
    serve_and_look(&url).await;
}

#[tokio::test]
async fn i8_nor_where_the_store_cannot_be_reached() {
    let canaries = Canaries::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for store in [
        format!("postgres://vestibule:{STORE}@{nobody}/routing"),
        format!("postgres://vestibule:{STORE}@{nobody}/routing?sslmode=require&password={STORE}"),
    ] {
        let folder = Folder::new(&config(&store, "http://127.0.0.1:1"));
        folder.write("issuer.secret", HMAC);
        for line in [
            "check",
            "tenant list",
            "store migrate",
            "explain http://acme.localhost/",
        ] {
            let ran = folder.typed(line);
            canaries.assert_absent(line, format!("{}\n{}", ran.out, ran.err));
            assert!(line == "check" || ran.code != 0, "{line}: {ran:?}");
        }
        let mut node = run(&folder).await;
        let answers = visit(&mut node, &valid_token()).await;
        assert!(answers.contains("store_unavailable"), "{answers}");
        canaries.assert_absent("answers", answers);
        let (out, err) = stop(node).await;
        canaries.assert_absent("standard output", out);
        canaries.assert_absent("standard error", err);
    }
}

#[test]
fn i8_nor_do_faults_of_the_configuration_quote_it() {
    let canaries = Canaries::new();
    let good = "postgres://vestibule@127.0.0.1:1/routing";
    let upstream = "http://127.0.0.1:1";
    for broken in [
        config(&format!("postgres://vestibule:{STORE}@/x y/z:w"), upstream),
        config(&format!("postgres://vestibule:{STORE}@ho st:x/y"), upstream),
        config(&format!("mysql://vestibule:{STORE}@host/x"), upstream),
        config(good, &format!("http://user:{UPSTREAM}@127.0.0.1:3000")),
        config(good, &format!("http://127.0.0.1:3000/?key={UPSTREAM}")),
        config(good, upstream).replace(
            "hmac_secret_file = \"issuer.secret\"",
            &format!("hmac_secret = \"{HMAC}\""),
        ),
        config(good, upstream).replace("[store]", &format!("[store]\npassword = \"{STORE}\"")),
        format!(
            "{}\nurl = \"postgres://vestibule:{STORE}@host",
            config(good, upstream)
        ),
    ] {
        let folder = Folder::new(&broken);
        folder.write("issuer.secret", HMAC);
        for line in ["check", "run", "tenant list"] {
            let ran = folder.typed(line);
            assert_eq!(ran.code, 2, "{line}: {ran:?}");
            canaries.assert_absent(line, format!("{}\n{}", ran.out, ran.err));
        }
    }
    let folder = Folder::new(&config(good, upstream));
    folder.write("issuer.secret", HMAC);
    let environment = [
        (
            "VESTIBULE_STORE__URL",
            format!("postgres:/vestibule:{STORE}@host/x"),
        ),
        (
            "VESTIBULE_STORE__OWNER_URL",
            format!("nonsense://vestibule:{STORE}@host/x"),
        ),
    ];
    let environment: Vec<_> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let ran = folder.run_with_env(&["check"], &environment);
    assert_eq!(ran.code, 2, "{ran:?}");
    canaries.assert_absent("check", format!("{}\n{}", ran.out, ran.err));
}
