//! Goal: one NOTIFY in flight, repeated by Timer E, the same bytes each time; what an answer or its
//! absence does. Method: the notifier alone under a virtual clock.

mod flows;
mod timers;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{ClientId, FlowToken, MemberId, PackageName};
use presently_sip::{Aor, Flow, Protocol, Random, WallTime};
use presently_store::{DialogId, Repeat, SubscriptionState};

use super::*;
use crate::actor::State;

/// A notifier and what its server would hold for it.
struct Play {
    notifier: Notifier,
    actors: Slab<Actor>,
    out: Outputs,
    wheel: Wheel<Timer>,
    counters: Counters,
    packages: Packages,
    random: Random,
    min_interval: Duration,
    is_mute: bool,
    reach: Reach,
    now: Now,
    /// Timers that fired.
    fires: usize,
}

/// One NOTIFY that left.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    millis: u64,
    text: String,
}

impl Play {
    fn new() -> Self {
        let now = Now {
            moment: Moment(1_000_000),
            wall: WallTime(1_795_219_200_000_000),
        };
        Self {
            notifier: Notifier::default(),
            actors: Slab::new(),
            out: Outputs::default(),
            wheel: Wheel::new(now.moment),
            counters: Counters::default(),
            packages: Packages::default(),
            random: Random::new([3; 16]),
            min_interval: Duration::ZERO,
            is_mute: false,
            reach: Reach::default(),
            now,
            fires: 0,
        }
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Notifier, &mut Bench<'_>) -> R) -> R {
        let mut bench = Bench {
            actors: &self.actors,
            now: self.now,
            out: &mut self.out,
            wheel: &mut self.wheel,
            counters: &mut self.counters,
            packages: &self.packages,
            name: "s1",
            random: &mut self.random,
            min_interval: self.min_interval,
            is_mute: self.is_mute,
            reach: &self.reach,
            round: Round::default(),
        };
        work(&mut self.notifier, &mut bench)
    }

    /// A subscription of an hour, whose document is at version 1; its first NOTIFY is on its way.
    fn subscribed(&mut self) -> SubscriptionSlot {
        let row = row(self.now);
        let slot = self.with(|notifier, bench| {
            notifier.insert(row, (Some(4), 1), Entrance::Subscribed, bench)
        });
        self.learn(1);
        slot
    }

    fn learn(&mut self, version: u64) {
        let document = Arc::new(document(version));
        let reading = self.with(|notifier, bench| notifier.learn(&document, bench));
        assert_eq!(reading, Reading::Done);
    }

    /// Lets time pass; gives what left meanwhile and what was asked of the actor.
    fn run(&mut self, millis: u64) -> (Vec<Sent>, Vec<Wish>) {
        let until = self.now.moment.after(Duration::from_millis(millis));
        let (mut sent, mut wishes) = (self.take(), Vec::new());
        while let Some(due) = self.wheel.poll_timeout().filter(|due| *due <= until) {
            self.go_to(due.max(self.now.moment));
            let mut fired = Vec::new();
            self.wheel.expire(self.now.moment, &mut fired);
            self.fires += fired.len();
            for timer in fired {
                let Timer::Subscription(slot) = timer else {
                    panic!("{timer:?} is not of the notifier");
                };
                let wish = self.with(|notifier, bench| notifier.handle_timeout(slot, bench));
                wishes.push(wish);
            }
            sent.extend(self.take());
        }
        self.go_to(until);
        wishes.retain(|wish| *wish != Wish::Nothing);
        (sent, wishes)
    }

    fn go_to(&mut self, moment: Moment) {
        let span = moment.since(self.now.moment);
        self.now.wall = self.now.wall.after(span);
        self.now.moment = moment;
    }

    fn take(&mut self) -> Vec<Sent> {
        let millis = self.now.moment.0 / 1_000;
        let messages = self.out.to_balancers.drain(..);
        let sent = messages.map(|message| {
            let head = String::from_utf8_lossy(&self.out.text[message.head]).into_owned();
            let text = head + &String::from_utf8_lossy(&message.body);
            Sent { millis, text }
        });
        sent.collect()
    }

