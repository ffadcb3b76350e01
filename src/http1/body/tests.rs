use super::*;
use proptest::prelude::*;

/// Everything that `bytes` say, fed `step` bytes at a time: data, trailers, whether the end was reached, bytes left over.
fn read(
    mut decoder: BodyDecoder,
    bytes: &[u8],
    step: usize,
) -> Result<(Vec<u8>, HeaderMap, bool, Vec<u8>), BodyFault> {
    let (mut buffer, mut data, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
    let mut coming = bytes.chunks(step.max(1));
    loop {
        match decoder.next(&mut buffer)? {
            Piece::Data(piece) => data.extend_from_slice(&piece),
            Piece::Trailers(fields) => trailers = fields,
            Piece::End => {
                let left = [&buffer[..], &coming.flatten().copied().collect::<Vec<_>>()].concat();
                return Ok((data, trailers, true, left));
            }
            Piece::Wanting => match coming.next() {
                Some(more) => buffer.extend_from_slice(more),
                None => return Ok((data, trailers, decoder.closed().is_ok(), buffer.to_vec())),
            },
        }
    }
}

fn chunked(text: &str) -> Result<(String, bool, String), BodyFault> {
    let mut first = None;
    // Whatever the pieces in which it comes, it says the same.
    for step in [1, 2, 3, 7, usize::MAX] {
        let outcome = read(BodyDecoder::chunked(), text.as_bytes(), step.min(1 << 20)).map(
            |(data, _, ended, left)| {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                (text(data), ended, text(left))
            },
        );
        assert_eq!(
            first.get_or_insert_with(|| outcome.clone()),
            &outcome,
            "{text:?} by {step}"
        );
    }
    first.unwrap()
}

#[test]
fn chunks_are_put_together() {
    let whole = chunked("5\r\nhello\r\n006;a=b; c\r\n world\r\n0\r\n\r\nnext");
    assert_eq!(whole, Ok(("hello world".into(), true, "next".into())));
    let padded = chunked("5  \r\nhello\r\n0\r\n\r\n");
    assert_eq!(padded, Ok(("hello".into(), true, String::new())));
    let padded = read(
        BodyDecoder::strictly_chunked(),
        b"5 \r\nhello\r\n0\r\n\r\n",
        99,
    );
    assert_eq!(padded, Err(BodyFault::Size));
}

/// The end of a broken trailer section is not the end of a body.
#[test]
fn a12_behind_a_fault_everything_is_one() {
    let many = "a: b\r\n".repeat(65);
    for section in ["bad trailer\r\n", "x : y\r\n", &many, "x\n"] {
        let mut decoder = BodyDecoder::chunked();
        let mut buffer = BytesMut::from(format!("0\r\n{section}\r\n\r\n").as_str());
        let fault = decoder.next(&mut buffer).unwrap_err();
        buffer.extend_from_slice(b"\r\n\r\n0\r\n\r\n");
        for _ in 0..3 {
            assert_eq!(decoder.next(&mut buffer).unwrap_err(), fault, "{section:?}");
            assert!(!decoder.is_over());
        }
        assert_eq!(decoder.closed(), Err(fault));
    }
}

#[test]
fn a12_malformed_chunks_are_faults() {
    for (text, fault) in [
        ("5\nhello\r\n0\r\n\r\n", BodyFault::Size),
        ("5\r\nhelloX\r\n0\r\n\r\n", BodyFault::ChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", BodyFault::ChunkEnd),
        ("0x5\r\nhello\r\n0\r\n\r\n", BodyFault::Size),
        (" 5\r\nhello\r\n0\r\n\r\n", BodyFault::Size),
        ("\r\n", BodyFault::Size),
        ("-1\r\n", BodyFault::Size),
        ("fffffffffffffffff\r\n", BodyFault::Size),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", BodyFault::Size),
        ("5 x\r\nhello\r\n0\r\n\r\n", BodyFault::Size),
        ("5\r\nhello\r\n0\r\n\n", BodyFault::Trailers),
        ("5\r\nhello\r\n0\r\nx: y\n\r\n", BodyFault::Trailers),
        ("5\r\nhello\r\n0\r\nno field\r\n\r\n", BodyFault::Trailers),
        ("5\r\nhello\r\n0\r\nx : y\r\n\r\n", BodyFault::Trailers),
    ] {
        assert_eq!(chunked(text), Err(fault), "{text:?}");
    }
}

#[test]
fn a13_extensions_and_trailers_have_an_end() {
    let long = format!("1;{}\r\n", "x".repeat(MAX_LINE));
    assert_eq!(chunked(&long), Err(BodyFault::Extensions));
    let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(17);
    assert_eq!(chunked(&many), Err(BodyFault::Extensions));
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX_TRAILERS / 6 + 1));
    assert_eq!(chunked(&trailers), Err(BodyFault::LongTrailers));
}

#[test]
fn trailers_come_after_the_data() {
    let text = b"2\r\nok\r\n0\r\nGrpc-Status: 0\r\nx: y\r\n\r\nnext";
    let (data, trailers, ended, left) = read(BodyDecoder::chunked(), text, 5).unwrap();
    assert_eq!(
        (data.as_slice(), ended, left.as_slice()),
        (&b"ok"[..], true, &b"next"[..])
    );
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers.len(), 2);
}

#[test]
fn j2_the_end_of_the_connection_ends_only_what_says_so() {
    let text = b"hello";
    let ended = |decoder| read(decoder, text, 2).unwrap().2;
    assert!(ended(BodyDecoder::until_close()));
    assert!(ended(BodyDecoder::of_length(5)));
    assert!(!ended(BodyDecoder::of_length(6)));
    assert!(!chunked("5\r\nhello\r\n").unwrap().1);
    assert!(!chunked("5\r\nhello\r\n0\r\n").unwrap().1);
    let left = read(BodyDecoder::of_length(3), text, 9).unwrap().3;
    assert_eq!(left, b"lo");
    assert!(BodyDecoder::of_length(0).is_over() && BodyDecoder::none().is_over());
}

proptest! {
    #[test]
    fn what_is_written_in_chunks_is_read_again(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..6),
        step in 1_usize..400,
    ) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            bytes.extend_from_slice(chunk_head(piece.len(), &mut [0; 18]));
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\nGET");
        let (data, _, ended, left) = read(BodyDecoder::chunked(), &bytes, step).unwrap();
        prop_assert_eq!(data, pieces.concat());
        prop_assert!(ended);
        prop_assert_eq!(left, b"GET");
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
        let _ = read(BodyDecoder::chunked(), &bytes, step);
    }
}
