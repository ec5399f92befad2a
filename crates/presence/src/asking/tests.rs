//! Goal: who is there is asked when he is silent, and only a silence that means something ends
//! anything. Method: one table's flows under a virtual clock.

use presently_sip::{Flow, Protocol};

use super::*;

const SILENCE: Silence = Silence {
    first: Duration::from_secs(5),
    later: Duration::from_mins(1),
};
const GRACE: Duration = Duration::from_secs(30);
const BALANCER: MemberId = MemberId(1);

fn flow(port: u16, protocol: Protocol) -> FlowToken {
    let flow = Flow::udp(0, ([192, 0, 2, 1], port).into());
    FlowToken {
        balancer: BALANCER,
        flow: Flow { protocol, ..flow },
    }
}

/// A table, what time it is, and what was done when.
struct Play {
    asking: Asking,
    now: Moment,
    place: usize,
    key: u32,
    done: Vec<(u64, Duty)>,
}

impl Play {
    fn over(protocol: Protocol) -> Self {
        let mut asking = Asking::default();
        let own = flow(5060, protocol);
        let place = asking
            .enter(Moment(0), (own, false), 0, || SILENCE)
            .unwrap();
        Self {
            asking,
            now: Moment(0),
            place,
            key: 0,
            done: Vec::new(),
        }
    }

    /// Lets time pass until `secs`, asking and repeating as it falls due.
    fn run_until(&mut self, secs: u64) {
        let end = Moment(secs * 1_000_000);
        loop {
            let known = self.asking.get_mut(self.place).unwrap();
            let due = known.due(GRACE);
            if due > end || matches!(self.done.last(), Some((_, Duty::Hide))) {
                self.now = end;
                return;
            }
            self.now = due;
            let duty = self.asking.duty(self.now, self.place, GRACE);
            if duty == Duty::Ask {
                self.key += 1;
                let known = self.asking.get_mut(self.place).unwrap();
                known.ask(self.now, self.key, Vec::new());
            }
            if duty != Duty::Wait {
                self.done.push((self.now.0 / 100_000, duty));
            }
        }
    }

    fn answer(&mut self) -> bool {
        self.asking.answered(self.now, self.place, self.key)
    }

    /// Another phone's request comes by the same balancer.
    fn another_speaks(&mut self) {
        self.asking.hear(self.now, &flow(5070, Protocol::Udp));
    }

    fn has(&self, duty: Duty) -> bool {
        self.done.iter().any(|(_, done)| *done == duty)
    }
}

#[test]
fn one_that_answered_once_and_then_no_more_is_gone_after_its_silence_and_the_grace() {
    let mut play = Play::over(Protocol::Udp);
    play.run_until(5);
    assert_eq!(play.done, [(50, Duty::Ask)]);
    assert!(play.answer());
    assert!(!play.answer(), "a repeat of the answer");
    play.run_until(66);
    play.another_speaks();
    play.run_until(200);
    let repeats = [655, 665, 685, 725, 765, 805, 845, 885, 925];
    let mut expected = vec![(50, Duty::Ask), (650, Duty::Ask)];
    expected.extend(repeats.map(|at| (at, Duty::Repeat)));
    expected.push((950, Duty::Hide));
    assert_eq!(play.done, expected);
}

#[test]
fn over_a_stream_it_is_asked_once() {
    let mut play = Play::over(Protocol::Tcp);
    play.run_until(5);
    play.answer();
    play.run_until(66);
    play.another_speaks();
    play.run_until(200);
    let expected = [(50, Duty::Ask), (650, Duty::Ask), (950, Duty::Hide)];
    assert_eq!(play.done, expected);
}

#[test]
fn one_that_never_answered_is_left_alone() {
    let mut play = Play::over(Protocol::Udp);
    for step in 1..360 {
        play.run_until(10 * step + 5);
        play.another_speaks();
    }
    assert!(play.has(Duty::Repeat) && !play.has(Duty::Hide));
}

#[test]
fn a_balancer_that_brings_nobodys_word_ends_nobody() {
    let mut play = Play::over(Protocol::Udp);
    play.run_until(5);
    play.answer();
    play.another_speaks();
    play.run_until(3_600);
    assert!(!play.has(Duty::Hide));
    play.asking.hear(play.now, &flow(5060, Protocol::Udp));
    play.run_until(3_661);
    play.another_speaks();
    play.run_until(3_700);
    assert!(play.has(Duty::Hide), "its word counts again");
}

#[test]
fn any_request_of_it_puts_the_question_off() {
    let mut play = Play::over(Protocol::Udp);
    play.run_until(5);
    play.answer();
    for secs in [50, 100, 145, 203, 260, 315] {
        play.run_until(secs);
        play.asking.hear(play.now, &flow(5060, Protocol::Udp));
        play.another_speaks();
    }
    assert_eq!(play.done, [(50, Duty::Ask)]);
}

#[test]
fn an_answer_within_the_grace_is_in_time() {
    let mut play = Play::over(Protocol::Udp);
    play.run_until(5);
    play.answer();
    play.run_until(94);
    play.another_speaks();
    assert!(play.answer());
    play.run_until(153);
    assert!(!play.has(Duty::Hide));
}

#[test]
fn a_flow_is_known_as_long_as_anybody_is_registered_over_it() {
    let mut asking = Asking::default();
    let shared = flow(5060, Protocol::Tcp);
    let place = asking.enter(Moment(0), (shared, false), 3, || SILENCE);
    assert!(place.is_some());
    assert_eq!(
        asking.enter(Moment(1), (shared, false), 4, || SILENCE),
        None
    );
    assert_eq!(asking.leave(&shared, 3), None);
    assert_eq!(
        asking.enter(Moment(2), (shared, false), 4, || SILENCE),
        None
    );
    assert_eq!(asking.leave(&shared, 4), None, "no timer was armed");
    assert!(
        asking
            .enter(Moment(3), (shared, false), 4, || SILENCE)
            .is_some()
    );
}
