use std::net::{Ipv4Addr, SocketAddr};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;

use super::*;
use crate::model::Hostname;
use crate::model::challenge::{delegation_label, txt_value};
use crate::store::StoreError;

/// Values of every label; away where there are none at all.
struct Values(Option<Vec<String>>);

impl ChallengeSource for Values {
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
        label == this_label()
    }
    fn dns01<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let open = label == this_label();
        let values = self.0.clone().ok_or(StoreError::NotOpen);
        let values = values.map(|values| if open { values } else { Vec::new() });
        std::future::ready(values).boxed()
    }
}

fn this_label() -> String {
    delegation_label(&Hostname::parse("shop.example.org").unwrap())
}

fn server(values: Option<&[&str]>) -> NameServer {
    named("ns.acme.example.com", values)
}

fn named(name: &str, values: Option<&[&str]>) -> NameServer {
    let host = |name| Hostname::parse(name).unwrap();
    let settings = AcmeDns {
        listen: vec![SocketAddr::from(([0, 0, 0, 0], 53))],
        zone: host("acme.example.com"),
        name_server: host(name),
    };
    let values = values.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
    let address = Ipv4Addr::new(203, 0, 113, 7).into();
    NameServer::new(&settings, &[address], Arc::new(Values(values)))
}

fn question(name: &str, wanted: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), wanted));
    message
}

/// What is sent back, if anything; over UDP never more than 512 bytes.
fn bytes(server: &NameServer, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let answer = server.answer(question, transport).now_or_never().unwrap();
    if transport == Transport::Udp {
        assert!(answer.as_ref().is_none_or(|answer| answer.len() <= 512));
    }
    answer
}

fn send(server: &NameServer, question: &Message) -> Message {
    let answer = bytes(server, &question.to_vec().unwrap(), Transport::Udp).unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert!(!answer.metadata.recursion_available);
    answer
}

fn ask(name: &str, wanted: RecordType) -> Message {
    send(&server(Some(&["value"])), &question(name, wanted))
}

fn texts(answer: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    answer.answers.iter().map(|it| text(&it.data)).collect()
}

/// Response code, answers, and whether the zone's SOA says how long the absence may be kept.
fn outline(answer: &Message) -> (ResponseCode, usize, bool) {
    let soa = answer.authorities.iter().any(|record| {
        let short = matches!(&record.data, RData::SOA(soa) if soa.minimum <= 1 && record.ttl <= 1);
        assert!(short, "{record}");
        short
    });
    (answer.metadata.response_code, answer.answers.len(), soa)
}

const ABSENT: (ResponseCode, usize, bool) = (ResponseCode::NoError, 0, true);
const NOBODY: (ResponseCode, usize, bool) = (ResponseCode::NXDomain, 0, true);
const REFUSED: (ResponseCode, usize, bool) = (ResponseCode::Refused, 0, false);

#[test]
fn an_open_challenge_is_answered_with_every_value() {
    let values = [txt_value("one"), txt_value("two")];
    let server = server(Some(&[&values[0], &values[1]]));
    let name = format!("{}.acme.example.com.", this_label());
    let answer = send(&server, &question(&name, RecordType::TXT));
    assert_eq!(texts(&answer), values);
    assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
    assert!(answer.answers.iter().all(|record| record.ttl <= 1));
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
}

#[test]
fn what_lies_above_the_name_server_exists() {
    let server = named("one.ns.acme.example.com", Some(&[]));
    let ask = |name: &str, wanted| outline(&send(&server, &question(name, wanted)));
    assert_eq!(ask("ns.acme.example.com.", RecordType::A), ABSENT);
    assert_eq!(ask("NS.acme.example.com.", RecordType::ANY), ABSENT);
    let own = ask("one.ns.acme.example.com.", RecordType::A);
    assert_eq!(own, (ResponseCode::NoError, 1, false));
    assert_eq!(ask("two.ns.acme.example.com.", RecordType::A), NOBODY);
    assert_eq!(ask("s.acme.example.com.", RecordType::A), NOBODY);
}

