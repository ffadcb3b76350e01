//! `docs/webhooks.md` stays true: it names every kind of event, and the code in it tells what is signed from what is not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use vestibule::model::EventKind;
use vestibule::tasks::webhooks::{draw_secret, secret_text};

use super::Bench;
use crate::harness::receiver::{Heard, Receiver};

const PAGE: &str = include_str!("../../../docs/webhooks.md");

#[test]
fn every_kind_of_event_is_described() {
    for kind in EventKind::ALL.into_iter().chain([EventKind::Ping]) {
        let row = format!("| `{}` |", kind.as_str());
        assert!(PAGE.contains(&row), "{row}");
    }
}

/// The first block of code in `language`.
fn code(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Runs a program that reads cases and writes what became of each.
fn judged(mut program: Command, cases: &Value) -> Value {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}: run tests/install first"));
    let mut input = child.stdin.take().unwrap();
    input.write_all(cases.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_code_of_the_page_tells_what_is_signed() {
    let (bench, receiver) = (Bench::with(None).await, Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, old) = bench.webhook(&receiver.url()).await;
    let (new, other) = (draw_secret().unwrap(), draw_secret().unwrap());
    let hour = Duration::from_secs(3600);
    let rotated = (bench.store).rotate_webhook(webhook.id, &new, &bench.sealer, hour);
    rotated.await.unwrap();
    bench.comes("a.test").await;
    node.round().await.unwrap();
    // An attempt of ten minutes ago, recorded and sent again.
    bench.later(-600);
    bench.comes("b.test").await;
    node.round().await.unwrap();
    let heard = receiver.heard();
    let [fresh, stale] = &heard[..] else {
        panic!("{heard:?}")
    };
    let changed = Heard {
        body: fresh.body.replace("a.test", "b.test"),
        ..fresh.clone()
    };
    assert_ne!(changed.body, fresh.body);
    let mut relabelled = fresh.clone();
    let id = "evt_other".to_owned();
    relabelled.fields.insert("webhook-id".into(), id);
    let case = |heard: &Heard, secret: &_| {
        let secret: &str = &secret_text(secret);
        json!({ "secret": secret, "headers": heard.fields, "body": heard.body })
    };
    let cases = json!([
        case(fresh, &new),
        case(fresh, &old),
        case(fresh, &other),
        case(&changed, &new),
        case(stale, &new),
        case(&relabelled, &new),
    ]);
    let right = json!(["a.test", "a.test", false, false, false, false]);

    let mut python = Command::new("python3");
    python.arg("-c").arg(format!("{}{PYTHON}", code("python")));
    assert_eq!(judged(python, &cases), right);
    let mut node = Command::new("node");
    let script = format!("{}{NODE}", code("js"));
    node.args(["--input-type=module", "--eval", &script]);
    assert_eq!(judged(node, &cases), right);
}

const PYTHON: &str = r#"
import sys
verdicts = []
for case in json.load(sys.stdin):
    try:
        event = verified(case["secret"], case["headers"], case["body"].encode())
        verdicts.append(event["data"]["hostname"])
    except ValueError:
        verdicts.append(False)
json.dump(verdicts, sys.stdout)
"#;

const NODE: &str = r#"
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const verdicts = JSON.parse(Buffer.concat(chunks)).map(({ secret, headers, body }) => {
  try {
    return verified(secret, headers, Buffer.from(body)).data.hostname;
  } catch {
    return false;
  }
});
console.log(JSON.stringify(verdicts));
"#;
