//! Answers that are no answers, that end too soon, or that say what a visitor must not hear.

use super::*;

/// Bytes that are no answer, by what is wrong with them.
type Wrong = Vec<(&'static str, Vec<u8>)>;

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

fn ok(fields: &str, rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{rest}").into_bytes()
}

fn lengths() -> Wrong {
    let length = |value: &str| ok(&format!("Content-Length: {value}"), "hello");
    vec![
        ("j1 two", length("5\r\nContent-Length: 6")),
        ("j1 the same twice", length("5\r\nContent-Length: 5")),
        ("j1 a list", length("5, 5")),
        ("j1 a sign", length("+5")),
        ("j1 a negative one", length("-5")),
        ("j1 in hex", length("0x5")),
        ("j1 no number", length("five")),
        ("j1 beyond all numbers", length("99999999999999999999")),
    ]
}

fn codings() -> Wrong {
    let coding = |value: &str, rest| ok(&format!("Transfer-Encoding: {value}"), rest);
    let before = "Content-Length: 5\r\nTransfer-Encoding: chunked";
    vec![
        ("j1 length and coding", ok(before, CHUNKS)),
        (
            "j1 coding and length",
            coding("chunked\r\nContent-Length: 5", CHUNKS),
        ),
        ("j1 gzip only", coding("gzip", "hello")),
        ("j1 gzip and chunked", coding("gzip, chunked", CHUNKS)),
        (
            "j1 chunked twice",
            coding("chunked\r\nTransfer-Encoding: chunked", CHUNKS),
        ),
        ("j3 no chunk size", coding("chunked", "hello\r\n")),
        (
            "j3 a chunk size beyond all",
            coding("chunked", "fffffffffffffffff\r\nhello"),
        ),
    ]
}

fn heads() -> Wrong {
    let empty = |before: &str| format!("{before}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let field = |field: &str| empty(&format!("HTTP/1.1 200 OK\r\n{field}"));
    let interim = |count: usize| "HTTP/1.1 102 Processing\r\n\r\n".repeat(count);
    let fields: Vec<_> = (0..101).map(|n| format!("x-{n}: y")).collect();
    vec![
        (
            "j6 a flood of interim answers",
            empty(&(interim(5000) + "HTTP/1.1 200 OK")),
        ),
        (
            "j6 one more than there may be",
            empty(&(interim(11) + "HTTP/1.1 200 OK")),
        ),
        (
            "j7 switched unasked",
            empty("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket"),
        ),
        ("j8 101 fields", field(&fields.join("\r\n"))),
        (
            "j8 a head of 500 KB",
            field(&format!("x: {}", "y".repeat(500_000))),
        ),
        ("j8 a bare CR", field("x: a\rb")),
        ("j8 a folded line", field("x: a\r\n b")),
        ("j8 a space before the colon", field("x : a")),
        ("j8 garbage", b"\0\x01\x02 not HTTP at all\r\n\r\n".to_vec()),
        ("j8 TLS", vec![21, 3, 3, 0, 2, 2, 80]),
        ("j8 SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()),
        ("j8 HTTP/2 as text", empty("HTTP/2.0 200 OK")),
        ("j8 a status of two digits", empty("HTTP/1.1 99 Low")),
        ("j8 a status of four", empty("HTTP/1.1 2000 High")),
        ("j9 a status outside of HTTP", empty("HTTP/1.1 700 Odd")),
        ("j9 another", empty("HTTP/1.1 999 Odd")),
    ]
}

#[tokio::test]
async fn j1_j3_j6_to_j9_what_is_no_answer_is_502() {
    let all = [lengths(), codings(), heads()].concat();
    let (names, answers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    // An upstream that is done closes: what is incomplete stays so.
    let cases = answers
        .into_iter()
        .map(|bytes| (bytes, Then::Closes))
        .collect();
    let bench = Bench::of(cases).await;
    for (case, name) in names.iter().enumerate() {
        for answer in bench.both(case).await {
            assert_eq!(
                refused(&answer, name),
                (502, "upstream_invalid".into()),
                "{name}"
            );
            assert!(
                answer.complete && !answer.text().contains("hello"),
                "{name}"
            );
        }
    }
    let failed = bench
        .edge
        .metric("vestibule_upstream_requests_total{result=\"invalid\",upstream=\"default\"}")
        .await;
    assert_eq!(failed, 2.0 * names.len() as f64);
    assert_eq!(bench.edge.metric("vestibule_retries_total").await, 0.0);
}

#[tokio::test]
async fn j2_an_answer_that_dies_is_never_a_clean_end() {
    let head = |fields: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").into_bytes()
    };
    let dying = [
        ("Content-Length: 100", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n64\r\nand"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n0\r\n"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\nzz\r\n"),
        ("Transfer-Encoding: chunked", "4\r\nhalfAND"),
    ];
    let mut cases = Vec::new();
    for (fields, body) in dying {
        cases.extend([Then::Closes, Then::Resets].map(|then| (head(fields, body), then)));
    }
    let count = cases.len();
    let bench = Bench::of(cases).await;
    for case in 0..count {
        // A reset may overtake what was sent before it; then nothing has been passed on, and it is a refusal.
        let answer = bench.first(&format!("/{case}"), &[]).await;
        if answer.status != 200 {
            assert_eq!(refused(&answer, "reset").0, 502, "{case}");
            continue;
        }
        assert!(!answer.complete, "{case}: {answer:?}");
        let mut visitor = Http2::over(bench.edge.visit().await.into_inner()).await;
        let (answer, _) = visitor.open(url(&format!("/{case}")), true).await;
        let answer = answer.await.unwrap();
        if answer.status() != 200 {
            continue;
        }
        let mut stream = answer.into_body();
        let error = loop {
            match stream.data().await.expect("not a clean end") {
                Ok(piece) => drop(stream.flow_control().release_capacity(piece.len())),
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{case}");
        assert_eq!(visitor.ask(url("/well")).await.text(), "well");
    }
}

#[tokio::test]
async fn j4_what_comes_behind_an_answer_is_nobodys() {
    let poison = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec();
    let bench = Bench::of(vec![(poison, Then::Waits)]).await;
    let mut visitor = bench.edge.visit().await;
    for _ in 0..3 {
        let answer = visitor.ask(get("acme.localhost", "/0", &[])).await;
        assert_eq!(answer.text(), "good");
        assert_eq!(
            visitor
                .ask(get("acme.localhost", "/well", &[]))
                .await
                .text(),
            "well"
        );
    }
    assert_eq!(bench.second("/0").await.text(), "good");
}

#[tokio::test]
async fn j5_a_body_where_none_may_be_is_dropped() {
    let with = |line: &str| {
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        let bytes = format!(
            "HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{poison}",
            poison.len()
        );
        (bytes.into_bytes(), Then::Waits)
    };
    let bench = Bench::of(vec![
        with("204 No Content"),
        with("304 Not Modified"),
        with("200 OK"),
    ])
    .await;
    let mut visitor = bench.edge.visit().await;
    for (case, method, status, length) in [
        (0, "GET", 204, None),
        (1, "GET", 304, Some("44")),
        (2, "HEAD", 200, Some("44")),
    ] {
        let path = format!("/{case}");
        visitor
            .write(request(method, "acme.localhost", &path, &[], b""))
            .await;
        let answer = visitor.reply_to(method).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{case}"
        );
        assert_eq!(
            visitor
                .ask(get("acme.localhost", "/well", &[]))
                .await
                .text(),
            "well"
        );
        let mut second = Http2::over(bench.edge.visit().await.into_inner()).await;
        let mut request = url(&path);
        *request.method_mut() = method.parse().unwrap();
        let answer = second.ask(request).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{case}"
        );
        assert!(answer.complete && answer.body.is_empty());
    }
}

#[tokio::test]
async fn j6_interim_answers_end_here() {
    let hints =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(5);
    let bench = Bench::of(vec![(
        (hints + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into_bytes(),
        Then::Waits,
    )])
    .await;
    let mut visitor = bench.edge.visit().await;
    visitor.write(get("acme.localhost", "/0", &[])).await;
    assert_eq!(
        visitor.status_line().await,
        Some(200),
        "the first head that comes is the answer's"
    );
    assert_eq!(visitor.take(2).await, b"ok");
    let answer = bench.second("/0").await;
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.header("link")),
        (200, "ok", None)
    );
}

#[tokio::test]
async fn j10_j15_an_answer_is_put_into_our_terms() {
    let old = b"HTTP/1.0 200 OK\r\nConnection: keep-alive, X-Between\r\nKeep-Alive: timeout=5\r\nX-Between: us\r\n\
        Proxy-Connection: keep-alive\r\nContent-Length: 2\r\nAlt-Svc: h3=\":443\"\r\nalt-svc: clear\r\nServer: old\r\n\
        Location: https://elsewhere.example/\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Tenant-Id: evil\r\nx_tenant_slug: evil\r\n\r\nok";
    let bench = Bench::of(vec![(old.to_vec(), Then::Waits)]).await;
    let [first, second] = bench.both(0).await;
    assert_eq!(first.version, "HTTP/1.1");
    for answer in [first, second] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        for gone in [
            "connection",
            "keep-alive",
            "x-between",
            "proxy-connection",
            "alt-svc",
            "x-tenant-id",
            "x_tenant_slug",
        ] {
            assert_eq!(answer.header(gone), None);
        }
        assert_eq!(
            answer.header("location"),
            Some("https://elsewhere.example/")
        );
        assert_eq!(answer.header("server"), Some("old"));
        assert_eq!(answer.header("via"), Some("1.1 test-node"));
        let cookies = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        assert_eq!(
            cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
            ["a=b", "c=d"]
        );
    }
}

#[tokio::test]
async fn j11_trailers_go_to_those_who_take_them_and_say_nothing_of_tenants() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status, Grpc-Message, x-tenant-id\r\n\r\n2\r\nok\r\n0\r\n\
        grpc-status: 0\r\ngrpc-message: fine\r\nX-Tenant-Id: evil\r\nx.tenant.assertion: evil\r\nConnection: close\r\n\r\n";
    let bench = Bench::of(vec![(answer.to_vec(), Then::Waits)]).await;
    let wanted = bench.first("/0", &["TE: trailers", "Connection: TE"]).await;
    let second = bench.second("/0").await;
    for answer in [wanted, second] {
        assert_eq!((answer.text().as_str(), answer.complete), ("ok", true));
        let mut trailers: Vec<_> = answer
            .trailers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_str()))
            .collect();
        trailers.sort_unstable();
        assert_eq!(
            trailers,
            [
                ("grpc-message".to_owned(), "fine"),
                ("grpc-status".to_owned(), "0")
            ]
        );
    }
    let unasked = bench.first("/0", &[]).await;
    assert_eq!(
        (
            unasked.text().as_str(),
            unasked.trailers.len(),
            unasked.complete
        ),
        ("ok", 0, true)
    );
}
