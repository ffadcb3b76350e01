//! Follows the store's change feed, so that every change is in force on this node within a second, and notices within a second when
//! the store is gone or back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::model::Causes;
use crate::resolve::Resolver;
use crate::store::{ChangeWatch, Changed, Changes, Cursor, SharedRouteSource, StoreError};

/// A store that has just been opened.
pub struct Opened {
    /// What is asked.
    pub source: SharedRouteSource,
    /// What shortens the wait between two polls.
    pub watch: ChangeWatch,
}

/// Who follows, and who is told.
pub struct Follower {
    /// Whose answers the changes are about.
    pub resolver: Arc<Resolver>,
    /// How often the feed is polled at least; half a second is the most, whatever is asked.
    pub poll: Duration,
    /// Called when signing keys changed or may have, the first contact with the store included. Must not block.
    pub signing_keys_changed: Box<dyn Fn() + Send + Sync>,
}

impl Follower {
    /// Opens the store, as often as it takes, and follows its feed until dropped. `open` is not cut short: it bounds itself.
    pub async fn run<O, F>(self, mut open: O)
    where
        O: FnMut() -> F,
        F: Future<Output = Result<Opened, StoreError>>,
    {
        let mut pause = FIRST_PAUSE;
        let opened = loop {
            match open().await {
                Ok(opened) => break opened,
                Err(error) => {
                    tracing::warn!(
                        error = %Causes(&error),
                        "the store cannot be opened yet"
                    );
                    self.resolver.lost(&Causes(&error));
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.follow(opened).await;
    }

    async fn follow(&self, opened: Opened) {
        let Opened { source, watch } = opened;
        let news = Arc::new(Notify::new());
        let mut helpers = JoinSet::new();
        helpers.spawn(listen(watch, Arc::clone(&news)));
        helpers.spawn(keep_names(Arc::clone(&self.resolver)));
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ask(&source).await {
                Ok(changes) => {
                    pause = FIRST_PAUSE;
                    let all = self.take(&changes);
                    if !all {
                        continue;
                    }
                    self.resolver.attach(Arc::clone(&source));
                    self.resolver.status();
                    tokio::select! {
                        () = news.notified() => {}
                        () = self.resolver.suspected() => {}
                        () = sleep(self.poll.min(LONGEST_POLL)) => {}
                    }
                }
                Err(error) => {
                    self.resolver.lost(&Causes(&error));
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Asks for what lies behind the cursor. Says that the store is lost when it takes too long, and goes on waiting: a slow first
    /// connection must not be given up each time.
    async fn ask(&self, source: &SharedRouteSource) -> Result<Changes, Silence> {
        let nowhere = Cursor {
            epoch: Uuid::nil(),
            position: 0,
        };
        let cursor = self.resolver.cursor().unwrap_or(nowhere);
        let mut answer = source.changes_after(cursor);
        let answer = match timeout(NOTICE, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.resolver.lost(&Silence::NoAnswer);
                timeout(GIVE_UP, answer)
                    .await
                    .map_err(|_| Silence::NoAnswer)?
            }
        };
        answer.map_err(Silence::Store)
    }

    /// Applies `changes`; true where none are left behind them.
    fn take(&self, changes: &Changes) -> bool {
        self.resolver.apply(changes);
        match changes {
            Changes::Lost(cursor) => {
                tracing::info!(
                    position = cursor.position,
                    "the change feed is followed from here; nothing read before is kept"
                );
                (self.signing_keys_changed)();
                true
            }
            Changes::Next(list) => {
                if list
                    .iter()
                    .any(|change| change.what == Changed::SigningKeys)
                {
                    (self.signing_keys_changed)();
                }
                list.len() < FULL
            }
        }
    }
}

/// Passes news on. A task of its own: making the connection to listen on may take longer than the follower waits.
async fn listen(mut watch: ChangeWatch, news: Arc<Notify>) {
    loop {
        watch.changed().await;
        news.notify_one();
    }
}

/// Loads the set of names whenever it is not whole.
async fn keep_names(resolver: Arc<Resolver>) {
    loop {
        resolver.names_wanted().await;
        let mut pause = FIRST_PAUSE;
        loop {
            match resolver.load_names().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %Causes(&error), "the names cannot be loaded"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Why the follower heard nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("no answer within {} ms", NOTICE.as_millis())]
    NoAnswer,
    #[error(transparent)]
    Store(StoreError),
}

/// Changes in a full answer: there may be more (`RouteSource::changes_after`).
const FULL: usize = 1000;
/// Between two polls; with `NOTICE` it makes the second in which a loss must be noticed.
const LONGEST_POLL: Duration = Duration::from_millis(400);
/// After this long without an answer the store counts as lost.
const NOTICE: Duration = Duration::from_millis(500);
/// After this long more the question is put anew.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Between two attempts while the store is lost: from here …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … doubling to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
