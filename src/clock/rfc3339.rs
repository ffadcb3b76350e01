//! A moment as text: RFC 3339, in UTC, with milliseconds.

use std::fmt;

use super::Timestamp;

/// Bytes of `2026-11-23T07:30:00.123Z`.
pub const RFC3339_LENGTH: usize = 24;

impl Timestamp {
    /// The moment as in `2026-11-23T07:30:00.123Z`, ASCII. Years beyond 0 to 9999, which the format has no room for, are shown as
    /// the nearest moment that it has.
    pub fn rfc3339(self) -> [u8; RFC3339_LENGTH] {
        let millis = self.0.clamp(FIRST, LAST);
        // Both fit: the clamp leaves under four million days, and a day has under 2^27 milliseconds.
        let days = (millis.div_euclid(DAY) + TO_ERA) as u32;
        let of_day = millis.rem_euclid(DAY) as u32;
        let (year, month, day) = civil_date(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_pair(&mut text, 0, year / 100);
        write_pair(&mut text, 2, year % 100);
        write_pair(&mut text, 5, month);
        write_pair(&mut text, 8, day);
        write_pair(&mut text, 11, of_day / 3_600_000);
        write_pair(&mut text, 14, of_day / 60_000 % 60);
        write_pair(&mut text, 17, of_day / 1000 % 60);
        write_pair(&mut text, 20, of_day % 1000 / 10);
        text[22] = b'0' + (of_day % 10) as u8;
        text
    }
}

/// As [`Timestamp::rfc3339`].
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.rfc3339()))
    }
}

/// Two digits of a number below 100.
fn write_pair(text: &mut [u8; RFC3339_LENGTH], at: usize, number: u32) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

/// Year, month and day of a day in the Gregorian calendar: Howard Hinnant's `civil_from_days` (chrono-compatible low-level date
/// algorithms), which counts from 1 March so that leap days come last. Here that is the one 400 years before the year 0, because
/// there is nothing below zero then and no sign to look after.
fn civil_date(days: u32) -> (u32, u32, u32) {
    let era = days / DAYS_OF_ERA;
    let day_of_era = days % DAYS_OF_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u32::from(month <= 2) - 400;
    (year, month, day)
}

/// Days of 400 years.
const DAYS_OF_ERA: u32 = 146_097;
/// Days from -0400-03-01 to 1970-01-01.
const TO_ERA: i64 = 719_468 + DAYS_OF_ERA as i64;
const DAY: i64 = 86_400_000;
/// 0000-01-01T00:00:00.000Z
const FIRST: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z
const LAST: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(millis: i64) -> String {
        String::from_utf8(Timestamp(millis).rfc3339().to_vec()).unwrap()
    }

    #[test]
    fn known_moments() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_795_419_000_123, "2026-11-23T07:30:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (FIRST, "0000-01-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(text(millis), expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (0, 1, 1);
        for days in FIRST / DAY..=LAST / DAY {
            assert_eq!(civil_date((days + TO_ERA) as u32), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, end) if end == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    proptest! {
        #[test]
        fn text_sorts_as_time_does(a in FIRST..LAST, b in FIRST..LAST) {
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }
    }
}
