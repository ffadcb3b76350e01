//! `Proxy-Status` (RFC 9209): which intermediary answered, and why, in registered words.

use crate::model::Code;

/// The field's value: `node; error=…; details="code"`.
pub(super) fn field(code: Code, node: &str) -> String {
    format!(
        "{}; error={}; details=\"{}\"",
        name(node),
        error_type(code),
        code.as_str()
    )
}

/// A structured field's token where `node` is one, else a string (RFC 8941 section 3.3); ours where it is neither.
fn name(node: &str) -> String {
    if node.is_empty() || !node.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return "vestibule".to_owned();
    }
    if node.starts_with(|c: char| c.is_ascii_alphabetic()) && node.bytes().all(is_token_byte) {
        return node.to_owned();
    }
    format!("\"{}\"", node.replace('\\', r"\\").replace('"', r#"\""#))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

/// The registered type that fits best (RFC 9209 section 2.3).
fn error_type(code: Code) -> &'static str {
    match code {
        Code::BadRequest
        | Code::UriTooLong
        | Code::HeadersTooLarge
        | Code::MethodNotAllowed
        | Code::RequestTimeout
        | Code::BodyTooLarge
        | Code::Misdirected => "http_request_error",
        Code::TokenInvalid
        | Code::TenantConflict
        | Code::TenantSuspended
        | Code::RateLimited
        | Code::TooManyInFlight => "http_request_denied",
        Code::UnknownTenant | Code::TenantRemoved => "destination_not_found",
        Code::TenantProvisioning
        | Code::TenantMaintenance
        | Code::NoHealthyEndpoint
        | Code::UpstreamUnreachable => "destination_unavailable",
        Code::UpstreamInvalid => "http_protocol_error",
        Code::UpstreamTimeout => "http_response_timeout",
        Code::Overloaded | Code::StoreUnavailable => "proxy_internal_response",
        Code::InternalError => "proxy_internal_error",
        Code::UnknownUpstream => "proxy_configuration_error",
        Code::LoopDetected => "proxy_loop_detected",
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_node_s_name_is_a_token_or_a_string() {
        assert_eq!(name(""), "vestibule");
        assert_eq!(name("edge-1.example"), "edge-1.example");
        assert_eq!(name("1st"), r#""1st""#);
        assert_eq!(name(r#"a "b"\"#), r#""a \"b\"\\""#);
        assert_eq!(name("größe"), "vestibule");
        assert_eq!(name("a\r\nb"), "vestibule");
    }
}
