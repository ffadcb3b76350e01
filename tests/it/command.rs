//! Running the `vestibule` command in a folder of its own.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder with a `vestibule.toml`, gone at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A folder with a store in it.
pub(crate) fn with_store(config: &str) -> Folder {
    let folder = Folder::new(config);
    folder.run(&["store", "migrate"]).succeeds();
    folder
}

/// Runs the words of `line` with the configuration in `file`.
pub(crate) fn with_config(file: &Path, line: &str) -> Ran {
    let mut command = vestibule();
    command
        .arg("--config")
        .arg(file)
        .args(line.split_whitespace());
    Ran::from(command.output().unwrap())
}

/// The command, with nothing of the tests' own environment that would configure it.
pub(crate) fn vestibule() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VESTIBULE_") {
            command.env_remove(name);
        }
    }
    command
}

impl Folder {
    pub(crate) fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("vestibule.toml", config);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Runs the words of `line`, as a shell would where nothing is quoted.
    pub(crate) fn typed(&self, line: &str) -> Ran {
        self.run(&line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn run_with_env(&self, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = self.command(arguments);
        Ran::from(command.envs(env.iter().copied()).output().unwrap())
    }

    /// `input` is what the command reads on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // The command may refuse before it has read everything.
            scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
            Ran::from(child.wait_with_output().unwrap())
        })
    }

    /// Stops reading the command's output after one line.
    pub(crate) fn run_until_first_line(&self, arguments: &[&str]) -> Ran {
        let mut child = self.spawn(arguments);
        let mut out = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap())
            .read_line(&mut out)
            .unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        let code = child.wait().unwrap().code().unwrap_or(-1);
        Ran { code, out, err }
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = vestibule();
        command.current_dir(self.0.path()).args(arguments);
        command
    }
}

impl Ran {
    /// What it printed, where it succeeded.
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The document it printed.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.succeeds()).unwrap()
    }
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}
