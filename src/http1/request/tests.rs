use proptest::prelude::*;

use super::*;

const MOST: usize = 1000;

fn read(text: impl AsRef<[u8]>) -> Result<Option<Box<Parts>>, HeadFault> {
    request_head(&mut BytesMut::from(text.as_ref()), MOST)
}

fn body(fields: &str) -> Result<BodyDecoder, FramingFault> {
    let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
    request_body(&read(text).unwrap().unwrap())
}

#[test]
fn a_head_is_taken_and_the_rest_left() {
    let mut buffer = BytesMut::from(
        "\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\na: 1 \r\nA:2\r\n\r\nbody",
    );
    let head = request_head(&mut buffer, MOST).unwrap().unwrap();
    assert_eq!(
        (head.method, head.version),
        (Method::POST, Version::HTTP_11)
    );
    assert_eq!(head.uri, "/a?b");
    assert_eq!(
        (&head.headers["host"], &head.headers["empty"]),
        (&"x".parse().unwrap(), &"".parse().unwrap())
    );
    let both: Vec<_> = head.headers.get_all("a").iter().collect();
    assert_eq!(both, ["1", "2"]);
    assert_eq!(&buffer[..], b"body");
    let old = read("GET http://x/ HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!(old.version, Version::HTTP_10);
    assert_eq!(old.uri.host(), Some("x"));
}

#[test]
fn what_has_not_all_come_is_waited_for() {
    let whole = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).unwrap().is_none(), "{length}");
    }
    assert!(read(whole).unwrap().is_some());
}

#[test]
fn a11_a_bare_line_feed_ends_no_line() {
    for text in [
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\n\n",
        "GET / HTTP/1.1\n\n",
    ] {
        let fault = read(text).unwrap_err();
        assert!(matches!(fault, HeadFault::Malformed(_)), "{text:?}");
    }
}

#[test]
fn a7_to_a10_lines_that_are_no_fields_are_faults() {
    for field in [
        "Transfer-Encoding : chunked",
        "a: b\r\n folded",
        " a: b",
        "a: b\rc: d",
        "a: b\0c",
        ": empty",
        "no colon",
        "a b: c",
    ] {
        let fault = read(format!("GET / HTTP/1.1\r\n{field}\r\n\r\n")).unwrap_err();
        assert!(matches!(fault, HeadFault::Malformed(_)), "{field:?}");
    }
}

#[test]
fn h5_what_is_too_large_is_said_to_be() {
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(read(fields(100)).unwrap().is_some());
    assert_eq!(read(fields(101)).unwrap_err(), HeadFault::TooLarge);
    let long = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(MOST));
    assert_eq!(read(&long).unwrap_err(), HeadFault::TooLarge);
    assert_eq!(
        read(format!("{long}\r\n\r\n")).unwrap_err(),
        HeadFault::TooLarge
    );
    let target = format!("GET /{}", "a".repeat(MOST));
    assert_eq!(read(target).unwrap_err(), HeadFault::UriTooLong);
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    let read = request_head(&mut BytesMut::from(&target[..]), 96 * 1024);
    assert_eq!(read.unwrap_err(), HeadFault::UriTooLong);
}

#[test]
fn a1_to_a7_only_one_meaning_is_a_length() {
    assert!(body("").unwrap().is_over());
    assert!(body("Content-Length: 0\r\n").unwrap().is_over());
    assert_eq!(body("Content-Length: 3\r\n").unwrap().left(), Some(3));
    assert_eq!(
        body("Content-Length: 3\r\ncontent-length: 3\r\n")
            .unwrap()
            .left(),
        Some(3)
    );
    assert_eq!(body("Transfer-Encoding: CHUNKED\r\n").unwrap().left(), None);
    for length in ["3, 3", "+3", "-1", "0x3", "3 3", "", "18446744073709551616"] {
        let fault = body(&format!("Content-Length: {length}\r\n")).unwrap_err();
        assert_eq!(fault, FramingFault::Length, "{length:?}");
    }
    let different = body("Content-Length: 3\r\nContent-Length: 4\r\n");
    assert_eq!(different.unwrap_err(), FramingFault::Length);
    let both = body("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(both.unwrap_err(), FramingFault::Both);
    for coding in [
        "gzip, chunked",
        "chunked, chunked",
        "chunked;q=1",
        "\"chunked\"",
        "identity",
        "",
    ] {
        let fault = body(&format!("Transfer-Encoding: {coding}\r\n")).unwrap_err();
        assert_eq!(fault, FramingFault::Coding, "{coding:?}");
    }
    let twice = body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(twice.unwrap_err(), FramingFault::Coding);
    let old = read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(request_body(&old).unwrap_err(), FramingFault::Version);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = request_head(&mut BytesMut::from(&bytes[..]), 200);
    }

    /// Whatever is read, it is only one head, and its lines end in CRLF.
    #[test]
    fn a_head_that_is_read_holds_no_other_line_ends(text in "GET /[a-z]{0,3} HTTP/1.1(\r\n|\n|\r)([a-z]{1,2}: [a-z\r\n]{0,4}(\r\n|\n)){0,3}(\r\n|\n)") {
        let mut buffer = BytesMut::from(&text[..]);
        if let Ok(Some(_)) = request_head(&mut buffer, MOST) {
            let head = &text[..text.len() - buffer.len()];
            prop_assert!(head.ends_with("\r\n\r\n"));
            prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n']));
        }
    }
}
