//! The bytes of a snapshot, written as they come: a million routes are never in memory twice.
//!
//! ```text
//! magic[8] version:u16 epoch[16] position:i64 last_contact:i64 keys:text(JSON)
//! names: option of (secret[16] count:u32 { hash:u64 }*)
//! { 1:u8 key route }*  0:u8  SHA-256[32] of all before
//! ```
//! Numbers are little-endian, a text is its length (u32) and its bytes, an option is a 0 or a 1 before it.

use std::io::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest;

use super::super::names::NameHashes;
use super::SnapshotError;
use crate::clock::Timestamp;
use crate::model::{LookupKey, Route, SigningKeyRecord};
use crate::store::Cursor;

/// The first bytes of the file.
pub(super) const MAGIC: &[u8; 8] = b"VSTBROUT";
/// Grows with every change of the format; a file of another version is not read.
pub(super) const VERSION: u16 = 1;

/// What stands before the routes.
pub(super) struct Head<'a> {
    pub(super) cursor: Cursor,
    pub(super) last_contact: Timestamp,
    pub(super) signing_keys: &'a [SigningKeyRecord],
    pub(super) names: Option<&'a NameHashes>,
}

/// Writes a whole snapshot; returns how many routes it has.
pub(super) fn snapshot(
    out: &mut impl Write,
    head: &Head<'_>,
    routes: impl Iterator<Item = (LookupKey, Arc<Route>)>,
) -> Result<u64, SnapshotError> {
    let mut out = Summed {
        out,
        sum: digest::Context::new(&digest::SHA256),
    };
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(head.cursor.epoch.as_bytes())?;
    out.write_all(&head.cursor.position.to_le_bytes())?;
    out.write_all(&head.last_contact.0.to_le_bytes())?;
    let keys = serde_json::to_string(head.signing_keys).map_err(io::Error::from)?;
    text(&mut out, &keys)?;
    out.write_all(&[u8::from(head.names.is_some())])?;
    if let Some(names) = head.names {
        self::names(&mut out, names)?;
    }
    let mut count = 0;
    for (key, route) in routes {
        out.write_all(&[1])?;
        lookup_key(&mut out, &key)?;
        self::route(&mut out, &route)?;
        count += 1;
    }
    out.write_all(&[0])?;
    let sum = out.sum.finish();
    out.out.write_all(sum.as_ref())?;
    Ok(count)
}

fn names(out: &mut impl Write, names: &NameHashes) -> io::Result<()> {
    let count = u32::try_from(names.hashes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    out.write_all(&names.secret.0.to_le_bytes())?;
    out.write_all(&names.secret.1.to_le_bytes())?;
    out.write_all(&count.to_le_bytes())?;
    let mut each = names.hashes.iter();
    each.try_for_each(|hash| out.write_all(&hash.to_le_bytes()))
}

fn lookup_key(out: &mut impl Write, key: &LookupKey) -> io::Result<()> {
    let (kind, name) = match key {
        LookupKey::Slug(slug) => (0, slug.as_str()),
        LookupKey::Domain(hostname) => (1, hostname.as_str()),
        LookupKey::Wildcard(parent) => (2, parent.as_str()),
        LookupKey::Id(id) => {
            out.write_all(&[3])?;
            return out.write_all(id.0.as_bytes());
        }
    };
    out.write_all(&[kind])?;
    text(out, name)
}

fn route(out: &mut impl Write, route: &Route) -> io::Result<()> {
    out.write_all(route.tenant.0.as_bytes())?;
    text(out, route.slug.as_str())?;
    text(out, route.state.as_str())?;
    out.write_all(&[route.progress])?;
    number(out, route.removed_at.map(i64::to_le_bytes))?;
    optional(out, route.plan.as_deref())?;
    optional(out, route.upstream.as_deref())?;
    let limits = &route.limits;
    number(out, limits.requests_per_second.map(u32::to_le_bytes))?;
    number(out, limits.burst.map(u32::to_le_bytes))?;
    number(out, limits.in_flight.map(u32::to_le_bytes))?;
    number(out, limits.body.map(u64::to_le_bytes))?;
    let placement = &route.placement;
    text(out, placement.isolation.as_str())?;
    optional(out, placement.schema.as_deref())?;
    optional(out, placement.database.as_deref())?;
    optional(out, placement.version.as_deref())?;
    optional(out, route.meta.as_deref())?;
    out.write_all(&route.version.to_le_bytes())
}

fn text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn optional(out: &mut impl Write, value: Option<&str>) -> io::Result<()> {
    out.write_all(&[u8::from(value.is_some())])?;
    value.map_or(Ok(()), |value| text(out, value))
}

fn number<const N: usize>(out: &mut impl Write, value: Option<[u8; N]>) -> io::Result<()> {
    out.write_all(&[u8::from(value.is_some())])?;
    value.map_or(Ok(()), |value| out.write_all(&value))
}

/// Sums what passes through.
struct Summed<'a, W> {
    out: &'a mut W,
    sum: digest::Context,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
