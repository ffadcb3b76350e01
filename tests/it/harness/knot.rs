//! Knot DNS with a zone that it has signed (Debian's packages `knot`, `knot-dnsutils`, `knot-dnssecutils`), at an address of its own.
//!
//! ```ignore
//! let knot = Knot::sign("acme.test", "app A 198.51.100.7");
//! let ds = knot.delegation();                               // for whoever plays the zone above
//! let _serving = knot.serve("198.51.100.7", "192.0.2.1");   // changed behind the signatures' back
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::guarded::{Guarded, own_address};

/// The port of all of them: each has its address to itself.
pub(crate) const PORT: u16 = 8053;

/// A signed zone, and where it will be served.
pub(crate) struct Knot {
    folder: TempDir,
    zone: String,
    pub(crate) address: Ipv4Addr,
}

impl Knot {
    /// Signs `zone`, with the name server `ns1` at its own address and `records` besides: lines of a zone file.
    pub(crate) fn sign(zone: &str, records: &str) -> Self {
        let knot = Self {
            folder: tempfile::tempdir().unwrap(),
            zone: zone.to_owned(),
            address: own_address(),
        };
        let address = knot.address;
        let text = format!(
            "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A {address}\n{records}\n"
        );
        std::fs::write(knot.zone_file(), text).unwrap();
        let folder = knot.folder.path().display();
        let config = format!(
            "server:\n    rundir: {folder}\n    listen: {address}@{PORT}\nlog:\n  - target: stdout\n    any: info\n\
             database:\n    storage: {folder}\nzone:\n  - domain: {zone}\n    storage: {folder}\n    file: zone\n"
        );
        std::fs::write(knot.path("serving.conf"), &config).unwrap();
        let signing = format!("{config}    dnssec-signing: on\n");
        std::fs::write(knot.path("signing.conf"), signing).unwrap();
        run("kzonesign", &["-c", &knot.path("signing.conf"), zone]);
        knot
    }

    /// Serves the zone with `spoilt` in the place of what is there.
    pub(crate) fn serve(&self, there: &str, spoilt: &str) -> Guarded {
        let zone = std::fs::read_to_string(self.zone_file()).unwrap();
        assert!(zone.contains(there), "{zone}");
        std::fs::write(self.zone_file(), zone.replace(there, spoilt)).unwrap();
        let mut command = program("knotd");
        command.args(["-c", &self.path("serving.conf")]);
        Guarded::start(&mut command, "server started")
    }

    /// The DS records for the zone above, a line each: `acme.test DS …`.
    pub(crate) fn delegation(&self) -> String {
        let zone = self.zone.as_str();
        let said = run("keymgr", &["-c", &self.path("signing.conf"), zone, "ds"]);
        said.replace(&format!("{zone}. DS"), &format!("{zone} DS"))
    }

    fn zone_file(&self) -> String {
        self.path("zone")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
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
