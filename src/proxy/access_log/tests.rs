use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::queue::{Next, Queue};
use super::writer::{self, Output};
use super::{AccessLog, AccessRecord};
use crate::clock::Timestamp;
use crate::config;
use crate::metrics::Metrics;
use crate::model::{Code, Source, Sources, TenantId};

fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: Timestamp(1_795_419_000_123),
        node: "edge-1",
        listener: "127.0.0.1:8443",
        protocol: "HTTP/2.0",
        tls: Some("1.3"),
        visitor: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        method: "GET",
        host: b"acme.example.com",
        path: b"/a/b",
        status: 200,
        refusal: None,
        reason: None,
        tenant: Some(TenantId(Uuid::from_u128(
            0x0192_f0c1_7e1a_7cc0_b8a5_0000_0000_0001,
        ))),
        slug: Some("acme"),
        sources: Sources::from_iter([Source::Token, Source::Subdomain]),
        upstream: Some("app"),
        endpoint: Some(([127, 0, 0, 1], 3000).into()),
        upstream_time: Some(Duration::from_micros(12_045)),
        edge_time: Duration::from_nanos(17_900),
        total_time: Duration::from_micros(12_345_678),
        bytes_in: 5,
        bytes_out: 1_048_576,
        request_id: b"r-1",
        trace_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
        retried: false,
        complete: true,
    }
}

fn line(record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    record.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn read(record: &AccessRecord<'_>) -> Value {
    serde_json::from_str(&line(record)).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let file = BufReader::new(File::open(path).unwrap());
    file.lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

#[test]
fn a_forwarded_request() {
    assert_eq!(
        line(&record()),
        concat!(
            r#"{"ts":"2026-11-23T07:30:00.123Z","node":"edge-1","listener":"127.0.0.1:8443","proto":"HTTP/2.0","tls":"1.3","#,
            r#""visitor":"192.0.2.1","method":"GET","host":"acme.example.com","path":"/a/b","status":200,"#,
            r#""tenant":"0192f0c1-7e1a-7cc0-b8a5-000000000001","slug":"acme","via":"subdomain","agree":["subdomain","token"],"#,
            r#""upstream":"app","endpoint":"127.0.0.1:3000","upstream_ms":12.045,"retried":false,"edge_us":17,"#,
            r#""total_ms":12345.678,"bytes_in":5,"bytes_out":1048576,"complete":true,"request_id":"r-1","#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
            "\n"
        )
    );
}

#[test]
fn a_refused_request() {
    let refused = read(&AccessRecord {
        tls: None,
        status: 403,
        refusal: Some(Code::TenantConflict),
        reason: Some("subdomain names acme, token names globex"),
        tenant: None,
        slug: None,
        sources: Sources::default(),
        upstream: None,
        endpoint: None,
        upstream_time: None,
        trace_id: None,
        ..record()
    });
    let expected = json!({
        "ts": "2026-11-23T07:30:00.123Z", "node": "edge-1", "listener": "127.0.0.1:8443", "proto": "HTTP/2.0",
        "visitor": "192.0.2.1", "method": "GET", "host": "acme.example.com", "path": "/a/b", "status": 403,
        "refusal": "tenant_conflict", "reason": "subdomain names acme, token names globex", "via": "none", "agree": [],
        "retried": false, "edge_us": 17, "total_ms": 12345.678, "bytes_in": 5, "bytes_out": 1_048_576, "complete": true, "request_id": "r-1",
    });
    assert_eq!(refused, expected);
}

#[test]
fn i8_neither_query_nor_userinfo_gets_into_a_line() {
    for (host, path) in [
        (&b"user:canary@acme.test"[..], &b"/a?token=canary"[..]),
        (b"canary@b@acme.test", b"/a#canary"),
        (b"acme.test", b"/a?x=1?canary#canary"),
    ] {
        let line = line(&AccessRecord {
            host,
            path,
            ..record()
        });
        assert!(!line.contains("canary"), "{line}");
        assert!(line.contains(r#""host":"acme.test","path":"/a""#), "{line}");
    }
}

#[test]
fn i9_nothing_a_visitor_sends_breaks_the_line() {
    let line = line(&AccessRecord {
        method: "G\u{1b}[31m",
        host: b"a\"\n{\"fake\":1}",
        path: b"/\xff\r\n\x7f",
        request_id: b"\"}\n",
        reason: Some("\u{202e}"),
        ..record()
    });
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.trim_end().chars().any(char::is_control));
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["host"], "a\"\n{\"fake\":1}");
    assert_eq!(read["path"], "/\u{fffd}\r\n\u{7f}");
}

#[test]
fn long_values_are_cut_between_characters() {
    let long = "ä".repeat(5000);
    let read = read(&AccessRecord {
        method: &long,
        host: long.as_bytes(),
        path: long.as_bytes(),
        ..record()
    });
    assert_eq!(read["method"], "ä".repeat(16));
    assert_eq!(read["host"], "ä".repeat(127));
    assert_eq!(read["path"], "ä".repeat(1024));
}

#[test]
fn every_line_of_every_thread_is_in_the_file_once_the_guard_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let metrics = Metrics::new(0).unwrap();
    for round in 1..=2 {
        let (log, guard) =
            AccessLog::start(&config::AccessLog::File(path.clone()), Arc::clone(&metrics)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    (0..500).for_each(|n| {
                        log.line(&AccessRecord {
                            bytes_in: thread * 500 + n,
                            ..record()
                        })
                    })
                });
            }
        });
        drop(guard);
        let mut seen: Vec<_> = lines(&path)
            .iter()
            .skip((round - 1) * 2000)
            .map(|l| l["bytes_in"].as_u64().unwrap())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
        log.line(&record());
        assert_eq!(
            metrics.access_log_dropped.get(),
            round as u64,
            "a line after the end is counted as dropped"
        );
    }
}

