//! The name server of the zone that customers delegate `_acme-challenge` names to: it answers what open dns-01 challenges say, and as
//! little else as a zone can have. Any node answers for all; the zone is not signed, so its parent must have no DS record for it.
//!
//! Messages are read and written by hickory; sockets are ours, so that both the connections and the questions under way are bounded.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::AcmeDns;
use crate::model::Causes;
use crate::store::ChallengeSource;

mod answer;
mod shares;
mod sockets;
#[cfg(test)]
mod tests;
mod zone;

pub use sockets::Sockets;

use answer::Step;
use zone::Zone;

/// Answers for one zone.
pub struct NameServer {
    zone: Zone,
    challenges: Arc<dyn ChallengeSource>,
}

/// By what a question came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A datagram: whoever it says it is from has not been seen to be there, so that answers stay short.
    Udp,
    /// A connection.
    Tcp,
}

impl NameServer {
    /// For the zone of `settings`, answered from `challenges`. `addresses` are where the name server is, for the case that its name lies
    /// in its own zone; those that it listens at, where they say so, go before them.
    pub fn new(
        settings: &AcmeDns,
        addresses: &[IpAddr],
        challenges: Arc<dyn ChallengeSource>,
    ) -> Self {
        Self {
            zone: Zone::new(settings, addresses),
            challenges,
        }
    }

    /// What is sent back for a message; nothing for what is no question.
    pub async fn answer(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        self.finish(self.zone.step(message), transport).await
    }

    async fn finish(&self, step: Step, transport: Transport) -> Option<Vec<u8>> {
        match step {
            Step::Nothing => None,
            Step::Say(reply) => answer::written(&reply, transport),
            Step::Look { reply, label } => {
                let values = self.challenges.dns01(&label).await;
                let values = values.inspect_err(|error| {
                    tracing::debug!(error = %Causes(error), label, "open challenges cannot be read");
                });
                let reply = self.zone.with_values(*reply, values.ok());
                answer::written(&reply, transport)
            }
        }
    }
}
