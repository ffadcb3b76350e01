//! From what the configuration says of an issuer to its keys. Every fault is told before anything is served.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keyring::{Keyring, Net};
use crate::config::{TokenAlgorithm, TokenIssuer, TokenKeys};
use crate::jwks::{
    KeyFault, KeySet, KeySetError, KeySetUrl, KeySetUrlError, RefusedKey, SetupError,
};

/// Why tokens cannot be verified as configured.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum TokensError {
    #[error("the key set {} of issuer {issuer:?} cannot be read", path.display())]
    Read {
        issuer: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the file {} of issuer {issuer:?} is of no use", path.display())]
    KeySet {
        issuer: String,
        path: PathBuf,
        #[source]
        source: KeySetError,
    },
    #[error("key {index} in {} of issuer {issuer:?} is refused", path.display())]
    Key {
        issuer: String,
        path: PathBuf,
        /// From 0.
        index: usize,
        #[source]
        source: KeyFault,
    },
    #[error("{} of issuer {issuer:?} has no key for any of the issuer's algorithms", path.display())]
    NoKey { issuer: String, path: PathBuf },
    #[error("the key set's URL of issuer {issuer:?} cannot be used")]
    Url {
        issuer: String,
        #[source]
        source: KeySetUrlError,
    },
    #[error(
        "issuer {issuer:?} has algorithm {algorithm:?}, which does not go with its keys: HS* goes with a shared secret and with nothing else"
    )]
    Algorithm {
        issuer: String,
        algorithm: TokenAlgorithm,
    },
    #[error("key sets cannot be fetched over https")]
    Fetcher(#[from] SetupError),
}

/// The rings that fetch, by where they fetch from.
pub(super) type Rings = HashMap<KeySetUrl, Arc<Keyring>>;

/// The keys of one entry; entries with the same URL share them.
pub(super) fn keys_of(
    issuer: &TokenIssuer,
    net: &Net,
    rings: &mut Rings,
) -> Result<Arc<Keyring>, TokensError> {
    let shared = matches!(issuer.keys, TokenKeys::Hmac(_));
    if let Some(&algorithm) = issuer
        .algorithms
        .iter()
        .find(|a| a.is_symmetric() != shared)
    {
        return Err(TokensError::Algorithm {
            issuer: issuer.issuer.clone(),
            algorithm,
        });
    }
    match &issuer.keys {
        TokenKeys::Hmac(secret) => Ok(Keyring::fixed(KeySet::hmac(secret.clone()))),
        TokenKeys::File(path) => read(issuer, path).map(Keyring::fixed),
        TokenKeys::Url(url) => {
            let url = KeySetUrl::parse(url).map_err(|source| TokensError::Url {
                issuer: issuer.issuer.clone(),
                source,
            })?;
            let ring = rings.entry(url.clone());
            Ok(Arc::clone(
                ring.or_insert_with(|| Keyring::fetched(url, net.clone())),
            ))
        }
    }
}

/// What is wrong with the issuers' key files, each of them.
pub fn check_key_files(issuers: &[TokenIssuer]) -> Vec<TokensError> {
    let fault = |issuer: &TokenIssuer| match &issuer.keys {
        TokenKeys::File(path) => read(issuer, path).err(),
        TokenKeys::Url(_) | TokenKeys::Hmac(_) => None,
    };
    issuers.iter().filter_map(fault).collect()
}

/// A file is the operator's own, so any fault in it is told at once.
fn read(issuer: &TokenIssuer, path: &Path) -> Result<KeySet, TokensError> {
    let (name, path) = (issuer.issuer.clone(), path.to_owned());
    let json = match std::fs::read(&path) {
        Ok(json) => json,
        Err(source) => {
            return Err(TokensError::Read {
                issuer: name,
                path,
                source,
            });
        }
    };
    let (set, refused) = match KeySet::parse(&json) {
        Ok(parsed) => parsed,
        Err(source) => {
            return Err(TokensError::KeySet {
                issuer: name,
                path,
                source,
            });
        }
    };
    if let Some(&RefusedKey { index, fault }) = refused.first() {
        return Err(TokensError::Key {
            issuer: name,
            path,
            index,
            source: fault,
        });
    }
    let usable = |algorithm: &TokenAlgorithm| set.candidates(None, *algorithm).next().is_some();
    if !issuer.algorithms.iter().any(usable) {
        return Err(TokensError::NoKey { issuer: name, path });
    }
    Ok(set)
}
