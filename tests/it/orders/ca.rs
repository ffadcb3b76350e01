//! A certificate authority of the tests: it does what it is told to, keeps its own books of what it was asked, and refuses to be asked too much.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use tokio::sync::Notify;
use vestibule::acme::{
    AcmeError, AuthorizationState, AuthorizationView, Ca, CaAccount, CaProblem, Directory,
    NewOrder, OfferedChallenge, OpenedAccount, OrderState, OrderView, RenewalWindow,
};
use vestibule::clock::Clock;
use vestibule::model::{ChallengeKind, DomainPattern, Hostname, Secret};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::board::Board;

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
    pub(crate) begins_later: Duration,
    /// By the certificate (DER): when it was issued.
    issued: HashMap<Vec<u8>, i64>,
}

/// One order.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) name: DomainPattern,
    pub(crate) at: i64,
    pub(crate) replaces: bool,
    pub(crate) told: Option<ChallengeKind>,
    pub(crate) state: OrderState,
    chain: String,
    /// Forgotten by a restart.
    lost: bool,
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

/// What an implementer of both seams needs: the account is the CA itself.
pub(crate) struct Handle(pub(crate) Arc<ScriptedCa>);

impl Ca for Handle {
    fn id(&self) -> &str {
        &self.0.id
    }

    fn directory(&self) -> BoxFuture<'_, Result<Directory, AcmeError>> {
        let directory = |books: &mut Books| {
            Ok(Directory {
                caa_identities: vec!["ca.test".to_owned()],
                profiles: Vec::new(),
                renewal_info: books.window.is_some(),
            })
        };
        self.0.exchange(directory).boxed()
    }

    fn open_account<'a>(
        &'a self,
        saved: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<OpenedAccount, AcmeError>> {
        let open = move |books: &mut Books| {
            if saved.is_none() || books.accounts == 0 {
                books.accounts += 1;
            }
            Ok(OpenedAccount {
                account: Arc::new(Handle(Arc::clone(&self.0))),
                url: format!("{}/account/{}", self.0.id, books.accounts),
                credentials: saved
                    .is_none()
                    .then(|| Secret::new(b"credentials".to_vec())),
            })
        };
        self.0.exchange(open).boxed()
    }
}

impl CaAccount for Handle {
    fn place<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<String, AcmeError>> {
        let at = self.0.clock.now().0;
        let place = move |books: &mut Books| {
            if books.accounts == 0 {
                return Err(AcmeError::AccountUnknown);
            }
            if let Some(answer) = books.answers.pop() {
                return Err(answer);
            }
            let [name] = &order.names[..] else {
                panic!("one name each: {:?}", order.names)
            };
            let replaced = order.replaces.as_ref();
            if replaced.is_some_and(|der| !books.issued.contains_key(der)) {
                return Err(AcmeError::Refused(problem("malformed", "never issued")));
            }
            let open = |it: &Order| it.name == *name && !it.lost && is_open(it.state);
            let deadly = self.0.death.lock().unwrap().is_some();
            assert!(
                deadly || !books.orders.iter().any(open),
                "two orders for {name} at once"
            );
            books.orders.push(Order {
                name: name.clone(),
                at,
                replaces: replaced.is_some(),
                told: None,
                state: OrderState::Pending,
                chain: String::new(),
                lost: false,
            });
            Ok((books.orders.len() - 1).to_string())
        };
        self.0.exchange(place).boxed()
    }

    fn look<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<OrderView, AcmeError>> {
        let look = move |books: &mut Books| {
            let retry_after = books.retry_after;
            let failing = books.failing.clone();
            let it = found(books, order)?;
            let fails = failing.contains(&it.name.to_string());
            match (it.state, it.told) {
                (OrderState::Pending, Some(_)) if fails => it.state = OrderState::Invalid,
                (OrderState::Pending, Some(_)) => it.state = OrderState::Ready,
                _ => {}
            }
            Ok(OrderView {
                state: it.state,
                authorizations: vec![authorization(it, order)],
                problem: None,
                retry_after: retry_after.filter(|_| it.state == OrderState::Processing),
            })
        };
        self.0.exchange(look).boxed()
    }

