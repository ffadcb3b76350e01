//! What the stub answers to each kind of request.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::{Response, header};
use serde_json::{Value, json};
use vestibule::clock::Timestamp;

use super::Shared;
use super::books::Placed;
use super::jws::{Fault, Signed, malformed};
use super::rules::{Instead, Kind};
use crate::harness::client::{Visitor, get};

pub(super) type Answer = Result<Response<Body>, Fault>;

pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Response<Body> {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = json!({ "type": kind, "detail": detail, "status": status });
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/problem+json")
        .body(body.to_string().into())
        .unwrap()
}

pub(super) fn instead(told: Instead) -> Response<Body> {
    match told {
        Instead::Problem {
            status,
            kind,
            retry_after,
        } => {
            let mut answer = problem(status, &kind, "as the test wants it");
            if let Some(wait) = retry_after {
                let fields = answer.headers_mut();
                fields.insert(header::RETRY_AFTER, wait.parse().unwrap());
            }
            answer
        }
        Instead::Lost => instead(Instead::Page(502)),
        Instead::Page(status) => Response::builder()
            .status(status)
            .body("<html>not what you expect</html>".into())
            .unwrap(),
        Instead::Redirect(to) => Response::builder()
            .status(302)
            .header(header::LOCATION, to)
            .body(Body::empty())
            .unwrap(),
        Instead::Huge(size) => Response::new(vec![b' '; size].into()),
        Instead::Mute | Instead::Silence => unreachable!("nothing is answered"),
    }
}

pub(super) fn shown(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into())
        .unwrap()
}

pub(super) fn located(mut answer: Response<Body>, url: &str) -> Response<Body> {
    let fields = answer.headers_mut();
    fields.insert(header::LOCATION, url.parse().unwrap());
    answer
}

impl Shared {
    /// What needs no signature.
    pub(super) fn get(&self, kind: Kind, rest: &[&str]) -> Response<Body> {
        match (kind, rest) {
            (Kind::Directory, []) => shown(200, &self.directory()),
            (Kind::Nonce, []) => Response::new(Body::empty()),
            (Kind::RenewalInfo, [id]) => self.renewal(id),
            _ => problem(405, "malformed", "it is asked for by POST"),
        }
    }

    fn directory(&self) -> Value {
        let base = self.books.lock().unwrap().base.clone();
        let rules = self.told();
        let at = |path: &str| format!("{base}/{path}");
        let profile = |name: &String| (name.clone(), json!("as its name says"));
        let mut directory = json!({
            "newNonce": at("new-nonce"),
            "newAccount": at("new-account"),
            "newOrder": at("new-order"),
            "keyChange": at("key-change"),
            "meta": {
                "caaIdentities": rules.caa_identities,
                "externalAccountRequired": rules.external_account.is_some(),
            },
        });
        if rules.renewals.is_some() {
            directory["renewalInfo"] = at("renewal-info").into();
        }
        if !rules.profiles.is_empty() {
            let all: serde_json::Map<_, _> = rules.profiles.iter().map(profile).collect();
            directory["meta"]["profiles"] = all.into();
        }
        directory
    }

    fn renewal(&self, id: &str) -> Response<Body> {
        let rules = self.told();
        let books = self.books.lock().unwrap();
        let issued = books.orders.values().filter_map(Placed::issued);
        let mut known = issued.filter(|it| it.id() == id);
        let window = rules.renewals.as_ref().zip(known.next());
        let window = window.and_then(|(renewals, certificate)| {
            let own = renewals.windows.get(&certificate.names[0]);
            Some((own.copied().or(renewals.window)?, renewals))
        });
        let Some(((start, end), renewals)) = window else {
            return problem(404, "malformed", "no such certificate");
        };
        let mut body = json!({ "suggestedWindow": { "start": date(start), "end": date(end) } });
        if let Some(url) = &renewals.explanation {
            body["explanationURL"] = url.as_str().into();
        }
        let mut answer = shown(200, &body);
        if let Some(wait) = &renewals.retry_after {
            let fields = answer.headers_mut();
            fields.insert(header::RETRY_AFTER, wait.parse().unwrap());
        }
        answer
    }

    /// What is signed.
    pub(super) async fn post(&self, kind: Kind, path: &str, rest: &[&str], body: &[u8]) -> Answer {
        let signed = Signed::read(body)?;
        let url = format!("{}{path}", self.books.lock().unwrap().base);
        signed.expect("url", &url)?;
        self.spend_nonce(&signed)?;
        if kind == Kind::NewAccount {
            return self.new_account(&signed, &url);
        }
        let account = {
            let books = self.books.lock().unwrap();
            let kid = signed.header["kid"].as_str().unwrap_or_default();
            let (number, account) = books.account(kid)?;
            signed.verify(&account.key)?;
            number
        };
        let number = rest.first().and_then(|it| it.parse().ok()).unwrap_or(0);
        match (kind, rest) {
            (Kind::Account, [_]) => self.change_account(account, &signed),
            (Kind::NewOrder, []) => self.new_order(account, &signed.json()?),
            (Kind::Order, [_]) => self.order(account, number),
            (Kind::Authorization, [_]) => Ok(shown(200, &self.proof(account, number)?)),
            (Kind::Challenge, [_, kind]) => self.challenge(account, number, kind).await,
            (Kind::Finalize, [_]) => self.finalize(account, number, &signed.json()?),
            (Kind::Certificate, [_]) => self.certificate(account, number),
            (Kind::KeyChange, []) => self.change_key(account, &signed, &url),
            _ => Err(malformed("no such thing")),
        }
    }

