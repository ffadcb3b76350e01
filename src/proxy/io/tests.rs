//! In memory and on paused time, so that deadlines can be stated exactly. Real sockets: `tests/it/stalls.rs`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance, sleep, timeout};

use super::sniff::PREFACE;
use super::*;

mod frames;

const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
const WRITE: Duration = Duration::from_secs(30);
/// The timer wheel rounds up to the next millisecond.
const TICK: Duration = Duration::from_millis(2);

fn timeouts() -> EdgeTimeouts {
    EdgeTimeouts {
        head: HEAD,
        body: IDLE,
        idle: IDLE,
        write: WRITE,
        tunnel: IDLE,
        shutdown_wait: IDLE,
        shutdown_drain: IDLE,
    }
}

fn connection(buffer: usize) -> (DuplexStream, EdgeIo<DuplexStream>, Arc<ConnectionState>) {
    let (visitor, socket) = duplex(buffer);
    let io = EdgeIo::new(socket, &timeouts());
    let state = Arc::clone(io.state());
    (visitor, io, state)
}

/// Reads until the connection is closed for a stall; answers after how long.
async fn read_until_closed(io: &mut (impl AsyncRead + Unpin)) -> Duration {
    let begun = Instant::now();
    let mut scratch = [0; 1024];
    loop {
        match io.read(&mut scratch).await {
            Ok(0) => panic!("the visitor left"),
            Ok(_) => {}
            Err(_) => return begun.elapsed(),
        }
    }
}

#[track_caller]
fn assert_about(measured: Duration, expected: Duration) {
    assert!(
        measured >= expected.saturating_sub(TICK) && measured <= expected + TICK,
        "{measured:?} is not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn h1_nothing_sent_is_closed_after_the_head_time() {
    let (_visitor, mut io, state) = connection(1024);
    assert_about(read_until_closed(&mut io).await, HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));
}