    /// Answers `sent`.
    fn answer(&mut self, sent: &Sent, status: u16, retry_after: Option<u32>) -> Wish {
        let branch = sent.text.split("branch=").nth(1).unwrap();
        let branch = Branch::read(branch.lines().next().unwrap()).unwrap();
        self.with(|notifier, bench| notifier.answered(branch, (status, retry_after), bench))
    }
}

fn resource() -> ResourceId {
    ResourceId {
        aor: Aor::parse("sip:alice@example.test").unwrap(),
        package: PackageName::new("presence"),
    }
}

/// What a last NOTIFY still held is older than that there is nothing.
// R19
#[test]
fn a_held_document_gives_way_to_a_later_nothing_and_not_to_an_earlier() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let held = |play: &Play| {
        let live = play.notifier.get(slot).unwrap();
        play.notifier.resources[live.resource_key()].version()
    };
    let nothing = |play: &mut Play, counter| {
        let nothing = Arc::new(Document::nothing(resource(), counter));
        play.with(|notifier, bench| notifier.learn(&nothing, bench))
    };
    play.learn(7);
    assert_eq!(nothing(&mut play, 6), Reading::Done);
    assert_eq!(held(&play), Version(7));
    assert_eq!(nothing(&mut play, 8), Reading::Done);
    assert_eq!(nothing(&mut play, 9), Reading::Done);
    assert_eq!(held(&play), Version(8), "nothing for nothing is no news");
    assert!(!play.notifier.hear(&resource(), Version(9)));
    assert!(play.notifier.hear(&resource(), Version(10)));
    assert_eq!(nothing(&mut play, 9), Reading::Again, "read too early");
    play.learn(10);
    assert_eq!(held(&play), Version(10));
}

fn document(version: u64) -> Document {
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.test\">\
         <note>version {version}</note></presence>"
    );
    Document {
        resource: resource(),
        version: Version(version),
        content_type: "application/pidf+xml".into(),
        body: Bytes::from(body),
    }
}

fn row(now: Now) -> Subscription {
    let remote: SocketAddr = ([192, 0, 2, 1], 5060).into();
    Subscription {
        resource: resource(),
        dialog: DialogId {
            call_id: "c".into(),
            local_tag: "ours".into(),
            remote_tag: "theirs".into(),
        },
        event_id: "".into(),
        local_uri: "sip:alice@example.test".into(),
        remote_uri: "sip:bob@example.test".into(),
        local_target: "sip:token@pool".into(),
        remote_target: "sip:bob@192.0.2.1".into(),
        route_set: Vec::new(),
        is_proxied: false,
        flow: FlowToken {
            balancer: MemberId(1),
            flow: Flow::udp(0, remote),
        },
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "".into(),
        expires_at: now.wall.after(Duration::from_hours(1)),
        owed: true,
        repeat: Repeat::default(),
    }
}

