//! The seeds of the fuzz targets, replayed: each as it is, cut short everywhere, and with single bits turned over.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::path::{Path, PathBuf};

#[path = "../../fuzz/targets.rs"]
mod targets;

/// At most so many variations of one seed, spread over its length.
const VARIATIONS: usize = 300;

fn replay(name: &str, target: impl Fn(&[u8])) {
    let seeds = files(&room().join("seeds").join(name));
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in seeds {
        let bytes = std::fs::read(&seed).unwrap();
        // What fails below says which input it was.
        let run = |input: &[u8]| {
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(input)));
            assert!(
                failed.is_ok(),
                "{}: {:?}",
                seed.display(),
                input.escape_ascii().to_string()
            );
        };
        run(&bytes);
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(VARIATIONS).max(1)) {
            run(&bytes[..at]);
            let mut turned = bytes.clone();
            turned[at] ^= 1 << (at % 8);
            run(&turned);
        }
    }
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

macro_rules! replayed {
    ($($target:ident)+) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), targets::$target);
        })+

        #[test]
        fn every_fuzz_target_is_replayed() {
            let known = [$(stringify!($target)),+];
            let programs = files(&room().join("fuzz_targets"));
            assert_eq!(programs.len(), known.len());
            for program in programs {
                let name = program.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(known.contains(&name.as_str()), "{name}");
            }
        }
    };
}

replayed! {
    host path configuration forwarded token snapshot frames request dns_answer dns_question
}
