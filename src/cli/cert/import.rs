//! Certificates into the store: each is checked before any is kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::app::StartError;
use crate::cli::CliError;
use crate::cli::error::{self, BadCertificate};
use crate::cli::output::OutputOption;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::DomainPattern;
use crate::sign::keys;
use crate::store::{ImportedCertificates, NewCertificate, Store};
use crate::tls::{Brought, CertificateFault, Inventory};

/// A certificate to import, and where it was named unless its own faults say so.
struct Entry {
    place: Option<String>,
    brought: Brought,
}

/// One line of a manifest. Names of files are relative to its folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    chain: PathBuf,
    key: PathBuf,
    hostname: Option<String>,
}

#[derive(serde::Serialize)]
struct Summary {
    certificates: usize,
    names: usize,
    replaced: usize,
}

/// Imports one.
pub(super) async fn one(
    config: &Config,
    store: &Store,
    (hostname, chain, key): (&DomainPattern, PathBuf, PathBuf),
    now: Timestamp,
) -> Result<(), CliError> {
    let brought = Brought {
        chain,
        key,
        hostname: Some(hostname.clone()),
    };
    let entry = Entry {
        place: None,
        brought,
    };
    let new = check_all(&[entry], Vec::new(), now)?;
    note_shadowed(config, &new, now)?;
    keep(config, store, &new, now).await.map(drop)
}

/// Imports all that are in a folder, or named in a manifest.
pub(super) async fn many(
    config: &Config,
    store: &Store,
    from: &Path,
    now: Timestamp,
) -> Result<ImportedCertificates, CliError> {
    let (entries, bad) = match from.is_dir() {
        true => folder(from)?,
        false => manifest(from)?,
    };
    if entries.is_empty() && bad.is_empty() {
        let what = format!("there is no certificate in {}", from.display());
        return Err(CliError::Usage(what));
    }
    let new = check_all(&entries, bad, now)?;
    keep(config, store, &new, now).await
}

/// Prints what many have become.
pub(super) fn print(output: OutputOption, imported: ImportedCertificates) -> Result<(), CliError> {
    let summary = Summary {
        certificates: imported.certificates,
        names: imported.names,
        replaced: imported.replaced,
    };
    output.print(&summary, |summary| {
        format!(
            "{} for {} imported, of which {} had another one before",
            error::count(summary.certificates, "certificate"),
            error::count(summary.names, "name"),
            summary.replaced,
        )
    })
}

async fn keep(
    config: &Config,
    store: &Store,
    new: &[NewCertificate],
    now: Timestamp,
) -> Result<ImportedCertificates, CliError> {
    // As a node would on its first run, where there has been none.
    let sealer = store
        .first_run(&config.store.secret_key_file, |sealer| {
            keys::generate(sealer, now)
        })
        .await?;
    Ok(store.import_certificates(new, &sealer).await?)
}

/// All of them checked; an error lists every one that cannot be used.
fn check_all(
    entries: &[Entry],
    mut bad: Vec<BadCertificate>,
    now: Timestamp,
) -> Result<Vec<NewCertificate>, CliError> {
    let mut good = Vec::with_capacity(entries.len());
    let mut names: HashMap<DomainPattern, usize> = HashMap::new();
    for (number, (entry, checked)) in entries
        .iter()
        .zip(check_in_parallel(entries, now))
        .enumerate()
    {
        let new = match checked {
            Ok(new) => new,
            Err(fault) => {
                bad.push(BadCertificate::new(entry.place.clone(), &fault));
                continue;
            }
        };
        for name in &new.names {
            if let Some(first) = names.insert(name.clone(), number) {
                bad.push(twice(entry, name, &entries[first]));
            }
        }
        good.push(new);
    }
    match bad.is_empty() {
        true => Ok(good),
        false => Err(CliError::Certificates(bad)),
    }
}

/// Which of the two visitors should be shown nobody could say.
fn twice(entry: &Entry, name: &DomainPattern, first: &Entry) -> BadCertificate {
    let path = |entry: &Entry| entry.brought.chain.display().to_string();
    let other = first.place.clone().unwrap_or_else(|| path(first));
    BadCertificate {
        place: Some(entry.place.clone().unwrap_or_else(|| path(entry))),
        reason: format!("it is for {name}, and so is the one in {other}"),
        hint: Some("import them one after the other: the last one is shown"),
    }
}

/// Reading a key costs what a signature costs, so all processors share the work; the order is kept.
fn check_in_parallel(
    entries: &[Entry],
    now: Timestamp,
) -> Vec<Result<NewCertificate, CertificateFault>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = entries.len().div_ceil(threads).max(1);
    let check =
        |part: &[Entry]| -> Vec<_> { part.iter().map(|entry| entry.brought.check(now)).collect() };
    std::thread::scope(|scope| {
        let work: Vec<_> = entries
            .chunks(share)
            .map(|part| scope.spawn(move || check(part)))
            .collect();
        let done = work.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.flat_map(|part| part.unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
            .collect()
    })
}

fn folder(directory: &Path) -> Result<(Vec<Entry>, Vec<BadCertificate>), CliError> {
    let (list, lonely) = Brought::in_folder(directory)?;
    let entry = |brought| Entry {
        place: None,
        brought,
    };
    let bad = lonely.iter().map(|fault| BadCertificate::new(None, fault));
    Ok((list.into_iter().map(entry).collect(), bad.collect()))
}

fn manifest(file: &Path) -> Result<(Vec<Entry>, Vec<BadCertificate>), CliError> {
    let unreadable = |source| CliError::Input {
        path: file.to_owned(),
        source,
    };
    let (input, folder): (Box<dyn Read>, _) = match file.to_str() {
        Some("-") => (Box::new(std::io::stdin()), None),
        _ => {
            let open = File::open(file).map_err(unreadable)?;
            (Box::new(open), file.parent())
        }
    };
    let folder = folder.unwrap_or(Path::new(""));
    let (mut entries, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(BufReader::new(input).split(b'\n')) {
        let line = line.map_err(unreadable)?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = Some(format!("line {number}"));
        match read_line(&line, folder) {
            Ok(brought) => entries.push(Entry { place, brought }),
            Err(reason) => bad.push(BadCertificate {
                place,
                reason,
                hint: None,
            }),
        }
    }
    Ok((entries, bad))
}

fn read_line(line: &[u8], folder: &Path) -> Result<Brought, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let pattern = |name: &String| {
        DomainPattern::parse_typed(name).map_err(|error| format!("{name:?}: {error}"))
    };
    Ok(Brought {
        chain: folder.join(line.chain),
        key: folder.join(line.key),
        hostname: line.hostname.as_ref().map(pattern).transpose()?,
    })
}

/// A file of the folder comes first; whoever wonders why the new certificate is not shown should have been told.
fn note_shadowed(config: &Config, new: &[NewCertificate], now: Timestamp) -> Result<(), CliError> {
    let metrics = Metrics::new(0).map_err(StartError::Metrics)?;
    let (inventory, _) =
        Inventory::load(&config.tls, Arc::clone(&metrics), now).map_err(StartError::Tls)?;
    for name in new.iter().flat_map(|new| &new.names) {
        if let DomainPattern::Exact(hostname) = name
            && let Some(file) = inventory.certificate(hostname)
        {
            error::note(&format!(
                "visitors of {name} are shown {}.crt of [tls] directory, which comes before the store",
                file.name
            ));
        }
    }
    Ok(())
}
