//! The page, and the same as JSON.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value, json};

use super::received::Received;
use super::sign_in::{SIGN_IN, SIGN_OUT};
use super::verify::Verdict;
use super::{BASE_DOMAIN, PLATFORM_HOST, TENANTS, echo};

const STYLE: &str = include_str!("page.css");
/// An enhancement: the page says everything without it.
const SCRIPT: &str = include_str!("page.js");

/// `Content-Security-Policy` of the page: its own style, its one script by hash, forms and a WebSocket to where it came from.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, SCRIPT.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What was received and concluded, for programs.
pub(super) fn json(received: &Received, verdict: &Verdict) -> String {
    let (claims, reason) = match verdict {
        Verdict::Verified(claims) => (Some(claims), None),
        Verdict::Refused(reason) | Verdict::NoKeys(reason) => (None, Some(reason)),
    };
    let document = json!({
        "tenant": claims.and_then(|claims| claims.get("slug")),
        "assertion": {"verified": claims.is_some(), "reason": reason, "claims": claims},
        "request": received,
    });
    format!("{document:#}\n")
}

/// The page for a browser.
pub(super) fn render(received: &Received, verdict: &Verdict, sessions: bool) -> Markup {
    let guest = Guest::of(verdict);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (guest.name) " · Vestibule sample" }
                link rel="icon" href=(icon(&guest));
                style { (PreEscaped(STYLE)) }
            }
            body style={ "--hue:" (guest.hue) ";--chroma:" (guest.chroma) } {
                (hall(&guest, verdict))
                main {
                    (story(&guest, verdict, received))
                    div.cards {
                        @if let Verdict::Verified(claims) = verdict {
                            div { (walk(&guest, received)) @if sessions { (session(claims, received)) } }
                            div { (badge(claims)) (socket(received)) }
                        }
                        (arrival(received))
                    }
                }
                footer { "The sample application of " code { "vestibule dev" } ". It verifies every request, as yours should." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// Whom the page is for.
struct Guest<'a> {
    slug: Option<&'a str>,
    name: &'a str,
    initial: String,
    hue: u32,
    chroma: &'static str,
}

impl<'a> Guest<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        let (slug, name) = match verdict {
            Verdict::Verified(claims) => match claims.get("slug").and_then(Value::as_str) {
                Some(slug) => (Some(slug), name_of(slug)),
                None => (None, "Nobody in particular"),
            },
            Verdict::Refused(_) | Verdict::NoKeys(_) => (None, "Not let in"),
        };
        let initial = slug.and_then(|slug| slug.chars().next());
        Self {
            slug,
            name,
            initial: initial.map_or(String::new(), |c| c.to_uppercase().to_string()),
            hue: slug.map_or(0, hue),
            chroma: if slug.is_some() { "1" } else { "0" },
        }
    }
}

/// What people call the tenant, as far as the application knows.
fn name_of(slug: &str) -> &str {
    let known = TENANTS.into_iter().find(|(known, _)| *known == slug);
    known.map_or(slug, |(_, name)| name)
}

/// A colour of the tenant's own, in degrees, the same on every visit: FNV-1a, spread by the golden ratio.
fn hue(slug: &str) -> u32 {
    let hash = slug.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let spread = hash.wrapping_mul(0x9e37_79b1) >> 16;
    (spread * 360) >> 16
}

fn icon(guest: &Guest<'_>) -> String {
    let saturation = if guest.slug.is_some() { 60 } else { 0 };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 16V8a6 6 0 0 1 12 0v8z' \
         fill='hsl({} {saturation}%25 42%25)'/%3E%3C/svg%3E",
        guest.hue
    )
}

fn hall(guest: &Guest<'_>, verdict: &Verdict) -> Markup {
    html! {
        header.hall {
            div.door aria-hidden="true" { span { (guest.initial) } }
            div {
                @if let Some(slug) = guest.slug { p.slug { (slug) } }
                h1 { (guest.name) }
                @match verdict {
                    Verdict::Verified(_) => p.verdict.good { "Assertion verified" },
                    Verdict::Refused(reason) => p.verdict.bad { "Refused: " (reason) },
                    Verdict::NoKeys(reason) => p.verdict.bad { "Cannot verify: " (reason) },
                }
            }
        }
    }
}

fn story(guest: &Guest<'_>, verdict: &Verdict, received: &Received) -> Markup {
    let Verdict::Verified(claims) = verdict else {
        return html! {
            p.story { "An application behind Vestibule believes a request only with the edge’s signature on it. This one has none that "
                "can be believed, so nothing of anybody’s is shown. Come in by one of the addresses that " code { "vestibule dev" }
                " has printed." }
        };
    };
    let said = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let host = said("host");
    html! {
        p.story {
            @match (guest.slug, said("via")) {
                (None, _) => { "You came to " b { (host) } ", the platform’s own host. Nothing in the request named a tenant: here an "
                    "application keeps its sign-in and sign-up." },
                (_, "subdomain") => { "The name you typed, " b { (host) } ", is what told you apart. " },
                (_, "domain") => { b { (host) } " is a domain of " (guest.name) "’s own. " },
                (_, "path") => { "The path " b { (received.place.prefix) "/" } " is what told you apart; it was cut off before the request came here. " },
                (_, _) => { "The token you sent is what told you apart. " },
            }
            @if guest.slug.is_some() {
                "One application serves every tenant; Vestibule found yours at the door and said so in a signed assertion."
                @if signed_in(claims) && said("via") != "token" { " Your session names the same one." }
            }
        }
    }
}

