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
use crate::model::certificate::CertificateNames;
use crate::store::StoredCertificate;
use crate::tls::NamePolicy;

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

impl Coming {
    /// What a browser asks a certificate for: it sends no final dot in the name, and for an address no name at all.
    pub(super) fn server_name(&self) -> Option<Hostname> {
        Hostname::parse(self.host.trim_end_matches('.')).ok()
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
        stored: Option<&StoredCertificate>,
        policy: &Policy,
    ) -> Result<(Visit, Vec<Step>), Box<Explanation>> {
        let mut visit = Visit {
            remote: SocketAddr::new(coming.from, 0),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secure: coming.secure,
            trusted: policy.trusts(coming.from),
            names: None,
            demanded: None,
        };
        let mut steps = Vec::new();
        match (coming.secure, self.tls, self.plain) {
            (true, true, _) => {
                let (names, step) = shown(coming, stored, policy)?;
                visit.names = Some(names);
                steps.push(step);
                visit.demanded = demanded(coming, policy, &mut steps)?;
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
            let outcome = Outcome::Answer {
                status: 200,
                answer: answer.to_owned(),
            };
            return Err(Box::new(ended(steps, outcome)));
        }
        Ok((visit, steps))
    }
}

type Names = Arc<CertificateNames>;

/// The certificate that a visitor who connects would be shown: a file, the one `stored`, the default; none where the handshake
/// would be refused.
fn shown(
    coming: &Coming,
    stored: Option<&StoredCertificate>,
    policy: &Policy,
) -> Result<(Names, Step), Box<Explanation>> {
    let sni = coming.server_name();
    let inventory = &policy.inventory;
    let file = sni.as_ref().and_then(|name| inventory.certificate(name));
    let (names, what) = match (file, stored, inventory.default_certificate()) {
        (Some(file), _, _) => (Arc::clone(&file.names), format!("{:?}", file.name)),
        (None, Some(stored), _) => {
            let names = Names::new(CertificateNames::new(stored.names.clone()));
            (names, "the store's".to_owned())
        }
        (None, None, Some(default)) => {
            let what = format!("the default, {:?}", default.name);
            (Arc::clone(&default.names), what)
        }
        (None, None, None) => return Err(Box::new(refused(sni.as_ref()))),
    };
    let patterns: Vec<String> = names.patterns().iter().map(ToString::to_string).collect();
    let found = format!("{what} for {}", patterns.join(", "));
    let step = Step {
        source: "certificate",
        asked: sni.map(|name| name.to_string()),
        found,
    };
    Ok((names, step))
}

/// What the connection's name demands, which it is taken for granted that the visitor has met.
fn demanded(
    coming: &Coming,
    policy: &Policy,
    steps: &mut Vec<Step>,
) -> Result<Option<Arc<NamePolicy>>, Box<Explanation>> {
    let Some(sni) = coming.server_name() else {
        return Ok(None);
    };
    let Some(demands) = policy.inventory.policy(&sni) else {
        return Ok(None);
    };
    let found = format!("{}: as for a visitor who has that", demands.in_words());
    steps.push(Step {
        source: "handshake",
        asked: Some(sni.to_string()),
        found,
    });
    if demands.is_usable() {
        return Ok(Some(demands));
    }
    let reason = format!(
        "the TLS handshake: what {sni} demands of its visitors cannot be used, see `domain set`; nobody is let in"
    );
    Err(Box::new(ended(
        std::mem::take(steps),
        Outcome::Handshake { reason },
    )))
}

/// What a CA gets that comes for `token`, before every rule about hosts and tenants; nothing where that is not open, and the request is
/// one like any other.
pub(super) fn challenge(
    name: Hostname,
    token: &str,
    open: bool,
    steps: &mut Vec<Step>,
) -> Option<Explanation> {
    let found = match open {
        true => "open, with this token",
        false => "none with this token; a request like any other",
    };
    steps.push(Step {
        source: "challenge",
        asked: Some(name.to_string()),
        found: found.to_owned(),
    });
    let answer = format!(
        "what a CA comes for that is to certify {name} (http-01), before every rule; token {token}"
    );
    let outcome = Outcome::Answer {
        status: 200,
        answer,
    };
    open.then(|| Explanation {
        host: Some(name.to_string()),
        ..ended(std::mem::take(steps), outcome)
    })
}

/// What becomes of a request of which no more is looked at.
fn ended(steps: Vec<Step>, outcome: Outcome) -> Explanation {
    Explanation {
        host: None,
        class: None,
        visitor: None,
        steps,
        outcome,
    }
}

fn refused(sni: Option<&Hostname>) -> Explanation {
    let reason = match sni {
        Some(name) => format!(
            "the TLS handshake: there is no certificate for {name} in tls.directory or in the store, and tls.default names none"
        ),
        None => "the TLS handshake: no host name comes with an address, and tls.default names no certificate".to_owned(),
    };
    let step = Step {
        source: "certificate",
        asked: sni.map(ToString::to_string),
        found: "none".to_owned(),
    };
    ended(vec![step], Outcome::Handshake { reason })
}

fn step(source: &'static str, found: &str) -> Step {
    Step {
        source,
        asked: None,
        found: found.to_owned(),
    }
}
