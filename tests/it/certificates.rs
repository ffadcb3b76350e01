//! The folder of certificates, and the local authority that fills it while developing.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;
use vestibule::clock::{Clock, Timestamp};
use vestibule::config::{Tls, TlsVersion};
use vestibule::metrics::Metrics;
use vestibule::model::{DomainPattern, Hostname};
use vestibule::tls::{CertificateFault, Inventory, Issued, LoadReport, LocalCa, LocalCaError};

/// A folder of certificates with the authority that signs them (`ca.pem`).
pub(crate) struct Folder {
    pub(crate) directory: TempDir,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Tls,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let settings = Tls {
            directory: directory.path().to_owned(),
            default: None,
            minimum: TlsVersion::Tls12,
            memory: 1 << 20,
            not_ordered: Vec::new(),
        };
        Self {
            directory,
            metrics: Metrics::new(1).unwrap(),
            settings,
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes `NAME.crt` and `NAME.key` for `hosts`.
    pub(crate) fn with(self, name: &str, hosts: &[&str]) -> Self {
        self.with_validity(name, hosts, 2020, 4000)
    }

    /// The same for a folder in use.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) {
        self.issue_valid(name, hosts, 2020, 4000);
    }

    fn with_validity(self, name: &str, hosts: &[&str], from: i32, to: i32) -> Self {
        self.issue_valid(name, hosts, from, to);
        self
    }

    pub(crate) fn issue_valid(&self, name: &str, hosts: &[&str], from: i32, to: i32) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    pub(crate) fn path(&self, file: &str) -> std::path::PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    pub(crate) fn load(&self) -> (Arc<Inventory>, LoadReport) {
        let now = Clock::system().now();
        Inventory::load(&self.settings, Arc::clone(&self.metrics), now).unwrap()
    }
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn shown(inventory: &Inventory, name: &str) -> Option<String> {
    let found = inventory.certificate(&host(name));
    assert_eq!(inventory.covers(&host(name)), found.is_some());
    found.map(|certificate| certificate.name.clone())
}

#[test]
fn c21_exact_names_come_before_wildcards_of_one_label() {
    let folder = Folder::new()
        .with("a-exact", &["x.acme.test", "acme.test"])
        .with("wild", &["*.acme.test"]);
    let (inventory, report) = folder.load();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(shown(&inventory, "x.acme.test").as_deref(), Some("a-exact"));
    assert_eq!(shown(&inventory, "acme.test").as_deref(), Some("a-exact"));
    assert_eq!(shown(&inventory, "y.acme.test").as_deref(), Some("wild"));
    for nobody in ["a.b.acme.test", "test", "globex.test"] {
        assert_eq!(shown(&inventory, nobody), None, "{nobody}");
    }
    assert!(inventory.default_certificate().is_none());
}

#[test]
fn of_two_for_the_same_name_the_longer_valid_one_is_shown() {
    let folder = Folder::new()
        .with_validity("a", &["acme.test"], 2020, 3000)
        .with_validity("b", &["acme.test"], 2020, 2021)
        .with_validity("c", &["acme.test"], 3500, 4000);
    let (inventory, _) = folder.load();
    assert_eq!(shown(&inventory, "acme.test").as_deref(), Some("a"));
}

#[test]
fn i18_each_bad_file_is_reported_and_the_others_are_served() {
    let mut folder = Folder::new()
        .with("good", &["good.test"])
        .with("mismatch", &["mismatch.test"])
        .with("noise", &["noise.test"])
        .with("keyless", &["keyless.test"])
        .with("lonely", &["lonely.test"])
        .with("address", &["127.0.0.1"])
        .with_validity("old", &["old.test"], 2020, 2021)
        .with_validity("early", &["early.test"], 3000, 3001);
    std::fs::copy(folder.path("good.key"), folder.path("mismatch.key")).unwrap();
    folder.write("noise.crt", "no certificate");
    std::fs::remove_file(folder.path("keyless.key")).unwrap();
    std::fs::remove_file(folder.path("lonely.crt")).unwrap();
    folder.settings.default = Some("absent".to_owned());
    let (inventory, report) = folder.load();
    let mut faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    faults.sort();
    let directory = folder.directory.path().display();
    let mut expected = [
        format!("{directory}/lonely.key has no certificate beside it"),
        format!("the certificate in {directory}/address.crt names no host"),
        format!("the certificate in {directory}/early.crt is not valid yet"),
        format!("{directory}/keyless.key cannot be read"),
        format!(
            "{directory}/mismatch.key is not the key of the certificate in {directory}/mismatch.crt"
        ),
        format!("{directory}/noise.crt holds no PEM certificate"),
        format!("the certificate in {directory}/old.crt has expired"),
        format!("the default certificate \"absent\" was not found in {directory}"),
    ];
    expected.sort();
    assert_eq!(faults, expected);
    assert_eq!(shown(&inventory, "good.test").as_deref(), Some("good"));
    assert_eq!(shown(&inventory, "mismatch.test"), None);
    let count = |state| {
        folder
            .metrics
            .certificates
            .with_label_values(&[state])
            .get()
    };
    assert_eq!(
        (count("valid"), count("outside_validity"), count("faulty")),
        (1, 2, 6)
    );
}

#[test]
fn a_reload_swaps_what_is_shown() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let folder = folder.with("globex", &["globex.test"]);
    std::fs::remove_file(folder.path("acme.crt")).unwrap();
    assert_eq!(shown(&inventory, "globex.test"), None);
    inventory.reload(Clock::system().now());
    assert_eq!(shown(&inventory, "globex.test").as_deref(), Some("globex"));
    assert_eq!(shown(&inventory, "acme.test"), None);
}

