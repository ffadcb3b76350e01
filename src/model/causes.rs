//! An error with all that led to it, on one line.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes, outermost first: a log line has no room for a list, and one in JSON shows only what `Display` says.
#[derive(Clone, Copy)]
pub struct Causes<'e>(pub &'e dyn Error);

/// What led to `error`, the nearest first, as text. Libraries like to repeat in an error what its cause says: that is left out.
pub fn causes(error: &dyn Error) -> impl Iterator<Item = String> {
    let chain = std::iter::successors(error.source(), |cause| (*cause).source());
    chain
        .map(|cause| cause.to_string())
        .scan(error.to_string(), |last, text| {
            let repeated = last.ends_with(&text);
            last.clone_from(&text);
            Some((!repeated).then_some(text))
        })
        .flatten()
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(self.0).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn every_cause_is_shown_once() {
        let link = |text, source: Option<Link>| Link {
            text,
            source: source.map(Box::new),
        };
        let error = link(
            "a",
            Some(link("b: c", Some(link("c", Some(link("d", None)))))),
        );
        assert_eq!(Causes(&error).to_string(), "a: b: c: d");
    }
}