#[tokio::test(start_paused = true)]
async fn h2_a_head_that_drips_is_bounded_in_all_and_not_per_byte() {
    let (mut visitor, mut io, state) = connection(1024);
    tokio::spawn(async move {
        while visitor.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_about(read_until_closed(&mut io).await, HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_leaves_the_whole_head_time() {
    let (_visitor, mut io, state) = connection(1024);
    assert!(timeout(HEAD / 2, io.read_u8()).await.is_err());
    state.handshake_done();
    assert_about(read_until_closed(&mut io).await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn between_requests_the_idle_time_counts_and_a_byte_begins_the_next_head() {
    let (mut visitor, mut io, state) = connection(1024);
    visitor.write_all(b"GET").await.unwrap();
    io.read_exact(&mut [0; 3]).await.unwrap();
    drop(state.begin_request());
    assert!(timeout(IDLE - TICK, io.read_u8()).await.is_err(), "idle");
    visitor.write_all(b"G").await.unwrap();
    assert_about(read_until_closed(&mut io).await, HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));

    let (_visitor, mut io, state) = connection(1024);
    drop(state.begin_request());
    assert_about(read_until_closed(&mut io).await, IDLE);
    assert_eq!(state.closed(), Some(Closed::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_may_be_silent_for_ever() {
    let (_visitor, mut io, state) = connection(1024);
    let exchange = state.begin_request();
    assert!(timeout(100 * IDLE, io.read_u8()).await.is_err());
    assert_eq!(state.closed(), None);
    drop(exchange);
    assert_about(read_until_closed(&mut io).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn many_requests_later_the_idle_time_is_still_exact() {
    let (mut visitor, mut io, state) = connection(1024);
    for _ in 0..50 {
        visitor.write_all(b"GET").await.unwrap();
        io.read_exact(&mut [0; 3]).await.unwrap();
        drop(state.begin_request());
        assert!(timeout(IDLE / 7, io.read_u8()).await.is_err());
    }
    assert_about(read_until_closed(&mut io).await, IDLE - IDLE / 7);
}

#[tokio::test(start_paused = true)]
async fn h4_a_reader_that_stops_is_closed_and_a_slow_one_is_not() {
    let (mut visitor, mut io, state) = connection(64);
    let exchange = state.begin_request();
    let reader = tokio::spawn(async move {
        for _ in 0..10 {
            visitor.read_exact(&mut [0; 8]).await.unwrap();
            sleep(WRITE - Duration::from_secs(1)).await;
        }
        visitor
    });
    let written = Instant::now();
    let error = io.write_all(&[0; 1024]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(state.closed(), Some(Closed::Write));
    // Nine pauses and the stall after the tenth piece.
    assert_about(
        written.elapsed(),
        9 * (WRITE - Duration::from_secs(1)) + WRITE,
    );
    drop((exchange, reader));
}

#[tokio::test(start_paused = true)]
async fn an_answer_on_its_way_is_not_idleness() {
    let (mut visitor, mut io, state) = connection(64);
    drop(state.begin_request());
    let reader = tokio::spawn(async move {
        for _ in 0..16 {
            sleep(IDLE / 4).await;
            visitor.read_exact(&mut [0; 64]).await.unwrap();
        }
        visitor
    });
    io.write_all(&[0; 1024]).await.unwrap();
    let _visitor = reader.await.unwrap();
    assert_about(read_until_closed(&mut io).await, IDLE);
    assert_eq!(state.closed(), Some(Closed::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_left_alone_also_when_it_moves_to_another_task() {
    let (mut visitor, mut io, state) = connection(64);
    state.begin_request().into_tunnel();
    assert!(timeout(100 * IDLE, io.read_u8()).await.is_err());
    let tunnel = tokio::spawn(async move {
        io.shutdown().await.unwrap();
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap();
        rest
    });
    assert_eq!(
        visitor.read(&mut [0; 8]).await.unwrap(),
        0,
        "our side ended"
    );
    advance(100 * IDLE).await;
    visitor.write_all(b"and yours goes on").await.unwrap();
    drop(visitor);
    assert_eq!(tunnel.await.unwrap(), b"and yours goes on");

    let (_visitor, mut io, state) = connection(64);
    state.begin_request().into_tunnel();
    let stalled = tokio::spawn(async move { io.write_all(&[0; 1024]).await });
    assert!(stalled.await.unwrap().is_err());
    assert_eq!(state.closed(), Some(Closed::Write));
}

#[tokio::test(start_paused = true)]
async fn closing_lingers_until_the_visitor_ends_or_it_is_enough() {
    let (visitor, mut io, _) = connection(1024);
    let begun = Instant::now();
    io.shutdown().await.unwrap();
    assert_about(begun.elapsed(), LINGER);
    drop(visitor);

    let (mut visitor, mut io, _) = connection(1024);
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        while let Ok(Ok(n)) = timeout(LINGER, visitor.write(&[0; 1000])).await {
            sent += n;
        }
        sent
    });
    let begun = Instant::now();
    io.shutdown().await.unwrap();
    assert!(begun.elapsed() < LINGER, "the bytes end it");
    let sent = sender.await.unwrap();
    assert!(
        (LINGER_BYTES..LINGER_BYTES + 8192).contains(&sent),
        "{sent}"
    );

    let (mut visitor, mut io, _) = connection(1024);
    visitor.write_all(b"some of it").await.unwrap();
    drop(visitor);
    let begun = Instant::now();
    io.shutdown().await.unwrap();
    assert!(begun.elapsed() < LINGER, "the visitor's end ends it");
}

#[tokio::test(start_paused = true)]
async fn sniffing_tells_the_protocols_apart_and_loses_nothing() {
    for (sent, wire) in [
        (&PREFACE[..], Wire::Http2),
        (b"GET / HTTP/1.1\r\n\r\n0123456789", Wire::Http1),
        (b"POST / HTTP/1.1\r\n\r\n0123456789", Wire::Http1),
        (b"PRI * HTTP/1.1\r\n\r\n0123456789", Wire::Http1),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Wire::Http1),
        (b"P", Wire::Http1),
        (b"", Wire::Http1),
    ] {
        for piece in [1, 5, 100] {
            let (mut visitor, mut io, _) = connection(1024);
            let sender = tokio::spawn(async move {
                for piece in sent.chunks(piece) {
                    visitor.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            assert_eq!(io.sniff().await.unwrap(), wire, "{sent:?}");
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, sent);
            sender.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn h1_half_a_preface_is_half_a_head() {
    let (mut visitor, mut io, state) = connection(1024);
    visitor.write_all(&PREFACE[..10]).await.unwrap();
    let begun = Instant::now();
    io.sniff().await.unwrap_err();
    assert_about(begun.elapsed(), HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));
}
