//! Files that are no backup, or not all of one, or one of a later version.

use vestibule::store::{BackupError, StoreError};

use super::{file, fill, read, summed, write};
use crate::store::Place;

/// The moment at which a file ends or a bit turns does not matter.
#[tokio::test]
async fn a_file_that_is_cut_short_or_changed_is_refused() {
    let place = Place::sqlite();
    let store = place.open().await;
    fill(&store).await;
    write(&store, &place).await;
    let whole = std::fs::read(file(&place)).unwrap();
    read(&place).expect("it is whole");
    for length in 0..whole.len() {
        std::fs::write(file(&place), &whole[..length]).unwrap();
        let refused = read(&place).unwrap_err();
        assert!(
            matches!(refused, BackupError::Cut | BackupError::Foreign),
            "{length} {refused:?}"
        );
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(file(&place), &changed).unwrap();
        assert!(read(&place).is_err(), "byte {at}");
    }
    std::fs::write(file(&place), [&whole[..], b"\n"].concat()).unwrap();
    assert!(matches!(read(&place), Err(BackupError::Cut)));
    std::fs::write(file(&place), [&whole[..], &whole].concat()).unwrap();
    assert!(matches!(read(&place), Err(BackupError::Changed)));
}

#[tokio::test]
async fn a_backup_of_a_later_version_is_refused() {
    let place = Place::sqlite();
    let store = place.open().await;
    write(&store, &place).await;
    let text = std::fs::read_to_string(file(&place)).unwrap();
    let later = text.replacen("\"vestibule_backup\":1", "\"vestibule_backup\":2", 1);
    std::fs::write(file(&place), summed(&later)).unwrap();
    let refused = read(&place).unwrap_err();
    assert!(
        matches!(refused, BackupError::NewerFormat { found: 2 }),
        "{refused:?}"
    );
    let later = text.replacen("\"schema\":", "\"schema\":9", 1);
    std::fs::write(file(&place), summed(&later)).unwrap();
    let refused = read(&place).unwrap_err();
    assert!(
        matches!(refused, BackupError::NewerSchema { .. }),
        "{refused:?}"
    );
    assert!(StoreError::from(refused).hint().is_some());
    for other in [
        &b""[..],
        b"{}\n{}\n",
        b"\n\n",
        &[0; 4096],
        b"SQLite format 3\0",
    ] {
        std::fs::write(file(&place), other).unwrap();
        assert!(
            matches!(read(&place), Err(BackupError::Foreign)),
            "{other:?}"
        );
    }
    let endless = vec![b' '; 3 * 1024 * 1024];
    std::fs::write(file(&place), endless).unwrap();
    assert!(matches!(read(&place), Err(BackupError::Foreign)));
}
