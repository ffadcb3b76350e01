//! Whether a zone's signatures are such that validating resolvers, a CA's among them, will believe its answers.
//!
//! The chain is looked at where it breaks in practice, between the DS record at the parent and what the zone's servers serve
//! (RFC 4035 section 5). What lies above belongs to registries. A finding here is advice and never a proof of anything: the DS
//! record itself is taken from the resolvers as it comes, and denials (NSEC) are not looked at.

use futures_util::future::join_all;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_resolver::proto::dnssec::{PublicKey as _, Verifier as _};
use hickory_resolver::proto::rr::{DNSClass, Name, Record, RecordType};

use super::ask::Question;
use super::inquiry::Inquiry;
use super::reply::{Reply, text};
use super::zone::Zone;
use crate::model::Hostname;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signatures {
    /// The zone is not signed, or not in a way that resolvers heed.
    None,
    /// What was looked at is signed as it must be.
    Good,
    /// Validating resolvers will refuse answers.
    Bad(SignatureFault),
    /// Nobody answered.
    Unknown,
}

/// What is wrong with a signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureFault {
    /// The server that serves it.
    pub by: String,
    /// The records: `app.acme.com TXT`.
    pub records: String,
    /// What is wrong.
    pub flaw: Flaw,
}

/// See [`SignatureFault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// No key of the zone is one that the DS records at the parent name.
    NoKey,
    /// There is no signature by a key of the zone.
    Missing,
    /// It ended; seconds since 1970.
    Expired(i64),
    /// It begins later; seconds since 1970.
    Early(i64),
    /// It does not fit the records.
    Wrong,
}

impl Inquiry<'_> {
    /// Looks at the signatures of the zone's keys, of its SOA, and of `records` in it, at `now` in seconds since 1970.
    pub async fn signatures(
        &self,
        zone: &Zone,
        records: &[(&Hostname, RecordType)],
        now: i64,
    ) -> Signatures {
        let question = Question::at(zone.apex.clone(), RecordType::DS).unchecked();
        let Ok(reply) = self.of_a_resolver(question).await else {
            return Signatures::Unknown;
        };
        let anchors: Vec<DS> = reply.dnssec().filter_map(usable_anchor).cloned().collect();
        if anchors.is_empty() || zone.apex.is_root() {
            return Signatures::None;
        }
        let chain = Chain { zone, anchors, now };
        let question = Question::at(zone.apex.clone(), RecordType::DNSKEY).with_signatures();
        let said = self.of_zone(zone, &question).await;
        let mut keys = None;
        for (by, reply) in said.iter().flat_map(super::ServerSaid::replies) {
            match chain.keys(by, reply) {
                Ok(found) => keys = Some(found),
                Err(fault) => return Signatures::Bad(fault),
            }
        }
        let Some(keys) = keys else {
            return Signatures::Unknown;
        };
        let soa = (zone.apex.clone(), RecordType::SOA);
        let asked = records
            .iter()
            .map(|(name, kind)| (super::wire_name(name), *kind));
        let sets = std::iter::once(soa).chain(asked);
        let answers = join_all(sets.map(async |(name, kind)| {
            let question = Question::at(name.clone(), kind).with_signatures();
            let said = self.of_zone(zone, &question).await;
            let mut replies = said.iter().flat_map(super::ServerSaid::replies);
            replies.try_for_each(|(by, reply)| chain.answer(by, reply, &name, &keys))
        }));
        match answers.await.into_iter().collect::<Result<(), _>>() {
            Ok(()) => Signatures::Good,
            Err(fault) => Signatures::Bad(fault),
        }
    }
}

struct Chain<'a> {
    zone: &'a Zone,
    anchors: Vec<DS>,
    now: i64,
}

