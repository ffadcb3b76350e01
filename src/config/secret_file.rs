//! Files that settings name: secrets, which are read, and others, which only have to be there.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;

use super::notes::Reason;
use crate::model::Secret;

/// Least bytes of an HMAC key: the output of SHA-256 (RFC 7518 section 3.2).
pub(super) const MIN_HMAC_KEY: usize = 32;
/// Least bytes of a key that binds an ACME account to another: some CAs give 16.
pub(super) const MIN_EAB_KEY: usize = 16;
/// Longest secret that is read: whoever names a device or a log by mistake gets a fault.
const MAX_SECRET: usize = 64 * 1024;

/// The file's bytes without one final newline, at least `least` of them. No fault tells what is in the file.
pub(super) fn read(path: &str, least: usize) -> Result<Secret, Reason> {
    let size = match std::fs::metadata(path) {
        Ok(file) if file.is_file() => file.len(),
        Ok(_) => return Err(format!("{path:?} is no file").into()),
        Err(error) => return Err(unreadable(path, &error)),
    };
    if size > MAX_SECRET as u64 {
        return Err(format!("{path:?} has {size} bytes, more than {MAX_SECRET}").into());
    }
    let mut bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    if bytes.len() < least {
        let what = format!(
            "{path:?} holds {} bytes, at least {least} are needed",
            bytes.len()
        );
        let hint = format!("make one: openssl rand -base64 48 > {path}");
        return Err(Reason::with_hint(what, hint));
    }
    Ok(Secret::new(bytes))
}

/// The bytes that `text` encodes in base64url, as CAs hand out keys; padding does no harm.
pub(super) fn base64url(text: &Secret, least: usize) -> Result<Secret, Reason> {
    let text = text.expose_str().unwrap_or_default().trim();
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    match bytes {
        Ok(bytes) if bytes.len() >= least => Ok(Secret::new(bytes)),
        Ok(bytes) => Err(format!(
            "leads to a key of {} bytes, at least {least} are needed",
            bytes.len()
        )
        .into()),
        Err(_) => Err("leads to a file that holds no key in base64url".into()),
    }
}

/// The path of a file that can be opened now.
pub(super) fn present(path: &str) -> Result<PathBuf, Reason> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(PathBuf::from(path)),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &str, error: &std::io::Error) -> Reason {
    format!("names {path:?}, which cannot be read: {error}").into()
}
