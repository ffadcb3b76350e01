//! Where access lines cannot be written, they are dropped and counted, and nobody waits.

use std::io::Read;
use std::process::Command;

use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

/// Requests in one write.
const BATCH: usize = 100;

/// Asks [`BATCH`] times for something long and unknown.
async fn batch(visitor: &mut Visitor) {
    let path = format!("/{}", "p".repeat(2000));
    let one = get("nobody.localhost", &path, &[]);
    visitor.write(one.repeat(BATCH)).await;
    for _ in 0..BATCH {
        assert_eq!(visitor.reply().await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_nobody_reads_holds_nobody_up() {
    let upstream = TestUpstream::echo();
    let plan = Edge::with(upstream.address);
    let pipe = plan.folder().join("access.pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let log = format!("[log]\naccess = {:?}", pipe.display().to_string());
    let edge = plan.config(&log).start().await;
    let mut asked = 0;
    while edge.metric("vestibule_access_log_dropped_total").await == 0.0 {
        // A connection serves a bounded number of requests.
        batch(&mut edge.visit().await).await;
        asked += BATCH;
        assert!(asked < 50_000, "nothing was dropped");
    }
    // Whoever reads at last gets whole lines, and every request is accounted for.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let pipe = std::fs::File::open(pipe).unwrap();
        std::io::BufReader::new(pipe)
            .read_to_string(&mut text)
            .unwrap();
        text
    });
    edge.until_metric("vestibule_http_requests_total", asked as f64)
        .await;
    let dropped = edge.metric("vestibule_access_log_dropped_total").await;
    edge.stop().await;
    let text = reading.join().unwrap();
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let whole = lines
        .filter(|line| line.as_ref().unwrap()["status"] == 404)
        .count();
    assert_eq!(whole as f64 + dropped, asked as f64);
}
