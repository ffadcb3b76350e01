//! Signatures as a real name server has made them: Knot DNS, with a zone that it has signed and that was spoilt since.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::harness::guarded::{Guarded, own_address};

/// The server with the zone `acme.test`; it ends with this.
struct Knot {
    folder: TempDir,
    address: Ipv4Addr,
    port: u16,
}

impl Knot {
    /// Signs the zone.
    fn sign() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let free = TcpListener::bind((address, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let knot = Self {
            folder,
            address,
            port,
        };
        let zone = format!(
            "$ORIGIN acme.test.\n$TTL 60\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A {address}\n\
             app A 198.51.100.7\n_vestibule.app TXT \"vestibule-verify={SECRET}\"\n"
        );
        std::fs::write(knot.path("acme.test.zone"), zone).unwrap();
        let folder = knot.folder.path().display();
        let config = format!(
            "server:\n    rundir: {folder}\n    listen: {address}@{port}\nlog:\n  - target: stdout\n    any: info\n\
             database:\n    storage: {folder}\nzone:\n  - domain: acme.test\n    storage: {folder}\n    file: acme.test.zone\n"
        );
        std::fs::write(knot.path("serving.conf"), &config).unwrap();
        std::fs::write(
            knot.path("signing.conf"),
            format!("{config}    dnssec-signing: on\n"),
        )
        .unwrap();
        run(
            "kzonesign",
            &["-c", &knot.path("signing.conf"), "acme.test"],
        );
        knot
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Serves the zone with `spoilt` in the place of what is there.
    fn serve(&self, there: &str, spoilt: &str) -> Guarded {
        let file = self.path("acme.test.zone");
        let zone = std::fs::read_to_string(&file).unwrap();
        assert!(zone.contains(there), "{zone}");
        std::fs::write(&file, zone.replace(there, spoilt)).unwrap();
        let mut command = program("knotd");
        command.args(["-c", &self.path("serving.conf")]);
        Guarded::start(&mut command, "server started")
    }

    /// The DS records for the parent zone, as the resolver says them.
    fn delegation(&self) -> String {
        let said = run(
            "keymgr",
            &["-c", &self.path("signing.conf"), "acme.test", "ds"],
        );
        said.lines()
            .map(|line| line.replace("acme.test. DS", "acme.test DS"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A looker whose resolver knows the zone by what its parent says.
    async fn looker(&self, delegation: &str) -> (NameServers, Looker) {
        let address = self.address;
        let resolver = format!(
            "acme.test SOA\nacme.test NS ns1.acme.test\nns1.acme.test A {address}\n{delegation}\napp.acme.test A 198.51.100.7\n\
             _vestibule.app.acme.test TXT \"vestibule-verify={SECRET}\""
        );
        let servers = NameServers::start(Says::lines(&resolver), &[]).await;
        let port = self.port;
        let settings = settings(&format!(
            "resolvers = [\"{}\"]\nname_server_port = {port}\nprivate_name_servers = [\"127.0.0.0/8\"]",
            servers.resolver()
        ));
        (servers, Looker::new(&settings).unwrap())
    }
}

/// What is found of the signatures at `now`, and whether http-01 is ready.
async fn signatures(looker: &Looker, now: Timestamp) -> (bool, String) {
    let pattern = DomainPattern::parse("app.acme.test").unwrap();
    let preflight = looker.preflight(&pattern, &expected(), now).await;
    let found = preflight
        .checks
        .iter()
        .find(|check| check.code == CheckCode::Dnssec);
    let check = found.unwrap();
    let ready = preflight.ready[0].contains(&ChallengeKind::Http01);
    let hint = check.hint.clone().unwrap_or_default();
    (ready, format!("{}\n{hint}", check.observed))
}

const ANEW: &str =
    "Have the DNS provider sign acme.test anew, or remove its DS record at the registrar.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_zone_is_well_until_its_signatures_end() {
    let knot = Knot::sign();
    let _serving = knot.serve("198.51.100.7", "198.51.100.7");
    let (_resolver, looker) = knot.looker(&knot.delegation()).await;
    let now = vestibule::clock::Clock::system().now();
    assert_eq!(
        signatures(&looker, now).await,
        (true, "good signatures\n".into())
    );
    let looked = looker.look(&claim("app.acme.test"), &expected(), now).await;
    assert_eq!(looked.proof, vestibule::domains::Seen::Yes);

    let later = now.plus(std::time::Duration::from_secs(90 * 86_400));
    let (ready, told) = signatures(&looker, later).await;
    assert!(!ready);
    assert!(
        told.starts_with("the signature of acme.test DNSKEY ended on "),
        "{told}"
    );
    assert!(told.ends_with(ANEW), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_records_that_were_changed_without_signing_anew() {
    let knot = Knot::sign();
    let _serving = knot.serve("198.51.100.7", "198.51.100.66");
    let (_resolver, looker) = knot.looker(&knot.delegation()).await;
    let now = vestibule::clock::Clock::system().now();
    let told = format!("the signature of app.acme.test A does not fit the records\n{ANEW}");
    assert_eq!(signatures(&looker, now).await, (false, told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_ds_record_left_behind_by_the_provider_before() {
    let knot = Knot::sign();
    let _serving = knot.serve("198.51.100.7", "198.51.100.7");
    let left =
        "acme.test DS 12345 13 2 00000000000000000000000000000000000000000000000000000000000000ff";
    let (_resolver, looker) = knot.looker(left).await;
    let now = vestibule::clock::Clock::system().now();
    let told = "no key of the zone is one that the DS record at the registrar names\nRemove the DS record of acme.test at the \
                registrar, or enter there the one that the DNS provider gives.";
    assert_eq!(signatures(&looker, now).await, (false, told.into()));
}

fn run(name: &str, arguments: &[&str]) -> String {
    let output = program(name).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Servers live outside an ordinary user's PATH on Debian.
fn program(name: &str) -> Command {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists());
    Command::new(
        found.expect("the packages knot, knot-dnsutils and knot-dnssecutils: run tests/install"),
    )
}
