//! Certificates on standard output.

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::output::{self, OutputOption};
use crate::clock::Timestamp;
use crate::model::DomainPattern;
use crate::store::{Date, Store, StoredCertificate};

/// Names asked for at once.
const PAGE: u32 = 1000;

/// A certificate as it is printed: nothing of its key.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    certificate: StoredCertificate,
    state: &'static str,
}

impl Row {
    pub(super) fn new(certificate: StoredCertificate, now: Timestamp) -> Self {
        let state = if certificate.not_after <= now.0 {
            "expired"
        } else if now.0 < certificate.not_before {
            "not_yet_valid"
        } else {
            "valid"
        };
        Self { certificate, state }
    }

    pub(super) fn hostname(&self) -> &DomainPattern {
        &self.certificate.pattern
    }

    fn names(&self) -> String {
        let names = self.certificate.names.iter();
        names
            .map(DomainPattern::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Prints all names with their certificates.
pub(super) async fn list(
    output: OutputOption,
    store: &Store,
    now: Timestamp,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.certificates(after.as_ref(), PAGE).await?;
        rows.extend(page.items.into_iter().map(|it| Row::new(it, now)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output.print(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let certificate = &row.certificate;
            [
                certificate.pattern.to_string(),
                row.state.to_owned(),
                Date(certificate.not_after).to_string(),
                certificate.source.as_str().to_owned(),
                certificate.fingerprint.chars().take(16).collect(),
            ]
        });
        output::table(
            ["hostname", "state", "expires", "source", "fingerprint"],
            cells,
        )
    })
}

/// Prints one certificate.
pub(super) fn one(
    output: OutputOption,
    certificate: StoredCertificate,
    now: Timestamp,
) -> Result<(), CliError> {
    output.print(&Row::new(certificate, now), |row| {
        let certificate = &row.certificate;
        output::facts([
            ("hostname", certificate.pattern.to_string()),
            ("names", row.names()),
            ("state", row.state.to_owned()),
            ("valid from", output::moment(certificate.not_before)),
            ("expires", output::moment(certificate.not_after)),
            ("source", certificate.source.as_str().to_owned()),
            ("kept since", output::moment(certificate.created_at)),
            ("fingerprint", certificate.fingerprint.clone()),
        ])
    })
}
