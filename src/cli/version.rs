//! `version`

use serde::Serialize;

use super::CliError;
use super::output::OutputOption;

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(super) struct VersionArguments {
    #[command(flatten)]
    output: OutputOption,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    os: &'static str,
    architecture: &'static str,
}

impl VersionArguments {
    pub(super) fn run(self) -> Result<(), CliError> {
        let version = Version {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        };
        self.output.print(&version, |version| {
            format!(
                "vestibule {} ({} {})",
                version.version, version.os, version.architecture
            )
        })
    }
}
