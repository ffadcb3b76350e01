//! How the request that is asked about would come in: by which listener, shown which certificate, from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::cli::CliError;
use crate::config::Config;
use crate::decide::explain::{Explanation, Outcome, Step};
use crate::decide::{self, Policy, Visit};
use crate::model::Hostname;

/// What kinds of listeners there are, and what is answered before all else.
pub(super) struct Door {
    plain: bool,
    tls: bool,
    probe_path: Option<String>,
}

/// A request on its way in.
pub(super) struct Coming {
    pub(super) head: Parts,
    /// The host of the URL, which a visitor would connect to.
    host: String,
    secure: bool,
    from: IpAddr,
}

impl Coming {
    /// The head as a browser would send it.
    pub(super) fn new(
        method: Method,
        url: &Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        from: Option<IpAddr>,
    ) -> Result<Self, CliError> {
        let usage = |text: &str| CliError::Usage(text.to_owned());
        let authority = url
            .authority()
            .ok_or_else(|| usage("the URL has no host; write it as http://host/path"))?;
        let secure = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(usage("the URL's scheme is neither http nor https")),
        };
        let target = url.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .version(Version::HTTP_11);
        if !headers.iter().any(|(name, _)| *name == HOST) {
            request = request.header(HOST, authority.as_str());
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(())
            .map_err(|error| CliError::Usage(error.to_string()))?;
        Ok(Self {
            head: request.into_parts().0,
            host: authority.host().to_owned(),
            secure,
            from: from.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        })
    }
}

impl Door {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            plain: !config.edge.http.is_empty(),
            tls: !config.edge.https.is_empty(),
            probe_path: config.edge.probe_path.clone(),
        }
    }

    /// The connection that `coming` would arrive on, and what is to say of it; or what becomes of it before there is a request that
    /// is looked at.
    pub(super) fn enter(
        &self,
        coming: &Coming,
        policy: &Policy,
    ) -> Result<(Visit, Vec<Step>), Box<Explanation>> {
        let mut visit = Visit {
            remote: SocketAddr::new(coming.from, 0),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secure: coming.secure,
            trusted: policy.trusts(coming.from),
            names: None,
        };
        let mut steps = Vec::new();
        match (coming.secure, self.tls, self.plain) {
            (true, true, _) => {
                let (names, step) = shown(&coming.host, policy)?;
                visit.names = Some(names);
                steps.push(step);
            }
            (true, false, _) => steps.push(step(
                "listener",
                "there is none for https here; as if TLS ended before this node",
            )),
            (false, _, false) => steps.push(step(
                "listener",
                "there is none for http here; as if there were one",
            )),
            (false, _, true) => {}
        }
        if decide::is_probe(&coming.head, self.probe_path.as_deref()) {
            let answer = "the probe's, before every rule; 503 while the node is not ready";
            return Err(Box::new(Explanation {
                host: None,
                class: None,
                visitor: None,
                steps,
                outcome: Outcome::Answer {
                    status: 200,
                    answer: answer.to_owned(),
                },
            }));
        }
        Ok((visit, steps))
    }
}

type Names = Arc<crate::model::certificate::CertificateNames>;

/// The certificate that a visitor who connects to `host` would be shown; none where the handshake would be refused.
fn shown(host: &str, policy: &Policy) -> Result<(Names, Step), Box<Explanation>> {
    // Browsers send no final dot in the server name, and for an address no name at all.
    let sni = Hostname::parse(host.trim_end_matches('.')).ok();
    let inventory = &policy.inventory;
    let (certificate, kind) = match sni.as_ref().and_then(|name| inventory.certificate(name)) {
        Some(certificate) => (certificate, ""),
        None => match inventory.default_certificate() {
            Some(certificate) => (certificate, "the default, "),
            None => return Err(Box::new(refused(sni.as_ref()))),
        },
    };
    let patterns: Vec<String> = (certificate.names.patterns().iter())
        .map(ToString::to_string)
        .collect();
    let found = format!("{kind}{:?} for {}", certificate.name, patterns.join(", "));
    let step = Step {
        source: "certificate",
        asked: sni.map(|name| name.to_string()),
        found,
    };
    Ok((Arc::clone(&certificate.names), step))
}

fn refused(sni: Option<&Hostname>) -> Explanation {
    let reason = match sni {
        Some(name) => format!(
            "the TLS handshake: tls.directory holds no certificate for {name}, and tls.default names none"
        ),
        None => "the TLS handshake: no host name comes with an address, and tls.default names no certificate".to_owned(),
    };
    Explanation {
        host: None,
        class: None,
        visitor: None,
        steps: vec![Step {
            source: "certificate",
            asked: sni.map(ToString::to_string),
            found: "none".to_owned(),
        }],
        outcome: Outcome::Handshake { reason },
    }
}

fn step(source: &'static str, found: &str) -> Step {
    Step {
        source,
        asked: None,
        found: found.to_owned(),
    }
}
