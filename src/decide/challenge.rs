//! What a CA asks for on a plain listener (RFC 8555 section 8.3): a token at a path of its own, before every other rule, because the
//! name need not lead anywhere yet.

use http::Method;
use http::request::Parts;

use super::{Visit, host};
use crate::model::Hostname;
use crate::model::challenge::is_token;

/// Where CAs ask for tokens.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// The name and the token that are asked for, where both are of the right form, letter for letter. Whatever else is asked for below
/// the same path goes the ordinary way: an application may have an order of its own under way.
///
/// Over TLS nothing is asked for: none of our own answers sends a CA there.
pub fn challenge<'a>(head: &'a Parts, visit: &Visit) -> Option<(Hostname, &'a str)> {
    if visit.secure {
        return None;
    }
    let token = head.uri.path().strip_prefix(PREFIX)?;
    let read = matches!(head.method, Method::GET | Method::HEAD);
    if !read || head.uri.query().is_some() || !is_token(token) {
        return None;
    }
    let authority = host::agreed_authority(head, visit).ok()?;
    Some((authority.hostname, token))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";

    fn asked(secure: bool, method: &str, target: &str, hosts: &[&str]) -> Option<(String, String)> {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let visit = Visit {
            remote: ([127, 0, 0, 1], 1000).into(),
            local: ([127, 0, 0, 1], 80).into(),
            secure,
            trusted: false,
            names: None,
            demanded: None,
        };
        let (name, token) = challenge(&head, &visit)?;
        Some((name.to_string(), token.to_owned()))
    }

    #[test]
    fn g15_only_a_token_at_its_exact_place_is_asked_for() {
        let path = format!("/.well-known/acme-challenge/{TOKEN}");
        let right = Some(("app.example.com".to_owned(), TOKEN.to_owned()));
        assert_eq!(asked(false, "GET", &path, &["App.example.com.:80"]), right);
        assert_eq!(asked(false, "HEAD", &path, &["app.example.com"]), right);
        let absolute = format!("http://app.example.com{path}");
        assert_eq!(asked(false, "GET", &absolute, &["app.example.com"]), right);
        let elsewhere = [
            format!("{path}/"),
            format!("{path}?a=b"),
            format!("{path}?"),
            format!("/{path}"),
            format!("/x{path}"),
            format!("/.well-known/acme-challenge/../../{TOKEN}"),
            format!("/.well-known/acme-challenge/%2e{TOKEN}"),
            format!("/.well-known/acme-challenge//{TOKEN}"),
            format!("/.WELL-KNOWN/acme-challenge/{TOKEN}"),
            "/.well-known/acme-challenge/".to_owned(),
            format!("/.well-known/acme-challenge/{}", "a".repeat(4000)),
        ];
        for target in &elsewhere {
            assert_eq!(
                asked(false, "GET", target, &["app.example.com"]),
                None,
                "{target}"
            );
        }
        assert_eq!(asked(false, "POST", &path, &["app.example.com"]), None);
        assert_eq!(asked(true, "GET", &path, &["app.example.com"]), None);
    }

    #[test]
    fn a_host_that_is_none_asks_for_nothing() {
        let path = format!("/.well-known/acme-challenge/{TOKEN}");
        let hosts: [&[&str]; 5] = [&[], &["a", "b"], &["127.0.0.1"], &["a/b"], &["u@a.test"]];
        for hosts in hosts {
            assert_eq!(asked(false, "GET", &path, hosts), None, "{hosts:?}");
        }
    }
}
