//! `dev` as a newcomer meets it: the command, and a browser at its links. And the examples of README.md behind an edge.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::guarded::{Guarded, own_address};
use crate::harness::until;
use crate::sign::installed;

#[test]
fn a_browser_sees_two_tenants_told_apart() {
    let dev = Dev::start();
    for (slug, name) in [("acme", "Acme Rockets"), ("globex", "Globex Corporation")] {
        let page = browse(&dev.link(&format!("http://{slug}.localhost:")));
        assert!(page.contains(&format!("<h1>{name}</h1>")), "{page}");
        assert!(page.contains("Assertion verified"), "{page}");
    }
    let by_path = browse(&dev.link("http://app.localhost:"));
    assert!(by_path.contains("<h1>Acme Rockets</h1>"), "{by_path}");
    let stopped = dev.stop();
    assert_eq!((stopped.code, stopped.said.as_str()), (0, "Stopped.\n"));
}

#[tokio::test]
async fn the_page_of_a_tenant_being_prepared_shows_progress_and_looks_again_by_itself() {
    let dev = Dev::start();
    let link = dev.link("http://initech.localhost:");
    let page = browse(&link);
    assert!(page.contains("being prepared"), "{page}");
    assert!(
        page.contains(r#"<progress max="100" value="40">"#),
        "{page}"
    );

    let log = dev.folder.path().join("var/dev/access.log");
    let visits = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("initech.localhost") && line.contains(r#""path":"/""#))
            .count()
    };
    let before = visits();
    // In its own time, which does not take ours.
    let (chromium, _profile) = chromium(&["--virtual-time-budget=60000", "--dump-dom", &link]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"echo begins; exec "$@" 2>/dev/null"#, "sh"])
        .args(chromium);
    let browser = Guarded::start(&mut shell, "begins");
    until(|| (visits() > before + 1).then_some(())).await;
    drop(browser);
}

#[test]
fn tls_works_for_whoever_trusts_the_local_authority() {
    let dev = Dev::start();
    let authority = dev.folder.path().join("var/dev/ca/ca.crt");
    let ask = |options: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert"])
            .arg(&authority)
            .args(options);
        curl.arg(dev.link("https://acme.localhost:"))
            .output()
            .unwrap()
    };
    let shown: serde_json::Value = serde_json::from_slice(&ask(&[]).stdout).unwrap();
    assert_eq!(shown["tenant"], "acme");
    assert_eq!(shown["assertion"]["verified"], true);
    let other = ask(&["--cacert", "/dev/null"]);
    assert!(!other.status.success());
    // Whoever makes a tenant as the banner proposes is told why it has no certificate yet.
    let proposed = dev
        .running
        .says
        .split_once("tenant create hooli")
        .unwrap()
        .1;
    let behind = proposed.lines().nth(1).unwrap();
    assert!(behind.contains("when dev is started again"), "{behind}");
}

#[test]
fn a_second_start_keeps_what_is_there() {
    let first = Dev::start();
    assert!(first.running.says.contains("Everything is in var/dev;"));
    let folder = first.stop().folder;
    let toml = folder.path().join("var/dev/vestibule.toml");
    let mine = std::fs::read_to_string(&toml).unwrap() + "# mine\n";
    std::fs::write(&toml, &mine).unwrap();
    let second = Dev::start_in(folder);
    assert!(second.running.says.contains("kept from before in var/dev;"));
    assert_eq!(std::fs::read_to_string(&toml).unwrap(), mine);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_setting_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (variable, value, setting) in [
        (
            "VESTIBULE_EDGE__HTTP",
            format!("[\"127.0.0.1:{port}\"]"),
            "edge.http",
        ),
        (
            "VESTIBULE_ADMIN__LISTEN",
            format!("127.0.0.1:{port}"),
            "admin.listen",
        ),
        (
            "VESTIBULE_UPSTREAM__0__ENDPOINTS",
            format!("[\"http://127.0.0.1:{port}\"]"),
            "upstream.endpoints",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(BINARY);
        on_free_ports(&mut command).env(variable, value);
        let ran = command
            .arg("dev")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with(&format!("error: 127.0.0.1:{port} cannot be listened at\n")),
            "{said}"
        );
        assert!(
            said.contains(&format!("`{setting}` in var/dev/vestibule.toml")),
            "{said}"
        );
    }
}

#[test]
fn dev_makes_no_tenants_in_somebody_elses_configuration() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("vestibule.toml"), "").unwrap();
    let mut command = Command::new(BINARY);
    on_free_ports(&mut command).args(["--config", "vestibule.toml", "dev"]);
    let ran = command.current_dir(folder.path()).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_python_example_verifies() {
    let python = installed("python/bin/python");
    let script = repository("examples/app.py");
    the_example_verifies(Command::new(python).arg(script)).await;
}

