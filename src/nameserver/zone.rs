//! What there is in the zone: its apex, the name server's own name, and a name for every label that a customer may have delegated to.

use std::net::IpAddr;

use hickory_server::proto::rr::rdata::{A, AAAA, HINFO, NS, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

use crate::config::AcmeDns;
use crate::model::Hostname;
use crate::model::challenge::is_delegation_label;

/// Seconds for which the zone's own records may be kept.
const TTL: u32 = 3600;
/// Seconds for which a challenge, or its absence (RFC 2308 section 5), may be kept: a name and its wildcard are shown at one label, and who
/// asks for the second must not be given the first alone.
const SHORT_TTL: u32 = 0;
/// Values of one name in an answer, the latest ones: a name and its wildcard at several CAs.
const MOST_VALUES: usize = 16;

/// The zone.
pub(super) struct Zone {
    apex: Name,
    name_server: Name,
    addresses: Vec<IpAddr>,
    soa: SOA,
}

/// Where a name lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Not in the zone.
    Outside,
    /// The zone's own name.
    Apex,
    /// That of the name server, in its own zone and not its apex.
    NameServer,
    /// Where a customer's `_acme-challenge` may lead.
    Challenge(String),
    /// Nothing itself, and the name server's name lies below it: it exists (RFC 8020).
    Above,
    /// In the zone, and nothing.
    Nothing,
}

impl Zone {
    pub(super) fn new(settings: &AcmeDns, addresses: &[IpAddr]) -> Self {
        let listening = settings.listen.iter().map(|address| address.ip());
        let mut own: Vec<IpAddr> = listening.filter(|ip| !ip.is_unspecified()).collect();
        own.extend(addresses);
        own.dedup();
        let (apex, name_server) = (name(&settings.zone), name(&settings.name_server));
        let mailbox = Name::from_ascii("hostmaster")
            .and_then(|local| local.append_domain(&apex))
            .unwrap_or_else(|_| apex.clone());
        // Nobody transfers this zone: the numbers in the middle are for form's sake.
        let soa = SOA::new(
            name_server.clone(),
            mailbox,
            1,
            3600,
            600,
            86_400,
            SHORT_TTL,
        );
        Self {
            apex,
            name_server,
            addresses: own,
            soa,
        }
    }

    /// Where `asked` lies. Case does not count.
    pub(super) fn place(&self, asked: &Name) -> Place {
        if !self.apex.zone_of(asked) {
            return Place::Outside;
        }
        // `Name::num_labels` leaves out a star, which is a label like any other here.
        let below = asked.iter().count() - self.apex.iter().count();
        if below == 0 {
            return Place::Apex;
        }
        if *asked == self.name_server {
            return Place::NameServer;
        }
        match delegation(asked).filter(|_| below == 1) {
            Some(label) => Place::Challenge(label),
            None if asked.zone_of(&self.name_server) => Place::Above,
            None => Place::Nothing,
        }
    }

    /// What there is of type `wanted` at `asked`, which is the apex or the name server's name.
    pub(super) fn own(&self, asked: &Name, place: &Place, wanted: RecordType) -> Vec<Record> {
        let is_apex = *place == Place::Apex;
        match wanted {
            RecordType::SOA if is_apex => vec![self.soa()],
            RecordType::NS if is_apex => {
                let data = RData::NS(NS(self.name_server.clone()));
                vec![Record::from_rdata(asked.clone(), TTL, data)]
            }
            RecordType::A | RecordType::AAAA if *asked == self.name_server => {
                self.addresses(asked, wanted)
            }
            _ => Vec::new(),
        }
    }

    fn addresses(&self, asked: &Name, wanted: RecordType) -> Vec<Record> {
        let data = |ip: &IpAddr| match (ip, wanted) {
            (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(*ip))),
            (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(*ip))),
            _ => None,
        };
        let data = self.addresses.iter().filter_map(data);
        data.map(|data| Record::from_rdata(asked.clone(), TTL, data))
            .collect()
    }

    /// The one record that says that there are others (RFC 8482 section 4.2).
    pub(super) fn any(&self, asked: &Name) -> Record {
        let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
        Record::from_rdata(asked.clone(), TTL, data)
    }

    /// For the authority section of an answer without a record.
    pub(super) fn soa(&self) -> Record {
        let data = RData::SOA(self.soa.clone());
        Record::from_rdata(self.apex.clone(), SHORT_TTL, data)
    }
}

/// The first label, where it is one that a customer may have delegated to.
fn delegation(asked: &Name) -> Option<String> {
    let label = asked.iter().next()?.to_ascii_lowercase();
    let label = String::from_utf8(label).ok()?;
    is_delegation_label(&label).then_some(label)
}

/// A TXT record for each of the latest `values`.
pub(super) fn texts(asked: &Name, values: Vec<String>) -> Vec<Record> {
    let record = |value: String| {
        let data = RData::TXT(TXT::new(vec![value]));
        Record::from_rdata(asked.clone(), SHORT_TTL, data)
    };
    values.into_iter().take(MOST_VALUES).map(record).collect()
}

/// A host name is a name of the DNS, in whatever place.
fn name(hostname: &Hostname) -> Name {
    let mut name = Name::from_ascii(hostname.as_str()).unwrap_or_default();
    name.set_fqdn(true);
    name
}
