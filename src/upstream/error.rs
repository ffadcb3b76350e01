//! What can go wrong between taking a request over and having the head of its answer.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::http1::{BodyFault, HeadFault};
use crate::model::Code;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No address of the upstream is known: its names have not been resolved.
    #[error("no address of the upstream is known")]
    NoEndpoint,
    /// The address is one of this node's own listeners.
    #[error("the upstream's address {0} is a listener of this node")]
    Loop(SocketAddr),
    /// Connecting failed.
    #[error("connecting to {endpoint} failed")]
    Unreachable {
        /// Where to.
        endpoint: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connecting, TLS included, took longer than `connect`.
    #[error("connecting to {0} took too long")]
    ConnectTimeout(SocketAddr),
    /// The TLS handshake failed, as for a certificate that does not prove the endpoint's name.
    #[error("the TLS handshake with {endpoint} failed")]
    Tls {
        /// With whom.
        endpoint: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The head of the answer did not come within `response`, or the upstream stopped reading the request for `idle`.
    #[error("{0} did not answer in time")]
    ResponseTimeout(SocketAddr),
    /// The connection ended before there was an answer, and sending the request again would not be safe or failed too.
    #[error("{endpoint} closed the connection before it answered")]
    Closed {
        /// Who.
        endpoint: SocketAddr,
        /// How; `None` where it just ended.
        #[source]
        source: Option<io::Error>,
    },
    /// The answer breaks the protocol, or has a form that cannot be passed on safely.
    #[error("the answer of {endpoint} is invalid: {reason}")]
    Invalid {
        /// Whose.
        endpoint: SocketAddr,
        /// What is wrong with it.
        reason: &'static str,
        /// What the bytes say.
        #[source]
        source: Option<AnswerFault>,
    },
    /// The visitor's request body failed: not the upstream's fault. The body's own error is among the sources.
    #[error("the request's body ended early")]
    RequestBody(#[source] Box<dyn Error + Send + Sync>),
}

/// Why bytes are no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    /// Its head.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// Its body.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SendError {
    /// Every value of [`Self::label`].
    pub const LABELS: &[&str] = &[
        "no_endpoint",
        "loop",
        "unreachable",
        "connect_timeout",
        "tls",
        "response_timeout",
        "closed",
        "invalid",
        "request_body",
    ];

    /// The `result` label of `upstream_requests_total`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Loop(_) => "loop",
            Self::Unreachable { .. } => "unreachable",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::Tls { .. } => "tls",
            Self::ResponseTimeout(_) => "response_timeout",
            Self::Closed { .. } => "closed",
            Self::Invalid { .. } => "invalid",
            Self::RequestBody(_) => "request_body",
        }
    }

    /// The refusal the visitor gets. For [`Self::RequestBody`] the body's own error may say better (too large, too slow).
    pub fn code(&self) -> Code {
        match self {
            Self::NoEndpoint => Code::NoHealthyEndpoint,
            Self::Loop(_) => Code::LoopDetected,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Closed { .. } => {
                Code::UpstreamUnreachable
            }
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) => Code::UpstreamTimeout,
            Self::Invalid { .. } => Code::UpstreamInvalid,
            Self::RequestBody(_) => Code::BadRequest,
        }
    }

    /// The first of the errors beneath that is an `E`, as for the visitor's body failing with an error of its own.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        let mut cause = Error::source(self);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}