/// The claims, in the order in which they are written.
fn badge(claims: &Map<String, Value>) -> Markup {
    html! {
        section {
            h2 { "What was signed" }
            dl.claims {
                @for (name, meaning) in CLAIMS {
                    @if let Some(value) = claims.get(name) {
                        dt { code { (name) } small { (meaning) } }
                        dd { (plain(name, value)) }
                    }
                }
            }
        }
    }
}

const CLAIMS: [(&str, &str); 12] = [
    ("sub", "the tenant’s permanent number"),
    ("slug", "its short name"),
    ("via", "what named it"),
    ("agree", "everything that named it"),
    ("host", "where you came to"),
    ("plan", "its plan"),
    ("placement", "where its data lives"),
    ("meta", "the application’s own notes"),
    ("iss", "who says so"),
    ("aud", "to which upstream"),
    ("iat", "said at"),
    ("exp", "believed until"),
];

fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            let names = names.collect::<Vec<_>>();
            if names.is_empty() {
                return "nothing".to_owned();
            }
            names.join(", ")
        }
        Value::Number(seconds) if matches!(name, "iat" | "exp") => {
            let of_day = seconds.as_u64().unwrap_or_default() % 86_400;
            let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
            format!("{hour:02}:{minute:02}:{second:02} UTC")
        }
        other => other.to_string(),
    }
}

fn walk(guest: &Guest<'_>, received: &Received) -> Markup {
    let place = &received.place;
    let [ready @ .., unfinished] = &TENANTS;
    let by_path = guest.slug.unwrap_or(ready[0].0);
    let mut others = ready.iter().map(|(slug, _)| *slug);
    let other = others.rfind(|slug| *slug != by_path).unwrap_or("globex");
    let here = place.url(&format!("{by_path}.{BASE_DOMAIN}"), "/");
    let link = |host: &str, path: &str, title: &str, note: &str| {
        html! { li { a href=(place.url(host, path)) { (title) } small { (note) } } }
    };
    html! {
        section {
            h2 { "Walk around" }
            ul.walk {
                @for (slug, name) in ready.iter().filter(|(slug, _)| guest.slug != Some(slug)) {
                    (link(&format!("{slug}.{BASE_DOMAIN}"), "/", name, "a tenant of the same application"))
                }
                (link(PLATFORM_HOST, &format!("/t/{by_path}/"), &format!("{}, by path", name_of(by_path)), "the path names the tenant"))
                (link(PLATFORM_HOST, "/", "The platform itself", "no tenant is named"))
                (link(&format!("{}.{BASE_DOMAIN}", unfinished.0), "/", unfinished.1, "still being prepared: the page refreshes itself"))
                (link(&format!("nobody.{BASE_DOMAIN}"), "/", "Nobody", "a name that is no tenant’s"))
            }
            p { "For programs this page is JSON:" }
            pre { code { "curl " (here) } }
            p { "Say that you are somebody else, and see that it does not arrive:" }
            pre { code { "curl -H 'X-Tenant-Slug: " (other) "' " (here) } }
        }
    }
}

/// Whether a token was among what named the tenant.
fn signed_in(claims: &Map<String, Value>) -> bool {
    let sources = claims.get("agree").and_then(Value::as_array);
    sources.is_some_and(|sources| sources.iter().any(|source| source == "token"))
}

fn session(claims: &Map<String, Value>, received: &Received) -> Markup {
    let [ready @ .., _] = &TENANTS;
    let prefix = &received.place.prefix;
    html! {
        section {
            h2 { "Session" }
            p {
                "A session is a cookie with a token, and the token names a tenant too. "
                @if claims.contains_key("sub") {
                    "Vestibule lets you through while it agrees with the address: sign in to the other tenant, and you are refused at this door."
                } @else {
                    "Nothing else does here: sign in, and you are at that tenant’s."
                }
            }
            @for (slug, name) in ready {
                form method="post" action={ (prefix) (SIGN_IN) (slug) } { button { "Sign in to " (name) } }
            }
            @if signed_in(claims) {
                form method="post" action={ (prefix) (SIGN_OUT) } { button.quiet { "Sign out" } }
            }
        }
    }
}

fn socket(received: &Received) -> Markup {
    let path = format!("{}{}", received.place.prefix, echo::PATH);
    html! {
        section {
            h2 { "WebSocket" }
            p { "At " code { (path) } " the application sends back what it is sent, through the edge and out again." }
            form #echo hidden data-path=(path) {
                input name="text" value="Hello" aria-label="What to send" autocomplete="off";
                button { "Send" }
                output aria-live="polite" {}
            }
        }
    }
}

fn arrival(received: &Received) -> Markup {
    html! {
        section.wide {
            h2 { "What arrived" }
            p.line { b { (received.method) } " " (received.path) " " small { (received.version) } }
            dl.headers {
                @for (name, value) in &received.headers {
                    dt { (name) }
                    dd { (value) }
                }
            }
            @match received.body_bytes {
                Some(0) => {},
                Some(bytes) => p { "A body of " (bytes) " bytes." },
                None => p { "A body that broke off." },
            }
        }
    }
}
