//! What stands beside an edge: the operator with commands and questions, and a visitor who waits for what they change.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::Edge;
use crate::command::{self, Ran};
use crate::harness::client::{Answer, PATIENCE, Visitor, get};

impl Edge {
    /// The public keys, as the operator's listener gives them.
    pub(crate) async fn jwks(&self) -> serde_json::Value {
        let request = get("localhost", "/.well-known/jwks.json", &[]);
        Visitor::connect(self.admin())
            .await
            .ask(request)
            .await
            .json()
    }

    /// The status of `/readyz`.
    pub(crate) async fn readiness(&self) -> u16 {
        let request = get("localhost", "/readyz", &[]);
        Visitor::connect(self.admin())
            .await
            .ask(request)
            .await
            .status
    }

    /// Waits until the series that begin with `series` add up to `wanted`.
    pub(crate) async fn until_metric(&self, series: &str, wanted: f64) {
        let waiting = async {
            while self.metric(series).await != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        if waited.is_err() {
            panic!("{series} is not {wanted}:\n{}", self.metrics().await);
        }
    }

    /// Asks for the front page of `host` until it is answered with `status`.
    pub(crate) async fn comes_to(&self, host: &str, status: u16) -> Answer {
        let what = format!("{status} for {host}");
        self.comes_to_be(host, &what, |answer| answer.status == status)
            .await
    }

    /// Asks for the front page of `host` until the answer is as it should be.
    pub(crate) async fn comes_to_be(
        &self,
        host: &str,
        what: &str,
        mut right: impl FnMut(&Answer) -> bool,
    ) -> Answer {
        let mut visitor = self.visit().await;
        crate::harness::eventually(what, async || {
            let answer = visitor.ask(get(host, "/", &[])).await;
            if answer.header("connection") == Some("close") {
                visitor = self.visit().await;
            }
            right(&answer).then_some(answer)
        })
        .await
    }

    /// Runs a command (the words of `line`) with the configuration of this node, as an operator beside it would.
    pub(crate) async fn command(&self, line: &str) -> Ran {
        let file = self.folder.path().join("vestibule.toml");
        // Another command may be reading it.
        if std::fs::read_to_string(&file).ok().as_ref() != Some(&self.text) {
            std::fs::write(&file, &self.text).unwrap();
        }
        let line = line.to_owned();
        tokio::task::spawn_blocking(move || command::with_config(&file, &line))
            .await
            .unwrap()
    }
}
