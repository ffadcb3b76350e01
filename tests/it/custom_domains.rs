//! A customer's name from the claim to its end, with a real CA (Pebble) and a real DNS: proved, certified, served, renewed, lost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod doctor;
mod faults;
mod fleet;
mod life;
mod own;
mod signed;
mod two_cas;