#[tokio::test]
async fn the_node_example_verifies() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("app.mjs");
    std::fs::copy(repository("examples/app.mjs"), &script).unwrap();
    std::os::unix::fs::symlink(
        installed("node/node_modules"),
        folder.path().join("node_modules"),
    )
    .unwrap();
    the_example_verifies(Command::new("node").arg(script)).await;
}

/// An application that verifies: it answers what came through the edge, and nothing else.
async fn the_example_verifies(command: &mut Command) {
    let address = SocketAddr::from((own_address(), 9901));
    let edge = Edge::with(address)
        .config("[routing]\nplatform_upstream = \"default\"")
        .tenants(&["acme"])
        .start()
        .await;
    let keys = format!("http://{}/.well-known/jwks.json", edge.admin());
    command
        .env("LISTEN", address.to_string())
        .env("KEYS_URL", keys);
    let application = Guarded::start(command, "listening");
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with("Hello acme, your number is "));
    let nobody = edge.visit().await.ask(get("app.localhost", "/", &[])).await;
    assert!(nobody.text().starts_with("Hello stranger"));
    assert!(!nobody.text().contains("number"), "{}", nobody.text());
    let forged = ["x-tenant-slug: acme", "x-tenant-assertion: a.b.c"];
    for lines in [&[][..], &forged] {
        let answer = Visitor::connect(address)
            .await
            .ask(get("acme.localhost", "/", lines))
            .await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    drop(application);
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    for (language, file) in [("python", "examples/app.py"), ("js", "examples/app.mjs")] {
        let shown = readme.split_once(&format!("```{language}\n")).unwrap().1;
        let shown = shown.split_once("```").unwrap().0;
        let example = std::fs::read_to_string(repository(file)).unwrap();
        assert!(example.contains(shown), "{file} has no\n{shown}");
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_vestibule");

/// A running `vestibule dev` in a folder of its own.
struct Dev {
    /// Before the folder: it ends first.
    running: Guarded,
    folder: TempDir,
}

/// What became of it.
struct Stopped {
    code: i32,
    said: String,
    folder: TempDir,
}

impl Dev {
    fn start() -> Self {
        Self::start_in(TempDir::new().unwrap())
    }

    fn start_in(folder: TempDir) -> Self {
        let mut command = Command::new(BINARY);
        on_free_ports(&mut command)
            .arg("dev")
            .current_dir(folder.path());
        let running = Guarded::start(&mut command, "Ctrl-C stops.");
        Self { running, folder }
    }

    /// The first link that starts with `prefix`.
    fn link(&self, prefix: &str) -> String {
        let says = &self.running.says;
        let link = says
            .split_whitespace()
            .find(|word| word.starts_with(prefix));
        link.unwrap_or_else(|| panic!("no {prefix} in {says}"))
            .to_owned()
    }

    fn stop(self) -> Stopped {
        let (code, said) = self.running.stop();
        Stopped {
            code,
            said,
            folder: self.folder,
        }
    }
}

/// The configuration's ports are for one `dev` on a machine.
fn on_free_ports(command: &mut Command) -> &mut Command {
    let sample = format!("[\"http://{}:9901\"]", own_address());
    command
        .env("VESTIBULE_EDGE__HTTP", "[\"127.0.0.1:0\"]")
        .env("VESTIBULE_EDGE__HTTPS", "[\"127.0.0.1:0\"]")
        .env("VESTIBULE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("VESTIBULE_UPSTREAM__0__ENDPOINTS", sample)
}

/// The page as a browser has it in the end.
fn browse(link: &str) -> String {
    let (chromium, _profile) = chromium(&["--dump-dom", link]);
    let mut bounded = Command::new("timeout");
    let ran = bounded
        .args(["--kill-after=5", "90"])
        .args(chromium)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The command for a browser without a screen that asks nobody but us, and its folder.
fn chromium(arguments: &[&str]) -> (Vec<String>, TempDir) {
    let profile = TempDir::new().unwrap();
    let folder = format!("--user-data-dir={}", profile.path().display());
    let quiet = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &folder,
    ];
    let words = quiet.iter().chain(arguments).map(|word| (*word).to_owned());
    (words.collect(), profile)
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
