use super::*;

fn frame(kind: u8, length: u32) -> FrameHead {
    FrameHead {
        length,
        kind,
        flags: 0,
        stream: 1,
    }
}

/// How many frames of `kind` pass at one moment, and what is said of the next.
fn pass(counts: &mut Counts, kind: u8, now: Instant) -> (u32, FloodKind) {
    let mut passed = 0;
    loop {
        match counts.received(frame(kind, 8), || now) {
            None => passed += 1,
            Some(flood) => return (passed, flood),
        }
    }
}

#[test]
fn h10_each_kind_has_its_limit() {
    let now = Instant::now();
    for (kind, limit, flood) in [
        (kind::PING, 100, FloodKind::Ping),
        (kind::SETTINGS, 50, FloodKind::Settings),
        (kind::PRIORITY, 100, FloodKind::Priority),
        (kind::WINDOW_UPDATE, 100, FloodKind::WindowUpdate),
        (kind::RST_STREAM, 500, FloodKind::Reset),
        (0x10, 1000, FloodKind::Unknown),
    ] {
        assert_eq!(pass(&mut Counts::default(), kind, now), (limit, flood));
    }
}

#[test]
fn counts_start_anew_after_the_window() {
    let now = Instant::now();
    let mut counts = Counts::default();
    pass(&mut counts, kind::PING, now);
    assert_eq!(pass(&mut counts, kind::PING, now + WINDOW).0, 100);
}

#[test]
fn window_updates_are_earned_by_data_whenever_it_was_sent() {
    let now = Instant::now();
    let mut counts = Counts::default();
    for _ in 0..1000 {
        counts.sent(frame(kind::DATA, 16_384));
    }
    assert_eq!(
        pass(&mut counts, kind::WINDOW_UPDATE, now + 9 * WINDOW).0,
        2100
    );
}

#[test]
fn resets_beside_twice_as_many_answered_streams_are_a_visitors_right() {
    let now = Instant::now();
    let mut counts = Counts::default();
    for _ in 0..5000 {
        for kind in [kind::HEADERS, kind::HEADERS, kind::RST_STREAM] {
            assert_eq!(counts.received(frame(kind, 30), || now), None);
        }
    }
}

#[test]
fn bytes_without_payload_end_the_connection_even_where_no_kind_is_too_many() {
    let now = Instant::now();
    let mut counts = Counts::default();
    let flood = (0..1000).find_map(|_| counts.received(frame(0x33, 16_384), || now));
    assert_eq!(flood, Some(FloodKind::Overhead));
}

#[test]
fn an_upload_is_payload() {
    let mut counts = Counts::default();
    let now = || -> Instant { panic!("the clock is not read for DATA") };
    for _ in 0..100_000 {
        assert_eq!(counts.received(frame(kind::DATA, 16_384), now), None);
    }
}
