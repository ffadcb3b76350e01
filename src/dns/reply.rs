//! What a name server says, in the words of those who look at names.

use std::net::IpAddr;

use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record};

use crate::model::Hostname;

/// An answer: the records, or that there are none, or that there is no such name.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whether the name exists; for an alias, the name at its end.
    pub exists: bool,
    /// Whether the server answers for the zone itself (AA).
    pub authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

/// A CAA record (RFC 8659 section 4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaaRecord {
    /// Whether whoever does not understand the tag must not issue.
    pub critical: bool,
    /// The property's name, in lower case.
    pub tag: String,
    /// The property's value, as it stands there.
    pub value: String,
}

impl Reply {
    pub(super) fn new(message: Message) -> Self {
        Self {
            exists: message.metadata.response_code != ResponseCode::NXDomain,
            authoritative: message.metadata.authoritative,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        }
    }

    /// The TXT records that stand at `name` itself, the strings of each joined (RFC 7208 section 3.3 says the same of SPF).
    pub fn texts(&self, name: &Hostname) -> Vec<String> {
        self.at(name)
            .filter_map(|data| match data {
                RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into()),
                _ => None,
            })
            .collect()
    }

    /// What `name` is an alias of.
    pub fn alias(&self, name: &Hostname) -> Option<String> {
        self.at(name).find_map(|data| match data {
            RData::CNAME(target) => Some(text(&target.0)),
            _ => None,
        })
    }

    /// The aliases from `name` on, as far as the answer holds them.
    pub fn alias_chain(&self, name: &Hostname) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        let mut at = name.as_str().to_owned();
        while let Some(next) = self.alias_of(&at) {
            if chain.contains(&next) {
                break;
            }
            at.clone_from(&next);
            chain.push(next);
        }
        chain
    }

    fn alias_of(&self, name: &str) -> Option<String> {
        self.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if text(&record.name) == name => Some(text(&target.0)),
            _ => None,
        })
    }

    /// The addresses in the answer, of the name or of what it is an alias of.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.answers.iter().filter_map(address).collect()
    }

    /// The CAA records in the answer, of the name or of what it is an alias of.
    pub fn caa(&self) -> Vec<CaaRecord> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::CAA(caa) => Some(CaaRecord {
                    critical: caa.issuer_critical,
                    tag: caa.tag.to_ascii_lowercase(),
                    value: String::from_utf8_lossy(&caa.value).into(),
                }),
                _ => None,
            })
            .collect()
    }

    /// The SOA that says which zone has no such record.
    pub(super) fn denied_by(&self) -> Option<&Name> {
        let is_soa = |record: &&Record| matches!(record.data, RData::SOA(_));
        self.authorities
            .iter()
            .find(is_soa)
            .map(|record| &record.name)
    }

    /// The name servers of `zone`, where the answer names them.
    pub(super) fn name_servers(&self, zone: &Name) -> Vec<Name> {
        servers(&self.answers)
            .filter(|(owner, _)| *owner == zone)
            .map(|(_, ns)| ns.clone())
            .collect()
    }

    /// The zone below which the server says to ask, and whom.
    pub(super) fn referral(&self) -> Option<(Name, Vec<Name>)> {
        let (zone, _) = servers(&self.authorities).next()?;
        let named = servers(&self.authorities).filter(|(owner, _)| *owner == zone);
        Some((zone.clone(), named.map(|(_, ns)| ns.clone()).collect()))
    }

    /// The addresses that came along for a name server.
    pub(super) fn glue(&self, server: &Name) -> Vec<IpAddr> {
        let of_server = self
            .additionals
            .iter()
            .filter(|record| record.name == *server);
        of_server.filter_map(address).collect()
    }

    pub(super) fn dnssec(&self) -> impl Iterator<Item = (&Name, &DNSSECRData)> {
        self.answers.iter().filter_map(|record| match &record.data {
            RData::DNSSEC(data) => Some((&record.name, data)),
            _ => None,
        })
    }

    fn at(&self, name: &Hostname) -> impl Iterator<Item = &RData> {
        self.answers
            .iter()
            .filter(|record| text(&record.name) == name.as_str())
            .map(|record| &record.data)
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn servers(records: &[Record]) -> impl Iterator<Item = (&Name, &Name)> {
    records.iter().filter_map(|record| match &record.data {
        RData::NS(server) => Some((&record.name, &server.0)),
        _ => None,
    })
}

/// A name as it is written: lower case, without the final dot; the root is a dot.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(rest) => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{MessageType, OpCode};
    use hickory_resolver::proto::rr::rdata::CNAME;
    use proptest::prelude::*;

    use super::*;

    fn aliases(pairs: &[(u8, u8)]) -> Reply {
        let name = |label: u8| Name::from_ascii(format!("N{label}.Acme.Test.")).unwrap();
        let record = |(from, to): &(u8, u8)| {
            Record::from_rdata(name(*from), 60, RData::CNAME(CNAME(name(*to))))
        };
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.add_answers(pairs.iter().map(record));
        Reply::new(message)
    }

    #[test]
    fn aliases_are_followed_in_their_order_whatever_their_case() {
        let start = Hostname::parse("n0.acme.test").unwrap();
        let chain = aliases(&[(2, 3), (0, 2), (7, 8)]).alias_chain(&start);
        assert_eq!(chain, ["n2.acme.test", "n3.acme.test"]);
    }

    proptest! {
        #[test]
        fn aliases_that_lead_in_circles_come_to_an_end(pairs in proptest::collection::vec((0_u8..6, 0_u8..6), 0..12)) {
            let start = Hostname::parse("n0.acme.test").unwrap();
            let chain = aliases(&pairs).alias_chain(&start);
            let mut once = chain.clone();
            once.sort();
            once.dedup();
            prop_assert_eq!(once.len(), chain.len());
        }
    }
}
