//! TLS with visitors and with application servers: which certificates there are, which one a visitor is shown, and the handshake.
//!
//! A handshake looks up, it never orders. The certificate is chosen when the ClientHello has been read, and a name that nobody here
//! has a certificate for is refused with an alert, unless a default is set.

mod accept;
mod challenge;
mod client;
mod fault;
mod hello;
mod import;
mod inventory;
mod load;
mod local_ca;
mod protocol;
mod tickets;

pub use accept::{HandshakeError, TlsAcceptor, TlsFacts};
pub use client::{ClientConfigError, client_config};
pub use fault::CertificateFault;
pub use import::{Brought, check_issued, facing_der};
pub use inventory::{Exempt, Found, Inventory, LoadReport, NamePolicy, SetupError, Unseal};
pub use load::Certificate;
pub use local_ca::{Issued, LocalCa, LocalCaError};
pub use protocol::{DemandFault, check_client_ca};
pub use tickets::{TICKET_KEY_LEN, TicketFault, TicketKey, Tickets, new_ticket_key};
