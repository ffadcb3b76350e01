//! Webhooks: where events are sent, what is heard of it, and when it is tried again.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;

use super::address::is_public;

/// For this long an event is tried, and a webhook may fail without a break.
pub const PATIENCE: Duration = Duration::from_secs(3 * 86_400);
/// The most that a receiver can ask to wait; no longer than we would by ourselves.
const LONGEST_WAIT: Duration = WAITS[WAITS.len() - 1];
/// Behind the first attempt, the second, and so on; the last one again and again.
const WAITS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(3 * 3_600),
    Duration::from_secs(6 * 3_600),
];

/// Where events are sent: `https`, or `http` to a loopback address.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    text: Box<str>,
    tls: bool,
    /// Without brackets.
    host: Box<str>,
    port: u16,
    authority: Box<str>,
    target: Box<str>,
}

/// Why a text is no [`WebhookUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum WebhookUrlError {
    #[error("a webhook's URL is absolute: https://host/path")]
    Malformed,
    #[error("events are sent over https; http is for loopback addresses only")]
    Plain,
    #[error("a webhook's URL has no user or password: receivers check the signature")]
    UserInfo,
}

/// What was heard of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The receiver answered.
    Answered {
        /// With this status.
        status: u16,
        /// And asked to be left alone for so long.
        retry_after: Option<Duration>,
    },
    /// The receiver did not answer; why, for people.
    Unanswered(String),
    /// Nothing was sent, for a reason that is ours; for people.
    Unsent(String),
}

/// What follows from a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The receiver has it.
    Delivered,
    /// It is tried again after a wait; the receiver is left alone altogether for `hold`.
    Again {
        /// How long this event waits.
        wait: Duration,
        /// How long all do.
        hold: Duration,
    },
    /// It has been tried for long enough.
    GiveUp,
}

impl Reply {
    /// What follows, `attempts` having been made, this one included, the first of them `tried_for` ago.
    pub fn next(&self, attempts: u32, tried_for: Duration) -> Next {
        let asked = match self {
            Self::Answered {
                status: 200..=299, ..
            } => return Next::Delivered,
            Self::Answered { retry_after, .. } => retry_after.unwrap_or_default(),
            Self::Unanswered(_) | Self::Unsent(_) => Duration::ZERO,
        };
        if tried_for >= PATIENCE {
            return Next::GiveUp;
        }
        let hold = asked.min(LONGEST_WAIT);
        let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = WAITS.get(place).copied().unwrap_or(LONGEST_WAIT);
        Next::Again {
            wait: wait.max(hold),
            hold,
        }
    }

    /// Whether the receiver said that it is gone for good.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Answered { status: 410, .. })
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Unanswered(_) | Self::Unsent(_) => None,
        }
    }

    /// What went wrong, for people.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Answered { status, .. } => match status {
                200..=299 => None,
                300..=399 => Some(format!("status {status}: nobody is followed elsewhere")),
                _ => Some(format!("status {status}")),
            },
            Self::Unanswered(why) | Self::Unsent(why) => Some(why.clone()),
        }
    }
}

impl WebhookUrl {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, WebhookUrlError> {
        let uri: Uri = text.parse().map_err(|_| WebhookUrlError::Malformed)?;
        let authority = uri.authority().ok_or(WebhookUrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(WebhookUrlError::UserInfo);
        }
        let bracketed = authority.host();
        let host = bracketed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(bracketed);
        if host.is_empty() {
            return Err(WebhookUrlError::Malformed);
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(host) => false,
            Some("http") => return Err(WebhookUrlError::Plain),
            _ => return Err(WebhookUrlError::Malformed),
        };
        // `Authority::port` takes a port that is none for no port.
        let port = match &authority.as_str()[bracketed.len()..] {
            "" if tls => 443,
            "" => 80,
            text => text
                .trim_start_matches(':')
                .parse()
                .map_err(|_| WebhookUrlError::Malformed)?,
        };
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            text: text.into(),
            tls,
            host: host.into(),
            port,
            authority: authority.as_str().into(),
            target: format!("{slash}{target}").into(),
        })
    }

    /// As it was typed, with everything in it: for the store.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, without brackets, and the port.
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// What `Host` says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether it can lead nowhere but to addresses that are nobody's on the internet.
    pub fn is_private(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => !is_public(address),
            Err(_) => is_loopback(&self.host),
        }
    }
}

impl fmt::Display for WebhookUrl {
    /// Without the query, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (path, query) = match self.target.split_once('?') {
            Some((path, _)) => (path, "?…"),
            None => (&*self.target, ""),
        };
        write!(f, "{scheme}://{}{path}{query}", self.authority)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
