//! What stands around the ordering of certificates: where challenges are put, who looks at names first, who waits.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use vestibule::model::{ChallengeKind, Check, CheckCode, DomainPattern, Hostname};
use vestibule::store::StoreError;
use vestibule::tasks::certificates::{
    AskedOrder, ChallengeBoard, Cleared, DomainLife, Preflight, PublishedChallenge,
};

/// Challenges that are up.
#[derive(Default)]
pub(crate) struct Board(Mutex<HashSet<(Hostname, ChallengeKind, String)>>);

impl Board {
    pub(crate) fn shows(&self, name: &Hostname, kind: ChallengeKind, token: &str) -> bool {
        let key = (name.clone(), kind, token.to_owned());
        self.0.lock().unwrap().contains(&key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl ChallengeBoard for Board {
    fn publish<'a>(
        &'a self,
        challenge: &'a PublishedChallenge,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let PublishedChallenge {
            name, kind, token, ..
        } = challenge.clone();
        self.0.lock().unwrap().insert((name, kind, token));
        async { Ok(()) }.boxed()
    }

    fn withdraw<'a>(
        &'a self,
        name: &'a Hostname,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let other = |it: &(Hostname, ChallengeKind, String)| {
            it.0 != *name || token.is_some_and(|token| token != it.2)
        };
        self.0.lock().unwrap().retain(other);
        async { Ok(()) }.boxed()
    }
}

/// What is wrong with a name, for one CA only or all.
type Fault = (CheckCode, Option<String>);

/// Looks at names: all are well but those that are told.
#[derive(Default)]
pub(crate) struct Looks {
    /// By name.
    pub(crate) wrong: Mutex<HashMap<String, Vec<Fault>>>,
    pub(crate) looked: Mutex<Vec<String>>,
}

impl Looks {
    pub(crate) fn fails(&self, name: &str, code: CheckCode, ca: Option<&str>) {
        let ca = ca.map(str::to_owned);
        self.wrong
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default()
            .push((code, ca));
    }
}

impl Preflight for Looks {
    fn may_order<'a>(&'a self, asked: &'a AskedOrder<'a>) -> BoxFuture<'a, Cleared> {
        let name = asked.pattern.to_string();
        self.looked.lock().unwrap().push(name.clone());
        let faults = self.wrong.lock().unwrap().get(&name).cloned();
        let here = |ca: &Option<String>| ca.as_ref().is_none_or(|ca| asked.ca.id.contains(ca));
        let fault = faults.into_iter().flatten().find(|(_, ca)| here(ca));
        let cleared = match fault {
            // What nobody is ready for nobody can be shown control of: the real look says so beside whatever the fault is.
            Some((code, _)) => {
                let challenge = Some(CheckCode::Challenge).filter(|other| *other != code);
                Cleared::Wait(
                    [Some(code), challenge]
                        .into_iter()
                        .flatten()
                        .map(wrong)
                        .collect(),
                )
            }
            None => Cleared::Go(asked.kinds.to_vec()),
        };
        async { cleared }.boxed()
    }
}

fn wrong(code: CheckCode) -> Check {
    Check {
        code,
        ok: false,
        expected: "right".to_owned(),
        observed: "wrong".to_owned(),
        hint: None,
        seen_by: Vec::new(),
        at: 1,
    }
}

/// Names that are said to have their certificates.
#[derive(Default)]
pub(crate) struct Life(pub(crate) Mutex<HashSet<String>>, pub(crate) Notify);

impl DomainLife for Life {
    fn certificate_in_place<'a>(
        &'a self,
        pattern: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.lock().unwrap().insert(pattern.to_string());
        self.1.notify_one();
        async { Ok(()) }.boxed()
    }
}