    fn ready<'a>(
        &'a self,
        order: &'a str,
        challenge: &'a OfferedChallenge,
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        let ready = move |books: &mut Books| {
            let it = found(books, order)?;
            let name = plain(&it.name);
            assert!(
                self.0.board.shows(&name, challenge.kind, &challenge.token),
                "told before it is shown: {name}"
            );
            it.told = Some(challenge.kind);
            Ok(())
        };
        self.0.exchange(ready).boxed()
    }

    fn finalize<'a>(
        &'a self,
        order: &'a str,
        csr: &'a [u8],
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        let finalize = move |books: &mut Books| {
            let at = self.0.clock.now().0;
            let (stuck, later) = (books.stuck.clone(), books.begins_later);
            let it = found(books, order)?;
            assert_eq!(it.state, OrderState::Ready);
            if stuck.contains(&it.name.to_string()) {
                it.state = OrderState::Processing;
                return Ok(());
            }
            let (chain, der) = self.0.issue(&it.name, csr, later);
            (it.chain, it.state) = (chain, OrderState::Valid);
            books.issued.insert(der, at);
            Ok(())
        };
        self.0.exchange(finalize).boxed()
    }

    fn certificate<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<String, AcmeError>> {
        let fetch = move |books: &mut Books| Ok(found(books, order)?.chain.clone());
        self.0.exchange(fetch).boxed()
    }

    fn renewal<'a>(
        &'a self,
        certificate: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, AcmeError>> {
        let ask = move |books: &mut Books| {
            books.asked_for_windows += 1;
            let issued = *books.issued.get(certificate).expect("one of this CA's");
            let after = |span: Duration| issued + i64::try_from(span.as_millis()).unwrap();
            Ok(books.window.map(|(from, to)| RenewalWindow {
                start: after(from),
                end: after(to),
                ask_again: Duration::from_secs(6 * 3600),
                explanation: None,
            }))
        };
        self.0.exchange(ask).boxed()
    }

    fn roll_key(&self) -> BoxFuture<'_, Result<Secret, AcmeError>> {
        let what = "this CA keeps every account at its first key".to_owned();
        std::future::ready(Err(AcmeError::Unusable { what })).boxed()
    }
}

fn found<'b>(books: &'b mut Books, order: &str) -> Result<&'b mut Order, AcmeError> {
    let known = books.accounts > 0;
    let order = &mut books.orders[order.parse::<usize>().unwrap()];
    match (known, order.lost) {
        (false, _) => Err(AcmeError::AccountUnknown),
        (_, true) => Err(AcmeError::OrderUnknown),
        _ => Ok(order),
    }
}

fn is_open(state: OrderState) -> bool {
    !matches!(state, OrderState::Valid | OrderState::Invalid)
}

fn plain(pattern: &DomainPattern) -> Hostname {
    let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
    name.clone()
}

fn authorization(order: &Order, url: &str) -> AuthorizationView {
    let wildcard = matches!(order.name, DomainPattern::Wildcard(_));
    let state = match order.state {
        OrderState::Pending => AuthorizationState::Pending,
        OrderState::Invalid => AuthorizationState::Invalid,
        _ => AuthorizationState::Valid,
    };
    let offered = |kind: ChallengeKind| OfferedChallenge {
        kind,
        url: format!("{url}/{}", kind.as_str()),
        token: format!("token-{url}"),
        key_authorization: format!("token-{url}.print"),
        answered: order.told == Some(kind),
        problem: (state == AuthorizationState::Invalid)
            .then(|| problem("unauthorized", "not shown")),
    };
    let kinds = ChallengeKind::ALL.into_iter();
    AuthorizationView {
        name: plain(&order.name),
        wildcard,
        state,
        challenges: kinds
            .filter(|kind| !wildcard || *kind == ChallengeKind::Dns01)
            .map(offered)
            .collect(),
    }
}
