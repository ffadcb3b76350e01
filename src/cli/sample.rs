//! The sample application of `dev`: one application, many tenants. It shows what it received and whether the assertion verified,
//! and does with it what any application behind Vestibule should: it refuses what it cannot verify (`sample/verify.rs`).

mod echo;
mod page;
mod received;
mod sign_in;
mod verify;

pub use sign_in::{SESSION_ISSUER, Sessions};

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::shutdown::{Phase, Stopping};

use received::Received;
use verify::{Verdict, Verifier};

/// The tenants that `dev` makes and the page links to, with the names people call them by. The last one is still being built.
pub const TENANTS: [(&str, &str); 3] = [
    ("acme", "Acme Rockets"),
    ("globex", "Globex Corporation"),
    ("initech", "Initech"),
];
/// The base domain of `dev`.
pub const BASE_DOMAIN: &str = "localhost";
/// The host of `dev` on which paths name the tenant.
pub const PLATFORM_HOST: &str = "app.localhost";
/// What the application demands in `aud`: its own name as an upstream.
pub const UPSTREAM: &str = "default";
/// What the application demands in `iss`.
pub const ISSUER: &str = "vestibule";

struct App {
    verifier: Verifier,
    sessions: Option<Sessions>,
    stopping: Stopping,
}

/// Serves until `stopping` has come to its end; verifies with the keys at `jwks_url`; signs in where there are `sessions`.
pub async fn serve(
    listener: std::net::TcpListener,
    jwks_url: String,
    sessions: Option<Sessions>,
    stopping: Stopping,
) {
    let listening = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the sample application cannot listen"),
    };
    let app = Arc::new(App {
        verifier: Verifier::new(jwks_url),
        sessions,
        stopping: stopping.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(&app), stream))),
                Err(error) => {
                    tracing::warn!(%error, "the sample application did not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopping.reached(Phase::Draining) => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        () = stopping.reached(Phase::Ended) => {}
    }
}

async fn connection(app: Arc<App>, stream: TcpStream) {
    let stopping = app.stopping.clone();
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(answer(&app, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    // An error here is a connection that broke: nobody is left to be told.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stopping.reached(Phase::Draining) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn answer(app: &App, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let verdict = app.verifier.verify(request.headers()).await;
    if request.uri().path() == echo::PATH && matches!(verdict, Verdict::Verified(_)) {
        return echo::upgrade(&mut request, app.stopping.clone());
    }
    let (head, body) = request.into_parts();
    let received = Received::new(&head, length(body).await);
    if let (Verdict::Verified(_), Some(sessions)) = (&verdict, &app.sessions)
        && let Some(response) = sessions.answer(&head, &received.place)
    {
        return response;
    }
    let status = match verdict {
        Verdict::Verified(_) => StatusCode::OK,
        Verdict::Refused(_) => StatusCode::FORBIDDEN,
        Verdict::NoKeys(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let (kind, text) = if prefers_html(&head.headers) {
        let page = page::render(&received, &verdict, app.sessions.is_some()).into_string();
        ("text/html; charset=utf-8", page)
    } else {
        ("application/json", page::json(&received, &verdict))
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(CONTENT_SECURITY_POLICY, page::POLICY.clone());
    response
}

/// Reads the body to its end without keeping it; `None` where it broke off.
async fn length(mut body: Incoming) -> Option<u64> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.ok()?.data_ref() {
            length += data.len() as u64;
        }
    }
    Some(length)
}

/// Browsers ask for HTML by name; whoever takes anything (curl) reads JSON more easily.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(http::header::ACCEPT);
    let accepts: Vec<_> = accepts
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let weight = |wanted: &str| {
        let mut weights = accepts.iter().filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next()?.eq_ignore_ascii_case(wanted);
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            named.then(|| quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0)))
        });
        weights.next().unwrap_or(0.0)
    };
    let html = weight("text/html");
    html > 0.0 && html >= weight("application/json")
}

#[cfg(test)]
mod tests;
