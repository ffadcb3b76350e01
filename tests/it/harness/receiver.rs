//! A receiver of webhooks over a real socket, that behaves or misbehaves as told, and remembers what it heard. It lives on threads of
//! the test.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What the receiver does with what it hears.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answers with this status and these fields, each ending a line.
    Answer(u16, &'static str),
    /// Sends whoever asks elsewhere.
    Redirect(String),
    /// Says nothing until the other side leaves.
    Stall,
    /// A good answer whose body never ends.
    Endless,
    /// Leaves without an answer.
    Leave,
}

/// What was heard once.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) line: String,
    /// By name in lower case.
    pub(crate) fields: HashMap<String, String>,
    pub(crate) body: String,
}

/// A running receiver; stops when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Mutex<Manner>,
    heard: Mutex<Vec<Heard>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl Receiver {
    /// Starts on a free loopback port; takes whatever it hears.
    pub(crate) fn start() -> Self {
        Self::listen(None)
    }

    /// As [`Receiver::start`], over TLS, as `localhost`.
    pub(crate) fn start_tls(config: &Arc<ServerConfig>) -> Self {
        Self::listen(Some(Arc::clone(config)))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Answer(200, "")),
            heard: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            tls,
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                // Whoever sent may leave whenever it likes.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        let place = match &self.shared.tls {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        };
        format!("{place}/hook?key=canary-query")
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it does this.
    pub(crate) fn becomes(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// All that it has heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What it has heard, as `kind subject`, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let heard = self.heard();
        heard.iter().map(Heard::told).collect()
    }
}

impl Heard {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn told(&self) -> String {
        let body = self.json();
        let subject = body["data"]["hostname"].as_str().unwrap_or("-");
        format!("{} {subject}", body["type"].as_str().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        match &self.tls {
            None => self.answer(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).unwrap();
                self.answer(StreamOwned::new(session, stream))
            }
        }
    }

    fn answer(&self, stream: impl Read + Write) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let heard = hear(&mut reader)?;
        self.heard.lock().unwrap().push(heard);
        let manner = self.manner.lock().unwrap().clone();
        let mut stream = reader.into_inner();
        match manner {
            Manner::Answer(status, fields) => write!(
                stream,
                "HTTP/1.1 {status} As Told\r\n{fields}Content-Length: 2\r\n\r\nok"
            ),
            Manner::Redirect(to) => write!(
                stream,
                "HTTP/1.1 307 Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
            ),
            Manner::Stall => stream.read(&mut [0]).map(drop),
            Manner::Endless => {
                write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                }
            }
            Manner::Leave => Ok(()),
        }
    }
}

fn hear(reader: &mut impl BufRead) -> std::io::Result<Heard> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut fields = HashMap::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.trim_end().split_once(": ") else {
            break;
        };
        fields.insert(name.to_lowercase(), value.to_owned());
    }
    let length = fields.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Heard {
        line: line.trim_end().to_owned(),
        fields,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
