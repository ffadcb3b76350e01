use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::names::HashSecret;
use super::*;
use crate::model::{Hostname, Isolation, LimitOverrides, Placement, Slug, TenantId, TenantState};

fn example() -> Snapshot {
    let route = Route {
        tenant: TenantId(Uuid::from_u128(7)),
        slug: Slug::parse("acme").unwrap(),
        state: TenantState::Maintenance,
        progress: 40,
        removed_at: Some(-5),
        plan: Some("gold".into()),
        upstream: None,
        limits: LimitOverrides {
            requests_per_second: Some(3),
            body: Some(u64::MAX),
            ..LimitOverrides::default()
        },
        placement: Placement {
            isolation: Isolation::Schema,
            schema: Some("acme".into()),
            ..Placement::default()
        },
        meta: Some(r#"{"a":"ü"}"#.into()),
        version: 12,
    };
    let route = Arc::new(route);
    let host = Hostname::parse("shop.example").unwrap();
    let keys = [
        LookupKey::Slug(route.slug.clone()),
        LookupKey::Domain(host.clone()),
        LookupKey::Wildcard(host),
        LookupKey::Id(route.tenant),
    ];
    Snapshot {
        cursor: Cursor {
            epoch: Uuid::from_u128(1),
            position: 99,
        },
        last_contact: Timestamp(1_700_000_000_000),
        signing_keys: vec![SigningKeyRecord {
            kid: "k1".into(),
            public_key: vec![1; 32],
            sealed_private_key: vec![2; 60],
            created_at: 1,
            active_from: 2,
            retired_at: Some(3),
        }],
        names: Some(NameHashes {
            secret: HashSecret(5, 6),
            hashes: vec![1, u64::MAX],
        }),
        routes: keys
            .into_iter()
            .map(|key| (key, Arc::clone(&route)))
            .collect(),
    }
}

fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    let head = write::Head {
        cursor: snapshot.cursor,
        last_contact: snapshot.last_contact,
        signing_keys: &snapshot.signing_keys,
        names: snapshot.names.as_ref(),
    };
    let mut out = Vec::new();
    let count = write::snapshot(&mut out, &head, snapshot.routes.iter().cloned()).unwrap();
    assert_eq!(count as usize, snapshot.routes.len());
    out
}

/// What `open` and `read` make of a file with this content and mode.
fn loaded(content: &[u8], mode: u32) -> Result<Option<Snapshot>, SnapshotError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.snapshot");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    file::open(&path)?.map(read::snapshot).transpose()
}

#[test]
fn what_is_written_is_read() {
    let snapshot = example();
    assert_eq!(read::snapshot(&bytes(&snapshot)[..]).unwrap(), snapshot);
    assert_eq!(loaded(&bytes(&snapshot), 0o600).unwrap(), Some(snapshot));
}

#[test]
fn an_empty_a_newer_and_a_longer_file_are_refused() {
    let good = bytes(&example());
    let mut newer = good.clone();
    newer[8] += 1;
    let longer = [&good[..], b"x"].concat();
    assert!(matches!(loaded(b"", 0o600), Err(SnapshotError::Short)));
    assert!(matches!(loaded(&newer, 0o600), Err(SnapshotError::Version)));
    assert!(loaded(&longer, 0o600).is_err());
}

#[test]
fn a_file_that_others_can_write_or_that_is_none_is_refused() {
    let good = bytes(&example());
    for mode in [0o666, 0o602, 0o620] {
        assert!(
            matches!(loaded(&good, mode), Err(SnapshotError::Foreign)),
            "{mode:o}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        file::open(folder.path()),
        Err(SnapshotError::Foreign)
    ));
    assert!(file::open(&folder.path().join("none")).unwrap().is_none());
}

#[test]
fn every_flipped_bit_is_seen() {
    let good = bytes(&example());
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read::snapshot(&bad[..]).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_seen() {
    let good = bytes(&example());
    for length in 0..good.len() {
        assert!(read::snapshot(&good[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_file_is_replaced_whole_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var").join("routes.snapshot");
    let write = |text: &'static [u8]| {
        file::replace(&path, |out| {
            out.write_all(text)?;
            Ok(())
        })
    };
    write(b"one").unwrap();
    write(b"two").unwrap();
    let failed = file::replace(&path, |out| -> Result<(), SnapshotError> {
        out.write_all(b"half")?;
        Err(SnapshotError::Short)
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "no temporary file stays");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(content in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read::snapshot(&content[..]).is_err());
        // Behind a right head, so that the rest is looked at too.
        let good = bytes(&example());
        let cut = content.len() % good.len();
        let mixed = [&good[..cut], &content[..]].concat();
        prop_assert!(read::snapshot(&mixed[..]).is_err());
    }
}
