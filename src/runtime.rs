//! Threads and timers: one control-plane runtime, and one single-threaded runtime for each data-plane thread.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

mod alarm;

pub use alarm::Alarm;

/// The control plane: store, DNS, background tasks, admin. Two threads are enough for work that waits.
pub fn control_plane() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Starts a data-plane thread that runs what `main` makes; the future never leaves the thread, so it may hold `Rc`.
pub fn data_plane<F, Fut>(index: usize, main: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
    };
    std::thread::Builder::new().name(format!("edge-{index}")).spawn(move || match runtime() {
        Ok(runtime) => runtime.block_on(main()),
        Err(error) => tracing::error!(%error, thread = index, "the runtime of a data-plane thread did not start"),
    })
}
