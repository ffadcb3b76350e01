//! One question to one name server, over UDP and where the answer does not fit over TCP (RFC 1035 section 4.2, RFC 7766).
//!
//! Each question has a socket of its own: its source port and its id are random, and the kernel drops what another address sends.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use super::reply::Reply;
use crate::model::Hostname;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    recursion: bool,
    unchecked: bool,
    signatures: bool,
}

impl Question {
    /// The records of `kind` at `name`.
    pub fn new(name: &Hostname, kind: RecordType) -> Self {
        Self::at(super::wire_name(name), kind)
    }

    pub(super) fn at(name: Name, kind: RecordType) -> Self {
        Self {
            name,
            kind,
            recursion: false,
            unchecked: false,
            signatures: false,
        }
    }

    /// Lets a resolver find the answer elsewhere.
    pub(super) fn recursive(mut self) -> Self {
        self.recursion = true;
        self
    }

    /// Wants the answer even if its signatures are bad (CD, RFC 4035 section 3.2.2).
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// Wants the signatures too (DO, RFC 3225).
    pub(super) fn with_signatures(mut self) -> Self {
        self.signatures = true;
        self
    }

    /// What is made of `bytes` that came in answer to this question, which went out with `id`; nothing where they answer another one.
    ///
    /// # Errors
    /// As [`Said::reply`](super::Said::reply) has them.
    pub fn read(&self, id: u16, bytes: &[u8]) -> Result<Option<Reply>, AskError> {
        let mut asked = self.message(true);
        asked.metadata.id = id;
        read(bytes, &asked)?.map(reply).transpose()
    }

    fn message(&self, edns: bool) -> Message {
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.recursion;
        message.metadata.checking_disabled = self.unchecked;
        message.add_query(Query::query(self.name.clone(), self.kind));
        if edns {
            let mut extension = Edns::new();
            extension.set_max_payload(DATAGRAM);
            extension.set_dnssec_ok(self.signatures);
            message.set_edns(extension);
        }
        message
    }
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came.
    #[error("does not answer")]
    Silent,
    /// The time for the whole look was over before it was this server's turn.
    #[error("was not asked: the time was over")]
    Late,
    /// The network says that nobody is there.
    #[error("cannot be reached")]
    Unreachable(#[source] io::Error),
    /// What came is no DNS message, or not all of one.
    #[error("answers what cannot be read")]
    Malformed,
    /// It answers, but not the question.
    #[error("answers {}", code_name(*.0))]
    Code(ResponseCode),
    /// It is named as a server of the zone and does not hold it.
    #[error("does not hold the zone")]
    Lame,
}

impl AskError {
    pub(super) fn is_servfail(&self) -> bool {
        matches!(self, Self::Code(ResponseCode::ServFail))
    }

    /// Whether the server knows nothing of such records, which is as good as having none.
    pub(super) fn is_unheard_of(&self) -> bool {
        matches!(self, Self::Code(ResponseCode::NotImp))
    }
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one try at one server; over UDP there are two.
    pub a_try: Duration,
    /// For everything that is asked for one look at a name.
    pub in_all: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            a_try: Duration::from_secs(2),
            in_all: Duration::from_secs(10),
        }
    }
}

/// Asks `server`; what it says is believed as far as it is the server's to say.
///
/// Cancel safe. An answer with another code than NOERROR and NXDOMAIN is an error.
pub(super) async fn ask(
    server: SocketAddr,
    question: &Question,
    a_try: Duration,
    until: Instant,
) -> Result<Reply, AskError> {
    let mut message = question.message(true);
    let mut answer = exchange(server, &message, a_try, until).await?;
    // Servers from before EDNS do not understand it (RFC 6891 section 7); to them signatures are unknown too.
    if answer.metadata.response_code == ResponseCode::FormErr && !question.signatures {
        message = question.message(false);
        answer = exchange(server, &message, a_try, until).await?;
    }
    reply(answer)
}

fn reply(answer: Message) -> Result<Reply, AskError> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(Reply::new(answer)),
        code => Err(AskError::Code(code)),
    }
}

async fn exchange(
    server: SocketAddr,
    message: &Message,
    a_try: Duration,
    until: Instant,
) -> Result<Message, AskError> {
    let bytes = message.to_vec().map_err(|_| AskError::Malformed)?;
    let mut answer = Err(AskError::Late);
    for _ in 0..UDP_TRIES {
        if until <= Instant::now() {
            return answer;
        }
        answer = within(a_try, until, over_udp(server, &bytes, message)).await;
        match &answer {
            Err(AskError::Silent) => {}
            Ok(answer) if answer.metadata.truncation => {
                return within(a_try, until, over_tcp(server, &bytes, message)).await;
            }
            _ => return answer,
        }
    }
    answer
}