    fn new_order(&self, account: u64, asked: &Value) -> Answer {
        let rules = self.told();
        let identifiers = asked["identifiers"].as_array();
        let named = |it: &Value| it["value"].as_str().unwrap_or_default().to_owned();
        let names: Vec<_> = identifiers.into_iter().flatten().map(named).collect();
        let text = |name: &str| asked[name].as_str().map(str::to_owned);
        let (profile, replaces) = (text("profile"), text("replaces"));
        if names.is_empty() {
            return Err(malformed("nothing is ordered"));
        }
        if let Some(name) = names.iter().find(|it| rules.rejected.contains(*it)) {
            return Err(Fault(400, "rejectedIdentifier", name.clone()));
        }
        if let Some(profile) = profile.iter().find(|it| !rules.profiles.contains(it)) {
            return Err(Fault(400, "invalidProfile", profile.clone()));
        }
        let mut books = self.books.lock().unwrap();
        if let Some(id) = &replaces {
            if books.replaced.contains(id) {
                return Err(Fault(409, "alreadyReplaced", id.clone()));
            }
            books.replaced.push(id.clone());
        }
        let proofs = names.iter().map(|name| books.prove(name)).collect();
        let number = books.number();
        let placed = Placed {
            account,
            names,
            profile,
            replaces,
            repeats: !rules.forgets_replaced,
            proofs,
            certificate: None,
            held: false,
        };
        books.orders.insert(number, placed);
        let url = format!("{}/order/{number}", books.base);
        Ok(located(shown(201, &books.show_order(number)), &url))
    }

    fn order(&self, account: u64, number: u64) -> Answer {
        let rules = self.told();
        let mut books = self.books.lock().unwrap();
        let order = books.order(number, account)?;
        order.held &= rules.stuck;
        let mut answer = shown(200, &books.show_order(number));
        if let Some(wait) = &rules.order_retry_after {
            let fields = answer.headers_mut();
            fields.insert(header::RETRY_AFTER, wait.parse().unwrap());
        }
        Ok(answer)
    }

    fn proof(&self, account: u64, number: u64) -> Result<Value, Fault> {
        let books = self.books.lock().unwrap();
        let mut orders = books.orders.values();
        let ours = orders.any(|it| it.account == account && it.proofs.contains(&number));
        match ours {
            true => Ok(books.show_proof(number)),
            false => Err(Fault(404, "malformed", "no such authorization".to_owned())),
        }
    }

    async fn challenge(&self, account: u64, number: u64, kind: &str) -> Answer {
        self.proof(account, number)?;
        let (name, token, key) = {
            let books = self.books.lock().unwrap();
            let proof = &books.proofs[&number];
            if proof.status != "pending" {
                return Err(malformed("the authorization is settled"));
            }
            let key = books.accounts[&account].key.thumbprint();
            (proof.name.clone(), proof.token.clone(), key)
        };
        let rules = self.told();
        let failed = match (rules.fails.get(&name), rules.looks_at) {
            (Some(kind), _) => Some(kind.clone()),
            (None, Some(port)) if kind == "http-01" => {
                let expected = format!("{token}.{key}");
                let right = look(port, &name, &token).await.trim_end() == expected;
                (!right).then(|| "unauthorized".to_owned())
            }
            _ => None,
        };
        let mut books = self.books.lock().unwrap();
        let proof = books.proofs.get_mut(&number).unwrap();
        proof.status = if failed.is_some() { "invalid" } else { "valid" };
        let problem = failed.map(|failed| {
            let kind = format!("urn:ietf:params:acme:error:{failed}");
            json!({ "type": kind, "detail": format!("looked at {name}"), "status": 403 })
        });
        proof.answered = Some((kind.to_owned(), problem));
        Ok(shown(200, &books.show_challenge(number, kind)))
    }

    fn finalize(&self, account: u64, number: u64, asked: &Value) -> Answer {
        let csr = BASE64.decode(asked["csr"].as_str().unwrap_or_default());
        let csr = csr.map_err(|_| malformed("no request"))?;
        let rules = self.told();
        let mut books = self.books.lock().unwrap();
        let names = books.order(number, account)?.names.clone();
        let status = books.status(&books.orders[&number]);
        if status != "ready" {
            return Err(Fault(403, "orderNotReady", status.to_owned()));
        }
        let serial = (1 << 62) + books.number();
        let now = self.clock.now();
        let issued = self
            .authority
            .sign(&csr, &names, serial, now, rules.validity)?;
        let order = books.order(number, account)?;
        order.certificate = Some(issued);
        order.held = rules.stuck;
        Ok(shown(200, &books.show_order(number)))
    }

    fn certificate(&self, account: u64, number: u64) -> Answer {
        let mut books = self.books.lock().unwrap();
        let order = books.order(number, account)?;
        let issued = order.issued();
        let issued = issued.ok_or_else(|| malformed("there is none"))?;
        Ok(Response::builder()
            .header(header::CONTENT_TYPE, "application/pem-certificate-chain")
            .body(issued.chain.clone().into())
            .unwrap())
    }
}

/// What is answered to http-01.
async fn look(port: u16, name: &str, token: &str) -> String {
    let path = format!("/.well-known/acme-challenge/{token}");
    let asked = get(name, &path, &["connection: close"]);
    let mut visitor = Visitor::connect(([127, 0, 0, 1], port).into()).await;
    visitor.ask(asked).await.text()
}

/// RFC 3339.
fn date(millis: i64) -> String {
    String::from_utf8(Timestamp(millis).rfc3339().to_vec()).unwrap()
}
