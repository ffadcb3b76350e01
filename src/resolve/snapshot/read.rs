//! Reading a snapshot back. Whatever the bytes are, the answer is a snapshot or an error, and no length in them is believed before
//! that many bytes have come.

use std::io::Read;
use std::sync::Arc;

use aws_lc_rs::digest;
use uuid::Uuid;

use super::super::names::{HashSecret, NameHashes};
use super::write::{MAGIC, VERSION};
use super::{Snapshot, SnapshotError};
use crate::clock::Timestamp;
use crate::model::{
    Hostname, Isolation, LimitOverrides, LookupKey, Placement, Route, SigningKeyRecord, Slug,
    TenantId, TenantState,
};
use crate::store::Cursor;

type Result<T> = std::result::Result<T, SnapshotError>;

/// Reads a whole snapshot.
pub(super) fn snapshot(source: impl Read) -> Result<Snapshot> {
    let mut input = Input {
        source,
        sum: digest::Context::new(&digest::SHA256),
    };
    if &input.array::<8>()? != MAGIC || u16::from_le_bytes(input.array()?) != VERSION {
        return Err(SnapshotError::Version);
    }
    let cursor = Cursor {
        epoch: Uuid::from_bytes(input.array()?),
        position: i64::from_le_bytes(input.array()?),
    };
    let last_contact = Timestamp(i64::from_le_bytes(input.array()?));
    let keys = input.text(MAX_KEYS)?;
    let names = match input.flag()? {
        true => Some(input.names()?),
        false => None,
    };
    let mut routes = Vec::new();
    while input.flag()? {
        routes.push((input.lookup_key()?, Arc::new(input.route()?)));
    }
    input.end()?;
    let signing_keys: Vec<SigningKeyRecord> =
        serde_json::from_str(&keys).map_err(|_| SnapshotError::Impossible("list of keys"))?;
    Ok(Snapshot {
        cursor,
        last_contact,
        signing_keys,
        names,
        routes,
    })
}

/// What is left to read, and the sum of what was.
struct Input<R> {
    source: R,
    sum: digest::Context,
}

impl<R: Read> Input<R> {
    fn names(&mut self) -> Result<NameHashes> {
        let secret = HashSecret(
            u64::from_le_bytes(self.array()?),
            u64::from_le_bytes(self.array()?),
        );
        let count = u32::from_le_bytes(self.array()?);
        // Not collected through a size hint, for the same reason as in `text`.
        let mut hashes = Vec::new();
        for _ in 0..count {
            hashes.push(u64::from_le_bytes(self.array()?));
        }
        Ok(NameHashes { secret, hashes })
    }

    fn lookup_key(&mut self) -> Result<LookupKey> {
        Ok(match self.array::<1>()? {
            [0] => LookupKey::Slug(self.slug()?),
            [1] => LookupKey::Domain(self.hostname()?),
            [2] => LookupKey::Wildcard(self.hostname()?),
            [3] => LookupKey::Id(self.tenant()?),
            _ => return Err(SnapshotError::Impossible("kind of key")),
        })
    }

    fn route(&mut self) -> Result<Route> {
        let impossible = SnapshotError::Impossible;
        Ok(Route {
            tenant: self.tenant()?,
            slug: self.slug()?,
            state: TenantState::from_name(&self.text(MAX_TEXT)?).ok_or(impossible("state"))?,
            progress: u8::from_le_bytes(self.array()?),
            removed_at: self.number()?.map(i64::from_le_bytes),
            plan: self.optional()?.map(Into::into),
            upstream: self.optional()?.map(Into::into),
            limits: LimitOverrides {
                requests_per_second: self.number()?.map(u32::from_le_bytes),
                burst: self.number()?.map(u32::from_le_bytes),
                in_flight: self.number()?.map(u32::from_le_bytes),
                body: self.number()?.map(u64::from_le_bytes),
            },
            placement: Placement {
                isolation: Isolation::from_name(&self.text(MAX_TEXT)?)
                    .ok_or(impossible("isolation"))?,
                schema: self.optional()?,
                database: self.optional()?,
                version: self.optional()?,
            },
            meta: self.optional()?.map(Into::into),
            version: u64::from_le_bytes(self.array()?),
        })
    }

    fn tenant(&mut self) -> Result<TenantId> {
        Ok(TenantId(Uuid::from_bytes(self.array()?)))
    }

    fn slug(&mut self) -> Result<Slug> {
        Slug::parse(&self.text(MAX_TEXT)?).map_err(|_| SnapshotError::Impossible("slug"))
    }

    fn hostname(&mut self) -> Result<Hostname> {
        Hostname::parse(&self.text(MAX_TEXT)?).map_err(|_| SnapshotError::Impossible("hostname"))
    }

    fn flag(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(SnapshotError::Impossible("flag")),
        }
    }

    fn optional(&mut self) -> Result<Option<String>> {
        if self.flag()? {
            self.text(MAX_TEXT).map(Some)
        } else {
            Ok(None)
        }
    }

    fn number<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        if self.flag()? {
            self.array().map(Some)
        } else {
            Ok(None)
        }
    }

    fn text(&mut self, most: u32) -> Result<String> {
        let length = u32::from_le_bytes(self.array()?);
        if length > most {
            return Err(SnapshotError::Impossible("length"));
        }
        // Grows with what comes: a length alone takes no memory.
        let mut bytes = Vec::new();
        (&mut self.source)
            .take(u64::from(length))
            .read_to_end(&mut bytes)?;
        if bytes.len() != length as usize {
            return Err(SnapshotError::Short);
        }
        self.sum.update(&bytes);
        String::from_utf8(bytes).map_err(|_| SnapshotError::Impossible("text"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = read_array(&mut self.source)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    /// The checksum, and nothing behind it.
    fn end(mut self) -> Result<()> {
        let written: [u8; digest::SHA256_OUTPUT_LEN] = read_array(&mut self.source)?;
        if self.sum.finish().as_ref() != written {
            return Err(SnapshotError::Checksum);
        }
        match self.source.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(SnapshotError::Impossible("rest")),
        }
    }
}

fn read_array<const N: usize>(source: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            SnapshotError::Short
        } else {
            error.into()
        }
    })?;
    Ok(bytes)
}

/// Longest text of a route in bytes. The longest that the store takes is `meta`, 1 KiB.
const MAX_TEXT: u32 = 64 * 1024;
/// Longest list of keys in bytes.
const MAX_KEYS: u32 = 16 * 1024 * 1024;
