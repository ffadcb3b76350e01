//! Programs that a test runs beside itself: they end with the test, also when that is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// A running program. Its guardian is a shell that waits at its standard input and ends the program when that ends.
pub(crate) struct Guarded {
    guardian: Child,
    held: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub(crate) says: String,
}

impl Guarded {
    /// Runs `command` and waits until it prints a line with `ready` in it.
    pub(crate) fn start(command: &Command, ready: &str) -> Self {
        let mut guardian = Command::new("sh");
        guardian.args(["-c", GUARDIAN, "sh"]);
        guardian.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guardian.env(name, value),
                None => guardian.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guardian.current_dir(folder);
        }
        guardian.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guardian = guardian.spawn().unwrap();
        let held = guardian.stdin.take();
        let mut output = BufReader::new(guardian.stdout.take().unwrap());
        let mut says = String::new();
        while !says.lines().last().is_some_and(|line| line.contains(ready)) {
            let read = output.read_line(&mut says).unwrap();
            assert!(read > 0, "it ended before it was ready: {says}");
        }
        Self {
            guardian,
            held,
            output,
            says,
        }
    }

    /// Sends SIGTERM and waits: the exit code, and what it printed since it was ready.
    pub(crate) fn stop(mut self) -> (i32, String) {
        drop(self.held.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let code = self.guardian.wait().unwrap().code().unwrap_or(-1);
        (code, rest)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = self.guardian.wait();
    }
}

/// A loopback address that no other test has, whatever port is used there.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The guardian has no part in the program's output, so that its end is seen, and says nothing about what it did.
const GUARDIAN: &str = r#"
exec 3>&1 1>/dev/null
"$@" 1>&3 3>&- &
exec 3>&- 2>/dev/null
read -r _
kill -TERM $!
wait $!
"#;
