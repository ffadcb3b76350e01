use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_url_is_https_or_loopback() {
    for (text, shown, place, private) in [
        (
            "https://hooks.example/a?key=secret",
            "https://hooks.example/a?…",
            ("hooks.example", 443),
            false,
        ),
        (
            "HTTPS://hooks.example",
            "https://hooks.example/",
            ("hooks.example", 443),
            false,
        ),
        (
            "https://10.0.0.1:8443/a",
            "https://10.0.0.1:8443/a",
            ("10.0.0.1", 8443),
            true,
        ),
        (
            "https://[fd00::1]/",
            "https://[fd00::1]/",
            ("fd00::1", 443),
            true,
        ),
        (
            "http://127.0.0.1:81/a",
            "http://127.0.0.1:81/a",
            ("127.0.0.1", 81),
            true,
        ),
        (
            "http://localhost/",
            "http://localhost/",
            ("localhost", 80),
            true,
        ),
    ] {
        let url = WebhookUrl::parse(text).unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.place(), url.is_private()),
            (shown, place, private)
        );
        assert_eq!(url.as_str(), text);
        assert!(!format!("{url:?}").contains("secret"));
    }
}

#[test]
fn what_is_no_url_of_a_webhook_is_told_why() {
    for (text, error) in [
        ("http://hooks.example/", WebhookUrlError::Plain),
        ("http://127.0.0.1.example/", WebhookUrlError::Plain),
        ("http://169.254.169.254/", WebhookUrlError::Plain),
        ("https://user@hooks.example/", WebhookUrlError::UserInfo),
        (
            "https://user:word@hooks.example/",
            WebhookUrlError::UserInfo,
        ),
        ("file:///etc/passwd", WebhookUrlError::Malformed),
        ("hooks.example", WebhookUrlError::Malformed),
        ("/hooks", WebhookUrlError::Malformed),
        ("https://hooks.example:/", WebhookUrlError::Malformed),
        ("https://hooks.example:99999/", WebhookUrlError::Malformed),
        ("https://", WebhookUrlError::Malformed),
        ("", WebhookUrlError::Malformed),
    ] {
        assert_eq!(WebhookUrl::parse(text), Err(error), "{text}");
    }
}

#[test]
fn waits_grow_until_patience_ends() {
    let down = Reply::Unanswered("down".into());
    let mut tried_for = Duration::ZERO;
    let mut waits = Vec::new();
    for attempt in 1.. {
        match down.next(attempt, tried_for) {
            Next::Again { wait, hold } => {
                assert_eq!(hold, Duration::ZERO);
                waits.push(wait.as_secs());
                tried_for += wait;
            }
            Next::GiveUp => break,
            Next::Delivered => panic!("nobody answered"),
        }
    }
    assert_eq!(
        waits[..7],
        [5, 30, 120, 600, 3_600, 10_800, 21_600],
        "in seconds"
    );
    assert!(waits[7..].iter().all(|wait| *wait == 21_600));
    assert!(tried_for >= PATIENCE && tried_for < PATIENCE + LONGEST_WAIT);
}

#[test]
fn a_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds() {
    for (asked, wait) in [(1, 5), (60, 60), (1_000_000, 21_600)] {
        let busy = Reply::Answered {
            status: 503,
            retry_after: Some(SECOND * asked),
        };
        let hold = (SECOND * asked).min(LONGEST_WAIT);
        let wait = SECOND * wait;
        assert_eq!(
            busy.next(1, Duration::ZERO),
            Next::Again { wait, hold },
            "{asked}"
        );
    }
}

#[test]
fn only_a_status_of_success_is_delivery() {
    for status in 100..=599 {
        let reply = Reply::Answered {
            status,
            retry_after: None,
        };
        let delivered = reply.next(1, Duration::ZERO) == Next::Delivered;
        assert_eq!(delivered, (200..300).contains(&status), "{status}");
        assert_eq!(delivered, reply.fault().is_none(), "{status}");
        assert_eq!(reply.is_gone(), status == 410);
    }
}

proptest! {
    #[test]
    fn plain_urls_never_leave_the_machine(host in "[a-z0-9.\\[\\]:@%-]{0,20}") {
        if let Ok(url) = WebhookUrl::parse(&format!("http://{host}/")) {
            prop_assert!(url.is_private(), "{host}");
        }
    }
}
