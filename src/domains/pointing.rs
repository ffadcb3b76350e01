//! Whether the name leads here, as the resolvers see it: by CNAME, or by addresses that are all ours.

mod hints;
mod view;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use hints::{hint, to_set, told_of, wanted};
use view::{Ipv6, Leads, Ours, View, record};

use super::words::listed;
use super::{Expected, Seen, Whose, cdn};
use crate::clock::Timestamp;
use crate::dns::{Inquiry, Question, RecordType, Said};
use crate::model::{Check, CheckCode, DomainPattern, Hostname};

/// What was seen.
pub(super) struct Pointed {
    /// Whether visitors are led here; what AAAA records say counts only where there are no A records.
    pub(super) seen: Seen,
    /// Whether a CA that asks this name asks us, over IPv4 and IPv6.
    pub(super) reachable: Seen,
    pub(super) checks: Vec<Check>,
    /// A resolver has failed, which it does of bad signatures too.
    pub(super) servfail: bool,
}

pub(super) async fn look(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    expected: &Expected,
    now: Timestamp,
) -> Pointed {
    let name = match pattern {
        DomainPattern::Exact(name) => name.clone(),
        // Some name that nobody has asked for and that no record of its own stands at.
        DomainPattern::Wildcard(parent) => {
            let probe =
                Hostname::parse(&format!("vestibule-{:08x}.{parent}", rand::random::<u32>()));
            probe.unwrap_or_else(|_| parent.clone())
        }
    };
    let ask = async |kind| inquiry.of_resolvers(Question::new(&name, kind)).await;
    let (v4, v6, target) = tokio::join!(
        ask(RecordType::A),
        ask(RecordType::AAAA),
        target_addresses(inquiry, expected)
    );
    let servfail = v4.iter().chain(&v6).any(Said::is_servfail);
    let views = v4
        .into_iter()
        .zip(v6)
        .map(|(v4, v6)| View::new(&name, v4, v6));
    let views: Vec<View> = views.collect();
    let mut addresses = expected.addresses.clone();
    let target_is_dead = target.as_ref().is_some_and(Vec::is_empty);
    addresses.extend(target.unwrap_or_default());
    addresses.extend(of_this_node(&views, &expected.whose));
    let ours = Ours {
        target: expected.cname_target.as_ref().map(Hostname::as_str),
        target_is_dead,
        addresses,
    };
    Pointed {
        servfail,
        ..judge(&views, &ours, pattern, expected, now)
    }
}

/// Whether the name to which customers point theirs has no address, as a resolver sees it: then whoever does so leads nowhere.
pub(super) async fn target_is_dead(inquiry: &Inquiry<'_>, expected: &Expected) -> bool {
    let found = target_addresses(inquiry, expected).await;
    found.is_some_and(|addresses| addresses.is_empty())
}

/// The addresses of this node at which the operator's own names may be: those of its listeners, and of those that were seen the ones
/// that the machine has where a listener is at all of them.
fn of_this_node(views: &[View], whose: &Whose) -> Vec<IpAddr> {
    let Whose::Operator(here) = whose else {
        return Vec::new();
    };
    let mut addresses = here.listeners.clone();
    if here.machine {
        let seen = views.iter().flat_map(View::addresses);
        addresses.extend(seen.filter(is_of_this_machine));
    }
    addresses
}

/// Whether the system lets a socket have the address, which it does of its own only. Nothing is sent.
fn is_of_this_machine(address: &IpAddr) -> bool {
    let of_many = address.is_multicast() || *address == IpAddr::V4(Ipv4Addr::BROADCAST);
    let of_others = address.is_unspecified() || of_many;
    let can_have = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    // Where it lets sockets have any address (`ip_nonlocal_bind`), also this one that is nobody's (RFC 5737, RFC 3849), it says nothing.
    let nobodys: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    !of_others && can_have(*address) && !can_have(nobodys)
}

/// Where our own name leads: providers that flatten a CNAME give its addresses as the customer's own. Nothing where there is no such name,
/// or resolvers fail where they would have to say that it has none.
async fn target_addresses(inquiry: &Inquiry<'_>, expected: &Expected) -> Option<Vec<IpAddr>> {
    let target = expected.cname_target.as_ref()?;
    let ask = async |kind| {
        let reply = inquiry.of_a_resolver(Question::new(target, kind)).await;
        reply.map(|reply| reply.addresses()).ok()
    };
    let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
    let known = v4.is_some() && v6.is_some();
    let addresses: Vec<IpAddr> = [v4, v6].into_iter().flatten().flatten().collect();
    (known || !addresses.is_empty()).then_some(addresses)
}

