//! Who is slow for a good reason stays, and who is refused still hears why.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use vestibule::config::EdgeTimeouts;
use vestibule::proxy::io::EdgeIo;

use super::{
    Edge, PATIENCE, SHORT, frame, has_word, headers, http2, read_all, relaxed, short_idle,
};

#[tokio::test]
async fn a_long_request_stays_on_both_protocols() {
    let http1 = b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
    let http2 = http2(&[&headers(1, "/wait", true)]);
    for sent in [http1, http2] {
        let mut edge = Edge::start(EdgeTimeouts {
            write: SHORT,
            ..short_idle()
        })
        .await;
        let mut visitor = edge.connect().await;
        visitor.write_all(&sent).await.unwrap();
        edge.arrived.notified().await;
        edge.let_time_pass().await;
        edge.answer.notify_one();
        let received = read_all(visitor).await;
        assert!(has_word(&received));
    }
}

#[tokio::test]
async fn an_upload_that_pauses_is_not_the_wrappers_business() {
    let http1 =
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12";
    let http2 = http2(&[
        &headers(1, "/upload", false),
        &frame(0, 1, 1, b"12345")[..11],
    ]);
    for sent in [http1.to_vec(), http2] {
        let mut edge = Edge::start(EdgeTimeouts {
            write: SHORT,
            ..short_idle()
        })
        .await;
        let mut visitor = edge.connect().await;
        visitor.write_all(&sent).await.unwrap();
        edge.arrived.notified().await;
        edge.let_time_pass().await;
        visitor.write_all(b"345").await.unwrap();
        let received = read_all(visitor).await;
        assert!(has_word(&received));
    }
}

#[tokio::test]
async fn a15_a_refusal_reaches_a_visitor_who_is_still_uploading() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let edge = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut io = EdgeIo::new(socket, &relaxed());
        io.read_exact(&mut [0; 10]).await.unwrap();
        io.write_all(b"HTTP/1.1 413 Content Too Large\r\n\r\n")
            .await
            .unwrap();
        io.shutdown().await.unwrap();
    });
    let mut visitor = TcpStream::connect(address).await.unwrap();
    visitor.write_all(&[b'x'; 40_000]).await.unwrap();
    let mut answer = Vec::new();
    // A reset would be an error here.
    visitor.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"));
    visitor.shutdown().await.unwrap();
    timeout(PATIENCE, edge).await.unwrap().unwrap();
}
