//! The command line: what can be typed, and which file does it. Errors become text and an exit code here and nowhere else.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

mod cert;
mod check;
mod completions;
mod dev;
mod domain;
mod error;
mod explain;
mod healthcheck;
mod key;
mod output;
mod pairs;
mod run;
pub mod sample;
mod session;
mod store;
mod tenant;
mod version;
mod webhook;

pub use check::FileFault;
pub use error::CliError;
pub use explain::ExplainArguments;

/// An edge reverse proxy that knows which tenant a request belongs to.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, disable_help_subcommand = true)]
struct Arguments {
    /// The configuration [default: vestibule.toml if there is one, else what is built in]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve with the given configuration
    Run,
    /// See it work: a sample application with two tenants on this machine
    Dev,
    /// Read configuration and store and report whatever is wrong; start nothing
    Check(check::CheckArguments),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::TenantVerb),
    /// Custom domains
    #[command(subcommand)]
    Domain(domain::DomainVerb),
    /// Certificates that visitors are shown
    #[command(subcommand)]
    Cert(cert::CertVerb),
    /// Signing keys and the key that seals them
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// Receivers that are told what happens to names and certificates
    #[command(subcommand)]
    Webhook(webhook::WebhookVerb),
    /// Say what would become of a request, step by step; nothing is sent
    Explain(ExplainArguments),
    /// Ask the node on this machine whether it is ready; for container platforms
    Healthcheck(healthcheck::HealthcheckArguments),
    /// The routing database itself
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// Write a completion script for a shell
    Completions(completions::CompletionsArguments),
    /// Say which version this is
    Version(version::VersionArguments),
    #[command(flatten)]
    Later(Later),
}

/// Verbs that are promised and not built yet: said so, not taken for a slip of the pen. Their
/// `--help` is one of the words behind them, since there is nothing to help with.
#[derive(Debug, Subcommand)]
enum Later {
    #[command(hide = true, disable_help_flag = true)]
    Token(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Upstream(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Usage(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Audit(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Reload(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Trust(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Untrust(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Migrate(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Isolation(Anything),
}

/// Whatever stands behind such a verb.
#[derive(Debug, clap::Args)]
struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<std::ffi::OsString>,
}

impl Later {
    fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Upstream(_) => "upstream",
            Self::Usage(_) => "usage",
            Self::Audit(_) => "audit",
            Self::Reload(_) => "reload",
            Self::Trust(_) => "trust",
            Self::Untrust(_) => "untrust",
            Self::Migrate(_) => "migrate",
            Self::Isolation(_) => "isolation",
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return error::print_usage(&usage),
    };
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error::print(&error);
            error.exit_code()
        }
    }
}

impl Arguments {
    fn run(self) -> Result<(), CliError> {
        let config = || Config::load(self.config.as_deref(), environment());
        match self.verb {
            Verb::Run => run::run(&config()?),
            Verb::Dev => dev::run(self.config.as_deref(), environment()),
            Verb::Explain(arguments) => arguments.run(&config()?),
            Verb::Check(arguments) => arguments.run(self.config.as_deref(), environment()),
            Verb::Tenant(verb) => verb.run(&config()?),
            Verb::Domain(verb) => verb.run(&config()?),
            Verb::Cert(verb) => verb.run(&config()?),
            Verb::Key(verb) => verb.run(&config()?),
            Verb::Webhook(verb) => verb.run(&config()?),
            Verb::Store(verb) => verb.run(&config()?),
            Verb::Healthcheck(arguments) => arguments.run(&config()?),
            Verb::Completions(arguments) => arguments.run(),
            Verb::Version(arguments) => arguments.run(),
            Verb::Later(verb) => Err(CliError::NotYet(verb.name())),
        }
    }
}

/// The environment, without what is no text: no setting is.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_stand_before_and_behind_the_verb() {
        for line in [
            ["vestibule", "--config", "x", "run"],
            ["vestibule", "run", "--config", "x"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.config, Some(PathBuf::from("x")));
        }
    }
}
