//! In memory and on paused time: how long a body may take can be stated exactly, and no machine is too slow for it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::http1::BodyDecoder;
use crate::proxy::h1::{Line, Wire};

const IDLE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

impl Wire for DuplexStream {
    fn holds_back(&self) -> bool {
        false
    }
}

/// What became of a body.
struct Ended {
    fate: Fate,
    received: u64,
    after: Duration,
}

/// Reads the body that `send` sends, at once or after a pause before each read.
async fn ended(
    rate: u64,
    reads_after: Duration,
    send: impl AsyncFnOnce(&mut DuplexStream),
) -> Ended {
    let (mut visitor, socket) = duplex(4096);
    let reading = async {
        let line = Line::shared(socket);
        line.borrow_mut()
            .begin(BodyDecoder::strictly_chunked(), false);
        let (begun, pace) = (Instant::now(), Pace::new(IDLE, rate));
        let (mut body, watch) = RequestBody::new(Incoming::Http1(line), 1 << 20, pace);
        while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            sleep(reads_after).await;
        }
        Ended {
            fate: watch.fate.get(),
            received: watch.received.get(),
            after: begun.elapsed(),
        }
    };
    tokio::join!(reading, send(&mut visitor)).0
}

/// Sends a byte, again and again, each after a pause; then the end.
async fn drip(visitor: &mut DuplexStream, times: u32, pause: Duration) {
    for _ in 0..times {
        sleep(pause).await;
        if visitor.write_all(b"1\r\nx\r\n").await.is_err() {
            return;
        }
    }
    let _ = visitor.write_all(b"0\r\n\r\n").await;
}

fn assert_about(measured: Duration, expected: Duration) {
    // The timer wheel rounds up to the next millisecond.
    let more = measured.checked_sub(expected);
    assert!(
        more.is_some_and(|more| more <= Duration::from_millis(5)),
        "{measured:?} is not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn h3_a_body_that_stalls_is_given_up_after_the_pause_that_is_allowed() {
    for rate in [0, 240] {
        let stalled = ended(rate, Duration::ZERO, async |visitor| {
            visitor.write_all(b"5\r\n01234\r\n").await.unwrap();
        })
        .await;
        assert_eq!((stalled.fate, stalled.received), (Fate::Stalled, 5));
        assert_about(stalled.after, IDLE);
    }
}

#[tokio::test(start_paused = true)]
async fn h3_a_slow_body_that_goes_on_is_left_alone() {
    let slow = ended(0, Duration::ZERO, async |visitor| {
        drip(visitor, 1000, IDLE - SECOND).await;
    })
    .await;
    assert_eq!((slow.fate, slow.received), (Fate::Complete, 1000));
    assert_about(slow.after, 1000 * (IDLE - SECOND));
}

#[tokio::test(start_paused = true)]
async fn h3_a_body_that_trickles_is_given_up_in_the_end() {
    let trickle = ended(240, Duration::ZERO, async |visitor| {
        drip(visitor, 1000, SECOND).await;
    })
    .await;
    assert_eq!(trickle.fate, Fate::Stalled);
    // Thirty seconds, and an eighth of one for what came in them.
    assert_eq!(trickle.received, 30);
    assert_about(trickle.after, Duration::from_millis(30_125));
}

#[tokio::test(start_paused = true)]
async fn h3_who_sends_enough_may_take_as_long_as_it_takes() {
    let enough = ended(10, Duration::ZERO, async |visitor| {
        for _ in 0..500 {
            sleep(SECOND).await;
            visitor.write_all(b"a\r\n0123456789\r\n").await.unwrap();
        }
        visitor.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!((enough.fate, enough.received), (Fate::Complete, 5000));
}

#[tokio::test(start_paused = true)]
async fn h3_an_upstream_that_takes_its_time_is_not_the_visitors_fault() {
    let held = ended(1000, 10 * IDLE, async |visitor| {
        drip(visitor, 50, Duration::ZERO).await;
    })
    .await;
    assert_eq!((held.fate, held.received), (Fate::Complete, 50));
    assert!(held.after >= 50 * 10 * IDLE, "{:?}", held.after);
}
