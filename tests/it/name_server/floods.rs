//! Made-up labels without end, over real sockets: what is meant is answered all the same.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use vestibule::config::AcmeDns;
use vestibule::nameserver::{NameServer, Sockets};
use vestibule::shutdown::Shutdown;
use vestibule::store::{ChallengeSource, StoreError};

use super::*;

/// A store that is slow to say that there is nothing: whoever asks for what is not there waits for ever.
struct Slow {
    /// Had a challenge when anybody last looked.
    open: String,
    /// Has one that is new.
    new: String,
}

impl ChallengeSource for Slow {
    fn http01<'a>(
        &'a self,
        _: &'a Hostname,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        unreachable!("no name server asks for that")
    }
    fn tls_alpn01<'a>(&'a self, _: &'a Hostname) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        unreachable!("no name server asks for that")
    }
    fn had_dns01(&self, label: &str) -> bool {
        label == self.open
    }
    fn dns01<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        match label == self.open || label == self.new {
            true => std::future::ready(Ok(vec!["value".to_owned()])).boxed(),
            false => std::future::pending().boxed(),
        }
    }
}

/// A name server in front of it that serves until the test ends; where it is asked, and for what: the open label and the new one.
fn start() -> (SocketAddr, [String; 2]) {
    let label = |name| delegation_label(&Hostname::parse(name).unwrap());
    let (open, new) = (label("open.example.org"), label("new.example.org"));
    let names = [format!("{open}.acme.test"), format!("{new}.acme.test")];
    let settings = AcmeDns {
        listen: Vec::new(),
        zone: Hostname::parse("acme.test").unwrap(),
        name_server: Hostname::parse("ns.test").unwrap(),
    };
    let server = NameServer::new(&settings, &[], Arc::new(Slow { open, new }));
    let sockets = Sockets::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = sockets.address();
    tokio::spawn(async move {
        let (_running, stopping) = Shutdown::new();
        sockets.serve(Arc::new(server), stopping).await.unwrap();
    });
    (address, names)
}

/// Has `many` questions for made-up labels wait at `server`, all of one source. After every few of them it is seen that they have come: a
/// socket takes only so many at once.
async fn flood(source: impl Into<IpAddr>, server: SocketAddr, many: u32) {
    let socket = UdpSocket::bind((source.into(), 0)).await.unwrap();
    for number in 0..many {
        let made_up = format!("{number:032x}.acme.test");
        socket.send_to(&question(&made_up), server).await.unwrap();
        if number % 32 == 31 || number + 1 == many {
            let sent = socket.send_to(&question("acme.test"), server).await;
            sent.unwrap();
            let answered = timeout(PATIENCE, socket.recv(&mut [0; 512])).await;
            answered.expect("what needs no look is answered").unwrap();
        }
    }
}

#[tokio::test]
async fn g16_made_up_labels_of_many_sources_crowd_out_no_open_challenge() {
    let (server, [open, _]) = start();
    // More than there are places for.
    for source in 1..=24 {
        flood([127, 0, 1, source], server, 256).await;
    }
    assert_eq!(texts(&by_datagram(server, &open).await), ["value"]);
}

#[tokio::test]
async fn g16_made_up_labels_of_one_source_crowd_out_nobody_else() {
    let (server, [open, new]) = start();
    flood([127, 0, 1, 1], server, 10_000).await;
    assert_eq!(texts(&by_datagram(server, &new).await), ["value"]);
    assert_eq!(texts(&by_datagram(server, &open).await), ["value"]);
}
