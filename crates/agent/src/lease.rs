//! One thing the pool holds for the phone until it expires: when to ask, to refresh, to try again.

use std::time::Duration;

use presently_sip::{Message, Moment, Name};

/// The timing of a registration, a publication or a subscription.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// How long the user wants it; 0 to give it back.
    wanted_secs: u32,
    /// The longest Min-Expires met.
    floor_secs: u32,
    /// What the request in flight asks for.
    asked_secs: u32,
    in_flight: Option<u64>,
    changed: bool,
    /// How much sooner than others it is refreshed, in 1024ths of what is granted.
    early: u16,
    failures: u32,
    due: Option<Moment>,
    ends: Option<Moment>,
}

/// Why something was not granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) min_expires_secs: Option<u32>,
    pub(crate) retry_after_secs: Option<u32>,
}

impl Lease {
    /// Notes a wish: it is due as soon as no request is in flight.
    pub(crate) fn want(&mut self, secs: u32) {
        self.wanted_secs = secs;
        self.changed = true;
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted_secs > 0
    }

    /// Whether a request should go now. Never while another is in flight (RFC 3261 §10.2,
    /// RFC 3903 §4).
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        self.in_flight.is_none() && (self.changed || due)
    }

    /// What the next request asks for.
    pub(crate) fn ask_secs(&self) -> u32 {
        match self.wanted_secs {
            0 => 0,
            secs => secs.max(self.floor_secs),
        }
    }

    /// The request went out as `exchange`.
    pub(crate) fn sent(&mut self, exchange: u64) {
        self.asked_secs = self.ask_secs();
        self.in_flight = Some(exchange);
        self.changed = false;
        self.due = None;
    }

    /// Takes the end of `exchange`: what it asked for, or `None` when it is of no interest any
    /// more.
    pub(crate) fn take(&mut self, exchange: u64) -> Option<u32> {
        self.in_flight.take_if(|it| *it == exchange)?;
        Some(self.asked_secs)
    }

    /// Held for `secs` from now, and refreshed `early` 1024ths of that before nine tenths are over.
    pub(crate) fn granted(&mut self, now: Moment, secs: u32, early: u16) {
        self.failures = 0;
        self.early = early;
        self.held_for(now, secs);
    }

    /// Wanted for `secs`, and held already for a time that is not known: due now.
    pub(crate) fn resume(&mut self, now: Moment, secs: u32) {
        self.want(secs);
        self.held_for(now, secs);
        self.due = Some(now);
    }

    /// The pool says that `secs` remain. Moves nothing for a difference that rounding explains:
    /// many NOTIFYs must not push the refresh towards the end.
    pub(crate) fn remains(&mut self, now: Moment, secs: u32) {
        let told = now.after(seconds(secs));
        let differs = |ends: Moment| told.since(ends).max(ends.since(told)) > ROUNDING;
        if self.ends.is_none_or(differs) {
            self.held_for(now, secs);
        }
    }

    fn held_for(&mut self, now: Moment, secs: u32) {
        self.ends = Some(now.after(seconds(secs)));
        let early = seconds(secs) * u32::from(self.early) / 1024;
        let due = (seconds(secs) * 9 / 10).saturating_sub(early);
        // A pool that grants nothing is not asked in a circle.
        self.due = Some(now.after(due.max(PAUSE)));
    }

    /// Whether what was held is gone by now.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        self.ends.is_none_or(|ends| ends <= now)
    }

    /// Takes a refusal: in how long to try again, zero for at once, `None` for not at all.
    pub(crate) fn refused(
        &mut self,
        now: Moment,
        refusal: &Refusal,
        random: u64,
    ) -> Option<Duration> {
        self.due = None;
        let wait = match decide(refusal, self.asked_secs, self.failures) {
            Verdict::AskFor(secs) => {
                self.floor_secs = secs;
                Duration::ZERO
            }
            Verdict::GiveUp => return None,
            Verdict::Wait(secs) => seconds(secs),
            Verdict::WaitLonger => backoff(self.failures, random),
        };
        self.failures += 1;
        self.due = Some(now.after(wait));
        Some(wait)
    }

    /// To be asked for anew after `wait`; whatever is in flight is of no interest any more.
    pub(crate) fn again_in(&mut self, now: Moment, wait: Duration) {
        self.in_flight = None;
        self.ends = None;
        self.due = Some(now.after(wait));
    }

    /// The pool may not have heard what was asked for: it is due again, as it is wanted now.
    pub(crate) fn repeat(&mut self) {
        self.changed = true;
    }

    /// Nothing more is tried before what is held has ended.
    pub(crate) fn wait_for_end(&mut self) {
        self.due = self.ends;
    }

    /// Whatever is wanted is due now: the flow is another one, and the pool is to know it.
    pub(crate) fn hurry(&mut self, now: Moment) {
        if self.is_wanted() {
            self.due = Some(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        self.due.filter(|_| self.in_flight.is_none())
    }
}

impl Refusal {
    pub(crate) fn of(status: u16, response: Option<&Message<'_>>) -> Self {
        Self {
            status,
            min_expires_secs: response.and_then(|it| it.number(Name::MinExpires)),
            retry_after_secs: response.and_then(retry_after_secs),
        }
    }
}

/// Retry-After without its comment and parameters (RFC 3261 §20.33).
fn retry_after_secs(response: &Message<'_>) -> Option<u32> {
    let text = response.text(Name::RetryAfter)?;
    let end = text.find(|it: char| !it.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    /// Ask again at once, for longer (RFC 3261 §21.4.17).
    AskFor(u32),
    GiveUp,
    /// The pool named the time.
    Wait(u32),
    /// The pool did not: a little longer each time.
    WaitLonger,
}

/// What a good phone does about a refusal.
fn decide(refusal: &Refusal, asked_secs: u32, failures: u32) -> Verdict {
    match (refusal.status, refusal.retry_after_secs) {
        // Nothing is gained by insisting on an end.
        _ if asked_secs == 0 => Verdict::GiveUp,
        (423, _) => match refusal.min_expires_secs {
            Some(secs) if secs > asked_secs && failures < BRIEF_MAX => Verdict::AskFor(secs),
            _ => Verdict::GiveUp,
        },
        (_, Some(secs)) => Verdict::Wait(secs.max(1)),
        (408 | 500 | 502..=504, None) => Verdict::WaitLonger,
        _ => Verdict::GiveUp,
    }
}

/// A random time, in 1024ths of what is granted, by which a refresh comes sooner: up to `spread`
/// percent.
pub(crate) fn early(spread_percent: u8, random: u64) -> u16 {
    let most = u64::from(spread_percent.min(SPREAD_MAX)) * 1024 / 100;
    u16::try_from(random % (most + 1)).unwrap_or(0)
}

/// How long to wait after so many failures: twice as long each time, up to a bound; less up to a
/// quarter, so that phones that failed together do not come back together.
pub(crate) fn backoff(failures: u32, random: u64) -> Duration {
    let whole = RETRY_FIRST * (1 << failures.min(RETRY_DOUBLINGS));
    let share = u32::try_from(random % 256).unwrap_or(0);
    whole.saturating_sub(whole * share / 1024)
}

fn seconds(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

/// The first wait after a failure.
const RETRY_FIRST: Duration = Duration::from_secs(4);
/// The longest wait is `RETRY_FIRST` doubled this often: 256 s.
const RETRY_DOUBLINGS: u32 = 6;
/// Refreshes are never spread over more than this share, in percent.
const SPREAD_MAX: u8 = 80;
/// How often in a row a longer Min-Expires is believed.
const BRIEF_MAX: u32 = 3;
/// The least between an answer and the next request for the same, unless a user wants it.
const PAUSE: Duration = Duration::from_secs(1);
/// How far two statements of one end may lie apart: whole seconds, cut at both ends, and the way.
const ROUNDING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_verdict() {
        #[rustfmt::skip]
        let table = [
            // status  Min-Expires  Retry-After  asked  failures  verdict                  why
            (423, Some(900), None,    600, 0, Verdict::AskFor(900)), // believed
            (423, Some(900), None,    900, 0, Verdict::GiveUp),      // it was long enough
            (423, None,      None,    600, 0, Verdict::GiveUp),      // says nothing
            (423, Some(9000), None,   600, 3, Verdict::GiveUp),      // always more
            (503, None,      Some(5), 600, 0, Verdict::Wait(5)),     // RFC 3261 §21.5.4
            (503, None,      Some(0), 600, 0, Verdict::Wait(1)),     // not in a circle
            (503, None,      None,    600, 0, Verdict::WaitLonger),
            (500, None,      None,    600, 7, Verdict::WaitLonger),
            (408, None,      None,    600, 0, Verdict::WaitLonger),  // also: no answer
            (480, None,      Some(9), 600, 0, Verdict::Wait(9)),     // RFC 3261 §20.33
            (480, None,      None,    600, 0, Verdict::GiveUp),
            (403, None,      None,    600, 0, Verdict::GiveUp),
            (489, None,      None,    600, 0, Verdict::GiveUp),
            (501, None,      None,    600, 0, Verdict::GiveUp),
            (503, None,      Some(5), 0,   0, Verdict::GiveUp),      // it was an end
        ];
        for (status, min_expires_secs, retry_after_secs, asked, failures, expected) in table {
            let refusal = Refusal {
                status,
                min_expires_secs,
                retry_after_secs,
            };
            let verdict = decide(&refusal, asked, failures);
            assert_eq!(verdict, expected, "{refusal:?} {asked} {failures}");
        }
    }

    #[test]
    fn waiting_doubles_up_to_a_bound_and_is_spread() {
        assert_eq!(backoff(0, 0), Duration::from_secs(4));
        assert_eq!(backoff(2, 0), Duration::from_secs(16));
        assert_eq!(backoff(6, 0), backoff(u32::MAX, 0));
        assert_eq!(backoff(0, 128), Duration::from_millis(3500));
    }

    #[test]
    fn a_refresh_is_due_after_nine_tenths_or_as_much_sooner_as_was_drawn() {
        #[rustfmt::skip]
        let table = [
            // spread, random, due after s of 1,000
            (0,  u64::MAX, 900),
            (15, 0,        900),
            (15, 153,      750), // the most: 153 of 1024
            (15, 154,      900), // round again
        ];
        for (spread, random, secs) in table {
            let mut lease = Lease::default();
            lease.granted(Moment(0), 1_000, early(spread, random));
            assert_eq!(
                lease.poll_timeout().map(|due| due.0 / 1_000_000),
                Some(secs)
            );
            // A NOTIFY that tells another end moves it by the same share.
            lease.remains(Moment(0), 2_000);
            let due = lease.poll_timeout().map(|due| due.0 / 2_000_000);
            assert_eq!(due, Some(secs));
        }
    }

    #[test]
    fn nothing_goes_while_a_request_is_in_flight() {
        let now = Moment(1);
        let mut lease = Lease::default();
        lease.want(600);
        assert!(lease.is_due(now));
        lease.sent(1);
        lease.want(300);
        assert!(!lease.is_due(now));
        assert_eq!(lease.take(2), None);
        assert_eq!(lease.take(1), Some(600));
        assert!(lease.is_due(now));
    }
}
