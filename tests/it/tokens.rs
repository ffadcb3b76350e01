//! Visitors' tokens against their issuers' keys: the attacks on them (F in the requirements) and on where the keys come from.

mod bench;
mod claims;
mod forged;
mod keys;
mod valid;
