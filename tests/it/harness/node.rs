//! The `vestibule` program itself, serving in a process of its own: for what a process is, such as its memory and its output.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::client::Visitor;

/// A running node; ends with the value, and with the test's process whichever way that ends.
pub(crate) struct Node {
    process: Child,
    guardian: Child,
    /// While this is open the guardian waits.
    _alive: Option<ChildStdin>,
    http: SocketAddr,
    admin: SocketAddr,
    out: Output,
    err: Output,
}

/// Everything a process says on one of its outputs.
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Node {
    /// Runs `vestibule run` in `folder`, whose `vestibule.toml` listens on free ports and logs `info` in JSON at least.
    pub(crate) async fn run(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .current_dir(folder)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut guardian = guardian_of(process.id());
        let alive = guardian.stdin.take();
        let out = Output::of(process.stdout.take().unwrap());
        let err = Output::of(process.stderr.take().unwrap());
        let http = err.address("listening for HTTP").await;
        let admin = err.address("listening for the operator").await;
        Self {
            process,
            guardian,
            _alive: alive,
            http,
            admin,
            out,
            err,
        }
    }

    /// Where its plain listener is.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where the operator's listener is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A visitor's connection.
    pub(crate) async fn visit(&self) -> Visitor {
        Visitor::connect(self.http).await
    }

    /// The most memory it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Stops it as an operator would, and gives all that it said: standard output, standard error.
    pub(crate) fn stop(mut self) -> (String, String) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        assert!(
            self.process.wait().unwrap().success(),
            "{}",
            self.err.so_far()
        );
        (self.out.all(), self.err.all())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The guardian first: once the process is waited for, its number may be somebody else's.
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A shell that ends the process when its standard input does, which is when the test's process ends.
fn guardian_of(process: u32) -> Child {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$0\"", &process.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                shared
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, once the process has ended.
    fn all(&mut self) -> String {
        let _ = self.reader.take().map(JoinHandle::join);
        self.so_far()
    }

    /// The address in the line with this message.
    async fn address(&self, message: &str) -> SocketAddr {
        super::until(|| {
            let text = self.so_far();
            let mut lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let line =
                lines.find(|line: &serde_json::Value| line["fields"]["message"] == message)?;
            line["fields"]["address"].as_str()?.parse().ok()
        })
        .await
    }
}
