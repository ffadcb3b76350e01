//! An answer is read, held back, and something changes meanwhile.

use proptest::prelude::*;

use super::*;

/// A world where `key` leads to tenant 1 and that is known.
async fn known(key: &LookupKey) -> World {
    let world = World::new();
    world.ledger.put(key, Some(1));
    world.follow();
    assert_eq!(world.tenant(key).await, Some(1));
    world
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_from_before_a_move_is_neither_given_out_nor_kept() {
    let world = World::new();
    let key = domain("shop.example");
    world.ledger.put(&key, Some(1));
    world.follow();
    world.ledger.hold(true);
    let visitor = world.visitor(&key);
    settle().await;
    world.ledger.put(&key, Some(2));
    world.follow();
    world.ledger.release_all();
    assert_eq!(tenant(&visitor.await.unwrap()), Some(2));
    assert_eq!(world.peeked(&key), Some(2));
    assert_eq!(world.ledger.asked(&key), 2);
}

#[tokio::test(start_paused = true)]
async fn who_boards_after_the_move_is_not_given_what_was_read_before_it() {
    let world = World::new();
    let key = domain("shop.example");
    world.ledger.put(&key, Some(1));
    world.follow();
    world.ledger.hold(true);
    let before = world.visitor(&key);
    settle().await;
    world.ledger.put(&key, Some(2));
    world.follow();
    let after = world.visitor(&key);
    settle().await;
    world.ledger.release_all();
    assert_eq!(tenant(&before.await.unwrap()), Some(2));
    assert_eq!(tenant(&after.await.unwrap()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_revalidation_from_before_a_move_is_not_kept() {
    let key = domain("shop.example");
    let world = known(&key).await;
    world.clock.shift(61_000);
    world.ledger.hold(true);
    assert_eq!(world.peeked(&key), Some(1));
    settle().await;
    assert_eq!(world.ledger.asked(&key), 2, "the revalidation has read");
    world.ledger.put(&key, Some(2));
    world.follow();
    world.ledger.release_all();
    settle().await;
    assert_eq!(
        world.peeked(&key),
        None,
        "neither the old route nor the old revalidation"
    );
    assert_eq!(world.tenant(&key).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_absence_from_before_a_domain_came_is_not_kept() {
    let world = World::new();
    let key = domain("shop.example");
    world.ledger.hold(true);
    let visitor = world.visitor(&key);
    settle().await;
    world.ledger.put(&key, Some(1));
    world.follow();
    world.ledger.release_all();
    assert_eq!(tenant(&visitor.await.unwrap()), Some(1));
    assert_eq!(world.peeked(&key), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_absence_ends_when_the_name_comes() {
    let world = World::new();
    let key = domain("shop.example");
    assert_eq!(world.resolver.find(&key).await, Match::Absent);
    assert_eq!(world.resolver.peek(&key), Some(Match::Absent));
    world.ledger.put(&key, Some(1));
    world.follow();
    assert_eq!(world.tenant(&key).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_ahead_of_the_applied_changes_is_kept() {
    let world = World::new();
    let key = domain("shop.example");
    world.ledger.put(&key, Some(1));
    assert_eq!(
        world.tenant(&key).await,
        Some(1),
        "read, though not applied yet"
    );
    world.follow();
    assert_eq!(world.peeked(&key), Some(1));
    assert_eq!(world.ledger.asked(&key), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_change_ends_everything_read_before_it() {
    let key = domain("shop.example");
    let world = known(&key).await;
    let cold = domain("cold.example");
    world.ledger.hold(true);
    let visitor = world.visitor(&cold);
    settle().await;
    world.ledger.put_in_bulk(&cold, 3);
    world.follow();
    world.ledger.release_all();
    assert_eq!(tenant(&visitor.await.unwrap()), Some(3));
    assert_eq!(world.peeked(&key), None);
}

#[tokio::test(start_paused = true)]
async fn another_epoch_ends_everything_also_what_is_on_its_way() {
    let key = domain("shop.example");
    let world = known(&key).await;
    let cold = domain("cold.example");
    world.ledger.put(&cold, Some(1));
    world.follow();
    world.ledger.hold(true);
    let visitor = world.visitor(&cold);
    settle().await;
    world.ledger.restore();
    world.ledger.put(&cold, Some(2));
    world.follow();
    world.ledger.release_all();
    assert_eq!(tenant(&visitor.await.unwrap()), Some(2));
    assert_eq!(world.peeked(&key), None);
    assert_eq!(world.tenant(&key).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_an_epoch_that_is_not_followed_yet_is_given_and_not_kept() {
    let world = World::new();
    let key = domain("shop.example");
    world.ledger.restore();
    world.ledger.put(&key, Some(1));
    assert_eq!(world.tenant(&key).await, Some(1));
    assert_eq!(world.resolver.peek(&key), None);
    // It has asked for the follower.
    world.resolver.suspected().await;
    world.follow();
    assert_eq!(world.tenant(&key).await, Some(1));
    assert_eq!(world.peeked(&key), Some(1));
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put(usize, Option<u128>),
    Touch(u128),
    Bulk(usize, u128),
    Restore,
    Follow,
    Ask(usize),
    Peek(usize),
    Release(usize),
    LoadNames,
    Age,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS;
    let step = prop_oneof![
        3 => (key.clone(), proptest::option::of(1..4u128)).prop_map(|(k, t)| Step::Put(k, t)),
        2 => (1..4u128).prop_map(Step::Touch),
        1 => (key.clone(), 1..4u128).prop_map(|(k, t)| Step::Bulk(k, t)),
        1 => Just(Step::Restore),
        5 => Just(Step::Follow),
        5 => key.clone().prop_map(Step::Ask),
        5 => key.prop_map(Step::Peek),
        5 => (0..8usize).prop_map(Step::Release),
        1 => Just(Step::LoadNames),
        1 => Just(Step::Age),
    ];
    proptest::collection::vec(step, 1..60)
}

const KEYS: usize = 4;

/// What was true of a key, and since when (in steps) nothing older may be said: each follow moves the bound.
struct Truths {
    said: Vec<Vec<Option<u64>>>,
}

impl Truths {
    fn note(&mut self, ledger: &Ledger) {
        for (n, said) in self.said.iter_mut().enumerate() {
            said.push(ledger.truth(&key(n)).map(|route| route.version));
        }
    }

    fn follow(&mut self) {
        for said in &mut self.said {
            let newest = said.pop();
            said.clear();
            said.extend(newest);
        }
    }

    fn check(&self, n: usize, found: &Match) -> Result<(), TestCaseError> {
        let version = match found {
            Match::Found(route) => Some(route.version),
            Match::Absent => None,
            Match::Unavailable => return Err(TestCaseError::fail("the store is there")),
        };
        prop_assert!(
            self.said[n].contains(&version),
            "{:?} of {:?}",
            version,
            self.said[n]
        );
        Ok(())
    }
}

fn key(n: usize) -> LookupKey {
    slug(&format!("key-{n}"))
}

async fn live(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let world = World::new();
    world.ledger.hold(true);
    let mut truths = Truths {
        said: vec![vec![None]; KEYS],
    };
    let mut waiting = Vec::new();
    for step in steps {
        match step {
            Step::Put(n, tenant) => world.ledger.put(&key(n), tenant),
            Step::Touch(tenant) => world.ledger.touch(tenant),
            Step::Bulk(n, tenant) => world.ledger.put_in_bulk(&key(n), tenant),
            Step::Restore => world.ledger.restore(),
            Step::Age => world.clock.shift(61_000),
            Step::Ask(n) => waiting.push((n, world.visitor(&key(n)))),
            Step::LoadNames => {
                let resolver = Arc::clone(&world.resolver);
                tokio::spawn(async move { resolver.load_names().await });
            }
            Step::Release(nth) => {
                world.ledger.release(nth);
            }
            Step::Peek(_) | Step::Follow => {}
        }
        truths.note(&world.ledger);
        if matches!(step, Step::Follow) {
            world.follow();
            truths.follow();
        }
        settle().await;
        if let Step::Peek(n) = step
            && let Some(found) = world.resolver.peek(&key(n))
        {
            truths.check(n, &found)?;
        }
        for (n, visitor) in std::mem::take(&mut waiting) {
            if visitor.is_finished() {
                truths.check(n, &visitor.await.unwrap())?;
            } else {
                waiting.push((n, visitor));
            }
        }
    }
    // Nobody is left waiting, and once all is applied the truth is all that is said.
    world.follow();
    truths.note(&world.ledger);
    truths.follow();
    world.ledger.release_all();
    for (n, visitor) in waiting {
        truths.check(n, &visitor.await.unwrap())?;
    }
    for n in 0..KEYS {
        truths.check(n, &world.resolver.find(&key(n)).await)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_the_order_nothing_is_said_that_was_not_true_since_the_last_applied_change(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(live(steps))?;
    }
}
