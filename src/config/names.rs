//! What several sections say of names and certificates: each right by itself, and of no use, or harmful, beside the others.

use super::notes::Reason;
use super::section::Section;
use super::{AcmeIssuer, Config};
use crate::model::{ChallengeKind, DomainPattern, Hostname, Slug};

impl Config {
    /// How control of names can be shown to `issuer`: as it is configured, of the kinds that somebody answers here.
    pub fn challenges_for(&self, issuer: &AcmeIssuer) -> Vec<ChallengeKind> {
        let kinds = issuer.challenges.iter().copied();
        kinds.filter(|kind| self.lacks(*kind).is_none()).collect()
    }

    /// Whether certificates are ordered at all: of somebody, and for visitors who come over TLS.
    pub fn orders_certificates(&self) -> bool {
        !self.acme.is_empty() && !self.edge.https.is_empty()
    }

    /// Whether nothing says where customers' names lead, so that they can only be told by their proof.
    pub fn says_nowhere(&self) -> bool {
        self.domains.cname_target.is_none() && self.domains.addresses.is_empty()
    }

    /// What is missing for challenges of this kind to be answered.
    fn lacks(&self, kind: ChallengeKind) -> Option<&'static str> {
        match kind {
            ChallengeKind::Http01 if self.edge.http.is_empty() => Some("`edge.http` is empty"),
            ChallengeKind::Dns01 if self.acme_dns.is_none() => Some("[acme_dns] is off"),
            // Without a TLS listener nothing is ordered, see `warn`.
            _ => None,
        }
    }
}

pub(super) fn judge(root: &Section<'_>, config: &Config) {
    challenges_answered(root, config);
    zones_apart(root, config);
    own_names_only(root, config);
    directory_there(root, config);
    warn(root, config);
}

/// Where certificates are ordered a folder that is not there may well be missing, and what is put there later is read. Else it is where they
/// are to come from.
fn directory_there(root: &Section<'_>, config: &Config) {
    let Some(place) = *root.notes.no_directory.borrow() else {
        return;
    };
    let directory = &config.tls.directory;
    if config.acme.is_empty() {
        let what = format!("`tls.directory` {directory:?} is not there");
        let hint = "make it and put NAME.crt and NAME.key there for each certificate, or leave it out where all are in the store";
        root.flaw(place, Reason::with_hint(what, hint));
    } else {
        let what = format!(
            "`tls.directory` {directory:?} is not there, so no certificate is read from files"
        );
        let hint = "make it for certificates of your own, or leave it out";
        root.notes.warn(place, Reason::with_hint(what, hint));
    }
}

/// Whoever is shown nothing certifies nothing.
fn challenges_answered(root: &Section<'_>, config: &Config) {
    for issuer in &config.acme {
        if issuer.challenges.is_empty() || !config.challenges_for(issuer).is_empty() {
            continue;
        }
        let lacking = issuer.challenges.iter().filter_map(|kind| {
            let what = config.lacks(*kind)?;
            Some(format!("{}, but {what}", kind.as_str()))
        });
        let lacking: Vec<String> = lacking.collect();
        let what = format!("`acme.challenges` has {}", lacking.join("; "));
        let hint = match config.edge.http.is_empty() {
            true => {
                "set `acme_dns.listen` and `acme_dns.zone` for dns-01, `edge.http` for http-01, or add \"tls-alpn-01\""
            }
            false => "set `acme_dns.listen` and `acme_dns.zone`, or add \"http-01\"",
        };
        root.flaw(root.place_of("acme"), Reason::with_hint(what, hint));
    }
}

