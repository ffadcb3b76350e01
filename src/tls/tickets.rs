//! Session tickets: what a visitor brings back in order to go on with a session, sealed with keys that a fleet has in common.
//!
//! A ticket is the key's name, a nonce, and the session sealed with AES-256-GCM. Nonces are random, 96 bits: good for 2^32 tickets of one
//! key (NIST SP 800-38D, section 8.3), which in the twelve hours of a key are a hundred thousand a second.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

use crate::model::Secret;

/// Bytes of a key.
pub const TICKET_KEY_LEN: usize = 32;
/// Bytes of a key's name.
const NAME_LEN: usize = 16;
/// How long a ticket is of use at least, in seconds: as long as the reconciler keeps a key that seals no more.
const LIFETIME: u32 = 12 * 60 * 60;

/// A key that seals tickets, by its name.
pub struct TicketKey {
    /// Stands before each ticket; says nothing.
    pub name: [u8; NAME_LEN],
    /// [`TICKET_KEY_LEN`] bytes.
    pub key: Secret,
}

/// Seals and opens tickets with whatever keys it was last given.
pub struct Tickets(ArcSwap<Keys>);

/// The first one seals, all of them open.
struct Keys(Vec<([u8; NAME_LEN], LessSafeKey)>);

/// The system gives no randomness, or a key is not one.
#[derive(Debug, thiserror::Error)]
#[error("tickets cannot be sealed")]
pub struct TicketFault;

impl Tickets {
    /// With a key that nobody else has, until it is given others.
    pub(super) fn new() -> Result<Arc<Self>, TicketFault> {
        let mut name = [0; NAME_LEN];
        aws_lc_rs::rand::fill(&mut name).map_err(|_| TicketFault)?;
        let key = new_ticket_key().ok_or(TicketFault)?;
        let keys = Keys::new(&[TicketKey { name, key }])?;
        Ok(Arc::new(Self(ArcSwap::from_pointee(keys))))
    }

    /// From now on tickets are sealed with the first of `keys` and opened with all of them; those of other keys are of no use any more.
    /// Nothing changes where there is none.
    pub fn replace(&self, keys: &[TicketKey]) -> Result<(), TicketFault> {
        if !keys.is_empty() {
            self.0.store(Arc::new(Keys::new(keys)?));
        }
        Ok(())
    }
}

/// Draws a key; `None` where the system gives no randomness.
pub fn new_ticket_key() -> Option<Secret> {
    let mut key = vec![0; TICKET_KEY_LEN];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    Some(Secret::new(key))
}

impl Keys {
    fn new(keys: &[TicketKey]) -> Result<Self, TicketFault> {
        let usable = |TicketKey { name, key }: &TicketKey| {
            let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| TicketFault)?;
            Ok((*name, LessSafeKey::new(key)))
        };
        keys.iter().map(usable).collect::<Result<_, _>>().map(Self)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let (name, key) = keys.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let room = NAME_LEN + NONCE_LEN + plain.len() + AES_256_GCM.tag_len();
        let mut ticket = Vec::with_capacity(room);
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let (_, sealed) = ticket.split_at_mut(NAME_LEN + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(name), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.0.load();
        let (_, key) = keys.0.iter().find(|(known, _)| known == name)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key
            .open_in_place(nonce, Aad::from(name), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("keys", &self.0.load().0.len())
            .finish()
    }
}

/// Neither gives tickets nor takes any: every handshake is a full one.
#[derive(Debug)]
pub(super) struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }
    fn lifetime(&self) -> u32 {
        0
    }
    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(mark: u8) -> TicketKey {
        TicketKey {
            name: [mark; NAME_LEN],
            key: Secret::new(vec![mark; TICKET_KEY_LEN]),
        }
    }

    fn with(marks: &[u8]) -> Arc<Tickets> {
        let tickets = Tickets::new().unwrap();
        let keys: Vec<_> = marks.iter().copied().map(key).collect();
        tickets.replace(&keys).unwrap();
        tickets
    }

    #[test]
    fn tickets_are_opened_by_whoever_has_the_key() {
        let ticket = with(&[1]).encrypt(b"session").unwrap();
        assert!(!ticket.windows(7).any(|part| part == b"session"));
        assert_eq!(with(&[2, 1]).decrypt(&ticket).unwrap(), b"session");
        assert_eq!(with(&[2]).decrypt(&ticket), None);
        assert_eq!(Tickets::new().unwrap().decrypt(&ticket), None);
    }

    #[test]
    fn what_was_changed_or_cut_is_no_ticket() {
        let tickets = with(&[1, 2]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at} bytes");
        }
        assert_eq!(tickets.decrypt(&[ticket.clone(), vec![0]].concat()), None);
        // The name of a key that is there, over what another has sealed.
        let mut renamed = ticket;
        renamed[..NAME_LEN].fill(2);
        assert_eq!(tickets.decrypt(&renamed), None);
    }

    #[test]
    fn a_key_of_another_length_changes_nothing() {
        let tickets = with(&[1]);
        let ticket = tickets.encrypt(b"session").unwrap();
        let short = TicketKey {
            name: [9; NAME_LEN],
            key: Secret::new(vec![9; 16]),
        };
        assert!(tickets.replace(&[short]).is_err());
        tickets.replace(&[]).unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"session");
    }
}
