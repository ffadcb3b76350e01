use std::net::{IpAddr, Ipv4Addr, TcpListener};

use proptest::prelude::*;

use super::*;
use crate::config::LimitDefaults;
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::model::Limits;

fn counts(posts: &[Post]) -> Vec<usize> {
    let of = |thread: &Thread| thread.open.0.load(Relaxed);
    posts[0].desk.threads.iter().map(of).collect()
}

fn passed(seat: Seat) -> Passed {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let none = Limits {
        requests_per_second: 0,
        burst: 0,
        in_flight: 0,
        body: 0,
    };
    let defaults = LimitDefaults {
        tenant: none,
        node_in_flight: 1,
        body_rate: 0,
        header: 0,
        connections: 0,
        connections_per_ip: 0,
    };
    let guard = Guard::new(&defaults, &[], Metrics::new(0).unwrap());
    Passed {
        socket,
        kind: Kind::Http,
        permit: guard.connection(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap(),
        seat,
    }
}

#[test]
fn a_single_thread_keeps_everything() {
    let posts = posts(1);
    let seats: Vec<_> = (0..100).map(|_| posts[0].desk.seat()).collect();
    assert!(seats.iter().all(|seat| posts[0].desk.is_own(seat)));
    assert_eq!(counts(&posts), [100]);
}

#[test]
fn few_connections_are_spread_evenly_whoever_accepts_them() {
    let posts = posts(4);
    let seats: Vec<_> = (0..8).map(|_| posts[2].desk.seat()).collect();
    assert_eq!(counts(&posts), [2, 2, 2, 2]);
    drop(seats);
    assert_eq!(counts(&posts), [0, 0, 0, 0]);
}

#[test]
fn a_small_difference_among_many_is_left_alone() {
    let posts = posts(2);
    let seat = |thread: usize| posts[thread].desk.seat();
    let _even: Vec<_> = (0..200).map(|number| seat(number % 2)).collect();
    assert_eq!(counts(&posts), [100, 100]);
    let own: Vec<_> = (0..13).map(|_| seat(0)).collect();
    assert_eq!(counts(&posts), [113, 100]);
    let other = seat(0);
    assert_eq!(counts(&posts), [113, 101]);
    assert!(own.iter().all(|seat| posts[0].desk.is_own(seat)));
    assert!(posts[1].desk.is_own(&other));
}

#[test]
fn what_a_thread_does_not_take_in_comes_back() {
    let mut posts = posts(2);
    let _first = posts[0].desk.seat();
    let seat = posts[0].desk.seat();
    assert!(posts[0].desk.pass(passed(seat)).is_ok());
    let taken = posts[1].inbox.try_recv().unwrap();
    assert!(posts[1].desk.is_own(&taken.seat));
    drop(taken);
    posts[1].inbox.close();
    let seat = posts[0].desk.seat();
    assert!(!posts[0].desk.is_own(&seat));
    let back = posts[0].desk.pass(passed(seat)).unwrap_err();
    assert!(posts[0].desk.is_own(&back.seat));
    assert_eq!(counts(&posts), [2, 0]);
}

proptest! {
    #[test]
    fn while_connections_only_come_no_thread_has_much_more_than_another(
        threads in 1usize..9,
        accepted in proptest::collection::vec(0usize..8, 0..300),
    ) {
        let posts = posts(threads);
        let seats: Vec<_> = accepted.iter().map(|by| posts[by % threads].desk.seat()).collect();
        let counts = counts(&posts);
        let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        prop_assert!(*most <= fewest + fewest / SLACK + 1, "{counts:?}");
        prop_assert_eq!(counts.iter().sum::<usize>(), seats.len());
    }
}