fn cseq(sent: &Sent) -> u32 {
    let line = sent.text.split("CSeq: ").nth(1).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

// RFC 3261 §17.1.2.2
#[test]
fn an_unanswered_notify_goes_again_by_timer_e_the_same_bytes_each_time() {
    let mut play = Play::new();
    play.subscribed();
    let (sent, wishes) = play.run(32_500);
    let first = sent[0].millis;
    let times: Vec<u64> = sent.iter().map(|one| one.millis - first).collect();
    let due = [
        0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(times.len(), due.len(), "{times:?}");
    for (time, due) in times.into_iter().zip(due) {
        assert!(time.abs_diff(due) < 100, "at {time}, due at {due}");
    }
    assert!(sent.iter().all(|one| one.text == sent[0].text));
    assert_eq!(wishes, [], "one in a row is not enough to give up");
}

// Law 5
#[test]
fn a_notify_is_not_repeated_while_its_client_is_handed_over() {
    let mut play = Play::new();
    let actor = Actor::new(resource().aor, ClientId(1), Round::default());
    let owner = play.actors.insert(actor);
    let row = row(play.now);
    play.with(|notifier, bench| {
        notifier.insert(row, (Some(owner), 1), Entrance::Subscribed, bench)
    });
    play.actors[owner].state = State::Idle;
    play.learn(1);
    let first = play.take();
    assert_eq!(first.len(), 1);
    play.actors[owner].state = State::Leaving;
    assert_eq!(
        play.run(3_000),
        (Vec::new(), Vec::new()),
        "another may have it"
    );
    // It stays: the repeats go on as if they had never stopped.
    play.actors[owner].state = State::Idle;
    let (sent, _) = play.run(1_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].text, first[0].text);
}

#[test]
fn one_is_in_flight_and_newer_versions_collapse_into_the_next() {
    let mut play = Play::new();
    play.subscribed();
    let first = play.take().remove(0);
    for version in 2..=9 {
        play.learn(version);
    }
    assert_eq!(play.take(), [], "the first is unanswered");
    assert_eq!(play.answer(&first, 200, None), Wish::Nothing);
    let next = play.take();
    assert_eq!(next.len(), 1);
    assert!(next[0].text.contains("version 9"), "{next:?}");
    assert!(cseq(&next[0]) > cseq(&first));
    assert_eq!(
        play.answer(&first, 200, None),
        Wish::Nothing,
        "a repeated answer"
    );
    assert_eq!(play.take(), []);
    assert_eq!(play.counters.responses_unmatched, 1);
}

// Law 4
#[test]
fn an_older_document_is_never_told_after_a_newer_one() {
    let mut play = Play::new();
    play.subscribed();
    let first = play.take().remove(0);
    play.learn(5);
    play.answer(&first, 200, None);
    let second = play.take().remove(0);
    play.answer(&second, 200, None);
    play.learn(3);
    let (sent, _) = play.run(10_000);
    assert_eq!(sent, []);
}

#[test]
fn what_changes_during_repeats_does_not_change_their_bytes() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.learn(2);
    let mut moved = row(play.now);
    moved.remote_target = "sip:bob@elsewhere.test".into();
    moved.accept = "*/*".into();
    moved.cseq_base = 100;
    play.with(|notifier, bench| notifier.replace(slot, moved, bench));
    let (sent, _) = play.run(600);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].text, first.text);
    play.answer(&first, 200, None);
    let next = play.take().remove(0);
    assert!(next.text.starts_with("NOTIFY sip:bob@elsewhere.test "));
    assert_eq!(cseq(&next), 101);
}

// RFC 6665 §4.2.2: what policy makes of Timer F
#[test]
fn three_time_outs_in_a_row_end_it_and_an_answer_starts_the_count_anew() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let (sent, wishes) = play.run(94_000);
    assert_eq!(wishes, [], "two time-outs, at 32 s and at 94 s");
    assert!(
        sent.iter().map(cseq).max() > Some(cseq(&sent[0])),
        "tried anew after a pause"
    );
    let (_, wishes) = play.run(63_000);
    assert_eq!(wishes, [Wish::Remove(slot, 4)]);
    let (sent, _) = play.run(100_000);
    assert_eq!(sent, [], "nothing more is said to it");

    let mut play = Play::new();
    play.subscribed();
    let (sent, _) = play.run(64_000);
    let second = sent.last().expect("the second try is out");
    assert!(cseq(second) > cseq(&sent[0]));
    play.answer(second, 200, None);
    play.learn(2);
    let (_, wishes) = play.run(95_000);
    assert_eq!(wishes, []);
}

#[test]
fn a_refresh_revives_what_was_waiting_after_a_time_out() {
    let mut play = Play::new();
    let slot = play.subscribed();
    play.run(33_000);
    let refreshed = row(play.now);
    play.with(|notifier, bench| {
        notifier.replace(slot, refreshed, bench);
        notifier.advance(slot, bench);
    });
    assert_eq!(play.take().len(), 1, "at once, not after the pause");
}