async fn within(
    a_try: Duration,
    until: Instant,
    asking: impl Future<Output = Result<Message, AskError>>,
) -> Result<Message, AskError> {
    let end = until.min(Instant::now() + a_try);
    tokio::time::timeout_at(end, asking)
        .await
        .unwrap_or(Err(AskError::Silent))
}

async fn over_udp(server: SocketAddr, bytes: &[u8], asked: &Message) -> Result<Message, AskError> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(AskError::Unreachable)?;
    socket
        .connect(server)
        .await
        .map_err(AskError::Unreachable)?;
    socket.send(bytes).await.map_err(AskError::Unreachable)?;
    let mut buffer = vec![0; usize::from(DATAGRAM) * 4];
    loop {
        let length = socket
            .recv(&mut buffer)
            .await
            .map_err(AskError::Unreachable)?;
        // Whoever guesses the address and the port but not the id must not end the waiting.
        if let Some(answer) = read(&buffer[..length], asked)? {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, bytes: &[u8], asked: &Message) -> Result<Message, AskError> {
    let mut stream = TcpStream::connect(server)
        .await
        .map_err(AskError::Unreachable)?;
    let length = u16::try_from(bytes.len()).map_err(|_| AskError::Malformed)?;
    // In one piece: some servers read no further than the first segment (RFC 7766 section 8).
    let framed = [&length.to_be_bytes(), bytes].concat();
    stream
        .write_all(&framed)
        .await
        .map_err(AskError::Unreachable)?;
    let length = stream.read_u16().await.map_err(AskError::Unreachable)?;
    let mut buffer = vec![0; usize::from(length)];
    stream
        .read_exact(&mut buffer)
        .await
        .map_err(AskError::Unreachable)?;
    read(&buffer, asked)?.ok_or(AskError::Malformed)
}

/// The answer in `bytes`; nothing where they answer another question.
fn read(bytes: &[u8], asked: &Message) -> Result<Option<Message>, AskError> {
    if bytes.first_chunk() != Some(&asked.metadata.id.to_be_bytes()) {
        return Ok(None);
    }
    let answer = Message::from_vec(bytes).map_err(|_| AskError::Malformed)?;
    let same = answer.metadata.message_type == MessageType::Response
        && (answer.queries == asked.queries || is_bare_error(&answer));
    Ok(same.then_some(answer))
}

/// A server that could not read the question need not repeat it.
fn is_bare_error(answer: &Message) -> bool {
    answer.queries.is_empty() && answer.metadata.response_code == ResponseCode::FormErr
}

/// The code's name as operators know it (RFC 6895 section 2.3).
fn code_name(code: ResponseCode) -> String {
    let name = match code {
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::NotAuth => "NOTAUTH",
        other => return format!("with code {}", u16::from(other)),
    };
    name.to_owned()
}

/// What fits through every path without fragments (DNS flag day 2020); servers that do not heed it send somewhat more.
const DATAGRAM: u16 = 1232;
/// A datagram may be lost; two in a row hardly ever are.
const UDP_TRIES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(&Hostname::parse("app.acme.com").unwrap(), RecordType::TXT)
    }

    #[test]
    fn an_answer_to_another_question_is_passed_over() {
        let asked = question().message(true);
        let mut answer = asked.clone().into_response();
        let bytes = answer.to_vec().unwrap();
        assert!(read(&bytes, &asked).unwrap().is_some());
        assert!(read(&asked.to_vec().unwrap(), &asked).unwrap().is_none());
        answer.metadata.id = answer.metadata.id.wrapping_add(1);
        assert!(read(&answer.to_vec().unwrap(), &asked).unwrap().is_none());
        let other = Question::new(&Hostname::parse("x.acme.com").unwrap(), RecordType::TXT);
        let mut forged = other.message(true).into_response();
        forged.metadata.id = asked.metadata.id;
        assert!(read(&forged.to_vec().unwrap(), &asked).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let asked = question().message(true);
            let _ = read(&bytes, &asked);
            let ours = [&asked.metadata.id.to_be_bytes()[..], &bytes].concat();
            if let Ok(Some(answer)) = read(&ours, &asked) {
                let _ = Reply::new(answer);
            }
        }
    }
}