/// In the zone that we answer there are challenges and our own name, and nothing else: whoever is reached by a name in it would not be.
fn zones_apart(root: &Section<'_>, config: &Config) {
    let routing = &config.routing;
    let hosts = routing.base_domains.iter().map(|it| (it, "a base domain"));
    let platform = routing
        .platform_hosts
        .iter()
        .map(|it| (it, "a platform host"));
    let hosts: Vec<(&Hostname, &str)> = hosts.chain(platform).collect();
    let name_server = config.acme_dns.as_ref().map(|it| &it.name_server);
    for (setting, zone, place) in root.notes.zones.borrow().iter() {
        let pattern = DomainPattern::Exact(zone.clone());
        // Below a name that others register in they could prove and certify what is not theirs.
        if pattern.is_suffix() {
            let what = format!(
                "`{setting}` {zone} is a public suffix, below which others have their names"
            );
            let hint = "take a name of your own, as in \"proofs.example.net\"";
            root.flaw(*place, Reason::with_hint(what, hint));
        }
        // Below the zone of proofs nothing is answered by anybody, so nobody is kept from anything there.
        if *setting != "acme_dns.zone" {
            continue;
        }
        let within = |host: &&(&Hostname, &str)| {
            (host.0 == zone || host.0.below(zone).is_some()) && Some(host.0) != name_server
        };
        if let Some((host, what)) = hosts.iter().find(within) {
            let what = format!("`{setting}` {zone} is, or has in it, {host}, which is {what}");
            let hint = "take a name of its own that nobody is reached by";
            root.flaw(*place, Reason::with_hint(what, hint));
        } else if let Some(slug) = tenant_at(zone, config) {
            let what =
                format!("`{setting}` {zone} is the host of whichever tenant is called {slug:?}");
            let hint = format!(
                "add {slug:?} to `routing.reserved_slugs`, or take a name that is not below a base domain"
            );
            root.notes.warn(*place, Reason::with_hint(what, hint));
        }
    }
    let Some(target) = &config.domains.cname_target else {
        return;
    };
    if let Some(slug) = tenant_at(target, config) {
        let what = format!(
            "`domains.cname_target` {target} is the host of whichever tenant is called {slug:?}"
        );
        let hint = format!(
            "add {slug:?} to `routing.reserved_slugs`, or take a name that is not below a base domain"
        );
        let place = root.place_of("domains");
        root.notes.warn(place, Reason::with_hint(what, hint));
    }
    let Some(dns) = &config.acme_dns else {
        return;
    };
    if target != &dns.name_server && (target == &dns.zone || target.below(&dns.zone).is_some()) {
        let zone = &dns.zone;
        let what = format!("`domains.cname_target` {target} is in `acme_dns.zone` {zone}");
        let hint = "nothing but challenges is answered there; take another name for one of the two";
        root.flaw(root.place_of("domains"), Reason::with_hint(what, hint));
    }
}

/// The slug of the tenant who could be reached at `name`.
fn tenant_at(name: &Hostname, config: &Config) -> Option<String> {
    let routing = &config.routing;
    let base = routing.base_domains.iter().find_map(|it| name.below(it))?;
    let slug = Slug::parse(base).ok()?;
    (!routing.reserved_slugs.contains(&slug)).then(|| slug.to_string())
}

/// A name that is nobody's would be left out of nothing: a slip of the pen.
fn own_names_only(root: &Section<'_>, config: &Config) {
    let routing = &config.routing;
    for (pattern, place) in root.notes.not_ordered.borrow().iter() {
        let own = match pattern {
            DomainPattern::Exact(name) => {
                routing.base_domains.contains(name) || routing.platform_hosts.contains(name)
            }
            DomainPattern::Wildcard(name) => routing.base_domains.contains(name),
        };
        if !own {
            let what =
                format!("`tls.not_ordered` has {pattern}, for which nothing is ordered anyway");
            let hint = "it is for base domains, `*.` before one, and platform hosts";
            root.flaw(*place, Reason::with_hint(what, hint));
        }
    }
}

fn warn(root: &Section<'_>, config: &Config) {
    let warn = |key: &'static str, what: &str, hint: &str| {
        let reason = Reason::with_hint(what, hint);
        root.notes.warn(root.place_of(key), reason);
    };
    if !config.acme.is_empty() && config.edge.https.is_empty() {
        warn(
            "acme",
            "[[acme]] orders nothing: `edge.https` is empty, so nobody is served over TLS here",
            "set `edge.https`, or take [[acme]] out where TLS ends elsewhere",
        );
    }
    let dns01 = |issuer: &AcmeIssuer| issuer.challenges.contains(&ChallengeKind::Dns01);
    if config.acme_dns.is_some() && !config.acme.iter().any(dns01) {
        warn(
            "acme_dns",
            "[acme_dns] has nothing to answer: no [[acme]] has \"dns-01\" among its challenges",
            "add it, or take [acme_dns] out",
        );
    }
    let made_up = |contact: &&String| {
        let ends = ["@example.com", "@example.net", "@example.org"];
        ends.iter().any(|end| contact.ends_with(end))
    };
    if let Some(contact) = config.acme.iter().flat_map(|it| &it.contact).find(made_up) {
        warn(
            "acme",
            &format!(
                "`acme.contact` {contact} is nobody's (RFC 2606), and CAs refuse an account with it"
            ),
            "name an address that somebody reads, or none",
        );
    }
    if root.has("domains") && config.says_nowhere() {
        warn(
            "domains",
            "[domains] says nowhere where customers' names lead",
            "set `domains.cname_target` or `domains.addresses`: without, customers cannot be told what to enter, pointing never \
             counts, and the proof must stay for as long as the name",
        );
    }
}