#[test]
fn a_folder_that_is_not_there_is_a_fault_and_no_failure() {
    let mut folder = Folder::new();
    folder.settings.directory = folder.path("nowhere");
    let (inventory, report) = folder.load();
    assert!(matches!(
        report.faults[..],
        [CertificateFault::Directory { .. }]
    ));
    // All certificates may be in the store: nothing to be alarmed about.
    let faulty = folder
        .metrics
        .certificates
        .with_label_values(&["faulty"])
        .get();
    assert_eq!(faulty, 0);
    assert_eq!(shown(&inventory, "acme.test"), None);
}

#[test]
fn i8_no_key_is_seen_in_what_is_printed_of_a_certificate() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, report) = folder.load();
    let shown = format!("{:?} {report:?}", inventory.certificate(&host("acme.test")));
    assert!(shown.contains("acme.test") && !shown.to_lowercase().contains("key"));
}

fn names(list: &[&str]) -> Vec<DomainPattern> {
    let parse = |name: &&str| DomainPattern::parse(name).unwrap();
    list.iter().map(parse).collect()
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_local_authority_is_made_once_and_its_certificates_are_renewed_in_time() {
    let folder = TempDir::new().unwrap();
    let (authority, certs) = (folder.path().join("ca"), folder.path().join("certs"));
    let now = Clock::system().now();
    let wanted = names(&["localhost", "*.dev.localhost", "acme.localhost"]);
    let issue = |wanted: &[DomainPattern], now: Timestamp| {
        let ca = LocalCa::open(&authority, now).unwrap();
        let issued = ca.issue(&certs, "dev", wanted, now).unwrap();
        (issued, std::fs::read(ca.certificate_path()).unwrap())
    };
    let (first, root) = issue(&wanted, now);
    assert_eq!(first, Issued::New);
    assert_eq!(mode(&authority.join("ca.key")), 0o600);
    assert_eq!(mode(&certs.join("dev.key")), 0o600);
    assert_eq!(
        issue(&wanted, now.plus(19 * DAY)),
        (Issued::Kept, root.clone())
    );
    assert_eq!(
        issue(&wanted, now.plus(21 * DAY)),
        (Issued::New, root.clone())
    );
    assert_eq!(issue(&wanted[..2], now), (Issued::New, root.clone()));

    std::fs::remove_file(authority.join("ca.key")).unwrap();
    let (again, other_root) = issue(&wanted[..2], now);
    assert_eq!(again, Issued::New, "nobody would believe the one there");
    assert_ne!(other_root, root);
    let (again, third_root) = issue(&wanted[..2], now.plus(3640 * DAY));
    assert_eq!(again, Issued::New);
    assert_ne!(third_root, other_root, "the old one would expire too soon");
}

#[test]
fn the_local_authority_signs_for_localhost_only() {
    let folder = TempDir::new().unwrap();
    let now = Clock::system().now();
    let ca = LocalCa::open(folder.path(), now).unwrap();
    for outside in [
        "example.com",
        "*.example.com",
        "notlocalhost",
        "localhost.example.com",
    ] {
        let refused = ca.issue(folder.path(), "dev", &names(&[outside]), now);
        assert!(matches!(refused, Err(LocalCaError::Outside(name)) if name == outside));
    }
    let useless = ca.issue(folder.path(), "dev", &names(&["*.localhost"]), now);
    assert!(matches!(useless, Err(LocalCaError::TopLevelWildcard(_))));
}

/// A certificate for `example.com` made with the local authority's stolen key.
pub(crate) fn forge_with_local_ca(authority: &Path, target: &Path) {
    let key =
        KeyPair::from_pem(&std::fs::read_to_string(authority.join("ca.key")).unwrap()).unwrap();
    let mut issuer = CertificateParams::default();
    issuer
        .distinguished_name
        .push(DnType::CommonName, "Vestibule local CA");
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
    let leaf = leaf
        .signed_by(&leaf_key, &Issuer::new(issuer, key))
        .unwrap();
    std::fs::write(target.join("forged.crt"), leaf.pem()).unwrap();
    std::fs::write(target.join("forged.key"), leaf_key.serialize_pem()).unwrap();
}
