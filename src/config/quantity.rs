//! Times, sizes and near misses: small texts read the same way wherever they are allowed.

use std::time::Duration;

use super::notes::Reason;

/// Units of time, in milliseconds.
const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
/// Units of size, in bytes.
const SIZES: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a time such as `250ms`, `60s`, `5m`, `24h`, `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, Reason> {
    let millis = measure(text, &TIMES).ok_or_else(|| {
        Reason::with_hint(
            "is not a time",
            "write it as \"250ms\", \"60s\", \"5m\", \"24h\" or \"90d\"",
        )
    })?;
    Ok(Duration::from_millis(millis))
}

/// Writes a time so that [`duration`] reads it, in the largest unit that needs no fraction.
pub(super) fn show_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| millis >= *unit && millis.is_multiple_of(*unit);
    match TIMES.iter().rev().find(fits) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// Reads a size in bytes such as `32KiB`, `100MiB`, `512`.
pub(super) fn size(text: &str) -> Result<u64, Reason> {
    let plain = text.parse::<u64>().ok().filter(|_| is_digits(text));
    plain.or_else(|| measure(text, &SIZES)).ok_or_else(|| {
        Reason::with_hint(
            "is not a size",
            "write it as \"32KiB\", \"100MiB\", \"1GiB\", or as a number of bytes",
        )
    })
}

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (digits, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let digits = digits.replace('_', "");
    let number = digits.parse::<u64>().ok().filter(|_| is_digits(&digits))?;
    number.checked_mul(*factor)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The hint for a word that is none of `known`: the one that was probably meant, else all of them after `lead`.
pub(super) fn suggest<'a>(word: &str, known: &[&'a str], lead: &str) -> String {
    let folded = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let meant = folded(word);
    let distance = |name: &&'a str| (strsim::osa_distance(&meant, &folded(name)), *name);
    // A third of the letters may be wrong; more is another word.
    let close = |(distance, candidate): &(usize, &str)| *distance <= candidate.len().max(3) / 3;
    let nearest = known.iter().map(distance).min();
    match nearest.filter(close) {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("{lead}{}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_times_and_sizes() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("90d").unwrap(), Duration::from_secs(90 * 86_400));
        assert_eq!(duration("1_000s").unwrap(), Duration::from_secs(1000));
        for bad in [
            "",
            "60",
            "s",
            "-1s",
            "1.5s",
            "1h30m",
            "60S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(size("32KiB").unwrap(), 32 * 1024);
        assert_eq!(size("512").unwrap(), 512);
        for bad in ["", "KiB", "1KB", "-1", "+1", "1 2", "99999999TiB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn suggests_what_is_near_and_lists_what_is_not() {
        let keys = ["http", "https", "workers"];
        assert_eq!(suggest("htps", &keys, ""), "did you mean `https`?");
        assert_eq!(suggest("Workers", &keys, ""), "did you mean `workers`?");
        assert_eq!(suggest("banana", &["a", "b"], "it has "), "it has `a`, `b`");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..u64::MAX / 2) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(span)).unwrap(), span);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,20}") {
            let _ = (duration(&text), size(&text));
        }
    }
}
