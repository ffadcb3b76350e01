use proptest::prelude::*;

use super::*;

#[test]
fn a_url_is_https_or_loopback() {
    for (text, shown, tls, port) in [
        (
            "https://keys.example/a?b=secret",
            "https://keys.example/a",
            true,
            443,
        ),
        ("HTTPS://keys.example", "https://keys.example/", true, 443),
        (
            "https://keys.example:8443/a",
            "https://keys.example:8443/a",
            true,
            8443,
        ),
        ("https://10.0.0.1/a", "https://10.0.0.1/a", true, 443),
        ("http://127.0.0.1:81/a", "http://127.0.0.1:81/a", false, 81),
        ("http://127.9.9.9/a", "http://127.9.9.9/a", false, 80),
        ("http://[::1]:82/", "http://[::1]:82/", false, 82),
        ("http://LocalHost/", "http://LocalHost/", false, 80),
    ] {
        let url = KeySetUrl::parse(text).unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.tls, url.port),
            (shown, tls, port)
        );
        assert!(!format!("{url:?}").contains("secret"));
    }
    for (text, error) in [
        ("http://keys.example/", KeySetUrlError::Plain),
        ("http://127.0.0.1.example/", KeySetUrlError::Plain),
        ("http://0.0.0.0/", KeySetUrlError::Plain),
        ("http://169.254.169.254/", KeySetUrlError::Plain),
        ("https://user@keys.example/", KeySetUrlError::UserInfo),
        ("file:///etc/passwd", KeySetUrlError::Malformed),
        ("ftp://localhost/", KeySetUrlError::Malformed),
        ("//keys.example/", KeySetUrlError::Malformed),
        ("keys.example", KeySetUrlError::Malformed),
        ("/keys", KeySetUrlError::Malformed),
        ("https://keys.example:99999/", KeySetUrlError::Malformed),
        ("https://keys.example:/", KeySetUrlError::Malformed),
        ("https://:443/", KeySetUrlError::Malformed),
        ("https://", KeySetUrlError::Malformed),
        ("https://a b/", KeySetUrlError::Malformed),
        ("", KeySetUrlError::Malformed),
    ] {
        assert_eq!(KeySetUrl::parse(text), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn plain_urls_never_leave_the_machine(host in "[a-z0-9.\\[\\]:@%-]{0,20}") {
        if let Ok(url) = KeySetUrl::parse(&format!("http://{host}/")) {
            let is_local = url.host.eq_ignore_ascii_case("localhost")
                || url.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            prop_assert!(is_local, "{host}");
        }
    }

    #[test]
    fn whatever_parses_makes_a_request(text in "https?://(localhost|127\\.0\\.0\\.1)(:[0-9]{1,5})?[!-~]{0,20}") {
        if let Ok(url) = KeySetUrl::parse(&text) {
            prop_assert!(url.request().is_ok());
        }
    }
}
