//! The page that a person sees: one design for every refusal, without a script, without anything loaded from elsewhere.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::refusal::Extra;
use crate::model::{Code, Fault, Refusal};

use super::forget_session::FORGET_SESSION_PATH;
use super::{RefusalContext, progress, retry_after};

/// The whole page.
pub(super) fn render(refusal: &Refusal, context: &RefusalContext<'_>) -> String {
    let code = refusal.code;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(seconds) = refresh(refusal) {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { (code.title()) }
                style { (PreEscaped(STYLE)) }
            }
            body class=(mood(code)) {
                main {
                    (door())
                    p.status { (code.status()) }
                    h1 { (code.title()) }
                    p { (refusal.detail) }
                    (body(refusal, context))
                }
                footer { (whom_to_ask(code.fault())) (facts(refusal, context)) }
            }
        }
    };
    page.into_string()
}

/// The fields that only a page has.
pub(super) fn insert_fields(head: &mut HeaderMap, refusal: &Refusal) {
    head.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    let policy = if offers_to_forget(refusal) {
        &*POLICY_WITH_FORM
    } else {
        &*POLICY
    };
    if let Ok(policy) = HeaderValue::from_str(policy) {
        head.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // With `no-referrer` a browser would post the form with `Origin: null`.
    head.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
}

fn body(refusal: &Refusal, context: &RefusalContext<'_>) -> Markup {
    match refusal.code {
        Code::TenantProvisioning | Code::TenantMaintenance => waiting(refusal),
        Code::TenantConflict => conflict(refusal, context),
        _ => html! {},
    }
}

fn waiting(refusal: &Refusal) -> Markup {
    html! {
        @if let Some(percent) = progress(refusal) {
            label.progress {
                span { (percent) "\u{a0}% done" }
                progress max="100" value=(percent) { (percent) "\u{a0}%" }
            }
        }
        @if let Some(seconds) = refresh(refusal) {
            p.hint role="status" { "This page looks again by itself every " (seconds) " seconds." }
        }
    }
}

fn conflict(refusal: &Refusal, context: &RefusalContext<'_>) -> Markup {
    html! {
        dl.sides {
            dt { "The address" }
            dd {
                "What you opened"
                @if let Some(host) = context.host { " at " code { (host) } }
                " belongs to one workspace."
                " To go on with the session you have, open the address of the workspace that it belongs to."
            }
            dt { "The session" }
            dd {
                @if offers_to_forget(refusal) {
                    "You are signed in to another one"
                    @if let Some(cookie) = context.cookie { " (cookie " code { (cookie) } ")" }
                    ". To go on at this address, forget that session here and sign in again."
                    form method="post" action=(FORGET_SESSION_PATH) {
                        button type="submit" { "Forget the session" }
                    }
                } @else {
                    "What your program sends to sign in belongs to another one. To go on at this address, sign in to this workspace and use what you get there."
                }
            }
        }
    }
}

fn offers_to_forget(refusal: &Refusal) -> bool {
    refusal.code == Code::TenantConflict && matches!(refusal.extra, Extra::Cookie(_))
}

/// In seconds, where the page should look again by itself.
fn refresh(refusal: &Refusal) -> Option<u64> {
    let waits = matches!(
        refusal.code,
        Code::TenantProvisioning | Code::TenantMaintenance
    );
    waits.then(|| retry_after(refusal)).flatten()
}

fn whom_to_ask(fault: Fault) -> Markup {
    html! {
        p {
            @match fault {
                Fault::Visitor => "If you think that this is wrong, tell whoever gave you the address, with what stands below.",
                Fault::Tenant => "Questions go to whoever runs this workspace. What stands below helps them.",
                Fault::Upstream | Fault::Edge => "You have done nothing wrong. If it lasts, tell whoever runs this service, with what stands below.",
            }
        }
    }
}

fn facts(refusal: &Refusal, context: &RefusalContext<'_>) -> Markup {
    html! {
        dl.facts {
            dt { "Code" }
            dd { code { (refusal.code.as_str()) } }
            dt { "Request" }
            dd { code { (context.request_id) } }
        }
    }
}

/// The page's colour follows whose doing it is.
fn mood(code: Code) -> &'static str {
    match (code, code.fault()) {
        (Code::TenantProvisioning, _) => "calm",
        (_, Fault::Visitor) => "visitor",
        (_, Fault::Tenant) => "tenant",
        (_, Fault::Upstream | Fault::Edge) => "trouble",
    }
}

/// An arched doorway with its door ajar.
fn door() -> Markup {
    html! {
        svg viewBox="0 0 48 60" width="48" height="60" aria-hidden="true" focusable="false" {
            path class="arch" d="M4 58V24a20 20 0 0 1 40 0v34z" {}
            path class="leaf" d="M10 58V25a14 14 0 0 1 14-14v47z" {}
            circle class="knob" cx="19.5" cy="37" r="1.8" {}
        }
    }
}

/// Nothing may be loaded, run or framed; the one style sheet is named by its hash.
fn policy(form_action: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let hash = STANDARD.encode(digest);
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
}

static POLICY: LazyLock<String> = LazyLock::new(|| policy("'none'"));
static POLICY_WITH_FORM: LazyLock<String> = LazyLock::new(|| policy("'self'"));
const STYLE: &str = include_str!("page.css");
