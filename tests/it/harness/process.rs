//! `vestibule run` as a process of its own, which ends with the test however that ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::client::Visitor;
use super::edge::Plan;
use super::guarded::{self, Guardian};
use crate::command;

/// A running edge of its own process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    _guardian: Guardian,
    out: Said,
    err: Said,
}

/// All that a process says on one of its outputs.
struct Said {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts `plan`, whose folder gets its configuration.
    pub(crate) fn start(plan: &Plan) -> Self {
        let file = plan.folder().join("vestibule.toml");
        std::fs::write(&file, plan.toml()).unwrap();
        let mut command = command::vestibule();
        command.arg("--config").arg(file).arg("run");
        Self::spawn(command, &plan.folder())
    }

    /// Starts `command`, which runs an edge and logs `info` at least.
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Self {
        if !command
            .get_envs()
            .any(|(name, _)| name == "VESTIBULE_LOG__LEVEL")
        {
            command.env("VESTIBULE_LOG__LEVEL", "info");
        }
        let mut child = command
            .current_dir(folder)
            .env("VESTIBULE_LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            _guardian: Guardian::of(&child, "KILL"),
            out: Said::on(child.stdout.take().unwrap()),
            err: Said::on(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Where its plain listener is, once it listens.
    pub(crate) async fn http(&mut self) -> SocketAddr {
        self.listens("listening for HTTP").await
    }

    /// Where the operator's listener is, once it listens.
    pub(crate) async fn admin(&mut self) -> SocketAddr {
        self.listens("listening for the operator").await
    }

    /// A visitor's connection to its plain listener.
    pub(crate) async fn visit(&mut self) -> Visitor {
        Visitor::connect(self.http().await).await
    }

    /// Asks it to stop, as service managers do.
    pub(crate) fn terminate(&self) {
        guarded::terminate(&self.child);
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, once it has ended and all that it said is in the log.
    pub(crate) async fn ended(&mut self) -> i32 {
        let child = &mut self.child;
        let status = super::until(|| child.try_wait().unwrap()).await;
        let read = || self.out.is_all() && self.err.is_all();
        super::until(|| read().then_some(())).await;
        status.code().unwrap_or(-1)
    }

    /// What it has logged so far, line by line.
    pub(crate) fn log(&self) -> String {
        self.err.so_far()
    }

    /// What it has written to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.out.so_far()
    }

    /// The most memory it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    async fn listens(&mut self, message: &str) -> SocketAddr {
        super::until(|| {
            let said = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                let fields = &line["fields"];
                let right = fields["message"] == message;
                right.then(|| fields["address"].as_str().unwrap().parse().unwrap())
            };
            let address = self.log().lines().find_map(said);
            assert!(address.is_some() || self.is_running(), "{}", self.log());
            address
        })
        .await
    }
}

impl Said {
    fn on(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                kept.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn is_all(&self) -> bool {
        self.reader.is_finished()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
