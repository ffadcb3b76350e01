//! `vestibule run` as a process of its own, which ends with the test however that ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::client::Visitor;
use super::edge::Plan;
use crate::command;

/// A running edge of its own process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    guardian: ChildStdin,
    log: Arc<Mutex<Vec<serde_json::Value>>>,
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

    /// Starts `command`, which runs an edge.
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Self {
        let mut child = command
            .current_dir(folder)
            .env("VESTIBULE_LOG__LEVEL", "info")
            .env("VESTIBULE_LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let guardian = guard(child.id());
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let plain = || serde_json::Value::String(line.clone());
                let line = serde_json::from_str(&line).unwrap_or_else(|_| plain());
                kept.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            guardian,
            log,
            reader,
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
        let number = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &number]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, once it has ended and all that it said is in the log.
    pub(crate) async fn ended(&mut self) -> i32 {
        let child = &mut self.child;
        let status = super::until(|| child.try_wait().unwrap()).await;
        super::until(|| self.reader.is_finished().then_some(())).await;
        status.code().unwrap_or(-1)
    }

    /// What it has said so far, line by line.
    pub(crate) fn log(&self) -> String {
        let lines = self.log.lock().unwrap();
        let lines = lines.iter().map(|line| match line {
            serde_json::Value::String(line) => line.clone(),
            other => other.to_string(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn listens(&mut self, message: &str) -> SocketAddr {
        super::until(|| {
            let said = |line: &serde_json::Value| {
                let fields = &line["fields"];
                let right = fields["message"] == message;
                right.then(|| fields["address"].as_str().unwrap().parse().unwrap())
            };
            let address = self.log.lock().unwrap().iter().find_map(said);
            assert!(address.is_some() || self.is_running(), "{}", self.log());
            address
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its number may be somebody else's from now on: the guardian must not kill that.
        let _ = writeln!(self.guardian, "done");
    }
}

/// A shell that kills the process when this one ends without a word.
fn guard(process: u32) -> ChildStdin {
    let mut shell = Command::new("sh")
        .args(["-c", "read -r done || kill -9 \"$0\"", &process.to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = shell.stdin.take().unwrap();
    std::thread::spawn(move || shell.wait());
    stdin
}