fn judge(
    views: &[View],
    ours: &Ours<'_>,
    pattern: &DomainPattern,
    expected: &Expected,
    now: Timestamp,
) -> Pointed {
    let leads = views.iter().map(|view| match view.leads(ours) {
        // Where a name has addresses of several nodes each of them knows its own alone, and any of them answers a CA.
        Leads::Partly if expected.whose != Whose::Customer => Leads::Here,
        leads => leads,
    });
    let leads: Vec<Leads> = leads.collect();
    let wanted = wanted(pattern, expected);
    let seen = match leads.as_slice() {
        _ if wanted.is_none() => Seen::Unknown,
        some if some.iter().all(|it| it.is_here()) => Seen::Yes,
        some if some.iter().all(|it| !it.is_here() && *it != Leads::Unknown) => Seen::No,
        _ => Seen::Unknown,
    };
    let Some(wanted) = wanted else {
        return not_configured(views, &leads, ours, pattern, now);
    };
    let check = |code, expected, observed, hint| Check {
        code,
        ok: false,
        expected,
        observed,
        hint,
        seen_by: views.iter().map(|view| view.by.clone()).collect(),
        at: now.0,
    };
    let observed = told_of(views, |view| view.text(ours));
    let hint = hint(seen, (&leads, ours), pattern, expected);
    let dead = leads.contains(&Leads::DeadEnd);
    let mut checks = vec![Check {
        ok: seen == Seen::Yes && !dead,
        ..check(CheckCode::Pointing, wanted.clone(), observed, hint)
    }];
    if let Some(who) = proxy(views).filter(|_| seen == Seen::No) {
        let observed = format!("{pattern} is served by {who}");
        let hint = cdn::hint(who, &pattern.to_string(), &to_set(pattern, expected));
        checks.push(check(CheckCode::Cdn, wanted, observed, Some(hint)));
    }
    // Where the A records do not lead here either, there is nothing apart to say of IPv6.
    let ipv6 = match seen {
        Seen::Yes if !dead => ipv6(views, ours, pattern),
        _ => Ok(()),
    };
    let reachable = match (&ipv6, seen) {
        (Err(fault), _) => fault.seen,
        (Ok(()), Seen::Yes) if leads.iter().all(|it| *it == Leads::DeadEnd) => Seen::No,
        (Ok(()), Seen::Yes) if dead => Seen::Unknown,
        (Ok(()), seen) => seen,
    };
    if let Err(fault) = ipv6 {
        checks.push(check(
            CheckCode::Ipv6,
            fault.expected,
            fault.observed,
            Some(fault.hint),
        ));
    }
    Pointed {
        seen,
        reachable,
        checks,
        servfail: false,
    }
}

/// Somebody else's proxy that stands before the name.
fn proxy(views: &[View]) -> Option<&'static str> {
    let addresses: Vec<IpAddr> = views.iter().flat_map(View::addresses).collect();
    let aliases: Vec<String> = views.iter().flat_map(|view| view.aliases.clone()).collect();
    cdn::of(&aliases, &addresses)
}

struct Ipv6Fault {
    seen: Seen,
    expected: String,
    observed: String,
    hint: String,
}

fn ipv6(views: &[View], ours: &Ours<'_>, pattern: &DomainPattern) -> Result<(), Ipv6Fault> {
    let found: Vec<Ipv6> = views.iter().map(|view| view.ipv6(ours)).collect();
    if found.iter().all(|it| *it == Ipv6::Well) {
        return Ok(());
    }
    let own = ours
        .addresses
        .iter()
        .filter(|address| address.is_ipv6())
        .map(record);
    let own: Vec<String> = own.collect();
    let expected = match own.is_empty() {
        true => format!("no AAAA record at {pattern}"),
        false => format!("no AAAA record at {pattern}, or {}", listed(&own)),
    };
    let wrong = found.iter().filter_map(|it| match it {
        Ipv6::Elsewhere(addresses) => Some(addresses.iter().map(record)),
        _ => None,
    });
    let mut wrong: Vec<String> = wrong.flatten().collect();
    wrong.sort();
    wrong.dedup();
    Err(match wrong.is_empty() {
        false => Ipv6Fault {
            seen: Seen::No,
            expected,
            observed: listed(&wrong),
            hint: format!(
                "Remove the AAAA record of {pattern}: whoever has IPv6, a CA first of all, is led there and not here."
            ),
        },
        true => Ipv6Fault {
            seen: Seen::Unknown,
            expected,
            observed: told_of(views, |view| match view.ipv6(ours) {
                Ipv6::Unknown(error) => error,
                _ => "as it should be".to_owned(),
            }),
            hint: format!(
                "The name servers answer for A and not for AAAA; a CA refuses a name of which it cannot know whether it has \
                 IPv6. Ask the DNS provider of {pattern}."
            ),
        },
    })
}

/// Where we do not know where names should lead, a name that leads anywhere is let be.
fn not_configured(
    views: &[View],
    leads: &[Leads],
    ours: &Ours<'_>,
    pattern: &DomainPattern,
    now: Timestamp,
) -> Pointed {
    let to_somebody = |it: &Leads| matches!(it, Leads::Here | Leads::Partly | Leads::Elsewhere);
    let somewhere = leads.iter().any(to_somebody);
    let check = Check {
        code: CheckCode::Pointing,
        ok: somewhere,
        expected: format!("{pattern} leads somewhere: neither `domains.cname_target` nor `domains.addresses` says where to"),
        observed: told_of(views, |view| view.text(ours)),
        hint: (!somewhere).then(|| "Set `domains.cname_target` or `domains.addresses`; then customers can be told what to enter.".to_owned()),
        seen_by: views.iter().map(|view| view.by.clone()).collect(),
        at: now.0,
    };
    Pointed {
        seen: Seen::Unknown,
        reachable: if somewhere { Seen::Yes } else { Seen::Unknown },
        checks: vec![check],
        servfail: false,
    }
}