#[test]
fn case_does_not_count_and_comes_back_as_it_was_sent() {
    let name = format!("{}.ACME.exAmple.com.", this_label().to_uppercase());
    let answer = ask(&name, RecordType::TXT);
    assert_eq!(texts(&answer), ["value"]);
    assert_eq!(answer.queries[0].name().to_ascii(), name);
    assert_eq!(answer.answers[0].name.to_ascii(), name);
}

#[test]
fn labels_are_there_without_a_challenge_and_for_other_types_too() {
    let label = this_label();
    let other = "0".repeat(32);
    for (label, wanted) in [
        (&*other, RecordType::TXT),
        (&*label, RecordType::A),
        (&*label, RecordType::CNAME),
        (&*label, RecordType::NS),
        (&*label, RecordType::CAA),
    ] {
        let answer = ask(&format!("{label}.acme.example.com."), wanted);
        assert_eq!(outline(&answer), ABSENT, "{label} {wanted}");
        assert!(answer.metadata.authoritative);
    }
}

#[test]
fn other_names_in_the_zone_are_nobodys() {
    let below = format!("_acme-challenge.{}", this_label());
    let long = "0".repeat(33);
    for label in ["www", "_acme-challenge", "*", &long, &below, "a.b.c"] {
        for wanted in [RecordType::TXT, RecordType::A, RecordType::ANY] {
            let answer = ask(&format!("{label}.acme.example.com."), wanted);
            assert_eq!(outline(&answer), NOBODY, "{label}");
            assert!(answer.metadata.authoritative);
        }
    }
}

#[test]
fn the_zone_says_who_answers_for_it() {
    let apex = "acme.example.com.";
    let soa = ask(apex, RecordType::SOA);
    assert!(
        matches!(&soa.answers[0].data, RData::SOA(soa) if soa.mname.to_ascii() == "ns.acme.example.com.")
    );
    let ns = ask(apex, RecordType::NS);
    assert!(
        matches!(&ns.answers[0].data, RData::NS(ns) if ns.to_ascii() == "ns.acme.example.com.")
    );
    let a = ask("ns.acme.example.com.", RecordType::A);
    assert!(matches!(&a.answers[0].data, RData::A(a) if a.0 == Ipv4Addr::new(203, 0, 113, 7)));
    for (name, wanted) in [
        (apex, RecordType::TXT),
        (apex, RecordType::A),
        ("ns.acme.example.com.", RecordType::AAAA),
        ("ns.acme.example.com.", RecordType::NS),
    ] {
        assert_eq!(outline(&ask(name, wanted)), ABSENT, "{name} {wanted}");
    }
}

#[test]
fn whatever_is_not_ours_is_refused() {
    let outside = [
        ".",
        "com.",
        "example.com.",
        "xacme.example.com.",
        "www.example.org.",
        "acme.example.com.example.net.",
    ];
    for name in outside {
        let answer = ask(name, RecordType::TXT);
        assert_eq!(outline(&answer), REFUSED, "{name}");
        assert!(!answer.metadata.authoritative);
    }
    for wanted in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(outline(&ask("acme.example.com.", wanted)), REFUSED);
    }
    let mut chaos = question("acme.example.com.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(outline(&send(&server(Some(&[])), &chaos)), REFUSED);
}

/// RFC 8482: one small record, be there what may.
#[test]
fn any_is_answered_with_as_little_as_possible() {
    let many = vec!["a value of some length"; 50];
    let server = server(Some(&many));
    let label = format!("{}.acme.example.com.", this_label());
    for name in ["acme.example.com.", &label] {
        let answer = send(&server, &question(name, RecordType::ANY));
        assert_eq!(answer.answers.len(), 1, "{name}");
        assert_eq!(answer.answers[0].record_type(), RecordType::HINFO);
    }
}

#[test]
fn what_does_not_fit_into_a_datagram_is_had_by_a_connection() {
    let values: Vec<_> = (0..50).map(|n| txt_value(&n.to_string())).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let server = server(Some(&values));
    let name = format!("{}.acme.example.com.", this_label());
    let mut question = question(&name, RecordType::TXT);
    // Not for somebody who offers to take more either: the address may be another's.
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    question.set_edns(edns);
    let short = send(&server, &question);
    assert!(short.metadata.truncation && short.answers.is_empty());
    let whole = bytes(&server, &question.to_vec().unwrap(), Transport::Tcp).unwrap();
    let whole = Message::from_vec(&whole).unwrap();
    assert!(!whole.metadata.truncation);
    // The latest ones.
    assert_eq!(texts(&whole), values[..16]);
}