// RFC 6665 §4.2.2
#[test]
fn what_waits_on_a_stream_is_given_up_when_the_phone_is_elsewhere() {
    let mut play = Play::new();
    let stream = |balancer, slot| FlowToken {
        balancer: MemberId(balancer),
        flow: Flow {
            protocol: Protocol::Tcp,
            slot,
            ..Flow::udp(0, SocketAddr::from(([192, 0, 2, 9], 5060)))
        },
    };
    let mut row = row(play.now);
    row.flow = stream(1, 7);
    let first = row.clone();
    let slot = play
        .with(|notifier, bench| notifier.insert(first, (Some(4), 1), Entrance::Subscribed, bench));
    play.learn(1);
    let sent = play.take().remove(0);
    // Nothing repeats it on a stream, and the phone has refreshed by another balancer.
    assert_eq!(play.run(10_000).0, []);
    row.flow = stream(2, 3);
    row.cseq_base += 1;
    play.with(|notifier, bench| {
        notifier.replace(slot, row, bench);
        notifier.advance(slot, bench);
    });
    let next = play.take();
    assert_eq!(next.len(), 1, "the refresh is told at once");
    assert_ne!(next[0].text, sent.text, "and not as what it may have had");
    play.answer(&sent, 200, None);
    assert_eq!(play.run(10_000).0, [], "a late answer is nobody's");
}

#[test]
fn each_answer_ends_it_or_does_not() {
    let ends = [
        404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
    ];
    for status in 200..700 {
        let mut play = Play::new();
        let slot = play.subscribed();
        let first = play.take().remove(0);
        let expected = if ends.contains(&status) {
            Wish::Remove(slot, 4)
        } else {
            Wish::Nothing
        };
        assert_eq!(play.answer(&first, status, None), expected, "{status}");
        assert_eq!(play.take(), [], "{status}: nothing is sent at once");
    }
}

// RFC 3261 §20.33
#[test]
fn a_refused_notify_is_tried_again_after_what_the_phone_asks_for() {
    let cases = [
        (Some(0), 900, 1_200),
        (Some(5), 4_900, 5_200),
        (Some(86_400), 599_900, 600_200),
        (None, 29_900, 30_200),
    ];
    for (retry_after, from, until) in cases {
        let mut play = Play::new();
        play.subscribed();
        let first = play.take().remove(0);
        play.answer(&first, 503, retry_after);
        play.learn(2);
        assert_eq!(play.run(from).0, [], "{retry_after:?}");
        let (sent, _) = play.run(until - from);
        assert_eq!(sent.len(), 1, "{retry_after:?}");
        assert!(sent[0].text.contains("version 2"));
    }
}

/// A phone took it, its answer was lost, and it remembers few answers.
// RFC 3261 §12.2.2
#[test]
fn a_repeat_out_of_order_to_the_phone_gives_way_to_the_newest_state_once() {
    let mut play = Play::new();
    play.subscribed();
    let first = play.run(600).0.remove(0);
    play.learn(2);
    play.answer(&first, 500, None);
    let next = play.take().remove(0);
    assert!(next.text.contains("version 2"), "at once: {}", next.text);
    assert!(cseq(&next) > cseq(&first));
    let (repeats, _) = play.run(600);
    assert_eq!(
        repeats,
        [Sent {
            millis: repeats[0].millis,
            ..next.clone()
        }]
    );
    play.answer(&next, 500, None);
    assert_eq!(play.run(29_900).0, [], "who refuses that too means it");
    let (sent, _) = play.run(300);
    assert_eq!(sent.len(), 1);
    play.run(600);
    play.answer(&sent[0], 200, None);
    play.learn(3);
    let third = play.run(600).0.remove(0);
    play.answer(&third, 500, None);
    assert_eq!(play.take().len(), 1, "an answer forgives");
}

#[test]
fn the_least_interval_holds_the_next_back_and_loses_nothing() {
    let mut play = Play::new();
    play.min_interval = Duration::from_secs(5);
    play.subscribed();
    let first = play.take().remove(0);
    play.answer(&first, 200, None);
    play.learn(2);
    play.learn(3);
    assert_eq!(play.run(4_900).0, []);
    let (sent, _) = play.run(300);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].text.contains("version 3"));
}

#[test]
fn the_last_notify_waits_for_the_answer_before_it_and_frees_the_slot() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.with(|notifier, bench| notifier.end(slot, bench));
    assert_eq!(play.take(), []);
    play.answer(&first, 200, None);
    let last = play.take().remove(0);
    assert!(
        last.text
            .contains("\r\nSubscription-State: terminated;reason=timeout\r\n")
    );
    assert_eq!(play.notifier.len(), 1);
    play.answer(&last, 200, None);
    assert_eq!(play.notifier.len(), 0);
    assert_eq!(play.wheel.poll_timeout(), None, "its timer is gone too");
}

