//! The date of a Date header (RFC 3261 §20.17), from and to wall time.

use std::fmt;

use crate::WallTime;

/// Displays a wall time as `Sat, 13 Nov 2010 23:29:00 GMT`; parts of a second are cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Date(pub WallTime);

impl Date {
    /// Reads a date as a Date header holds it; the day of the week is not checked. Only GMT is a
    /// zone (RFC 3261 §20.17), and no year before 1970 or after 9999 is read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.trim_ascii().split_once(',')?;
        let mut words = rest.split_ascii_whitespace();
        let day = number(words.next()?)?;
        let month = words.next()?;
        let month = MONTHS
            .iter()
            .position(|name| name.eq_ignore_ascii_case(month))?;
        let year = number(words.next()?).filter(|year| (1970..10_000).contains(year))?;
        let mut clock = words.next()?.split(':').map(number);
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let in_range = hour < 24 && minute < 60 && second < 61 && (1..32).contains(&day);
        let is_gmt = words.next() == Some("GMT") && words.next().is_none();
        if !in_range || !is_gmt || clock.next().is_some() {
            return None;
        }
        let days = days_before(year, u64::try_from(month).ok()? + 1, day);
        let secs = ((days * 24 + hour) * 60 + minute) * 60 + second;
        Some(Self(WallTime(secs * 1_000_000)))
    }
}

/// Displays a wall time as RFC 3339 §5.6 has it, in UTC: `2010-11-13T23:29:00.250Z`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timestamp(pub WallTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.secs();
        let millis = self.0.0 / 1_000 % 1_000;
        let (days, secs) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(LENGTH);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Date {
    /// Appends the text. Without the formatting machinery, which costs ten times as much: every
    /// NOTIFY carries a date.
    pub fn write(self, out: &mut Vec<u8>) {
        let secs = self.0.secs();
        let (days, secs) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil(days);
        let name = |names: &[&'static str], at: u64| {
            let at = usize::try_from(at).ok()?;
            names.get(at).copied()
        };
        // The first of January 1970 was a Thursday.
        let weekday = name(&WEEKDAYS, (days + 4) % 7).unwrap_or_default();
        let month = name(&MONTHS, month - 1).unwrap_or_default();
        for part in [
            weekday.as_bytes(),
            b", ",
            &pair(day),
            b" ",
            month.as_bytes(),
        ] {
            out.extend_from_slice(part);
        }
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        let (century, year) = (pair(year / 100 % 100), pair(year % 100));
        let (hour, minute, second) = (pair(hour), pair(minute), pair(second));
        for part in [
            b" ",
            &century[..],
            &year,
            b" ",
            &hour,
            b":",
            &minute,
            b":",
            &second,
            b" GMT",
        ] {
            out.extend_from_slice(part);
        }
    }
}

/// Two decimal digits.
fn pair(number: u64) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0' + u8::try_from(digit % 10).unwrap_or(0))
}

fn number(text: &str) -> Option<u64> {
    crate::text::decimal(text.as_bytes()).map(u64::from)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years are counted from
/// March, so that a leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil`].
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_OF_ERA + day_of_era - DAYS_TO_1970
}

/// Bytes of a date.
const LENGTH: usize = 29;
/// Days of 400 Gregorian years.
const DAYS_OF_ERA: u64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_and_write() {
        let table = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_289_690_940, "Sat, 13 Nov 2010 23:29:00 GMT"), // RFC 3261 §20.17
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), // 2100 has no leap day
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (secs, text) in table {
            let wall = WallTime(secs * 1_000_000);
            assert_eq!(Date(wall).to_string(), text);
            assert_eq!(Date::parse(text), Some(Date(wall)));
        }
    }

    #[test]
    fn a_timestamp_has_milliseconds() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_289_690_940_250_999, "2010-11-13T23:29:00.250Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999Z"),
        ];
        for (micros, text) in table {
            assert_eq!(Timestamp(WallTime(micros)).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let table = [
            "",
            "Sat",
            "Sat, 13 Nov 2010 23:29:00 EST", // only GMT
            "Sat, 13 Nov 2010 24:29:00 GMT",
            "Sat, 00 Nov 2010 23:29:00 GMT",
            "Sat, 13 Nov 1969 23:29:00 GMT",
            "Sat, 13 Nov 2010 23:29:00:00 GMT",
            "Sat, 13 Nov 2010 23:29:00 GMT now",
            "Saturday, 13-Nov-10 23:29:00 GMT", // an older form
        ];
        for text in table {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
