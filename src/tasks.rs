//! Background work: woken by a timer or by the change feed, it makes reality match the store.

pub mod changes;
pub mod domains;
pub mod snapshot;
pub mod webhooks;
