//! Messages of the domain name system: answers that we read, and questions that our name server gets.

use std::sync::{Arc, LazyLock};

use futures_util::future::BoxFuture;
use vestibule::config::AcmeDns;
use vestibule::dns::{Question, RecordType};
use vestibule::model::Hostname;
use vestibule::nameserver::{NameServer, Transport};
use vestibule::store::{ChallengeSource, StoreError};

use super::{PROXY, RUNTIME};

/// What a name server answers to one of our questions: what is made of it is bounded by what came, and goes in no circle.
pub fn dns_answer(bytes: &[u8]) {
    let name = Hostname::parse("app.acme.test").expect("a name");
    for kind in [
        RecordType::TXT,
        RecordType::A,
        RecordType::CNAME,
        RecordType::CAA,
    ] {
        let question = Question::new(&name, kind);
        let Ok(Some(reply)) = question.read(ID, bytes) else {
            continue;
        };
        assert_eq!(bytes[..2], ID.to_be_bytes(), "it answers another question");
        assert!(bytes[2] & 0x80 != 0, "it is a question");
        assert!(matches!(question.read(!ID, bytes), Ok(None)));
        // A record has eleven bytes at least.
        let most = bytes.len() / 11;
        let mut chain = reply.alias_chain(&name);
        assert!(chain.len() <= most && reply.addresses().len() <= most);
        assert!(reply.texts(&name).len() <= most && reply.caa().len() <= most);
        assert_eq!(reply.alias(&name).is_some(), !chain.is_empty());
        assert!(
            reply
                .caa()
                .iter()
                .all(|it| it.tag == it.tag.to_ascii_lowercase())
        );
        let all = chain.len();
        chain.sort();
        chain.dedup();
        assert_eq!(chain.len(), all, "the same alias twice");
    }
}

/// What comes to our name server: an answer is one to the very question, short where nobody was seen to be there, and never somebody
/// else's word.
pub fn dns_question(bytes: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some(answer) = RUNTIME.block_on(NAME_SERVER.answer(bytes, transport)) else {
            assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0, "no answer");
            continue;
        };
        assert!(bytes[2] & 0x80 == 0, "an answer to an answer");
        assert_eq!(answer[..2], bytes[..2], "the question's own number");
        assert!(answer.len() >= 12 && answer[2] & 0x80 != 0);
        // Neither recursion nor what a validator says.
        assert_eq!(answer[3] & 0xa0, 0);
        match transport {
            Transport::Udp => assert!(answer.len() <= 512),
            Transport::Tcp => assert!(answer[2] & 2 == 0 && answer.len() <= 65_535),
        }
    }
}

/// The number of the question that [`dns_answer`] is an answer to.
const ID: u16 = 7;

/// Open challenges: more at one label than fit into a datagram, none at all others.
struct Open;

impl ChallengeSource for Open {
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
        label == OPEN
    }
    fn dns01<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let open = label == OPEN;
        let values =
            open.then(|| vec!["ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".to_owned(); 12]);
        Box::pin(async { Ok(values.unwrap_or_default()) })
    }
}

/// Where there are challenges: the label of `app.example.com`.
const OPEN: &str = "28059829b1051f04ef03119067c0ce09";

static NAME_SERVER: LazyLock<NameServer> = LazyLock::new(|| {
    let host = |name| Hostname::parse(name).expect("a name");
    let settings = AcmeDns {
        listen: Vec::new(),
        zone: host("acme.test"),
        name_server: host("ns.acme.test"),
    };
    NameServer::new(&settings, &[PROXY.ip()], Arc::new(Open))
});
