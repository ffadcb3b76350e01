use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn seen(servers: &[&[bool]], resolvers: &[Option<bool>]) -> Seen {
    let servers: Vec<Vec<bool>> = servers.iter().map(|replies| replies.to_vec()).collect();
    verdict(&servers, resolvers, false).0
}

#[test]
fn everybody_who_must_agree_agrees() {
    let seen_by_one = |servers: &[&[bool]]| seen(servers, &[Some(true)]);
    assert_eq!(seen_by_one(&[&[true]]), Seen::Yes);
    assert_eq!(seen_by_one(&[&[true, true], &[true], &[]]), Seen::Yes);
    assert_eq!(seen_by_one(&[&[true], &[]]), Seen::Unknown);
    assert_eq!(seen_by_one(&[&[false], &[]]), Seen::Unknown);
    assert_eq!(seen_by_one(&[&[true, false], &[true]]), Seen::Unknown);
    assert_eq!(seen_by_one(&[&[false], &[false], &[]]), Seen::No);
    assert_eq!(seen_by_one(&[]), Seen::Unknown);
    assert_eq!(seen(&[&[true]], &[Some(true), None]), Seen::Unknown);
    assert_eq!(seen(&[&[true]], &[Some(true), Some(false)]), Seen::Unknown);
}

proptest! {
    #[test]
    fn a_proof_is_seen_only_where_all_that_was_said_says_so(
        servers in vec(vec(any::<bool>(), 0..3), 0..4),
        resolvers in vec(any::<Option<bool>>(), 1..4),
        alone: bool,
    ) {
        let (seen, _) = verdict(&servers, &resolvers, alone);
        let all_resolvers = resolvers.iter().all(|it| *it == Some(true));
        let all_servers = servers.iter().flatten().all(|right| *right);
        let answering = servers.iter().filter(|it| !it.is_empty()).count();
        let quorum = answering >= servers.len().clamp(1, 2);
        prop_assert_eq!(seen == Seen::Yes, all_resolvers && (alone || (all_servers && quorum)));
    }

    #[test]
    fn silence_never_makes_a_proof_gone_that_was_seen(
        servers in vec(vec(any::<bool>(), 0..3), 0..4),
        resolvers in vec(any::<Option<bool>>(), 1..4),
        alone: bool,
        silent in 0_usize..8,
    ) {
        let before = verdict(&servers, &resolvers, alone).0;
        let (mut fewer, mut silenced) = (servers.clone(), resolvers.clone());
        match silent {
            server if server < fewer.len() => fewer[server].clear(),
            other => {
                let count = silenced.len();
                silenced[other % count] = None;
            }
        }
        let after = verdict(&fewer, &silenced, alone).0;
        prop_assert!(before != Seen::Yes || after != Seen::No, "{:?} became {:?}", before, after);
    }
}
