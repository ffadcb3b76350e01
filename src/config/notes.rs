//! What reading gathers besides values: faults, and what can only be judged once everything has been read.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::fault::Flaw;
use super::raw::Place;
use crate::model::{DomainPattern, Hostname};

/// Why a value is refused: what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Reason {
    pub(super) fn with_hint(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }
}

impl<T: Into<String>> From<T> for Reason {
    fn from(what: T) -> Self {
        Self {
            what: what.into(),
            hint: None,
        }
    }
}

/// What reading gathers besides the values: faults, and what can only be judged once everything has been read.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) flaws: RefCell<Vec<Flaw>>,
    /// Addresses that are listened on; those that are built in stand nowhere.
    pub(super) listeners: RefCell<Vec<(SocketAddr, Option<Place>)>>,
    /// Names of upstreams that others refer to.
    pub(super) upstream_uses: RefCell<Vec<(String, Place)>>,
    /// Base domains and platform hosts.
    pub(super) hosts: RefCell<Vec<(Hostname, Place)>>,
    /// Addresses that requests are sent to.
    pub(super) targets: RefCell<Vec<(SocketAddr, Place)>>,
    /// Zones of our own, each with its setting.
    pub(super) zones: RefCell<Vec<(&'static str, Hostname, Place)>>,
    /// Names of the operator's own that no certificate is ordered for.
    pub(super) not_ordered: RefCell<Vec<(DomainPattern, Place)>>,
    /// Where a `tls.directory` is named that is not there.
    pub(super) no_directory: RefCell<Option<Place>>,
    /// What is allowed and most likely not meant.
    pub(super) warnings: RefCell<Vec<Flaw>>,
}

impl Notes {
    /// The loopback listener that there is where none is written.
    pub(super) fn built_in_listener(&self, port: u16) -> SocketAddr {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.listeners.borrow_mut().push((address, None));
        address
    }

    pub(super) fn flaw(&self, place: Place, reason: impl Into<Reason>) {
        self.flaws.borrow_mut().push(as_flaw(place, reason.into()));
    }

    /// Says something that is no fault: it may be meant.
    pub(super) fn warn(&self, place: Place, reason: Reason) {
        self.warnings.borrow_mut().push(as_flaw(place, reason));
    }
}

fn as_flaw(place: Place, reason: Reason) -> Flaw {
    Flaw::new(place, reason.what).hint(reason.hint)
}
