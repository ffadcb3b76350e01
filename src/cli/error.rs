//! What can go wrong in a command, how it is told on stderr, and the exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::check::FileFault;
use crate::config::Faults;
use crate::model::{Causes, DomainPattern, causes};
use crate::seal::SealError;
use crate::sign::keys::KeyError;
use crate::store::StoreError;
use crate::tasks::certificates::AccountError;
use crate::tls::CertificateFault;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong.
    #[error("the configuration has {}", count(.0.list().len(), "fault"))]
    Configuration(#[from] Faults),
    /// The verb exists and its work does not.
    #[error("`{0}` is not supported yet")]
    NotYet(&'static str),
    /// Something that cannot be taken back was asked for without being confirmed.
    #[error("{0} needs --yes")]
    NotConfirmed(String),
    /// Arguments that each are right and together are not.
    #[error("{0}")]
    Usage(String),
    /// A name that no tenant can own.
    #[error("{hostname} cannot be a tenant's: {reason}")]
    Unownable {
        /// The name.
        hostname: DomainPattern,
        /// Why not.
        reason: String,
    },
    /// Nobody claims the name by itself, and somebody all names below the one above it.
    #[error("nobody has the domain {hostname} by itself")]
    Covered {
        /// The name.
        hostname: DomainPattern,
        /// What covers it.
        wildcard: DomainPattern,
    },
    /// `doctor` found something.
    #[error("{} to be fixed of {hostname}", things(*.count))]
    Unwell {
        /// The name.
        hostname: DomainPattern,
        /// How much.
        count: usize,
    },
    /// Nothing, or not all, could be done about the account at a CA.
    #[error("the account at {ca} could not be changed or read")]
    Account {
        /// The CA's directory.
        ca: String,
        /// Why not.
        #[source]
        source: Box<AccountError>,
    },
    /// A receiver did not take what was sent to try it.
    #[error("webhook {webhook} did not take the ping: {why}")]
    Undelivered {
        /// Which one.
        webhook: uuid::Uuid,
        /// Why not.
        why: String,
    },
    /// The system's settings for DNS cannot be used.
    #[error("names cannot be looked at")]
    Dns(#[source] Box<dyn Error + Send + Sync>),
    /// The store said no, or could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing keys stay as they are.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The sealing key cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// `check` found faults in the configuration or in files that it names.
    #[error("the configuration has {}", count(.faults.as_ref().map_or(0, |faults| faults.list().len()) + .files.len(), "fault"))]
    Faulty {
        /// Of the configuration.
        faults: Option<Faults>,
        /// Of files.
        files: Vec<FileFault>,
    },
    /// `check` found rows that do not go with the configuration.
    #[error("the configuration {}", astray(*.names, *.upstreams))]
    Astray {
        /// Names that no request reaches.
        names: usize,
        /// Tenants whose own upstream is not configured.
        upstreams: usize,
    },
    /// Certificates that cannot be used; the others were not kept either.
    #[error("{} cannot be imported, so nothing was", count(.0.len(), "certificate"))]
    Certificates(Vec<BadCertificate>),
    /// A certificate of the store cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// The node was asked and did not say that it is well.
    #[error("the node at {address} {what}")]
    Unhealthy {
        /// Where it was asked.
        address: SocketAddr,
        /// What it did instead.
        what: String,
    },
    /// The node could not be asked.
    #[error("the node at {address} could not be asked")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file could not be read or moved.
    #[error("{path} cannot be used")]
    Input {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The output could not be written.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
    /// The node did not start.
    #[error("the node did not start")]
    Start(#[from] crate::app::StartError),
    /// `dev` could not make what it needs.
    #[error(transparent)]
    Dev(#[from] super::dev::DevError),
    /// The threads could not be started.
    #[error("the threads did not start")]
    Runtime(#[source] std::io::Error),
}

/// One certificate that cannot be imported.
#[derive(Debug)]
pub struct BadCertificate {
    /// Where it stands, unless the reason says so.
    pub(super) place: Option<String>,
    /// What is wrong with it, each cause behind its effect.
    pub(super) reason: String,
    /// What can be done about it.
    pub(super) hint: Option<&'static str>,
}

impl BadCertificate {
    /// At a place that the fault's own text does not name.
    pub(super) fn new(place: Option<String>, fault: &CertificateFault) -> Self {
        Self {
            place,
            reason: Causes(fault).to_string(),
            hint: fault.hint(),
        }
    }
}

impl CliError {
    /// 2 where what was typed or configured is wrong, 1 where it was right and failed.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_)
            | Self::Faulty { .. }
            | Self::NotYet(_)
            | Self::NotConfirmed(_)
            | Self::Usage(_)
            | Self::Unownable { .. }
            | Self::Store(StoreError::Missing { .. } | StoreError::NotEmpty { .. }) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            // Only where the name itself is no tenant's: what stands in the way of others says what to do about it.
            Self::Unownable { hostname, reason } => hostname.unownable().filter(|it| it == reason).map(|_| {
                "write the whole name that the tenant owns, as in shop.example.com or *.example.com".to_owned()
            }),
            Self::Covered { wildcard, .. } => Some(format!(
                "it is one of {wildcard}, which is claimed: ask of '{wildcard}'"
            )),
            Self::Start(error) => error.hint(),
            Self::Dev(error) => error.hint(),
            Self::Certificates(bad) => {
                bad.iter().find_map(|it| it.hint).map(str::to_owned)
            }
            Self::Certificate(fault) => fault.hint().map(str::to_owned),
            Self::Account { source, .. } => match **source {
                AccountError::None | AccountError::Store(_) => None,
                AccountError::Acme(_) | AccountError::Busy => Some(
                    "nothing is lost: run it again, and what was begun is gone on with".to_owned(),
                ),
            },
            Self::Unreachable { .. } => {
                Some("is `vestibule run` running with this configuration?".to_owned())
            }
            Self::Astray { names: 0, .. } => Some(
                "requests of these tenants are refused: `vestibule tenant set SLUG --upstream \"\"` gives one the default, or add \
                 an [[upstream]]"
                    .to_owned(),
            ),
            Self::Astray { .. } => Some(
                "requests for shadowed names do not reach their tenants: rename the rows or change [routing]"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Tells an error: `error: …`, each cause below it, a hint.
pub(super) fn print(error: &CliError) {
    let mut text = String::new();
    match error {
        CliError::Configuration(faults) => page(&mut text, Some(faults), &[]),
        CliError::Faulty { faults, files } => page(&mut text, faults.as_ref(), files),
        _ => {}
    }
    let _ = writeln!(text, "error: {error}");
    // Of a configuration the causes are the page above.
    if !matches!(error, CliError::Configuration(_)) {
        for cause in causes(error) {
            let _ = writeln!(text, "cause: {cause}");
        }
    }
    if let CliError::Store(StoreError::Import(faults)) = error {
        for fault in faults {
            let _ = writeln!(text, "cause: line {}: {}", fault.line, fault.reason);
        }
    }
    if let CliError::Certificates(bad) = error {
        for BadCertificate { place, reason, .. } in bad {
            let place = place.iter().map(|place| format!("{place}: "));
            let _ = writeln!(text, "cause: {}{reason}", place.collect::<String>());
        }
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(text, "hint: {hint}");
    }
    // Nobody is left to be told where stderr is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Every fault: those of the configuration with their lines, those of files with their names.
fn page(text: &mut String, faults: Option<&Faults>, files: &[FileFault]) {
    if let Some(faults) = faults {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        text.push_str(&faults.render(colour));
        text.push_str("\n\n");
    }
    for FileFault { file, reason } in files {
        let _ = writeln!(text, "error: {reason}\n  --> {}\n", file.display());
    }
}

/// Tells something that is no error, and may be one elsewhere.
pub(super) fn note(text: &str) {
    let _ = std::io::stderr().write_all(format!("note: {text}\n").as_bytes());
}

/// Tells a fault of usage, or prints the help or version that was asked for.
pub(super) fn print_usage(usage: &clap::Error) -> ExitCode {
    match wrong_value(usage) {
        Some(text) => {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        None => {
            let _ = usage.print();
        }
    }
    match usage.use_stderr() {
        true => ExitCode::from(2),
        false => ExitCode::SUCCESS,
    }
}

/// A value that is none, told as all other errors are.
fn wrong_value(usage: &clap::Error) -> Option<String> {
    let text = |kind| match usage.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let source = usage
        .source()
        .filter(|_| usage.kind() == ErrorKind::ValueValidation)?;
    let (value, what) = (
        text(ContextKind::InvalidValue)?,
        text(ContextKind::InvalidArg)?,
    );
    let hint = match bare_name(value).filter(|_| what.contains("HOSTNAME")) {
        Some(name) => format!("the name alone: {name}"),
        None => "`--help` says what is expected".to_owned(),
    };
    let cause = Causes(source);
    Some(format!(
        "error: invalid value {value:?} for {what}\ncause: {cause}\nhint: {hint}\n"
    ))
}

/// The name in what was copied from a browser.
fn bare_name(value: &str) -> Option<String> {
    let (_, rest) = value.split_once("://").unwrap_or(("", value));
    let name = rest.split(['/', ':', '?', '#']).next()?;
    let name = DomainPattern::parse_typed(name).ok()?;
    Some(name.to_string())
}

fn astray(names: usize, upstreams: usize) -> String {
    let shadows = format!("shadows {}", count(names, "name"));
    let lacks = format!("lacks the upstream of {}", count(upstreams, "tenant"));
    match (names, upstreams) {
        (_, 0) => shadows,
        (0, _) => lacks,
        _ => format!("{shadows} and {lacks}"),
    }
}

fn things(count: usize) -> String {
    match count {
        1 => "one thing is".to_owned(),
        _ => format!("{count} things are"),
    }
}

/// `1 fault`, `2 faults`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