impl Chain<'_> {
    /// The zone's keys, signed by one that the parent names.
    fn keys(&self, by: &str, reply: &Reply) -> Result<Vec<DNSKEY>, SignatureFault> {
        let all = reply.dnssec().filter_map(|(_, data)| match data {
            DNSSECRData::DNSKEY(key) => Some(key),
            _ => None,
        });
        let all: Vec<DNSKEY> = all.cloned().collect();
        let named = |key: &&DNSKEY| {
            self.anchors
                .iter()
                .any(|ds| is_of(ds, &self.zone.apex, key))
        };
        let trusted: Vec<DNSKEY> = all.iter().filter(named).cloned().collect();
        let set = (&self.zone.apex, RecordType::DNSKEY);
        match trusted.is_empty() {
            true => Err(fault(by, set, Flaw::NoKey)),
            false => self
                .set(reply, set, &trusted)
                .map_err(|flaw| fault(by, set, flaw))
                .map(|()| all),
        }
    }

    /// Every set of records in the answer at `name`; nothing is said of what an alias leads to.
    fn answer(
        &self,
        by: &str,
        reply: &Reply,
        name: &Name,
        keys: &[DNSKEY],
    ) -> Result<(), SignatureFault> {
        // An alias made from a DNAME bears no signature of its own (RFC 6672 section 5.3.1).
        if reply
            .answers
            .iter()
            .any(|record| record.record_type() == RecordType::DNAME)
        {
            return Ok(());
        }
        let here = reply.answers.iter().filter(|record| record.name == *name);
        let mut kinds: Vec<RecordType> = here.map(Record::record_type).collect();
        kinds.retain(|kind| *kind != RecordType::RRSIG);
        kinds.dedup();
        for kind in kinds {
            let set = (name, kind);
            self.set(reply, set, keys)
                .map_err(|flaw| fault(by, set, flaw))?;
        }
        Ok(())
    }

    /// Whether one signature over the set is good; else what is wrong with the one that came closest.
    fn set(
        &self,
        reply: &Reply,
        (name, kind): (&Name, RecordType),
        keys: &[DNSKEY],
    ) -> Result<(), Flaw> {
        let signatures = reply.dnssec().filter_map(|(owner, data)| match data {
            DNSSECRData::RRSIG(signature) if owner == name => Some(signature),
            _ => None,
        });
        let mut flaw = Flaw::Missing;
        for signature in signatures.filter(|signature| signature.input().type_covered == kind) {
            let records = reply.answers.iter();
            match self.signature(signature, name, records, keys) {
                Ok(()) => return Ok(()),
                Err(Flaw::Missing) => {}
                Err(found) => flaw = found,
            }
        }
        Err(flaw)
    }

    fn signature<'r>(
        &self,
        signature: &RRSIG,
        name: &Name,
        records: impl Iterator<Item = &'r Record> + Clone,
        keys: &[DNSKEY],
    ) -> Result<(), Flaw> {
        let input = signature.input();
        let made_by = |key: &&DNSKEY| {
            input.signer_name == self.zone.apex
                && input.algorithm.is_supported()
                && key.public_key().algorithm() == input.algorithm
                && key
                    .calculate_key_tag()
                    .is_ok_and(|tag| tag == input.key_tag)
        };
        let mut keys = keys.iter().filter(made_by).peekable();
        if keys.peek().is_none() {
            return Err(Flaw::Missing);
        }
        let begins = near(input.sig_inception.get(), self.now);
        let ends = near(input.sig_expiration.get(), self.now);
        if ends < self.now {
            return Err(Flaw::Expired(ends));
        }
        if begins > self.now {
            return Err(Flaw::Early(begins));
        }
        let fits = |key: &DNSKEY| {
            key.verify_rrsig(name, DNSClass::IN, signature, records.clone())
                .is_ok()
        };
        keys.any(fits).then_some(()).ok_or(Flaw::Wrong)
    }
}

/// A DS record that resolvers heed: of an algorithm and digest that are known; others are as good as none (RFC 4035 section 5.2).
fn usable_anchor<'a>((_, data): (&Name, &'a DNSSECRData)) -> Option<&'a DS> {
    match data {
        DNSSECRData::DS(ds) => {
            (ds.algorithm().is_supported() && ds.digest_type().is_supported()).then_some(ds)
        }
        _ => None,
    }
}

fn is_of(ds: &DS, apex: &Name, key: &DNSKEY) -> bool {
    ds.algorithm() == key.public_key().algorithm() && ds.covers(apex, key).unwrap_or(false)
}

fn fault(by: &str, (name, kind): (&Name, RecordType), flaw: Flaw) -> SignatureFault {
    SignatureFault {
        by: by.to_owned(),
        records: format!("{} {kind}", text(name)),
        flaw,
    }
}

/// The time that is nearest to `now` of those that `serial` can mean (RFC 4034 section 3.1.5).
fn near(serial: u32, now: i64) -> i64 {
    let wrapped = now.rem_euclid(1 << 32);
    let apart = (i64::from(serial) - wrapped + (1 << 31)).rem_euclid(1 << 32) - (1 << 31);
    now + apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_in_a_signature_is_read_as_the_one_nearest_to_now(now in 0_i64..1 << 34, apart in -(1_i64 << 31) + 1..1 << 31) {
            let serial = u32::try_from((now + apart).rem_euclid(1 << 32)).unwrap();
            prop_assert_eq!(near(serial, now), now + apart);
        }
    }
}
