//! The problem document of RFC 9457, as refusals and the admin API write it.

use serde::Serialize;

/// Media type of [`Problem`] as JSON.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for a program to read.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem<'a> {
    /// A URI for this kind of problem: `urn:vestibule:refusal:<code>`.
    #[serde(rename = "type", serialize_with = "urn")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// How far the work has come, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
}

impl<'a> Problem<'a> {
    /// A problem of the kind `code`; `title` is the same for every problem of that kind.
    pub fn new(code: &'a str, status: u16, title: &'a str, detail: &'a str) -> Self {
        Self {
            kind: code,
            title,
            status,
            detail,
            code,
            request_id: None,
            progress: None,
        }
    }

    /// The same with the request it happened to.
    pub fn of_request(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// The same with how far the work has come that one waits for.
    pub fn with_progress(mut self, percent: Option<u8>) -> Self {
        self.progress = percent;
        self
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        // Only a map with keys that are no text, or a failing `Serialize`, could fail: there is neither here.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn urn<S: serde::Serializer>(code: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:vestibule:refusal:{code}"))
}
