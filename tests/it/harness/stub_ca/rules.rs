//! What a test tells the stub to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Directory,
    Nonce,
    NewAccount,
    Account,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    KeyChange,
    RenewalInfo,
}

const ALL: [Kind; 12] = [
    Kind::Directory,
    Kind::Nonce,
    Kind::NewAccount,
    Kind::Account,
    Kind::NewOrder,
    Kind::Order,
    Kind::Authorization,
    Kind::Challenge,
    Kind::Finalize,
    Kind::Certificate,
    Kind::KeyChange,
    Kind::RenewalInfo,
];

/// What is answered instead of what RFC 8555 says.
#[derive(Clone, Debug)]
pub(crate) enum Instead {
    /// A problem document.
    Problem {
        status: u16,
        kind: String,
        retry_after: Option<String>,
    },
    /// This status with a page that is no problem document.
    Page(u16),
    /// 302 to there.
    Redirect(String),
    /// A good status with a body of so many bytes.
    Huge(usize),
    /// What was asked for is done, and the answer is lost: a page with status 502.
    Lost,
    /// What was asked for is done, and nothing is answered.
    Mute,
    /// Nothing at all.
    Silence,
}

/// What the CA says of certificates' renewal (RFC 9773).
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewals {
    /// Begin and end, in milliseconds since 1970, for certificates without a window of their own; without one the CA says 404.
    pub(crate) window: Option<(i64, i64)>,
    /// The same for single certificates, by their first name.
    pub(crate) windows: BTreeMap<String, (i64, i64)>,
    pub(crate) retry_after: Option<String>,
    pub(crate) explanation: Option<String>,
}

/// How the stub behaves. What is not said is the behaviour of a friendly CA that believes every challenge.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) profiles: Vec<String>,
    pub(crate) caa_identities: Vec<String>,
    /// `None`: the CA knows nothing of RFC 9773.
    pub(crate) renewals: Option<Renewals>,
    /// It does not repeat in an order what that replaces.
    pub(crate) forgets_replaced: bool,
    /// Every nonce is refused, without end.
    pub(crate) refuses_nonces: bool,
    /// Orders stay `processing` once they are finalized.
    pub(crate) stuck: bool,
    /// Sent with orders.
    pub(crate) order_retry_after: Option<String>,
    /// Accounts need a binding to this one: the key's id and the key.
    pub(crate) external_account: Option<(String, Vec<u8>)>,
    /// How long certificates are valid.
    pub(crate) validity: Duration,
    /// http-01 is looked at for real, at this port of 127.0.0.1; the other kinds are believed.
    pub(crate) looks_at: Option<u16>,
    /// Names whose challenges fail: the problem's kind.
    pub(crate) fails: BTreeMap<String, String>,
    /// Names that are in nobody's order (`rejectedIdentifier`).
    pub(crate) rejected: BTreeSet<String>,
    instead: Vec<(Kind, Instead, usize)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            caa_identities: Vec::new(),
            renewals: None,
            forgets_replaced: false,
            refuses_nonces: false,
            stuck: false,
            order_retry_after: None,
            external_account: None,
            validity: Duration::from_secs(90 * 86_400),
            looks_at: None,
            fails: BTreeMap::new(),
            rejected: BTreeSet::new(),
            instead: Vec::new(),
        }
    }
}

impl Rules {
    /// Requests of a kind get another answer, until further notice.
    pub(crate) fn instead(&mut self, kind: Kind, answer: Instead) {
        self.instead_times(kind, answer, usize::MAX);
    }

    /// The next `times` requests of a kind get another answer.
    pub(crate) fn instead_times(&mut self, kind: Kind, answer: Instead, times: usize) {
        self.instead.push((kind, answer, times));
    }

    /// A problem as a CA words it.
    pub(crate) fn refuse(&mut self, kind: Kind, status: u16, problem: &str, retry: Option<&str>) {
        let answer = Instead::Problem {
            status,
            kind: problem.to_owned(),
            retry_after: retry.map(str::to_owned),
        };
        self.instead(kind, answer);
    }

    /// Nothing works: every request gets this status.
    pub(crate) fn down(&mut self, status: u16) {
        for kind in ALL {
            self.instead(kind, Instead::Page(status));
        }
    }

    /// Every answer is again the right one.
    pub(crate) fn behave(&mut self) {
        self.instead.clear();
    }

    pub(super) fn take_instead(&mut self, kind: Kind) -> Option<Instead> {
        let mut all = self.instead.iter_mut();
        let (_, answer, left) = all.find(|(of, _, left)| *of == kind && *left > 0)?;
        *left = left.saturating_sub(usize::from(*left != usize::MAX));
        Some(answer.clone())
    }
}
