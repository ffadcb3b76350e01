//! From what was typed to [`Config`]: every section read, then what concerns several of them judged.

use std::net::SocketAddr;

use super::fault::{self, Faults};
use super::names;
use super::notes::{Notes, Reason};
use super::quantity;
use super::section::Section;
use super::source::{self, Typed};
use super::{
    AcmeDns, AcmeIssuer, Admin, Cache, Config, Domains, Edge, LimitDefaults, Log, Metrics,
    PathRoute, Routing, Signing, SigningAlgorithm, Store, Tls, Upstream,
};

/// Reads a whole configuration; the faults are all there are.
pub(super) fn parse(
    text: &str,
    origin: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, Faults> {
    match examine(text, origin, env) {
        (config, None) => Ok(config),
        (_, Some(faults)) => Err(faults),
    }
}

/// As [`parse`], with what could be read: where a setting is at fault, what is built in stands in its place.
pub(super) fn examine(
    text: &str,
    origin: &str,
    env: impl Iterator<Item = (String, String)>,
) -> (Config, Option<Faults>) {
    let Typed {
        root,
        sources,
        mut flaws,
    } = source::gather(text, origin, env);
    let notes = Notes::default();
    let mut config = Section::root(&root, &notes, read);
    flaws.extend(notes.flaws.into_inner());
    config.warnings = fault::placed(notes.warnings.into_inner(), &sources);
    let faults = (!flaws.is_empty()).then(|| Faults::new(flaws, &sources));
    (config, faults)
}

fn read(root: &Section<'_>) -> Config {
    let edge = root.sub("edge", Edge::read);
    let signing = root.sub("signing", Signing::read);
    let config = Config {
        tls: root.sub("tls", |section| Tls::read(section, !edge.https.is_empty())),
        store: root.sub("store", Store::read),
        routing: root.sub("routing", Routing::read),
        routes: routes(root),
        cache: root.sub("cache", Cache::read),
        upstreams: upstreams(root, signing.algorithm),
        limits: root.sub("limits", LimitDefaults::read),
        domains: root.sub("domains", Domains::read),
        acme: root
            .subs("acme", AcmeIssuer::read)
            .into_iter()
            .flatten()
            .collect(),
        acme_dns: root.sub("acme_dns", AcmeDns::read),
        admin: root.sub("admin", Admin::read),
        metrics: root.sub("metrics", Metrics::read),
        log: root.sub("log", Log::read),
        warnings: Vec::new(),
        edge,
        signing,
    };
    names::judge(root, &config);
    known_upstreams(root.notes, &config.upstreams);
    listeners_apart(root.notes);
    no_loop(root.notes);
    hosts_once(root.notes);
    config
}

/// `[[route]]`, longest first: the order in which they are tried.
fn routes(root: &Section<'_>) -> Vec<PathRoute> {
    let read = root.subs("route", |section| {
        (PathRoute::read(section), section.place_of("path"))
    });
    let mut routes: Vec<PathRoute> = Vec::new();
    for (route, place) in read {
        let Some(route) = route else { continue };
        if routes.iter().any(|other| other.path == route.path) {
            root.flaw(place, format!("the path {:?} has two routes", route.path));
        }
        routes.push(route);
    }
    routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
    routes
}

/// `[[upstream]]`, or the one that is built in.
fn upstreams(root: &Section<'_>, algorithm: SigningAlgorithm) -> Vec<Upstream> {
    let needs_secret = algorithm == SigningAlgorithm::Hs256;
    let read = root.subs("upstream", |section| {
        let upstream = Upstream::read(section);
        if needs_secret && !section.has("hmac_secret_file") {
            let what = "under HS256 every upstream needs `hmac_secret_file`";
            section.flaw(section.place(), what);
        }
        (upstream, section.place_of("name"))
    });
    if !root.has("upstream") {
        if needs_secret {
            let what = "HS256 needs an [[upstream]] with `hmac_secret_file`";
            root.flaw(root.place(), what);
        }
        return vec![Upstream::built_in()];
    }
    let mut upstreams: Vec<Upstream> = Vec::new();
    for (upstream, place) in read {
        let named = !upstream.name.is_empty();
        if named && upstreams.iter().any(|other| other.name == upstream.name) {
            root.flaw(
                place,
                format!("two upstreams are called {:?}", upstream.name),
            );
        }
        upstreams.push(upstream);
    }
    upstreams
}

fn known_upstreams(notes: &Notes, upstreams: &[Upstream]) {
    let names: Vec<&str> = upstreams
        .iter()
        .map(|upstream| upstream.name.as_str())
        .collect();
    for (name, place) in notes.upstream_uses.borrow().iter() {
        if !names.contains(&name.as_str()) {
            let hint = quantity::suggest(name, &names, "there is ");
            notes.flaw(
                *place,
                Reason::with_hint(format!("no upstream is called {name:?}"), hint),
            );
        }
    }
}

fn listeners_apart(notes: &Notes) {
    let listeners = notes.listeners.borrow();
    for (index, (address, place)) in listeners.iter().enumerate() {
        let clash = |(other, _): &&(SocketAddr, _)| clashes(*address, *other);
        let Some((other, other_place)) = listeners[..index].iter().find(clash) else {
            continue;
        };
        if let Some(place) = place.or(*other_place) {
            let what = format!("two listeners want the same address: {other} and {address}");
            notes.flaw(place, what);
        }
    }
}

/// Port 0 is a free port each time; an unspecified address takes every address of its family.
fn clashes(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    let overlap =
        a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()));
    one.port() != 0 && one.port() == other.port() && overlap
}

/// An endpoint that is one of our own listeners sends requests in circles.
fn no_loop(notes: &Notes) {
    let listeners = notes.listeners.borrow();
    for (target, place) in notes.targets.borrow().iter() {
        let ours = |(listener, _): &(SocketAddr, _)| {
            let every = listener.ip().is_unspecified() && target.ip().is_loopback();
            listener.port() == target.port() && (listener.ip() == target.ip() || every)
        };
        if listeners.iter().any(ours) {
            let what =
                format!("{target} is a listener of this process: requests would go in circles");
            notes.flaw(*place, what);
        }
    }
}

/// A host has one class: base domain or platform host.
fn hosts_once(notes: &Notes) {
    let hosts = notes.hosts.borrow();
    for (index, (host, place)) in hosts.iter().enumerate() {
        if hosts[..index].iter().any(|(other, _)| other == host) {
            let what =
                format!("{host} is there twice: a host is one base domain or one platform host");
            notes.flaw(*place, what);
        }
    }
}
