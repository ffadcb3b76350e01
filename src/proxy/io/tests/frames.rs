//! Frames counted, headers open, streams stalled: over the plain text of HTTP/2.

use futures_util::future::{AbortHandle, Abortable};

use super::*;

const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

type Guarded = FrameGuard<EdgeIo<DuplexStream>>;

async fn guarded(sent: &[u8]) -> (DuplexStream, Guarded, Arc<ConnectionState>) {
    let (mut visitor, io, state) = connection(1024 * 1024);
    visitor.write_all(PREFACE).await.unwrap();
    visitor.write_all(sent).await.unwrap();
    (visitor, FrameGuard::new(io, Arc::clone(&state)), state)
}

fn after_settings(rest: &[u8]) -> Vec<u8> {
    [&SETTINGS[..], rest].concat()
}

#[tokio::test(start_paused = true)]
async fn what_is_begun_must_be_finished_within_the_head_time() {
    for begun in [
        vec![],
        after_settings(&[0, 0]),
        after_settings(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3]),
        after_settings(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]),
        after_settings(&[
            0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82, 0, 0, 1, 9, 0, 0, 0, 0, 1, 0x86,
        ]),
    ] {
        let (_visitor, mut guard, state) = guarded(&begun).await;
        assert_about(read_until_closed(&mut guard).await, HEAD);
        assert_eq!(state.closed(), Some(Closed::Head), "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_header_block_is_bounded_beside_other_requests_too() {
    let open = after_settings(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]);
    let (_visitor, mut guard, state) = guarded(&open).await;
    let _exchange = state.begin_request();
    assert_about(read_until_closed(&mut guard).await, HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));
}

#[tokio::test(start_paused = true)]
async fn continuation_gives_no_further_time() {
    let (mut visitor, mut guard, _state) =
        guarded(&after_settings(&[0, 0, 0, 1, 0, 0, 0, 0, 1])).await;
    tokio::spawn(async move {
        while visitor
            .write_all(&[0, 0, 0, 9, 0, 0, 0, 0, 1])
            .await
            .is_ok()
        {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_about(read_until_closed(&mut guard).await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_says_goodbye_whatever_pings_it_sends() {
    let (visitor, mut guard, state) = guarded(&SETTINGS).await;
    let (mut answers, mut questions) = tokio::io::split(visitor);
    tokio::spawn(async move {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        while questions.write_all(&ping).await.is_ok() {
            sleep(Duration::from_secs(5)).await;
        }
    });
    let begun = Instant::now();
    let mut all = Vec::new();
    guard.read_to_end(&mut all).await.unwrap();
    assert_about(begun.elapsed(), IDLE);
    assert_eq!(state.closed(), Some(Closed::Idle));
    let mut goaway = [0; 17];
    answers.read_exact(&mut goaway).await.unwrap();
    assert_eq!(goaway, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn h10_a_flood_is_answered_with_enhance_your_calm() {
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let request = [0, 0, 1, 1, 5, 0, 0, 0, 7, 0x82];
    let flood = after_settings(&[&request[..], &ping.repeat(101)].concat());
    let (mut visitor, mut guard, state) = guarded(&flood).await;
    guard.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(state.closed(), Some(Closed::Flood(FloodKind::Ping)));
    let mut goaway = [0; 17];
    visitor.read_exact(&mut goaway).await.unwrap();
    assert_eq!(
        goaway,
        [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0xb]
    );
}

#[tokio::test(start_paused = true)]
async fn goodbye_is_not_said_in_the_middle_of_a_frame() {
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let (mut visitor, mut guard, _) = guarded(&after_settings(&ping.repeat(101))).await;
    guard.write_all(&[0, 0, 9, 0, 0, 0, 0]).await.unwrap();
    guard.read_to_end(&mut Vec::new()).await.unwrap();
    drop(guard);
    let mut seen = Vec::new();
    visitor.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn h12_a_stream_whose_window_stays_shut_and_that_nobody_can_end_closes_the_connection() {
    let (_visitor, mut guard, state) = guarded(&SETTINGS).await;
    let (waiting, lively) = (state.begin_request(), state.begin_request());
    waiting.waiting_on_visitor();
    let begun = Instant::now();
    let closed = tokio::spawn(async move { read_until_closed(&mut guard).await });
    while !closed.is_finished() {
        lively.waiting_on_visitor();
        lively.progress();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(state.closed(), Some(Closed::Stream));
    assert!(begun.elapsed() >= WRITE && begun.elapsed() <= 2 * WRITE);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn h4_a_stream_whose_window_stays_shut_is_ended_alone() {
    let (_visitor, mut guard, state) = guarded(&SETTINGS).await;
    let begin = || {
        let (handle, registration) = AbortHandle::new_pair();
        state.begin_stream(handle);
        (state.begin_request(), registration)
    };
    let ((waiting, first), (_lively, second)) = (begin(), begin());
    waiting.waiting_on_visitor();
    let served = Abortable::new(std::future::pending::<()>(), first);
    let mut scratch = [0; 100];
    let begun = Instant::now();
    let reading = async { while guard.read(&mut scratch).await.is_ok() {} };
    tokio::select! {
        ended = served => assert!(ended.is_err()),
        () = reading => panic!("the connection is closed for it"),
    }
    assert!(begun.elapsed() >= WRITE && begun.elapsed() <= 2 * WRITE);
    assert!(!second.handle().is_aborted());
    assert_eq!(state.closed(), None);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_stays_whatever_its_streams_wait_for() {
    let half_data = after_settings(&[0, 0, 9, 0, 0, 0, 0, 0, 1, 1, 2]);
    let (_visitor, mut guard, state) = guarded(&half_data).await;
    let exchange = state.begin_request();
    exchange.waiting_on_visitor();
    exchange.progress();
    let mut scratch = [0; 100];
    let reading = async { while guard.read(&mut scratch).await.is_ok() {} };
    assert!(timeout(100 * IDLE, reading).await.is_err());
    assert_eq!(state.closed(), None);
}

#[tokio::test(start_paused = true)]
async fn a_download_beside_it_gives_an_open_header_block_no_further_time() {
    let open = after_settings(&[0, 0, 1, 1, 0, 0, 0, 0, 3, 0x82]);
    let (_visitor, mut guard, state) = guarded(&open).await;
    let _download = state.begin_request();
    let begun = Instant::now();
    let mut scratch = [0; 100];
    while guard
        .write_all(&[0, 0, 1, 0, 0, 0, 0, 0, 1, 0])
        .await
        .is_ok()
    {
        let read = timeout(Duration::from_secs(1), guard.read(&mut scratch)).await;
        if matches!(read, Ok(Err(_))) {
            break;
        }
    }
    assert_about(begun.elapsed(), HEAD);
    assert_eq!(state.closed(), Some(Closed::Head));
}
