//! Follows the store's change feed, so that every change is in force on this node within a second, and notices within a second when
//! the store is gone or back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::clock::Clock;
use crate::model::Causes;
use crate::resolve::Resolver;
use crate::store::{ChangeWatch, Changed, Changes, Cursor, SharedRouteSource, StoreError};
use crate::tls::Inventory;

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
    /// Whose certificates they are about.
    pub inventory: Option<Arc<Inventory>>,
    /// The time.
    pub clock: Clock,
    /// How often the feed is polled at least; half a second is the most, whatever is asked.
    pub poll: Duration,
    /// Called for every change, and with [`Changed::Bulk`] where the way back was lost. Must not block.
    pub told: Box<dyn Fn(&Changed) + Send + Sync>,
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
                    self.lost(&Causes(&error));
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
        if let Some(inventory) = &self.inventory {
            helpers.spawn(keep_policies(Arc::clone(inventory)));
            let resolver = Arc::clone(&self.resolver);
            let (inventory, clock) = (Arc::clone(inventory), self.clock.clone());
            helpers.spawn(async move {
                // A node is ready when it knows the routes, and certificates can be asked for one by one meanwhile.
                let _ = timeout(ROUTES_FIRST, resolver.names_known()).await;
                keep_certificates(inventory, clock).await;
            });
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ask(&source).await {
                Ok(changes) => {
                    pause = FIRST_PAUSE;
                    let all = self.take(&changes);
                    if !all {
                        continue;
                    }
                    self.found(&source);
                    tokio::select! {
                        () = news.notified() => {}
                        () = self.resolver.suspected() => {}
                        () = sleep(self.poll.min(LONGEST_POLL)) => {}
                    }
                }
                Err(error) => {
                    self.lost(&Causes(&error));
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
                self.lost(&Silence::NoAnswer);
                timeout(GIVE_UP, answer)
                    .await
                    .map_err(|_| Silence::NoAnswer)?
            }
        };
        answer.map_err(Silence::Store)
    }

    /// All that the store said is in force.
    fn found(&self, source: &SharedRouteSource) {
        // Certificates first: once the store counts as reached, visitors are let in.
        if let Some(inventory) = &self.inventory {
            inventory.in_contact(true);
            inventory.status();
        }
        self.resolver.attach(Arc::clone(source));
        self.resolver.status();
    }

    fn lost(&self, why: &dyn std::fmt::Display) {
        self.resolver.lost(why);
        if let Some(inventory) = &self.inventory {
            inventory.in_contact(false);
        }
    }

    /// Applies `changes`; true where none are left behind them.
    fn take(&self, changes: &Changes) -> bool {
        // The resolver last: it keeps the cursor.
        if let Some(inventory) = &self.inventory {
            // Routes may be remembered from an earlier life, whose feed goes on; certificates never are.
            if let (Changes::Next(_), Some(cursor)) = (changes, self.resolver.cursor()) {
                inventory.begin(cursor);
            }
            inventory.apply(changes);
        }
        self.resolver.apply(changes);
        match changes {
            Changes::Lost(cursor) => {
                tracing::info!(
                    position = cursor.position,
                    "the change feed is followed from here; nothing read before is kept"
                );
                (self.signing_keys_changed)();
                (self.told)(&Changed::Bulk);
                true
            }
            Changes::Next(list) => {
                list.iter().for_each(|change| (self.told)(&change.what));
                if list
                    .iter()
                    .any(|change| matches!(change.what, Changed::SigningKeys | Changed::Unknown))
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

/// Keeps what names demand of their visitors at hand: a handshake would wait for it, a request on an open connection would not.
async fn keep_policies(inventory: Arc<Inventory>) {
    loop {
        inventory.policies_due().await;
        let mut pause = FIRST_PAUSE;
        while let Err(error) = inventory.refresh_policies().await {
            if pause == FIRST_PAUSE {
                tracing::warn!(error = %Causes(&error), "what names demand of their visitors cannot be read");
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Many names may change one by one.
        sleep(FIRST_PAUSE).await;
    }
}

/// Keeps what is known of all certificates together: which names they are for, how many are valid.
async fn keep_certificates(inventory: Arc<Inventory>, clock: Clock) {
    loop {
        // Without a change too: certificates expire.
        let _ = timeout(SURVEY, inventory.stirred()).await;
        let mut pause = FIRST_PAUSE;
        loop {
            match inventory.refresh(clock.now()).await {
                Ok(true) => break,
                Ok(false) => {}
                // Once: while the store is away that is all there is to say.
                Err(error) if pause == FIRST_PAUSE => {
                    tracing::warn!(error = %Causes(&error), "the certificates cannot be listed");
                }
                Err(_) => {}
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
/// How long the list of the certificates' names waits for that of the routes.
const ROUTES_FIRST: Duration = Duration::from_secs(5);
/// Between two counts of certificates.
const SURVEY: Duration = Duration::from_secs(60);
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