#[test]
fn the_time_that_is_over_is_told_to_the_actor() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.answer(&first, 200, None);
    let (_, wishes) = play.run(3_599_000);
    assert_eq!(wishes, []);
    let (_, wishes) = play.run(2_000);
    assert_eq!(wishes, [Wish::Remove(slot, 4)]);
}

#[test]
fn an_answer_with_another_key_is_nobodys() {
    let mut play = Play::new();
    play.subscribed();
    let first = play.take().remove(0);
    let at = first.text.find("branch=").unwrap() + "branch=z9hG4bKn".len() + 16;
    let mut forged = first.clone();
    let digit = if &first.text[at..=at] == "0" {
        "1"
    } else {
        "0"
    };
    forged.text.replace_range(at..=at, digit);
    assert_eq!(play.answer(&forged, 481, None), Wish::Nothing);
    assert_eq!(play.counters.responses_unmatched, 1);
    let (sent, _) = play.run(600);
    assert_eq!(sent.len(), 1, "it is still unanswered");
}

/// An answer clears the note of an owed NOTIFY; a newer version is noted again before that clearing
/// was written. The store must end with the newer word, for the counter is settled on it.
#[test]
fn a_note_of_an_owed_notify_outlives_the_clearing_of_an_older_one() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().pop().expect("the first NOTIFY");
    let row = play.notifier.get(slot).map(|live| live.row.owed);
    assert_eq!(row, Some(true), "its SUBSCRIBE noted it");
    assert!(play.notifier.hear(&resource(), Version(2)));
    assert!(play.notifier.settling.close(10));
    play.answer(&first, 200, None);
    play.learn(2);
    let closing = play.notifier.settling.closing().expect("it is not told");
    play.notifier.owe(closing);
    let mut is_owed = true;
    while play.notifier.has_owing() {
        for owing in play.notifier.take_owing(8) {
            is_owed = owing.owed;
            play.notifier.note_owing(owing, true);
        }
    }
    assert_eq!(play.notifier.settling.settled(), Some(10));
    assert!(is_owed, "version 2 is unanswered");
}

/// What could not be said for a while is said at a pace, the newest state once to each.
#[test]
fn after_a_silence_what_is_due_leaves_at_a_pace() {
    let mut play = Play::new();
    let slots: Vec<_> = (0..3).map(|_| play.subscribed()).collect();
    for sent in play.take() {
        play.answer(&sent, 200, None);
    }
    play.is_mute = true;
    play.learn(2);
    play.learn(3);
    let (sent, _) = play.run(100);
    assert_eq!(sent.len(), 0, "it is mute");
    play.is_mute = false;
    let grace = play.now.moment.after(Duration::from_mins(1));
    play.with(|notifier, bench| notifier.speak_again(grace, bench));
    assert_eq!(play.take().len(), 1, "the first leaves at once");
    let (sent, _) = play.run(20);
    assert_eq!(sent.len(), slots.len() - 1, "the others a moment later");
}

#[test]
fn a_row_is_packed_and_comes_out_as_it_was_and_one_phones_rows_share_their_text() {
    let mut row = row(Play::new().now);
    row.event_id = "7".into();
    row.route_set = vec!["<sip:proxy.example.test;lr>".into()];
    row.repeat.answer.to_tag = row.dialog.local_tag.clone();
    let first = Kept::new(row.clone(), std::iter::empty());
    assert_eq!(first.row(&row.resource), row);
    let mut other = row.clone();
    other.dialog.call_id = "another".into();
    other.remote_target = "sip:bob@192.0.2.1:5062".into();
    let second = Kept::new(other.clone(), std::iter::once(&first));
    assert_eq!(second.row(&row.resource), other);
    assert!(Arc::ptr_eq(&first.common, &second.common));
    other.accept = "text/plain".into();
    let third = Kept::new(other.clone(), [&first, &second].into_iter());
    assert_eq!(third.row(&row.resource), other);
}