#[test]
fn a_store_that_is_away_is_a_failure_and_no_absence() {
    let server = server(None);
    let name = format!("{}.acme.example.com.", this_label());
    let answer = send(&server, &question(&name, RecordType::TXT));
    assert_eq!(outline(&answer), (ResponseCode::ServFail, 0, false));
    let apex = send(&server, &question("acme.example.com.", RecordType::NS));
    assert_eq!(apex.metadata.response_code, ResponseCode::NoError);
}

#[test]
fn what_is_no_question_is_told_so_or_left_alone() {
    let server = server(Some(&[]));
    let good = question("acme.example.com.", RecordType::SOA);
    let code = |message: &Message| send(&server, message).metadata.response_code;
    for (op_code, expected) in [
        (OpCode::Update, ResponseCode::NotImp),
        (OpCode::Notify, ResponseCode::NotImp),
        (OpCode::Status, ResponseCode::NotImp),
    ] {
        let mut other = good.clone();
        other.metadata.op_code = op_code;
        assert_eq!(code(&other), expected);
    }
    let mut two = good.clone();
    two.add_query(two.queries[0].clone());
    assert_eq!(code(&two), ResponseCode::FormErr);
    let mut none = good.clone();
    none.queries.clear();
    assert_eq!(code(&none), ResponseCode::FormErr);
    let mut newer = good.clone();
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    // 16, which is BADSIG where it stands in a signature.
    assert_eq!(u16::from(code(&newer)), u16::from(ResponseCode::BADVERS));
    let mut reply = good.clone();
    reply.metadata.message_type = MessageType::Response;
    let bytes = |message: &[u8]| bytes(&server, message, Transport::Udp);
    assert_eq!(bytes(&reply.to_vec().unwrap()), None);
    let whole = good.to_vec().unwrap();
    for length in 0..12 {
        assert_eq!(bytes(&whole[..length]), None, "{length} bytes");
    }
    for length in 12..whole.len() {
        let answer = bytes(&whole[..length]).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    }
    let padded = [whole, vec![0; 1024]].concat();
    assert_eq!(bytes(&padded).map(|answer| answer.len()), Some(12));
}

#[test]
fn extensions_are_answered_with_what_we_take() {
    let mut question = question("acme.example.com.", RecordType::SOA);
    question.set_edns(Edns::new());
    let answer = send(&server(Some(&[])), &question);
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
    assert!(ask("acme.example.com.", RecordType::SOA).edns.is_none());
}

/// A question with some of its bytes changed, or any bytes at all.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let label = this_label();
    let names = [
        "acme.example.com.".to_owned(),
        format!("{label}.acme.example.com."),
        format!("x.{label}.acme.example.com."),
        "www.example.org.".to_owned(),
    ];
    let asked = (0..names.len(), any::<u16>()).prop_map(move |(name, wanted)| {
        let mut message = question(&names[name], RecordType::from(wanted));
        message.set_edns(Edns::new());
        message.to_vec().unwrap()
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = (asked, changes).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes
    });
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..600)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Nothing that comes in makes it fail, makes it answer an answer, or makes much of little.
    #[test]
    fn whatever_comes_the_answer_is_one_and_short(message in noise(), udp in any::<bool>()) {
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        let server = server(Some(&["value", "other"]));
        if let Some(answer) = bytes(&server, &message, transport) {
            prop_assert_eq!(&answer[..2], &message[..2], "the question's own number");
            prop_assert!(message[2] & 0x80 == 0 && answer[2] & 0x80 != 0);
            prop_assert!(answer.len() <= 512);
            // Never recursion, never the word of a validator.
            prop_assert_eq!(answer[3] & 0xa0, 0);
        } else {
            prop_assert!(message.len() < 12 || message[2] & 0x80 != 0);
        }
    }
}
