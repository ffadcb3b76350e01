//! Where a request really comes from, told by the connection and, only from trusted proxies, by `Forwarded` and `X-Forwarded-*`.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap};
use http::request::Parts;

use super::{Forward, Policy, Visit, head, rewrite};

/// What the upstream is told of the way a request came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The visitor: the right-most address that is no trusted proxy's.
    pub visitor: IpAddr,
    /// Addresses a trusted proxy vouches for, visitor's side first, without the connection's own.
    pub chain: Vec<IpAddr>,
    /// `https` or `http`, as the visitor spoke.
    pub scheme: &'static str,
}

/// Reads the way from the head. A trusted proxy that sends `X-Forwarded-For` often passes a visitor's `Forwarded` on unread, so
/// where both are there only the former is believed.
pub fn origin(head: &Parts, visit: &Visit, policy: &Policy) -> Origin {
    let remote = visit.remote.ip().to_canonical();
    let scheme = if visit.secure { "https" } else { "http" };
    if !visit.trusted {
        return Origin {
            visitor: remote,
            chain: Vec::new(),
            scheme,
        };
    }
    let claimed = claimed_addresses(&head.headers);
    // From the right, as long as whoever adds is trusted; one unreadable entry ends what can be believed.
    let mut chain: Vec<IpAddr> = Vec::new();
    let mut visitor = remote;
    for address in claimed.iter().rev() {
        let Some(address) = address else { break };
        chain.insert(0, *address);
        visitor = *address;
        if !policy.trusts(*address) {
            break;
        }
    }
    let scheme = if scheme_is_https(head, visit) {
        "https"
    } else {
        claimed_scheme(&head.headers).unwrap_or(scheme)
    };
    Origin {
        visitor,
        chain,
        scheme,
    }
}

/// Whether the visitor spoke TLS, by the connection or by a trusted proxy's word.
pub fn scheme_is_https(head: &Parts, visit: &Visit) -> bool {
    visit.secure || (visit.trusted && claimed_scheme(&head.headers) == Some("https"))
}

fn claimed_addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let listed = headers.get_all("x-forwarded-for");
    if listed.iter().next().is_some() {
        return listed
            .iter()
            .flat_map(head::members)
            .map(parse_address)
            .collect();
    }
    elements(headers)
        .map(|element| parameter(&element, "for").and_then(|node| parse_address(&node)))
        .collect()
}

/// The scheme of the right-most claim: what the proxy next to us saw or was told.
fn claimed_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let last = headers
        .get_all("x-forwarded-proto")
        .iter()
        .flat_map(head::members)
        .last()
        .map(str::to_owned);
    let claimed = last.or_else(|| {
        elements(headers)
            .last()
            .and_then(|element| parameter(&element, "proto"))
    })?;
    ["https", "http"]
        .into_iter()
        .find(|scheme| claimed.eq_ignore_ascii_case(scheme))
}

/// The elements of all `Forwarded` fields (RFC 7239 section 4), split outside of quotes; where a quote is left open, at every comma:
/// what a visitor began must not swallow what a proxy added.
fn elements(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.get_all(FORWARDED).iter().flat_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        if text.matches('"').count().is_multiple_of(2) {
            split_unquoted(&text, ',')
        } else {
            text.split(',').map(str::to_owned).collect()
        }
    })
}

fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if c == separator && !quoted {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn parameter(element: &str, wanted: &str) -> Option<String> {
    split_unquoted(element, ';').iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        name.trim()
            .eq_ignore_ascii_case(wanted)
            .then(|| unquoted.unwrap_or(value).replace('\\', ""))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; `unknown` and obfuscated names are none.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

/// The value of `X-Forwarded-For` that goes on: what is believed, and the connection's own address.
pub(super) fn write_x_forwarded_for(out: &mut Vec<u8>, origin: &Origin, visit: &Visit) {
    for address in &origin.chain {
        write_address(out, *address);
        out.extend_from_slice(b", ");
    }
    write_address(out, visit.remote.ip().to_canonical());
}

/// The value of `Forwarded` that goes on (RFC 7239 section 4): one element for every believed address, the last one ours.
pub(super) fn write_forwarded(
    out: &mut Vec<u8>,
    origin: &Origin,
    visit: &Visit,
    forward: &Forward,
) {
    for address in &origin.chain {
        write_node(out, *address);
        out.extend_from_slice(b", ");
    }
    write_node(out, visit.remote.ip().to_canonical());
    out.extend_from_slice(b";host=");
    // A colon may stand in a quoted string only.
    let quote: &[u8] = if forward.port.is_some() { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    rewrite::write_visitor_host(out, forward);
    out.extend_from_slice(quote);
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(origin.scheme.as_bytes());
}

fn write_node(out: &mut Vec<u8>, address: IpAddr) {
    out.extend_from_slice(b"for=");
    if address.is_ipv4() {
        write_address(out, address);
    } else {
        out.extend_from_slice(b"\"[");
        write_address(out, address);
        out.extend_from_slice(b"]\"");
    }
}

/// An address as text. Written several times for every request, so the common kind goes without formatting and in one piece.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut text = *b"255.255.255.255";
            let mut length = 0;
            let mut put = |byte| {
                text[length] = byte;
                length += 1;
            };
            for (place, number) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    put(b'.');
                }
                if number > 99 {
                    put(b'0' + number / 100);
                }
                if number > 9 {
                    put(b'0' + number / 10 % 10);
                }
                put(b'0' + number % 10);
            }
            out.extend_from_slice(&text[..length]);
        }
        // Writing to memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::decide::tests::{forward_for_tests, policy};

    fn seen(trusted: bool, fields: &[(&str, &str)]) -> Origin {
        let mut request = Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let mut policy = policy();
        policy.trusted_proxies = vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ];
        let mut visit = Visit::plain_for_tests();
        visit.trusted = trusted;
        origin(&head, &visit, &policy)
    }

    #[test]
    fn d6_nothing_is_believed_of_a_stranger() {
        let origin = seen(
            false,
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-proto", "https"),
                ("forwarded", "for=2.2.2.2"),
            ],
        );
        assert_eq!(origin.visitor.to_string(), "127.0.0.1");
        assert!(origin.chain.is_empty());
        assert_eq!(origin.scheme, "http");
    }

    #[test]
    fn the_visitor_is_the_right_most_address_that_is_no_trusted_proxys() {
        let origin = seen(
            true,
            &[
                ("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.7"),
                ("x-forwarded-proto", "http, https"),
            ],
        );
        assert_eq!(origin.visitor.to_string(), "1.1.1.1");
        assert_eq!(origin.chain.len(), 2);
        assert_eq!(origin.scheme, "https");
        let origin = seen(true, &[("x-forwarded-for", "1.1.1.1, unknown, 10.0.0.7")]);
        assert_eq!(origin.visitor.to_string(), "10.0.0.7");
    }

    #[test]
    fn forwarded_is_read_where_it_stands_alone() {
        let origin = seen(
            true,
            &[(
                "forwarded",
                "for=\"[2001:db8::1]:47\";proto=https, for=10.1.2.3",
            )],
        );
        assert_eq!(origin.visitor.to_string(), "2001:db8::1");
        let origin = seen(
            true,
            &[("forwarded", "for=9.9.9.9"), ("x-forwarded-for", "1.1.1.1")],
        );
        assert_eq!(origin.visitor.to_string(), "1.1.1.1");
    }

    fn told(origin: &Origin, port: Option<u16>) -> (String, String) {
        let visit = Visit::plain_for_tests();
        let forward = forward_for_tests(port);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        write_x_forwarded_for(&mut old, origin, &visit);
        write_forwarded(&mut new, origin, &visit, &forward);
        (
            String::from_utf8(old).unwrap(),
            String::from_utf8(new).unwrap(),
        )
    }

    #[test]
    fn what_goes_on_is_well_formed() {
        let origin = seen(true, &[("x-forwarded-for", "2001:db8::1")]);
        let (old, new) = told(&origin, Some(8080));
        assert_eq!(
            new,
            "for=\"[2001:db8::1]\", for=127.0.0.1;host=\"a.test:8080\";proto=http"
        );
        assert_eq!(old, "2001:db8::1, 127.0.0.1");
    }

    proptest! {
        #[test]
        fn addresses_are_written_as_they_are_shown(address: IpAddr) {
            let mut text = Vec::new();
            write_address(&mut text, address);
            prop_assert_eq!(String::from_utf8(text).unwrap(), address.to_string());
        }

        #[test]
        fn no_field_content_panics_or_escapes_the_trusted_chain(text in "[ -~]{0,60}") {
            let origin = seen(true, &[("forwarded", &text)]);
            let (_, list) = told(&origin, None);
            prop_assert!(list.ends_with("for=127.0.0.1;host=a.test;proto=http") || list.ends_with("proto=https"));
        }
    }
}
