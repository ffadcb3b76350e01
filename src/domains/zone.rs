//! Whether the name's zone can be asked at all.

use super::words::{listed, shown};
use crate::clock::Timestamp;
use crate::dns::{Authority, Said, ServerSaid, Zone, ZoneError};
use crate::model::{Check, CheckCode, Hostname};

/// The finding about the zone of `name`, by what its servers `said` to a question about the name.
pub(super) fn check(
    name: &Hostname,
    found: &Result<Authority, ZoneError>,
    said: &[ServerSaid],
    now: Timestamp,
) -> Check {
    let mut check = Check {
        code: CheckCode::Zone,
        ok: false,
        expected: format!("name servers that answer for {}", shown(name)),
        observed: String::new(),
        hint: None,
        seen_by: Vec::new(),
        at: now.0,
    };
    match found {
        Ok(Authority::Zone(zone)) => judge(&mut check, name, zone, said),
        Ok(Authority::Resolvers) => {
            check.ok = true;
            check.observed = "the configured resolvers know no name server of any zone, so they \
                              alone are asked"
                .to_owned();
        }
        Err(ZoneError::Unanswered { name, said }) => {
            let each = said.iter().filter_map(|said| {
                let error = said.reply.as_ref().err()?;
                Some(format!("{} {error}", said.by))
            });
            check.observed = listed(&each.collect::<Vec<_>>());
            check.seen_by = said.iter().map(|said| said.by.clone()).collect();
            // A resolver that says nothing at all says nothing of the name either.
            check.hint = Some(match said.iter().any(Said::is_servfail) {
                true => format!(
                    "Nobody can find the name servers of {name}. Check at the registrar that the name servers entered for it are \
                     those of the DNS provider, and that the zone exists there."
                ),
                false => "The resolvers give no answer, so that nothing is known of the name; it is looked at again by itself. Should \
                     it stay so, it is the operator's to repair: see to `domains.resolvers`, or to the system's resolvers where \
                     there are none."
                    .to_owned(),
            });
        }
        Err(error @ ZoneError::NoZone) => {
            check.observed = error.to_string();
            let hint = "This is the operator's to repair: set `domains.resolvers` to resolvers of the internet.";
            check.hint = Some(hint.to_owned());
        }
    }
    check
}

fn judge(check: &mut Check, name: &Hostname, zone: &Zone, said: &[ServerSaid]) {
    let replies = said.iter().flat_map(ServerSaid::replies);
    check.seen_by = replies.map(|(by, _)| by.to_owned()).collect();
    if let Some(domain) = unregistered(name, zone, said) {
        check.expected = format!("{domain} is registered");
        check.observed = format!("there is no {domain} (NXDOMAIN)");
        check.hint = Some(format!(
            "Register {domain}, or correct the spelling of {}.",
            shown(name)
        ));
        return;
    }
    let faults: Vec<String> = said.iter().filter_map(fault).collect();
    if faults.is_empty() {
        check.ok = true;
        let names: Vec<String> = said.iter().map(|server| server.name.clone()).collect();
        check.observed = format!("{} of the zone {}", listed(&names), zone.name());
        return;
    }
    check.observed = listed(&faults);
    let faulty = said.iter().filter(|server| fault(server).is_some());
    let faulty: Vec<String> = faulty.map(|server| server.name.clone()).collect();
    check.hint = Some(format!(
        "Repair {}, or take it out of the name servers of {} at the registrar and in the zone.",
        listed(&faulty),
        zone.name()
    ));
    if said.iter().any(|server| server.is_private) {
        let operators = " If that is a name server of yours in a network of your own, name the network in `domains.private_name_servers`.";
        check.hint.get_or_insert_default().push_str(operators);
    }
}

/// Why the server is of no use; nothing where it has answered at any of its addresses.
fn fault(server: &ServerSaid) -> Option<String> {
    if server.replies().next().is_some() {
        return None;
    }
    if let Some(fault) = &server.fault {
        return Some(format!("{} {fault}", server.name));
    }
    let first = server.said.first()?;
    let error = first.reply.as_ref().err()?;
    Some(format!("{} {error}", first.by))
}

/// The domain that nobody has registered: what a registrar sells lies below this zone, which says that there is nothing.
fn unregistered(name: &Hostname, zone: &Zone, said: &[ServerSaid]) -> Option<String> {
    let domain = psl::domain(name.as_str().as_bytes())?;
    let domain = Hostname::parse(std::str::from_utf8(domain.as_bytes()).ok()?).ok()?;
    let above = zone.name() == "."
        || Hostname::parse(&zone.name()).is_ok_and(|zone| domain.below(&zone).is_some());
    let mut replies = said.iter().flat_map(ServerSaid::replies);
    let gone = replies.any(|(_, reply)| !reply.exists && reply.alias_chain(name).is_empty());
    (above && gone).then(|| domain.to_string())
}
