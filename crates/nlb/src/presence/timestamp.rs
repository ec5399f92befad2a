//! The time of a tuple (RFC 3863 §4.1.7), as RFC 3339 §5.6 writes it.

use presently_sip::{Date, WallTime};

/// Reads `2010-11-13T23:29:00.25+01:00`. A time without a zone, or outside the years 1970 to 9999,
/// is not read; a leap second is the second after it.
pub(super) fn read_timestamp(text: &str) -> Option<WallTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    let secs = seconds(date, clock)?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => offset_secs(zone)?,
    };
    let secs = u64::try_from(i64::try_from(secs).ok()? - offset).ok()?;
    Some(WallTime(secs * 1_000_000 + micros(fraction)?))
}

/// Seconds of `2010-11-13` and `23:29:00`, by way of the date as SIP writes it.
fn seconds(date: &str, clock: &str) -> Option<u64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = number(month, 2).and_then(|month| MONTHS.get(month.checked_sub(1)?))?;
    let is_date = number(year, 4).is_some() && number(day, 2).is_some() && parts.next().is_none();
    let is_clock = clock.split(':').all(|part| number(part, 2).is_some());
    let date = Date::parse(&format!("Mon, {day} {month} {year} {clock} GMT"))?;
    (is_date && is_clock).then(|| date.0.secs())
}

/// Seconds that `+01:30` is ahead of UTC.
fn offset_secs(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let secs = i64::try_from((hours * 60 + minutes) * 60).ok()?;
    (hours < 24 && minutes < 60).then_some(sign * secs)
}

/// Microseconds of a fraction's digits; further digits are cut.
fn micros(fraction: &str) -> Option<u64> {
    if fraction.is_empty() {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(digits.fold(0, |micros, digit| micros * 10 + u64::from(digit - b'0')))
}

fn number(text: &str, length: usize) -> Option<usize> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_with_its_zone() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2010-11-13T23:29:00Z", Some(1_289_690_940_000_000)),
            ("2010-11-14T00:29:00.250+01:00", Some(1_289_690_940_250_000)),
            ("2010-11-13t19:59:00-03:30", Some(1_289_690_940_000_000)),
            ("2010-11-13T23:29:00.1234567z", Some(1_289_690_940_123_456)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000)),
        ];
        for (text, micros) in table {
            assert_eq!(read_timestamp(text), micros.map(WallTime), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_not_read() {
        let table = [
            "",
            "now",
            "2010-11-13",
            "2010-11-13T23:29:00",
            "2010-11-13T23:29:00.Z",
            "2010-11-13T23:29:00.5",
            "2010-11-13T23:29:00+0100",
            "2010-11-13T23:29:00+24:00",
            "2010-11-13T23:29:00é",
            "2010-00-13T23:29:00Z",
            "2010-13-13T23:29:00Z",
            "2010-11-32T23:29:00Z",
            "2010-11-13T23:29:0 Z",
            "2010-11-13 23:29:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2010-1-113T23:29:00Z",
        ];
        for text in table {
            assert_eq!(read_timestamp(text), None, "{text}");
        }
    }
}
