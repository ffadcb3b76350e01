//! A certificate authority of the tests: it does what it is told to, keeps its own books of what it was asked, and refuses to be asked too much.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use tokio::sync::Notify;
use vestibule::acme::{AcmeError, CaProblem};
use vestibule::clock::Clock;
use vestibule::model::{ChallengeKind, DomainPattern, Hostname};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::board::Board;

mod handle;
mod order;

pub(crate) use handle::Handle;
pub(crate) use order::Order;

/// The CA. Its books are open.
pub(crate) struct ScriptedCa {
    id: String,
    clock: Clock,
    board: Arc<Board>,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) lifetime: Duration,
    pub(crate) books: Mutex<Books>,
    /// How many exchanges there were, and after or before which one the asking node dies.
    exchanges: AtomicUsize,
    pub(crate) death: Mutex<Option<(usize, Moment)>>,
    pub(crate) died: Notify,
}

/// When a node dies in an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    BeforeItIsHeard,
    BeforeItHears,
}

/// What the CA knows and does.
#[derive(Default)]
pub(crate) struct Books {
    /// Every order that was taken.
    pub(crate) orders: Vec<Order>,
    pub(crate) accounts: usize,
    /// How many there have ever been.
    registered: usize,
    /// How often it was asked for a renewal window.
    pub(crate) asked_for_windows: usize,
    /// Names whose challenges fail.
    pub(crate) failing: HashSet<String>,
    /// Names whose orders stay in `processing`.
    pub(crate) stuck: HashSet<String>,
    /// Answers to the next orders, whatever is asked, the last one first.
    pub(crate) answers: Vec<AcmeError>,
    /// Whether nothing can be reached.
    pub(crate) away: bool,
    /// Says when to renew, by how long after a certificate begins: from, to.
    pub(crate) window: Option<(Duration, Duration)>,
    pub(crate) retry_after: Option<Duration>,
    /// The kinds of challenges that it offers; all where it is not said.
    pub(crate) offers: Option<Vec<ChallengeKind>>,
    /// The name that it wants to be shown control of, whatever is ordered.
    pub(crate) asks_for: Option<Hostname>,
    pub(crate) begins_later: Duration,
    /// Whether it has validated by itself when it is told that a challenge is ready, and says that there is nothing to tell.
    pub(crate) hasty: bool,
    /// The last order for each name.
    latest: HashMap<DomainPattern, usize>,
    /// By the certificate (DER): when it was issued.
    issued: HashMap<Vec<u8>, i64>,
}

impl ScriptedCa {
    pub(crate) fn new(host: &str, clock: &Clock, board: &Arc<Board>) -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        Arc::new(Self {
            id: format!("https://{host}/directory"),
            clock: clock.clone(),
            board: Arc::clone(board),
            issuer: Issuer::new(CertificateParams::default(), key),
            lifetime: Duration::from_secs(90 * 86_400),
            books: Mutex::default(),
            exchanges: AtomicUsize::default(),
            death: Mutex::default(),
            died: Notify::new(),
        })
    }

    pub(crate) fn books<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.books.lock().unwrap())
    }

    /// Every order for `name`.
    pub(crate) fn orders_of(&self, name: &str) -> Vec<Order> {
        let of = |order: &&Order| order.name.to_string() == name;
        self.books(|books| books.orders.iter().filter(of).cloned().collect())
    }

    pub(crate) fn many(&self) -> usize {
        self.books(|books| books.orders.len())
    }

    /// Another CA stands at the same address, as after Pebble was restarted.
    pub(crate) fn restart(&self) {
        self.books(|books| {
            books.accounts = 0;
            books.orders.iter_mut().for_each(|order| order.lost = true);
        });
    }

    /// From now on it takes what is asked and answers nothing.
    pub(crate) fn falls_silent(&self) {
        let next = self.exchanges.load(Ordering::SeqCst);
        *self.death.lock().unwrap() = Some((next, Moment::BeforeItIsHeard));
    }

    /// Does `work`, unless the node dies or the CA is away.
    async fn exchange<T>(
        &self,
        work: impl FnOnce(&mut Books) -> Result<T, AcmeError>,
    ) -> Result<T, AcmeError> {
        let number = self.exchanges.fetch_add(1, Ordering::SeqCst);
        let death = *self.death.lock().unwrap();
        let dies = |moment| death == Some((number, moment));
        if dies(Moment::BeforeItIsHeard) {
            self.die().await;
        }
        let done = self.books(|books| match books.away {
            true => Err(AcmeError::Unavailable {
                source: "nobody is there".into(),
                retry_after: None,
            }),
            false => work(books),
        });
        if dies(Moment::BeforeItHears) {
            self.die().await;
        }
        done
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }

    fn issue(&self, name: &DomainPattern, request: &[u8], later: Duration) -> (String, Vec<u8>) {
        let (_, request) = X509CertificationRequest::from_der(request).unwrap();
        let spki = &request.certification_request_info.subject_pki;
        let key = PublicKey(spki.subject_public_key.data.to_vec());
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let from = u64::try_from(self.clock.now().0).unwrap() - 3_600_000;
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(from) + later;
        params.not_after = params.not_before + self.lifetime;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), certificate.der().to_vec())
    }
}

struct PublicKey(Vec<u8>);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A refusal for its limits.
pub(crate) fn limited(detail: &str, retry_after: Duration) -> AcmeError {
    AcmeError::RateLimited {
        problem: problem("rateLimited", detail),
        retry_after: Some(retry_after),
    }
}

pub(crate) fn problem(kind: &str, detail: &str) -> CaProblem {
    CaProblem {
        kind: kind.to_owned(),
        detail: detail.to_owned(),
    }
}
