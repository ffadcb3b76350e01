//! `completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, CliError, output};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// The shell that will read it
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArguments {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "vestibule",
            &mut script,
        );
        output::raw(&script)
    }
}
