//! By which names the listener may be called.
//!
//! A page on the operator's own browser can point its name at 127.0.0.1 and read what is served there (DNS rebinding). Such a
//! request says the page's name in `Host`; so names that are not ours are refused, while addresses, which cannot be rebound,
//! pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Version, header};

use crate::model::{Authority, Code, Hostname};

use super::error;

/// The configured names.
#[derive(Clone)]
pub(super) struct Hosts(pub(super) Arc<[Hostname]>);

pub(super) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if too_long(request.headers()) {
        return error::refuse(Code::BodyTooLarge, "Nothing here takes a body.");
    }
    let named = match host(&request) {
        Ok(named) => named,
        Err(detail) => return error::refuse(Code::BadRequest, detail),
    };
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    if [named, target]
        .into_iter()
        .flatten()
        .all(|host| hosts.accept(host))
    {
        return next.run(request).await;
    }
    error::refuse(
        Code::Misdirected,
        "Call this listener by its address or as localhost.",
    )
}

/// `Host` as sent. Old probes speak HTTP/1.0 and have none, which no browser does.
fn host(request: &Request) -> Result<Option<&str>, &'static str> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let first = fields.next();
    if fields.next().is_some() {
        return Err("There are two Host fields.");
    }
    match first {
        Some(host) => host
            .to_str()
            .map(Some)
            .map_err(|_| "The Host field is no host."),
        None if request.version() == Version::HTTP_10 => Ok(None),
        None => Err("There is no Host field."),
    }
}

fn too_long(head: &HeaderMap) -> bool {
    let length = head
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    length.is_some_and(|length| length.parse().is_ok_and(|length: u64| length > MAX_BODY))
}

impl Hosts {
    fn accept(&self, host: &str) -> bool {
        address(host).is_some()
            || Authority::parse(host).is_ok_and(|authority| self.is_ours(&authority.hostname))
    }

    fn is_ours(&self, name: &Hostname) -> bool {
        name.as_str() == "localhost" || self.0.contains(name)
    }
}

/// The address in `1.2.3.4[:port]` or `[::1][:port]`.
fn address(host: &str) -> Option<IpAddr> {
    let (address, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (literal, port) = rest.split_once(']')?;
            (
                literal.parse::<Ipv6Addr>().ok()?.into(),
                port.strip_prefix(':').or(port.is_empty().then_some(""))?,
            )
        }
        None => {
            let (literal, port) = host.split_once(':').unwrap_or((host, ""));
            (literal.parse::<Ipv4Addr>().ok()?.into(), port)
        }
    };
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(address)
}

/// In bytes. What is there is not read; this is for who sends on and on.
const MAX_BODY: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_only_our_names_and_addresses_pass() {
        let hosts = Hosts([Hostname::parse("vestibule.internal").unwrap()].into());
        for ours in [
            "127.0.0.1",
            "127.0.0.1:9900",
            "[::1]:9900",
            "[::1]",
            "10.1.2.3:80",
            "localhost",
            "LOCALHOST:9900",
            "localhost.",
            "Vestibule.Internal:9900",
        ] {
            assert!(hosts.accept(ours), "{ours}");
        }
        for theirs in [
            "evil.example",
            "evil.example:9900",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a@127.0.0.1",
            "127.0.0.1:80@evil.example",
            "0x7f.1",
            "127.1",
            "[::1",
            "[::1]evil",
            "[::1]:a",
            "",
        ] {
            assert!(!hosts.accept(theirs), "{theirs}");
        }
    }
}