#[test]
fn i15_a_full_disk_costs_lines_and_nothing_else() {
    let metrics = Metrics::new(0).unwrap();
    let (log, guard) = AccessLog::start(
        &config::AccessLog::File("/dev/full".into()),
        Arc::clone(&metrics),
    )
    .unwrap();
    for _ in 0..100 {
        log.line(&record());
    }
    drop(guard);
    assert_eq!(metrics.access_log_dropped.get(), 100);
}

#[test]
fn a_reader_that_has_stopped_holds_up_nobody() {
    let (reader, pipe) = io::pipe().unwrap();
    let metrics = Metrics::new(0).unwrap();
    let (queue, writer) = writer::start(
        File::from(OwnedFd::from(pipe)),
        metrics.access_log_dropped.clone(),
    )
    .unwrap();
    let log = AccessLog(Some(queue));
    let path = [b'x'; 2000];
    let written = 10_000;
    for _ in 0..written {
        log.line(&AccessRecord {
            path: &path,
            ..record()
        });
    }
    assert!(metrics.access_log_dropped.get() > 0);
    drop(reader);
    drop(writer);
    // The pipe took at most 64 KiB of lines that have at least 2000 bytes.
    assert!(metrics.access_log_dropped.get() >= written - 33);
}

#[test]
fn off_keeps_nothing_and_a_missing_folder_is_an_error() {
    let metrics = Metrics::new(0).unwrap();
    let (log, _guard) = AccessLog::start(&config::AccessLog::Off, Arc::clone(&metrics)).unwrap();
    assert!(!log.is_on());
    log.line(&record());
    assert_eq!(metrics.access_log_dropped.get(), 0);
    assert!(
        AccessLog::start(
            &config::AccessLog::File("/no/such/folder/a.log".into()),
            metrics
        )
        .is_err()
    );
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let metrics = Metrics::new(0).unwrap();
    let queue = Queue::new(10, metrics.access_log_dropped.clone());
    for line in ["1234\n", "123456\n", "1234\n", "\n"] {
        queue.push(line.as_bytes());
    }
    assert_eq!(metrics.access_log_dropped.get(), 2);
    let mut buffer = Vec::new();
    assert_eq!(queue.take(&mut buffer), Next::Write);
    assert_eq!(buffer, b"1234\n1234\n");
    queue.close();
    buffer.clear();
    assert_eq!(queue.take(&mut buffer), Next::End);
}

/// A disk with that much room left.
struct Disk {
    room: usize,
    content: Vec<u8>,
}

impl Write for &mut Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(self.room);
        self.content.extend_from_slice(&bytes[..fits]);
        self.room -= fits;
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_cut_short_does_not_spoil_the_next() {
    let mut disk = Disk {
        room: 8,
        content: Vec::new(),
    };
    let mut output = Output::new(&mut disk);
    assert_eq!(output.write(b"first\nsecond\nthird\n"), 2);
    assert_eq!(output.write(b"fourth\n"), 1);
    output.room(100);
    assert_eq!(output.write(b"fifth\n"), 0);
    assert_eq!(String::from_utf8_lossy(&disk.content), "first\nse\nfifth\n");
}

impl Output<&mut Disk> {
    fn room(&mut self, bytes: usize) {
        self.file.room = bytes;
    }
}
