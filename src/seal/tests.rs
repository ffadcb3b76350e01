use std::os::unix::fs::PermissionsExt;

use super::*;
use proptest::prelude::*;

fn sealer() -> Sealer {
    Sealer::from_key(&[7; KEY_LEN])
}

#[test]
fn a_made_key_is_private_and_opens_what_it_sealed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/secret.key");
    assert!(Sealer::open(&path).unwrap().is_none());
    let sealed = Sealer::create(&path)
        .unwrap()
        .seal("signing-key", b"private");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let again = Sealer::open(&path).unwrap().unwrap();
    assert_eq!(
        again.unseal("signing-key", &sealed).unwrap().expose(),
        b"private"
    );
}

#[test]
fn a_key_that_is_there_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    Sealer::create(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        Sealer::create(&path),
        Err(SealError::Create { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_key_that_others_can_read_or_that_is_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    Sealer::create(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o602] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert!(
            matches!(Sealer::open(&path), Err(SealError::Mode { .. })),
            "{mode:o}"
        );
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    for len in [0, 31, 33, 5000] {
        std::fs::write(&path, vec![1; len]).unwrap();
        assert!(
            matches!(Sealer::open(&path), Err(SealError::Length { .. })),
            "{len}"
        );
    }
    assert!(matches!(
        Sealer::open(folder.path()),
        Err(SealError::NotAFile { .. })
    ));
}

#[test]
fn another_purpose_or_another_key_does_not_open_it() {
    let sealed = sealer().seal("signing-key", b"private");
    assert!(matches!(
        sealer().unseal("certificate", &sealed),
        Err(SealError::Broken)
    ));
    let other = Sealer::from_key(&[8; KEY_LEN]);
    assert!(!other.sealed(&sealed));
    assert!(matches!(
        other.unseal("signing-key", &sealed),
        Err(SealError::OtherKey)
    ));
}

#[test]
fn the_same_text_is_never_sealed_twice_alike() {
    assert_ne!(sealer().seal("p", b"x"), sealer().seal("p", b"x"));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_every_changed_bit_is_noticed(
        plain in proptest::collection::vec(any::<u8>(), 0..80),
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut sealed = sealer().seal("p", &plain);
        let opened = sealer().unseal("p", &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plain[..]);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(sealer().unseal("p", &sealed).is_err());
    }

    #[test]
    fn nothing_that_was_not_sealed_opens(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(sealer().unseal("p", &bytes).is_err());
    }
}
