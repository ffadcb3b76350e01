//! Programs that a test runs beside itself: they end with the test, also when that is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::NamedTempFile;
use tokio::net::TcpStream;

/// A shell beside a program, which sends it a signal when the test's process ends without a word. Dropped when the program has ended
/// and was waited for.
pub(crate) struct Guardian(ChildStdin);

impl Guardian {
    /// Watches over `program`; `signal` as `kill` names it.
    pub(crate) fn of(program: &Child, signal: &str) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r done || kill -s \"$0\" \"$1\"", signal])
            .arg(program.id().to_string())
            // What ends the tests from a terminal ends their whole group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let held = shell.stdin.take().unwrap();
        std::thread::spawn(move || shell.wait());
        Self(held)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // The program's number may be somebody else's from now on: the guardian must not end that.
        let _ = writeln!(self.0, "done");
    }
}

/// Sends SIGTERM, as service managers do.
pub(crate) fn terminate(program: &Child) {
    let number = program.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &number]).status();
    assert!(sent.unwrap().success());
}

/// A running program.
pub(crate) struct Guarded {
    program: Child,
    _guardian: Guardian,
    output: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub(crate) says: String,
}

impl Guarded {
    /// Runs `command` and waits until it prints a line with `ready` in it.
    pub(crate) fn start(command: &mut Command, ready: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        // With time to end what it has started itself.
        let guardian = Guardian::of(&program, "TERM");
        let output = BufReader::new(program.stdout.take().unwrap());
        let mut running = Self {
            program,
            _guardian: guardian,
            output,
            says: String::new(),
        };
        let says = &mut running.says;
        while !says.lines().last().is_some_and(|line| line.contains(ready)) {
            let read = running.output.read_line(says).unwrap();
            assert!(read > 0, "it ended before it was ready: {says}");
        }
        running
    }

    /// Sends SIGTERM and waits: the exit code, and what it printed since it was ready.
    pub(crate) fn stop(mut self) -> (i32, String) {
        terminate(&self.program);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let code = self.program.wait().unwrap().code().unwrap_or(-1);
        (code, rest)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.program.try_wait().is_ok_and(|ended| ended.is_none()) {
            terminate(&self.program);
        }
        let _ = self.program.wait();
    }
}

/// A running program that says what it does in a file; killed when dropped.
pub(crate) struct Background {
    program: Child,
    _guardian: Guardian,
    /// Through a pipe, what it says before it answers would be read here behind the answer.
    log: NamedTempFile,
}

impl Background {
    /// Runs `command`; `package` is what brings the program.
    pub(crate) fn start(command: &mut Command, package: &str) -> Self {
        let log = NamedTempFile::new().unwrap();
        let file = || File::options().append(true).open(log.path()).unwrap();
        let program = command
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: is `{package}` there (tests/install)?"));
        Self {
            _guardian: Guardian::of(&program, "KILL"),
            program,
            log,
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Waits until something listens at `address`, which is the program's own.
    pub(crate) async fn listens(&mut self, address: SocketAddr) {
        super::eventually(&format!("a listener at {address}"), async || {
            let ended = self.program.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.log());
            TcpStream::connect(address).await.ok()
        })
        .await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A loopback address that no other test has, whatever port is used there.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed))
}
