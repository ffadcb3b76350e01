//! The CA as nodes see it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use vestibule::acme::{
    AcmeError, AuthorizationState, AuthorizationView, Ca, CaAccount, Directory, NewOrder,
    OfferedChallenge, OpenedAccount, OrderState, OrderView, RenewalWindow,
};
use vestibule::model::{ChallengeKind, DomainPattern, Hostname, Secret};

use super::{Books, Order, ScriptedCa, problem};

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
            let anew = saved.is_none() || books.accounts == 0;
            books.accounts += usize::from(anew);
            Ok(OpenedAccount {
                account: Arc::new(Handle(Arc::clone(&self.0))),
                url: format!("{}/account/{}", self.0.id, books.accounts),
                credentials: anew.then(|| {
                    let first = || Secret::new(b"credentials".to_vec());
                    saved.cloned().unwrap_or_else(first)
                }),
            })
        };
        self.0.exchange(open).boxed()
    }

    fn with_next_key(&self, _: &Secret) -> Result<Secret, AcmeError> {
        Err(one_key())
    }

    fn change_key<'a>(&'a self, _: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>> {
        std::future::ready(Err(one_key())).boxed()
    }

    fn has_news(&self, _: &Secret) -> Result<bool, AcmeError> {
        Ok(false)
    }

    fn tell_contact<'a>(&'a self, saved: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>> {
        std::future::ready(Ok(saved.clone())).boxed()
    }
}

fn one_key() -> AcmeError {
    let what = "this CA keeps every account at its first key".to_owned();
    AcmeError::Unusable { what }
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
                return Err(AcmeError::NotReplaced(problem("malformed", "never issued")));
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
            let (offers, asks_for) = (books.offers.clone(), books.asks_for.clone());
            let it = found(books, order)?;
            let fails = failing.contains(&it.name.to_string());
            match (it.state, it.told) {
                (OrderState::Pending, Some(_)) if fails => it.state = OrderState::Invalid,
                (OrderState::Pending, Some(_)) => it.state = OrderState::Ready,
                _ => {}
            }
            let mut authorization = authorization(it, order);
            authorization
                .challenges
                .retain(|it| offers.as_ref().is_none_or(|all| all.contains(&it.kind)));
            authorization.name = asks_for.unwrap_or(authorization.name);
            Ok(OrderView {
                state: it.state,
                authorizations: vec![authorization],
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
            let stuck = books.stuck.clone();
            let it = found(books, order)?;
            assert_eq!(it.state, OrderState::Ready);
            if stuck.contains(&it.name.to_string()) {
                it.state = OrderState::Processing;
                return Ok(());
            }
            let (chain, der) = self.0.issue(&it.name, csr);
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
