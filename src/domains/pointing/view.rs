//! Where a name leads, as one resolver sees it.

use std::net::IpAddr;

use super::super::words::listed;
use crate::dns::{AskError, Said};
use crate::model::Hostname;

/// Where the name leads, as one resolver says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) by: String,
    pub(super) aliases: Vec<String>,
    pub(super) v4: Result<Vec<IpAddr>, String>,
    pub(super) v6: Result<Vec<IpAddr>, String>,
    pub(super) exists: bool,
}

/// What is right.
pub(super) struct Ours<'a> {
    pub(super) target: Option<&'a str>,
    /// It is known to have no address.
    pub(super) target_is_dead: bool,
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leads {
    Here,
    /// To our own name, which has no address.
    DeadEnd,
    Partly,
    Elsewhere,
    Nowhere,
    Unknown,
}

/// What AAAA records say beside A records that lead here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ipv6 {
    Well,
    Elsewhere(Vec<IpAddr>),
    Unknown(String),
}

impl Leads {
    /// Whether whoever set the records has led the name here, for good or ill.
    pub(super) fn is_here(self) -> bool {
        matches!(self, Self::Here | Self::DeadEnd)
    }
}

impl View {
    pub(super) fn new(name: &Hostname, v4: Said, v6: Said) -> Self {
        let replies = [&v4, &v6].map(|said| said.reply.as_ref().ok());
        let some = replies.iter().flatten();
        let aliases = some
            .clone()
            .map(|reply| reply.alias_chain(name))
            .max_by_key(Vec::len);
        let addresses = |said: &Said| match &said.reply {
            Ok(reply) => Ok(reply.addresses()),
            Err(error) => Err(AskError::to_string(error)),
        };
        Self {
            aliases: aliases.unwrap_or_default(),
            exists: some.clone().any(|reply| reply.exists),
            v4: addresses(&v4),
            v6: addresses(&v6),
            by: v4.by,
        }
    }

    pub(super) fn leads(&self, ours: &Ours<'_>) -> Leads {
        let (Ok(v4), v6) = (&self.v4, &self.v6) else {
            return Leads::Unknown;
        };
        if self.is_alias_of(ours.target) {
            return match (v4.is_empty(), v6) {
                (true, Ok(v6)) if v6.is_empty() => Leads::DeadEnd,
                (true, Err(_)) => Leads::Unknown,
                _ => Leads::Here,
            };
        }
        let here = |address: &&IpAddr| ours.addresses.contains(address);
        let v6_here = v6.as_ref().is_ok_and(|v6| v6.iter().any(|it| here(&it)));
        match (v4.iter().filter(here).count(), v4.len(), v6) {
            (0, 0, Err(_)) => Leads::Unknown,
            (0, 0, Ok(v6)) => match (v6.iter().filter(here).count(), v6.len()) {
                (0, 0) => Leads::Nowhere,
                (0, _) => Leads::Elsewhere,
                (some, all) if some == all => Leads::Here,
                _ => Leads::Partly,
            },
            (0, _, _) if v6_here => Leads::Partly,
            (0, _, _) => Leads::Elsewhere,
            (some, all, _) if some == all => Leads::Here,
            _ => Leads::Partly,
        }
    }

    pub(super) fn ipv6(&self, ours: &Ours<'_>) -> Ipv6 {
        if self.is_alias_of(ours.target) {
            return Ipv6::Well;
        }
        match &self.v6 {
            Err(error) => Ipv6::Unknown(error.clone()),
            Ok(v6) => {
                let foreign = v6
                    .iter()
                    .filter(|address| !ours.addresses.contains(address));
                match foreign.copied().collect::<Vec<_>>() {
                    none if none.is_empty() => Ipv6::Well,
                    foreign => Ipv6::Elsewhere(foreign),
                }
            }
        }
    }

    fn is_alias_of(&self, target: Option<&str>) -> bool {
        target.is_some_and(|target| self.aliases.iter().any(|alias| alias == target))
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let both = [&self.v4, &self.v6];
        both.into_iter().flatten().flatten().copied().collect()
    }

