//! Certificates into the store: one or a hundred thousand, all or none.

use uuid::Uuid;

use crate::model::certificate::CertificateSource;
use crate::model::{DomainPattern, Secret};
use crate::seal::Sealer;

use super::certificates::{self, bury};
use super::signing_keys::{self, KEYS_LOCK};
use super::values::Arg;
use super::writing::Writing;
use super::{BULK, CertificateChange, Changed, Store, StoreError};

/// A certificate that has been found good, with its key in the clear.
pub struct NewCertificate {
    /// Every name that visitors are to be shown it for.
    pub names: Vec<DomainPattern>,
    /// PEM, the visitor-facing certificate first.
    pub chain: String,
    /// The private key, PEM.
    pub key: Secret,
    /// When it begins to be valid, in milliseconds since 1970.
    pub not_before: i64,
    /// When it expires, in milliseconds since 1970.
    pub not_after: i64,
    /// Where it comes from.
    pub source: CertificateSource,
    /// SHA-256 of the visitor-facing certificate, in lower-case hex.
    pub fingerprint: String,
    /// The CA that it was ordered of, by the address of its directory.
    pub ca: Option<String>,
}

/// What an import made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImportedCertificates {
    /// Certificates.
    pub certificates: usize,
    /// Names that are served with them now.
    pub names: usize,
    /// Of these, names that were served with another one before.
    pub replaced: usize,
}

/// Names in one row of the audit; more are counted.
const NAMES_IN_AUDIT: usize = 20;

impl Store {
    /// Keeps all of `list`, their keys sealed by `sealer`, or none. A name that has a certificate gets the new one; an old one that
    /// no name is left of goes. No name may stand in two of the list. Refused where `sealer` is not the one that seals this store.
    pub async fn import_certificates(
        &self,
        list: &[NewCertificate],
        sealer: &Sealer,
    ) -> Result<ImportedCertificates, StoreError> {
        if list.is_empty() {
            return Ok(ImportedCertificates::default());
        }
        let rows = self.certificate_rows(list, sealer);
        let work = async {
            let mut tx = self.writing().await?;
            tx.unhurried().await?;
            // Whoever seals anew meanwhile would leave these behind.
            tx.lock(KEYS_LOCK).await?;
            signing_keys::check_sealed_by(&mut tx, sealer).await?;
            let imported = put(&mut tx, list, &rows).await?;
            audit(&mut tx, list, &imported).await?;
            let present = |pattern: &DomainPattern| CertificateChange {
                pattern: pattern.clone(),
                present: true,
            };
            let changes = list.iter().flat_map(|new| new.names.iter().map(present));
            tx.finish(&Changed::Certificates(changes.collect())).await?;
            Ok(imported)
        };
        self.timed("certificate_import", BULK, work).await
    }

    pub(super) fn certificate_rows(
        &self,
        list: &[NewCertificate],
        sealer: &Sealer,
    ) -> Vec<Prepared> {
        let prepare = |new: &NewCertificate| {
            let id = self.inner.new_uuid();
            let names: Vec<_> = new.names.iter().map(DomainPattern::to_string).collect();
            Prepared {
                id,
                sealed_key: sealer.seal(&certificates::purpose(id), new.key.expose()),
                joined: names.join(" "),
                names,
            }
        };
        list.iter().map(prepare).collect()
    }
}

/// What of a row is not in what was given.
pub(super) struct Prepared {
    id: Uuid,
    sealed_key: Vec<u8>,
    names: Vec<String>,
    joined: String,
}

/// Puts the certificates in place; those that no name is left of go.
pub(super) async fn put(
    tx: &mut Writing,
    list: &[NewCertificate],
    rows: &[Prepared],
) -> Result<ImportedCertificates, StoreError> {
    let replaced = held(tx, rows).await?;
    insert(tx, list, rows).await?;
    bury(tx, &replaced).await?;
    Ok(ImportedCertificates {
        certificates: list.len(),
        names: rows.iter().map(|row| row.names.len()).sum(),
        replaced: replaced.len(),
    })
}

/// The certificates that the names have now, one for each name that has any.
async fn held(tx: &mut Writing, rows: &[Prepared]) -> Result<Vec<Uuid>, StoreError> {
    let names: Vec<Arg<'_>> = rows
        .iter()
        .flat_map(|row| row.names.iter().map(Into::into))
        .collect();
    let held = tx
        .rows_with(
            "select certificate from certificate_names where pattern in",
            &names,
        )
        .await?;
    held.iter().map(|row| row.get("certificate")).collect()
}

async fn insert(
    tx: &mut Writing,
    list: &[NewCertificate],
    prepared: &[Prepared],
) -> Result<(), StoreError> {
    let now = tx.now().0;
    let rows: Vec<Vec<Arg<'_>>> = list
        .iter()
        .zip(prepared)
        .map(|(new, row)| {
            vec![
                row.id.into(),
                (&row.joined).into(),
                (&new.chain).into(),
                row.sealed_key.as_slice().into(),
                new.not_before.into(),
                new.not_after.into(),
                new.source.as_str().into(),
                (&new.fingerprint).into(),
                now.into(),
                new.ca.as_deref().into(),
            ]
        })
        .collect();
    tx.insert_many(
        "insert into certificates (id, names, chain, sealed_key, not_before, not_after, source, fingerprint, created_at, ca) values",
        &rows,
    )
    .await?;
    let rows: Vec<Vec<Arg<'_>>> = prepared
        .iter()
        .flat_map(|row| {
            row.names
                .iter()
                .map(|name| vec![name.into(), row.id.into()])
        })
        .collect();
    tx.insert_or(
        "insert into certificate_names (pattern, certificate) values",
        &rows,
        "on conflict (pattern) do update set certificate = excluded.certificate, former = null, idle_since = null",
    )
    .await
}

async fn audit(
    tx: &mut Writing,
    list: &[NewCertificate],
    imported: &ImportedCertificates,
) -> Result<(), StoreError> {
    let names = list.iter().flat_map(|new| &new.names);
    let mut subject: Vec<String> = names
        .take(NAMES_IN_AUDIT)
        .map(DomainPattern::to_string)
        .collect();
    if imported.names > NAMES_IN_AUDIT {
        subject.push(format!("and {} more", imported.names - NAMES_IN_AUDIT));
    }
    let detail = match list {
        [one] => one.fingerprint.clone(),
        _ => format!("{} certificates", list.len()),
    };
    tx.audit("cert.import", &subject.join(" "), &detail).await
}
