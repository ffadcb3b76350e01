//! Why something could not be measured, in words that stand in the report.

use std::fmt;

/// A reason. It keeps the whole chain of causes: it is printed in one line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    reason: String,
    /// Whether somebody answered wrongly: then nothing may be compared.
    pub(crate) is_wrong_answer: bool,
}

/// What can go wrong in a measurement.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_wrong_answer: false,
        }
    }

    /// Somebody answered otherwise than expected.
    pub(crate) fn wrong_answer(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_wrong_answer: true,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self::new(reason)
    }
}

/// Says what was being done.
pub(crate) trait While<T> {
    fn when(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Fault>> While<T> for Result<T, E> {
    fn when(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let fault = error.into();
            Fault {
                reason: format!("{}: {}", what(), fault.reason),
                ..fault
            }
        })
    }
}
