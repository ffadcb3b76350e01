//! From the bytes of a question to the message that is sent back, all but the values of challenges.

use hickory_server::proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_server::proto::rr::{DNSClass, Record, RecordType};
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder};

use super::Transport;
use super::zone::{Place, Zone, texts};

/// Longest question in bytes: a name has 255 at most, options a few dozen.
pub(super) const LONGEST_QUESTION: usize = 1024;
/// Longest answer in a datagram, whatever size the question offers (RFC 1035 section 4.2.1): eight times a question at most.
const LONGEST_DATAGRAM: usize = 512;
/// The size of datagrams that we offer to take (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// What follows from a message.
pub(super) enum Step {
    /// Nothing: it is no question.
    Nothing,
    /// This is said.
    Say(Box<Message>),
    /// This is said, with the values of the challenges at `label`.
    Look { reply: Box<Message>, label: String },
}

impl Zone {
    /// Reads a message, and answers all that the store need not be asked for.
    pub(super) fn step(&self, message: &[u8]) -> Step {
        let Ok(header) = Header::read(&mut BinDecoder::new(message)) else {
            return Step::Nothing;
        };
        let metadata = header.metadata;
        // Answers to answers would go on for ever.
        if metadata.message_type != MessageType::Query {
            return Step::Nothing;
        }
        let bare = |code| {
            let mut reply = Message::error_msg(metadata.id, metadata.op_code, code);
            reply.metadata.recursion_desired = metadata.recursion_desired;
            Step::Say(Box::new(reply))
        };
        if metadata.op_code != OpCode::Query {
            return bare(ResponseCode::NotImp);
        }
        match Message::from_vec(message) {
            Ok(question) if message.len() <= LONGEST_QUESTION => self.reply(question),
            _ => bare(ResponseCode::FormErr),
        }
    }

    fn reply(&self, question: Message) -> Step {
        let mut reply = Message::response(question.metadata.id, OpCode::Query);
        reply.metadata = Metadata::response_from_request(&question.metadata);
        let mut version = 0;
        if let Some(edns) = &question.edns {
            version = edns.version();
            let mut ours = Edns::new();
            ours.set_max_payload(PAYLOAD);
            reply.set_edns(ours);
        }
        let asked = match &*question.queries {
            [asked] => asked.clone(),
            _ => return said(reply, ResponseCode::FormErr),
        };
        reply.add_query(asked.clone());
        if version > 0 {
            // RFC 6891 section 6.1.3.
            return said(reply, ResponseCode::BADVERS);
        }
        if asked.query_class != DNSClass::IN || is_transfer(asked.query_type) {
            return said(reply, ResponseCode::Refused);
        }
        self.find(reply, asked)
    }

    fn find(&self, mut reply: Message, asked: Query) -> Step {
        let place = self.place(asked.name());
        match place {
            Place::Outside => return said(reply, ResponseCode::Refused),
            Place::Nothing => {
                reply.metadata.authoritative = true;
                reply.add_authority(self.soa());
                return said(reply, ResponseCode::NXDomain);
            }
            Place::Apex | Place::NameServer | Place::Challenge(_) | Place::Above => {
                reply.metadata.authoritative = true;
            }
        }
        let records = match (asked.query_type, place) {
            (_, Place::Above) => Vec::new(),
            (RecordType::ANY, _) => vec![self.any(asked.name())],
            (RecordType::TXT, Place::Challenge(label)) => {
                let reply = Box::new(reply);
                return Step::Look { reply, label };
            }
            (_, Place::Challenge(_)) => Vec::new(),
            (wanted, place) => self.own(asked.name(), &place, wanted),
        };
        self.filled(&mut reply, records);
        said(reply, ResponseCode::NoError)
    }

    fn filled(&self, reply: &mut Message, records: Vec<Record>) {
        if records.is_empty() {
            // RFC 2308 section 2.2: the name is there, the type is not.
            reply.add_authority(self.soa());
        }
        reply.add_answers(records);
    }

    /// `reply` with what was found of challenges; `None` where nobody could look.
    pub(super) fn with_values(&self, mut reply: Message, values: Option<Vec<String>>) -> Message {
        let asked = reply.queries.first().map(|query| query.name().clone());
        match (values, asked) {
            (Some(values), Some(asked)) => self.filled(&mut reply, texts(&asked, values)),
            _ => {
                reply.metadata.authoritative = false;
                reply.metadata.response_code = ResponseCode::ServFail;
            }
        }
        reply
    }
}

fn said(mut reply: Message, code: ResponseCode) -> Step {
    reply.metadata.response_code = code;
    Step::Say(Box::new(reply))
}

fn is_transfer(wanted: RecordType) -> bool {
    matches!(wanted, RecordType::AXFR | RecordType::IXFR)
}

/// The bytes of `reply`; where they are too many for a datagram, those of one that says so.
pub(super) fn written(reply: &Message, transport: Transport) -> Option<Vec<u8>> {
    let written = |reply: &Message| {
        let bytes = reply.to_vec();
        bytes
            .inspect_err(|error| tracing::debug!(%error, "an answer cannot be written"))
            .ok()
    };
    let bytes = written(reply)?;
    match transport {
        Transport::Udp if bytes.len() > LONGEST_DATAGRAM => written(&reply.truncate()),
        Transport::Udp | Transport::Tcp => Some(bytes),
    }
}
