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
        Self::found(protocol, false)
    }

    fn found(protocol: Protocol, is_silent: bool) -> Self {
        let mut asking = Asking::default();
        let own = flow(5060, protocol);
        let place = asking
            .enter(Moment(0), (own, is_silent), 0, || SILENCE)
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

    fn duty(&mut self) -> Duty {
        self.asking.duty(self.now, self.place, GRACE)
    }

    /// All marks are made, or nobody is to blame.
    fn excuse(&mut self) {
        self.asking.get_mut(self.place).unwrap().excuse(self.now);
        self.done.push((self.now.0 / 100_000, Duty::Wait));
    }

    /// Whether a request over the flow from `port` shows it.
    fn is_to_be_shown(&mut self, port: u16) -> bool {
        let flow = flow(port, Protocol::Tcp);
        self.asking.hear(self.now, &flow) == Some(self.place)
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

/// What is lost with a link is not a phone's silence.
#[test]
fn what_a_broken_link_may_have_lost_is_asked_again_and_hides_nobody() {
    for (balancer, expected) in [(BALANCER, Duty::Ask), (MemberId(2), Duty::Hide)] {
        let mut play = Play::over(Protocol::Tcp);
        play.run_until(5);
        play.answer();
        play.run_until(66);
        play.asking.excuse_asked(play.now, balancer);
        play.another_speaks();
        play.run_until(130);
        assert_eq!(play.done.last().unwrap().1, expected, "{balancer:?}");
    }
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

/// One that answered, and now does not; it is to be hidden at 95 s.
fn unanswered() -> Play {
    let mut play = Play::over(Protocol::Tcp);
    play.run_until(5);
    play.answer();
    play.run_until(66);
    play.another_speaks();
    play.run_until(95);
    play
}

/// The same, hidden.
fn hidden() -> Play {
    let mut play = unanswered();
    assert_eq!(play.done.last(), Some(&(950, Duty::Hide)));
    play.excuse();
    play
}

#[test]
fn one_that_is_hidden_is_asked_on_and_shown_when_it_answers() {
    let mut play = hidden();
    play.run_until(155);
    assert_eq!(play.duty(), Duty::Wait, "asked, and waited for");
    assert_eq!(play.done.last(), Some(&(1_550, Duty::Ask)));
    assert!(play.answer());
    assert_eq!(play.duty(), Duty::Show);
    assert_eq!(play.duty(), Duty::Show, "until the marks are gone");
    play.asking.get_mut(play.place).unwrap().shown();
    assert_eq!(play.duty(), Duty::Wait);
    assert!(!play.is_to_be_shown(5060), "it is there");
}

#[test]
fn one_that_is_hidden_is_shown_by_any_request_of_its_own() {
    let mut play = hidden();
    play.excuse();
    assert_eq!(play.duty(), Duty::Wait, "who is not blamed is not heard");
    assert!(!play.is_to_be_shown(5070), "another's flow");
    assert!(play.is_to_be_shown(5060));
    assert_eq!(play.duty(), Duty::Show);
}

#[test]
fn an_answer_while_it_is_being_hidden_shows_it() {
    let mut play = unanswered();
    assert_eq!(play.duty(), Duty::Hide, "a write was in flight");
    assert!(play.answer());
    assert_eq!(play.duty(), Duty::Show);
}

#[test]
fn one_found_hidden_is_asked_soon_and_its_first_answer_shows_it() {
    for answers in [true, false] {
        let mut play = Play::found(Protocol::Tcp, true);
        play.run_until(5);
        assert_eq!(play.done, [(50, Duty::Ask)]);
        if answers {
            assert!(play.answer());
            assert_eq!(play.duty(), Duty::Show);
        } else {
            play.another_speaks();
            play.run_until(94);
            assert_eq!(
                play.done.len(),
                1,
                "it is asked again a minute after the grace"
            );
            play.run_until(96);
            assert_eq!(play.done.last(), Some(&(950, Duty::Ask)));
        }
    }
}

#[test]
fn a_flow_over_which_one_is_found_hidden_shows_him_when_another_is_heard() {
    let mut asking = Asking::default();
    let shared = flow(5060, Protocol::Tcp);
    asking.enter(Moment(0), (shared, false), 3, || SILENCE);
    assert_eq!(asking.hear(Moment(1), &shared), None);
    asking.enter(Moment(2), (shared, true), 4, || SILENCE);
    assert!(asking.hear(Moment(3), &shared).is_some());
}