    pub(super) fn text(&self, ours: &Ours<'_>) -> String {
        if let Err(error) = &self.v4 {
            return error.clone();
        }
        let mut parts: Vec<String> = self
            .aliases
            .iter()
            .map(|alias| format!("CNAME {alias}"))
            .collect();
        if !self.is_alias_of(ours.target) {
            parts.extend(self.addresses().iter().map(record));
        }
        if self.leads(ours) == Leads::DeadEnd {
            return format!("{}, which has no address", listed(&parts));
        }
        match (parts.is_empty(), self.exists) {
            (true, false) => "no such name (NXDOMAIN)".to_owned(),
            (true, true) => "no A or AAAA record".to_owned(),
            _ => listed(&parts),
        }
    }
}

pub(super) fn record(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("A {address}"),
        IpAddr::V6(address) => format!("AAAA {address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[&str] = &["198.51.100.7", "198.51.100.8", "2001:db8::7"];

    fn view(aliases: &[&str], v4: &[&str], v6: &[&str]) -> View {
        let addresses = |texts: &[&str]| Ok(texts.iter().map(|it| it.parse().unwrap()).collect());
        View {
            by: "resolver 192.0.2.53".into(),
            aliases: aliases.iter().map(|&alias| alias.into()).collect(),
            v4: addresses(v4),
            v6: addresses(v6),
            exists: true,
        }
    }

    fn ours() -> Ours<'static> {
        Ours {
            target: Some("edge.vestibule.example"),
            target_is_dead: false,
            addresses: OURS.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_name_leads_here_only_with_all_of_its_addresses_or_by_our_own_name() {
        let leads =
            |aliases: &[&str], v4: &[&str], v6: &[&str]| view(aliases, v4, v6).leads(&ours());
        assert_eq!(
            leads(&["x.example", "edge.vestibule.example"], &["9.9.9.9"], &[]),
            Leads::Here
        );
        let ours = &["edge.vestibule.example"];
        assert_eq!(leads(ours, &[], &["2001:db8::9"]), Leads::Here);
        assert_eq!(leads(ours, &[], &[]), Leads::DeadEnd);
        assert_eq!(leads(&[], &["198.51.100.7"], &[]), Leads::Here);
        assert_eq!(leads(&[], &[], &["2001:db8::7"]), Leads::Here);
        assert_eq!(
            leads(&[], &["198.51.100.7"], &["2001:db8::666"]),
            Leads::Here
        );
        assert_eq!(leads(&[], &["198.51.100.7", "9.9.9.9"], &[]), Leads::Partly);
        assert_eq!(leads(&[], &["9.9.9.9"], &["2001:db8::7"]), Leads::Partly);
        assert_eq!(
            leads(&[], &[], &["2001:db8::7", "2001:db8::666"]),
            Leads::Partly
        );
        assert_eq!(
            leads(&["edge.elsewhere.example"], &["9.9.9.9"], &[]),
            Leads::Elsewhere
        );
        assert_eq!(leads(&[], &[], &[]), Leads::Nowhere);
    }

    #[test]
    fn an_aaaa_record_that_leads_elsewhere_is_told_apart() {
        let ipv6 =
            |aliases: &[&str], v6: &[&str]| view(aliases, &["198.51.100.7"], v6).ipv6(&ours());
        assert_eq!(ipv6(&[], &[]), Ipv6::Well);
        assert_eq!(ipv6(&[], &["2001:db8::7"]), Ipv6::Well);
        assert_eq!(
            ipv6(&["edge.vestibule.example"], &["2001:db8::666"]),
            Ipv6::Well
        );
        let stale = ipv6(&[], &["2001:db8::7", "2001:db8::666"]);
        assert_eq!(
            stale,
            Ipv6::Elsewhere(vec!["2001:db8::666".parse().unwrap()])
        );
    }

    #[test]
    fn a_resolver_that_fails_says_nothing() {
        let mut failed = view(&[], &[], &[]);
        failed.v4 = Err("answers SERVFAIL".into());
        assert_eq!(failed.leads(&ours()), Leads::Unknown);
        let mut half = view(&["edge.vestibule.example"], &[], &[]);
        half.v6 = Err("answers SERVFAIL".into());
        assert_eq!(half.leads(&ours()), Leads::Unknown);
    }
}
