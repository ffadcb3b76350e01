//! The CA as nodes see it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use vestibule::acme::{
    AcmeError, Ca, CaAccount, Directory, NewOrder, OfferedChallenge, OpenedAccount, OrderState,
    OrderView, RenewalWindow,
};
use vestibule::model::Secret;

use super::order::{authorization, plain};
use super::{Books, Order, ScriptedCa, problem};

/// The CA as one asks it.
pub(crate) struct Handle(pub(crate) Arc<ScriptedCa>);

/// An account that somebody has opened.
struct Account {
    ca: Arc<ScriptedCa>,
    number: usize,
}

impl Books {
    /// Whether the CA knows the account: after a restart only those that were registered since.
    fn check(&self, account: usize) -> Result<(), AcmeError> {
        match account > self.registered - self.accounts {
            true => Ok(()),
            false => Err(AcmeError::AccountUnknown),
        }
    }

    fn found(&mut self, account: usize, order: &str) -> Result<&mut Order, AcmeError> {
        self.check(account)?;
        let order = &mut self.orders[order.parse::<usize>().unwrap()];
        match order.lost {
            true => Err(AcmeError::OrderUnknown),
            false => Ok(order),
        }
    }
}

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
            books.registered += usize::from(anew);
            let number = books.registered;
            let ca = Arc::clone(&self.0);
            Ok(OpenedAccount {
                account: Arc::new(Account { ca, number }),
                url: format!("{}/account/{number}", self.0.id),
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

impl CaAccount for Account {
    fn place<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<String, AcmeError>> {
        let at = self.ca.clock.now().0;
        let place = move |books: &mut Books| {
            books.check(self.number)?;
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
            let latest = books.latest.insert(name.clone(), books.orders.len());
            let latest = latest.map(|place| &books.orders[place]);
            let deadly = self.ca.death.lock().unwrap().is_some();
            assert!(
                deadly || !latest.is_some_and(Order::is_open),
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
        self.ca.exchange(place).boxed()
    }

    fn look<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<OrderView, AcmeError>> {
        let look = move |books: &mut Books| {
            let retry_after = books.retry_after;
            let failing = books.failing.clone();
            let (offers, asks_for) = (books.offers.clone(), books.asks_for.clone());
            let it = books.found(self.number, order)?;
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
        self.ca.exchange(look).boxed()
    }

    fn ready<'a>(
        &'a self,
        order: &'a str,
        challenge: &'a OfferedChallenge,
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        let ready = move |books: &mut Books| {
            let hasty = books.hasty;
            let it = books.found(self.number, order)?;
            let name = plain(&it.name);
            assert!(
                self.ca.board.shows(&name, challenge.kind, &challenge.token),
                "told before it is shown: {name}"
            );
            it.told = Some(challenge.kind);
            if hasty {
                it.state = OrderState::Ready;
                let detail = "Cannot update challenge with status valid";
                return Err(AcmeError::Refused(problem("malformed", detail)));
            }
            Ok(())
        };
        self.ca.exchange(ready).boxed()
    }

    fn finalize<'a>(
        &'a self,
        order: &'a str,
        csr: &'a [u8],
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        let finalize = move |books: &mut Books| {
            let at = self.ca.clock.now().0;
            let (stuck, later) = (books.stuck.clone(), books.begins_later);
            let it = books.found(self.number, order)?;
            assert_eq!(it.state, OrderState::Ready);
            if stuck.contains(&it.name.to_string()) {
                it.state = OrderState::Processing;
                return Ok(());
            }
            let (chain, der) = self.ca.issue(&it.name, csr, later);
            (it.chain, it.state) = (chain, OrderState::Valid);
            books.issued.insert(der, at);
            Ok(())
        };
        self.ca.exchange(finalize).boxed()
    }

    fn certificate<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<String, AcmeError>> {
        let fetch = move |books: &mut Books| Ok(books.found(self.number, order)?.chain.clone());
        self.ca.exchange(fetch).boxed()
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
        self.ca.exchange(ask).boxed()
    }
}
