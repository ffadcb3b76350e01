//! An issuer's key server over a real socket, that behaves or misbehaves as told, and counts. It lives on threads of the test.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A key set of these JWKs.
    Keys(Vec<Value>),
    /// Reads the request and says nothing.
    Stall,
    /// Begins a good answer and stops in the middle of it.
    StallInBody,
    /// 100 MB of JSON, with a length or (false) without.
    Huge { announced: bool },
    /// 302 to here.
    Redirect(String),
    /// This status, with a good key set for whoever looks at the body all the same.
    Status(u16, Vec<Value>),
    /// These bytes as the body of a good answer.
    Body(Vec<u8>),
    /// These bytes instead of HTTP.
    Garbage(Vec<u8>),
}

struct Shared {
    answer: Mutex<Answer>,
    requests: Mutex<usize>,
    requested: Condvar,
    written: AtomicU64,
    stopped: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

/// A running server; stops when dropped.
pub(crate) struct JwksServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl JwksServer {
    /// Starts on a free loopback port.
    pub(crate) fn start(answer: Answer) -> Self {
        Self::listen(answer, None)
    }

    /// As [`JwksServer::start`], over TLS.
    pub(crate) fn start_tls(answer: Answer, config: ServerConfig) -> Self {
        Self::listen(answer, Some(Arc::new(config)))
    }

    fn listen(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            requests: Mutex::new(0),
            requested: Condvar::new(),
            written: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            tls,
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// The key set's URL; `https://localhost` over TLS, the name that certificates of tests are for.
    pub(crate) fn url(&self) -> String {
        match &self.shared.tls {
            None => format!("http://{}/keys?v=1", self.address),
            Some(_) => format!("https://localhost:{}/keys", self.address.port()),
        }
    }

    /// From now on it does this.
    pub(crate) fn becomes(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// From now on it publishes these keys.
    pub(crate) fn publishes(&self, keys: Vec<Value>) {
        self.becomes(Answer::Keys(keys));
    }

    /// Requests read so far.
    pub(crate) fn requests(&self) -> usize {
        *self.shared.requests.lock().unwrap()
    }

    /// Waits until `count` requests have been read; the bound is for a test that would hang.
    pub(crate) fn reached(&self, count: usize) {
        let requests = self.shared.requests.lock().unwrap();
        let bound = Duration::from_secs(60);
        let waited = self
            .shared
            .requested
            .wait_timeout_while(requests, bound, |seen| *seen < count);
        assert!(!waited.unwrap().1.timed_out(), "{count} requests");
    }

    /// Bytes of bodies that the other side's kernel took.
    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::SeqCst)
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let served = match &self.tls {
            None => self.answer(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).unwrap();
                self.answer(StreamOwned::new(session, stream))
            }
        };
        // Whoever asked may leave whenever it likes.
        drop(served);
    }

    fn answer<S: Read + Write>(&self, mut stream: S) -> std::io::Result<()> {
        read_head(&mut stream)?;
        let answer = self.answer.lock().unwrap().clone();
        *self.requests.lock().unwrap() += 1;
        self.requested.notify_all();
        match answer {
            Answer::Keys(keys) => self.send(&mut stream, "200 OK", "", key_set(&keys).as_bytes()),
            Answer::Body(body) => self.send(&mut stream, "200 OK", "", &body),
            Answer::Status(status, keys) => self.send(
                &mut stream,
                &format!("{status} As Told"),
                "",
                key_set(&keys).as_bytes(),
            ),
            Answer::Redirect(to) => self.send(
                &mut stream,
                "302 Found",
                &format!("Location: {to}\r\n"),
                b"",
            ),
            Answer::Garbage(bytes) => stream.write_all(&bytes),
            Answer::Stall => wait_for_end(&mut stream),
            Answer::StallInBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":[")?;
                wait_for_end(&mut stream)
            }
            Answer::Huge { announced } => self.flood(&mut stream, announced),
        }
    }

    fn send<S: Write>(
        &self,
        stream: &mut S,
        status: &str,
        fields: &str,
        body: &[u8],
    ) -> std::io::Result<()> {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        self.written.fetch_add(length as u64, Ordering::SeqCst);
        stream.flush()
    }

    /// A hundred megabytes that are a good key set with very much white space in it.
    fn flood<S: Write>(&self, stream: &mut S, announced: bool) -> std::io::Result<()> {
        const CHUNK: usize = 100_000;
        let length = if announced {
            "Content-Length: 100000012\r\n"
        } else {
            ""
        };
        write!(stream, "HTTP/1.1 200 OK\r\n{length}\r\n{{\"keys\":[")?;
        for _ in 0..1000 {
            stream.write_all(&[b' '; CHUNK])?;
            self.written.fetch_add(CHUNK as u64, Ordering::SeqCst);
        }
        stream.write_all(b"]}")
    }
}

fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn read_head<S: Read>(stream: &mut S) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

fn wait_for_end<S: Read>(stream: &mut S) -> std::io::Result<()> {
    stream.read(&mut [0]).map(drop)
}
