//! The integration tests: one binary, one file per behaviour.

#![expect(
    clippy::unwrap_used,
    reason = "whatever cannot go on in a test fails it"
)]
#![expect(unreachable_pub, reason = "a test binary exports nothing")]

mod acme;
mod admin;
mod assertion;
mod backup;
mod canaries;
mod certificate_commands;
mod certificate_store;
mod certificates;
mod check;
mod cli;
mod command;
mod config;
mod custom_domains;
mod dev;
mod domain_answers;
mod domain_commands;
mod domains_dns;
mod exhaustion;
mod explain;
mod fleet;
mod floods;
mod forward;
mod framing;
mod harness;
mod hosts;
mod http2;
mod layers;
mod limits;
mod name_server;
mod naming;
mod observe;
mod orders;
mod outage;
mod outgoing;
mod pages;
mod panics;
mod papers;
mod reach;
mod resolve;
mod seeds;
mod shutdown;
mod sign;
mod spread;
mod stalls;
mod store;
mod storm;
mod tenants;
mod tls;
mod tokens;
mod tunnels;
mod upstream;
mod upstream_faults;
mod webhooks;
