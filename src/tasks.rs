//! Background work: woken by a timer or by the change feed, it makes reality match the store.

pub mod certificates;
pub mod changes;
pub mod clocks;
pub mod domains;
pub mod folder;
pub mod snapshot;
pub mod tickets;
pub mod webhooks;
