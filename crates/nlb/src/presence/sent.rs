//! When a notification was sent, as an interval on our own clock (S7). The presence server's clock
//! is not ours: how far apart they are is learned from the Date of its answers to REGISTER.

use std::time::Duration;

use presently_sip::{Date, Moment, Now, WallTime};

/// When something was sent: not before `earliest` and not after `latest`, which is never after its
/// arrival.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sent {
    /// It cannot have been sent before.
    pub earliest: Moment,
    /// It cannot have been sent later.
    pub latest: Moment,
}

/// What is known of the presence server's clock: its wall time less our moment, as an interval.
///
/// Our own wall clock has no part in it, so a step of it changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock {
    held: Option<Offset>,
}

/// The server's wall time less our moment, in microseconds, as it was known at `at`.
#[derive(Clone, Copy, Debug)]
struct Offset {
    low: i128,
    high: i128,
    at: Moment,
}

impl ServerClock {
    /// Learns from an answer with `date` that came at `answered` to what was first sent at `asked`:
    /// the date was written in between, and a date says no more than its second (RFC 3261 §20.17).
    /// What contradicts all that was known puts itself in its place: a clock was stepped. What is
    /// no date is ignored.
    pub fn learn(&mut self, asked: Moment, answered: Moment, date: Option<&str>) {
        let Some(date) = date.and_then(Date::parse) else {
            return;
        };
        let date = i128::from(date.0.0);
        let new = Offset {
            low: date - i128::from(answered.0),
            high: date + SECOND - i128::from(asked.0.min(answered.0)),
            at: answered,
        };
        let both = self.at(answered).map(|held| Offset {
            low: new.low.max(held.low),
            high: new.high.min(held.high),
            at: answered,
        });
        self.held = Some(both.filter(|both| both.low <= both.high).unwrap_or(new));
    }

    /// When the notification that arrived at `arrived` was sent. Its Date header says, once the
    /// offset is known; else `document_time`, the newest time in its document, before which it was
    /// not sent; else nothing does, and the answer is the arrival. A time that lies after the
    /// arrival or long before it is not believed.
    ///
    /// An error towards the past only makes a user look present who is not.
    pub fn sent(&self, arrived: Now, date: Option<&str>, document_time: Option<WallTime>) -> Sent {
        self.by_date(arrived.moment, date)
            .or_else(|| by_document(arrived, document_time))
            .unwrap_or(Sent {
                earliest: arrived.moment,
                latest: arrived.moment,
            })
    }

    fn by_date(&self, arrived: Moment, date: Option<&str>) -> Option<Sent> {
        let date = i128::from(date.and_then(Date::parse)?.0.0);
        let offset = self.at(arrived)?;
        believed(date - offset.high, date + SECOND - offset.low, arrived)
    }

    /// What is known at `now`: less with each minute, because no two clocks run at one speed, and
    /// nothing after an hour.
    fn at(&self, now: Moment) -> Option<Offset> {
        let held = self.held?;
        let age = now.since(held.at);
        let drift = i128::try_from(age.as_micros()).ok()? * DRIFT_PPM / 1_000_000;
        (age <= KNOWN_FOR).then_some(Offset {
            low: held.low - drift,
            high: held.high + drift,
            at: now,
        })
    }
}

/// A document is not older than what it says. Its time is from the clock of whoever wrote it; ours
/// is taken to be right, within [`WALL_ERROR`].
fn by_document(arrived: Now, document_time: Option<WallTime>) -> Option<Sent> {
    let written = i128::from(document_time?.0) + i128::from(arrived.moment.0);
    let written = written - i128::from(arrived.wall.0);
    let error = i128::try_from(WALL_ERROR.as_micros()).ok()?;
    let until = i128::from(arrived.moment.0);
    believed(written - error, until.max(written), arrived.moment)
}

/// The interval cut at the arrival, unless it lies after it whole, or begins too long before it.
fn believed(earliest: i128, latest: i128, arrived: Moment) -> Option<Sent> {
    let earliest = Moment(u64::try_from(earliest.max(0)).ok()?);
    let latest = Moment(u64::try_from(latest).ok()?).min(arrived);
    (earliest <= arrived && arrived.since(earliest) <= AGE_MAX).then_some(Sent { earliest, latest })
}

/// Microseconds in what a date cannot tell apart.
const SECOND: i128 = 1_000_000;

/// How much two clocks may drift apart, in parts per million: cheap quartz is within 100 each.
const DRIFT_PPM: i128 = 200;

/// An offset that was not confirmed for this long is forgotten: the server's clock may have been
/// stepped. The own registration is refreshed more often.
const KNOWN_FOR: Duration = Duration::from_hours(1);

/// A notification is not delayed longer: a transaction ends after 32 s (RFC 3261 §17.1.2.2), and a
/// server that was away tells anew.
const AGE_MAX: Duration = Duration::from_mins(10);

/// How wrong a synchronised wall clock may be.
const WALL_ERROR: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
