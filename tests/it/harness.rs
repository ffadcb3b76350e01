//! What the tests start and stop: servers, databases, edges.

pub mod assertion;
pub mod challtestsrv;
pub mod client;
pub mod edge;
pub mod fault_proxy;
pub mod frames;
pub mod guarded;
pub mod http2;
pub mod identity;
pub mod issuer;
pub mod jwks_server;
pub mod knot;
pub mod mint;
pub mod name_server;
pub mod pebble;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod stub_ca;
pub mod upstream;

/// Waits for something that comes about on its own, asking again and again; the bound is for a test that hangs.
pub async fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = there() {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(client::PATIENCE, waiting)
        .await
        .expect("it comes about in time")
}

/// As [`until`], for something that has to be asked for.
pub(crate) async fn eventually<T>(what: &str, there: impl AsyncFnMut() -> Option<T>) -> T {
    let found = within(client::PATIENCE, there).await;
    found.unwrap_or_else(|| panic!("waited in vain for {what}"))
}

/// Asks again and again until it is there, for as long as `patience` lasts.
pub(crate) async fn within<T>(
    patience: std::time::Duration,
    mut there: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let waiting = async {
        loop {
            if let Some(found) = there().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.ok()
}

/// Runs each behaviour with `None` (an embedded store of the edge's own) and with the URL of an empty PostgreSQL database.
macro_rules! on_both_stores {
    ($($behaviour:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour(None).await })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let url = crate::harness::postgres::database().await;
                super::$behaviour(Some(&url)).await
            })*
        }
    };
}
pub(crate) use on_both_stores;
