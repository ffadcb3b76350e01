//! What an order waits for though nothing is wrong: as a node wrote it down, or, where none has come to it yet, as one would find it.

use crate::cli::output;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Check, CheckCode};
use crate::store::{CertificateOrder, OrderStage, Store, StoreError};
use crate::tasks::certificates::{Limits, waits_now};

/// Why an order waits, and until when.
pub(in crate::cli) struct Waits {
    pub(super) why: String,
    pub(super) until: i64,
    /// What there is of a certificate meanwhile, where that is not enough.
    lacking: Option<&'static str>,
}

impl Waits {
    /// Of an order that is to be placed.
    pub(in crate::cli) async fn of(
        config: &Config,
        store: &Store,
        order: Option<&CertificateOrder>,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let Some(order) = order else {
            return Ok(None);
        };
        match &order.waits_for {
            Some(why) if order.next_at > now.0 => Ok(Some(Self {
                why: why.clone(),
                until: order.next_at,
                lacking: lacking(order, now),
            })),
            _ if order.stage == OrderStage::Due && order.next_at <= now.0 => {
                Self::to_come(config, store, order, now).await
            }
            _ => Ok(None),
        }
    }

    /// What an order would have to wait for that was placed now.
    pub(super) async fn to_come(
        config: &Config,
        store: &Store,
        order: &CertificateOrder,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let cas = config.acme.iter();
        let cas: Vec<_> = cas
            .map(|ca| (ca.directory_url.as_str(), Limits::from(ca.limits)))
            .collect();
        let wait = waits_now(store, &cas, order, now).await?;
        Ok(wait.map(|wait| Self {
            why: wait.why,
            until: wait.until.0,
            lacking: lacking(order, now),
        }))
    }

    /// Until when, and why.
    pub(super) fn in_words(&self) -> String {
        format!("{}: {}", output::moment(self.until), self.why)
    }

    /// Tells of it among what was found of a name whose certificate is missing or about to expire. Of another one it is nobody's concern.
    pub(in crate::cli) fn tell(&self, checks: &mut Vec<Check>, now: Timestamp) {
        let hint = Some(format!("An order waits until {}", self.in_words()));
        let missing = |check: &&mut Check| check.code == CheckCode::Certificate && !check.ok;
        if let Some(check) = checks.iter_mut().find(missing) {
            check.hint = hint;
        } else if let Some(observed) = self.lacking {
            checks.push(Check {
                code: CheckCode::Certificate,
                ok: false,
                expected: "a valid certificate".into(),
                observed: observed.into(),
                hint,
                seen_by: Vec::new(),
                at: now.0,
            });
        }
    }
}

fn lacking(order: &CertificateOrder, now: Timestamp) -> Option<&'static str> {
    match order.is_renewal() {
        false => Some("none yet"),
        true if order.is_about_to_expire(now) => Some("a certificate that is about to expire"),
        true => None,
    }
}
