//! Requests over HTTP/2: h2load asks one host for ever, and ours must be drawn from all tenants, so the frames are made here.
//!
//! The fields that stay the same are put into the dynamic table with a connection's first request and are one byte each from then on,
//! as browsers do it; answers are looked at to the last byte.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use super::{BROWSER, Latency, Load, Walk, host, visitor};
use crate::bed::{Bed, SHORT};
use crate::fault::{Fault, Result, While};
use crate::process::Process;

/// What is to be asked for.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) tenants: usize,
    pub(crate) start: usize,
    pub(crate) connections: usize,
    /// At once on each connection.
    pub(crate) streams: usize,
    pub(crate) seconds: u64,
}

/// What has come of it so far.
#[derive(Default)]
struct Tally {
    times: Vec<f64>,
    errors: u64,
}

/// Asks for as long as the order says, then waits for what is still on its way.
pub(crate) fn run(bed: &Bed, order: Order) -> Result<Load> {
    let connector = visitor::tls(&bed.authority, &["h2"])?;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(order.seconds);
    let all = LocalSet::new();
    let visitors: Vec<_> = (0..order.connections)
        .map(|number| {
            let (connector, tally) = (connector.clone(), Rc::clone(&tally));
            all.spawn_local(async move {
                let mut walk = Walk::over(order.tenants, order.start + number * 7919);
                while Instant::now() < until {
                    let talk = Talk::begin(order, number, &connector, &tally).await?;
                    talk.go_on(&mut walk, until).await?;
                }
                Ok::<_, Fault>(())
            })
        })
        .collect();
    bed.runtime.block_on(all.run_until(async {
        for visitor in visitors {
            visitor.await??;
        }
        Ok::<_, Fault>(())
    }))?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut tally = tally.borrow_mut();
    Ok(Load {
        requests: tally.times.len() as u64,
        seconds,
        errors: tally.errors,
        latency: Latency::of(&mut tally.times),
    })
}

/// One question on each of many streams of many connections, all of them sent before `held` lets the other side look at the first.
pub(crate) fn at_once(bed: &Bed, order: Order, tenant: usize, held: &Process) -> Result<Load> {
    let connector = visitor::tls(&bed.authority, &["h2"])?;
    let tally = RefCell::new(Tally::default());
    let begun = Instant::now();
    bed.runtime.block_on(async {
        let mut talks = Vec::new();
        for number in 0..order.connections {
            let mut talk = Talk::begin(order, number, &connector, &tally).await?;
            talk.greet().await?;
            talks.push(talk);
        }
        held.pause();
        for talk in &mut talks {
            for _ in 0..order.streams {
                talk.ask(tenant);
            }
            talk.send().await?;
        }
        held.resume();
        for talk in &mut talks {
            while talk.open > 0 {
                talk.send().await?;
                talk.receive().await?;
            }
        }
        Ok::<_, Fault>(())
    })?;
    let mut tally = tally.borrow_mut();
    Ok(Load {
        requests: tally.times.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
        errors: tally.errors,
        latency: Latency::of(&mut tally.times),
    })
}

/// One connection.
struct Talk<'a> {
    stream: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    tally: &'a RefCell<Tally>,
    read: Vec<u8>,
    out: Vec<u8>,
    /// By stream, in a ring: a stream's number is used once.
    asked: Vec<Asked>,
    open: usize,
    most_open: usize,
    next: u32,
    /// The other side wants the connection to end.
    is_over: bool,
}

#[derive(Clone, Copy)]
struct Asked {
    stream: u32,
    at: Instant,
    is_ok: bool,
    received: usize,
}

/// Far more than are open at once, so that a slow stream's place is not taken.
const RING: usize = 4096;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

