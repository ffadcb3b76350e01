//! When a CA wants a certificate to be renewed (RFC 9773).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use instant_acme::{CertificateIdentifier, Problem, RenewalInfo};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::exchange::Exchange;
use super::fault::{fault, unavailable};
use super::{AcmeError, RenewalWindow};

/// RFC 9773 section 4.3.2 leaves it to us what too soon and too late is: a CA that says `0` must not be asked without end, and one that
/// says a year must be heard on the day of a mass revocation.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// Where the CA does not say (section 4.3.3).
const UNSAID: Duration = Duration::from_secs(6 * 3600);
const MAX_EXPLANATION: usize = 1024;

/// By what a CA knows `certificate` (section 4.1); `None` where it names no key of its issuer.
pub(super) fn certificate_id(certificate: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let der = CertificateDer::from(certificate);
    let id = CertificateIdentifier::try_from(&der).ok()?;
    Some(id.into_owned())
}

/// What the CA says of `certificate`; `None` where it says nothing, or nothing that makes sense.
pub(super) async fn ask(
    exchange: &Exchange,
    certificate: &[u8],
) -> Result<Option<RenewalWindow>, AcmeError> {
    let Some(base) = &exchange.directory.read.renewal_info else {
        return Ok(None);
    };
    let Some(id) = certificate_id(certificate) else {
        return Ok(None);
    };
    let url = format!("{}/{id}", base.trim_end_matches('/'));
    let request = Request::get(&url).body(Bytes::new());
    let request = request.map_err(|error| unavailable(error, None))?;
    let answer = exchange.send(request).await;
    let answer = answer.map_err(|error| unavailable(error, None))?;
    let last = exchange.last();
    match answer.status() {
        StatusCode::OK => {
            let info = serde_json::from_slice(answer.body());
            let info = info.map_err(|error| unavailable(error, last.retry_after))?;
            Ok(window(info, last.retry_after, expiry(certificate)))
        }
        // It does not know the certificate.
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(match serde_json::from_slice::<Problem>(answer.body()) {
            Ok(problem) => fault(problem.into(), &last),
            Err(_) => fault(
                instant_acme::Error::Other(format!("status {status}").into()),
                &last,
            ),
        }),
    }
}

/// When `certificate` expires, in milliseconds since 1970.
fn expiry(certificate: &[u8]) -> i64 {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map_or(i64::MAX, |(_, parsed)| {
        let seconds = parsed.validity().not_after.timestamp();
        seconds.saturating_mul(1000)
    })
}

fn window(info: RenewalInfo, retry_after: Option<Duration>, expiry: i64) -> Option<RenewalWindow> {
    let millis = |nanos: i128| i64::try_from(nanos / 1_000_000).ok();
    let start = millis(info.suggested_window.start.unix_timestamp_nanos())?;
    let end = millis(info.suggested_window.end.unix_timestamp_nanos())?;
    // Section 4.2: such a window is invalid; and one behind the certificate's life would have it expire.
    if end <= start || start >= expiry {
        return None;
    }
    let ask_again = retry_after.unwrap_or(UNSAID);
    let shown = |url: &String| {
        let plain = url.chars().all(|c| c.is_ascii_graphic());
        url.starts_with("https://") && plain && url.len() <= MAX_EXPLANATION
    };
    Some(RenewalWindow {
        start,
        end,
        ask_again: ask_again.clamp(ASK_AGAIN.0, ASK_AGAIN.1),
        explanation: info.explanation_url.filter(shown),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(start: &str, end: &str, url: &str) -> RenewalInfo {
        let text = format!(
            r#"{{"suggestedWindow": {{"start": "{start}", "end": "{end}"}}, "explanationURL": "{url}"}}"#
        );
        serde_json::from_str(&text).expect("a window")
    }

    #[test]
    fn a_window_is_believed_where_it_makes_sense() {
        let day = |hour: &str| format!("1970-01-02T{hour}:00:00Z");
        let good = || read(&day("00"), &day("12"), "https://ca.example/why");
        let seconds = Duration::from_secs;
        let expected = |ask_again| RenewalWindow {
            start: 86_400_000,
            end: 129_600_000,
            ask_again,
            explanation: Some("https://ca.example/why".to_owned()),
        };
        for (said, clamped) in [
            (Some(seconds(0)), seconds(60)),
            (Some(seconds(3600)), seconds(3600)),
            (Some(seconds(1_000_000)), seconds(86_400)),
            (None, seconds(21_600)),
        ] {
            let read = window(good(), said, i64::MAX);
            assert_eq!(read, Some(expected(clamped)));
        }
        assert_eq!(window(good(), None, 86_400_000), None, "behind its life");
        let turned = read(&day("12"), &day("00"), "");
        assert_eq!(window(turned, None, i64::MAX), None);
        let empty = read(&day("12"), &day("12"), "");
        assert_eq!(window(empty, None, i64::MAX), None);
        let odd = read(&day("00"), &day("12"), "javascript:alert(1)");
        let odd = window(odd, None, i64::MAX).expect("a window");
        assert_eq!(odd.explanation, None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(certificate_id(&bytes), None);
            proptest::prop_assert_eq!(expiry(&bytes), i64::MAX);
        }
    }
}