impl<'a> Talk<'a> {
    async fn begin(
        order: Order,
        number: usize,
        connector: &TlsConnector,
        tally: &'a RefCell<Tally>,
    ) -> Result<Self> {
        let stream = visitor::connect(order.address, number).await?;
        let name = ServerName::try_from("t0.example.com")?;
        let handshake = connector.connect(name, stream).await;
        let stream = handshake.when(|| "no handshake".to_owned())?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Fault::wrong_answer("HTTP/2 is not spoken there"));
        }
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No push; windows that never run out, so that none has to be opened on the way.
        frame(
            &mut out,
            SETTINGS,
            0,
            0,
            &[0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff],
        );
        frame(&mut out, 8, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        let nothing = Asked {
            stream: 0,
            at: Instant::now(),
            is_ok: false,
            received: 0,
        };
        Ok(Self {
            stream,
            tally,
            read: Vec::with_capacity(128 << 10),
            out,
            asked: vec![nothing; RING],
            open: 0,
            most_open: order.streams,
            next: 1,
            is_over: false,
        })
    }

    /// Asks until `until`, or until the other side wants no more.
    async fn go_on(mut self, walk: &mut Walk, until: Instant) -> Result<()> {
        loop {
            while self.open < self.most_open && !self.is_over && Instant::now() < until {
                self.ask(walk.next());
            }
            self.send().await?;
            if self.open == 0 {
                return Ok(());
            }
            self.receive().await?;
        }
    }

    /// Says hello and reads what the other side has to say about the connection.
    async fn greet(&mut self) -> Result<()> {
        self.send().await?;
        self.receive().await?;
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<()> {
        self.read.reserve(64 << 10);
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err(Fault::wrong_answer(
                "the connection ended between two answers",
            ));
        }
        self.take_frames()
    }

    fn ask(&mut self, tenant: usize) {
        let mut block = vec![0x82, 0x87, 0x84, 0x01];
        text(&mut block, &host(tenant));
        for (place, (name, value)) in BROWSER.iter().enumerate() {
            if self.next == 1 {
                block.push(0x40 | static_index(name));
                text(&mut block, value);
            } else {
                // What came last into the table has number 62.
                block.push(0x80 | (61 + BROWSER.len() - place) as u8);
            }
        }
        frame(
            &mut self.out,
            HEADERS,
            END_STREAM | END_HEADERS,
            self.next,
            &block,
        );
        self.asked[slot(self.next)] = Asked {
            stream: self.next,
            at: Instant::now(),
            is_ok: false,
            received: 0,
        };
        self.open += 1;
        self.next += 2;
    }

    fn take_frames(&mut self) -> Result<()> {
        let read = std::mem::take(&mut self.read);
        let mut rest = &read[..];
        while rest.len() >= 9 {
            let length =
                usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            if rest.len() < 9 + length {
                break;
            }
            let (kind, flags) = (rest[3], rest[4]);
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]) & 0x7fff_ffff;
            self.take(kind, flags, stream, &rest[9..9 + length])?;
            rest = &rest[9 + length..];
        }
        let done = read.len() - rest.len();
        self.read = read;
        self.read.drain(..done);
        Ok(())
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        match kind {
            HEADERS if flags & END_HEADERS != 0 => {
                let block = &payload[if flags & PRIORITY != 0 { 5 } else { 0 }..];
                // Changes of the table's size may come first.
                let field = block.iter().find(|byte| **byte & 0xe0 != 0x20);
                self.asked[slot(stream)].is_ok = field == Some(&0x88);
            }
            DATA if flags & PADDED == 0 => {
                let asked = &mut self.asked[slot(stream)];
                let wanted = SHORT.as_bytes().get(asked.received..).unwrap_or_default();
                asked.is_ok &= wanted.starts_with(payload);
                asked.received += payload.len();
            }
            RST_STREAM => {
                self.open -= 1;
                self.tally.borrow_mut().errors += 1;
            }
            SETTINGS if flags & ACK == 0 => self.agree_to(payload),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            GOAWAY => self.part(payload)?,
            HEADERS | DATA | CONTINUATION => {
                return Err(Fault::wrong_answer(format!(
                    "frame {kind} with flags {flags:x}"
                )));
            }
            _ => {}
        }
        if (kind == HEADERS || kind == DATA) && flags & END_STREAM != 0 {
            self.finish(stream);
        }
        Ok(())
    }

    fn finish(&mut self, stream: u32) {
        let asked = self.asked[slot(stream)];
        let mut tally = self.tally.borrow_mut();
        tally.times.push(asked.at.elapsed().as_secs_f64() * 1e6);
        if asked.stream != stream || !asked.is_ok || asked.received != SHORT.len() {
            tally.errors += 1;
        }
        self.open -= 1;
    }

    fn agree_to(&mut self, settings: &[u8]) {
        for setting in settings.chunks_exact(6) {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            if setting[..2] == [0, 3] {
                self.most_open = self.most_open.min(value as usize);
            }
        }
        frame(&mut self.out, SETTINGS, ACK, 0, &[]);
    }

    /// Requests that the other side says it did not look at are asked again elsewhere: they neither count nor failed.
    fn part(&mut self, payload: &[u8]) -> Result<()> {
        let Some(&[a, b, c, d, w, x, y, z]) = payload.first_chunk() else {
            return Err(Fault::wrong_answer("a GOAWAY that is too short"));
        };
        if [w, x, y, z] != [0; 4] {
            return Err(Fault::wrong_answer(format!(
                "the connection was ended for error {z}"
            )));
        }
        self.is_over = true;
        let last = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        while self.next > 2 && self.next - 2 > last {
            self.next -= 2;
            self.open -= 1;
        }
        Ok(())
    }
}

fn slot(stream: u32) -> usize {
    (stream as usize >> 1) % RING
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A text as it is; all of ours are shorter than what one byte can say.
fn text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 127);
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// RFC 7541, appendix A.
fn static_index(name: &str) -> u8 {
    match name {
        "Accept-Encoding" => 16,
        "Accept-Language" => 17,
        "Accept" => 19,
        "Cookie" => 32,
        _ => 58, // User-Agent
    }
}
