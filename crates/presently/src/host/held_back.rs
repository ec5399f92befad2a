//! What a server said in its time, and too late: its time to speak ran out between the beginning
//! of a turn and its end.
//!
//! By then its clients may be another's, and only the store knows. So those words wait for the
//! server's next committed beat, and end with the host when its life turns out to be over. All else
//! leaves: what the balancer says itself or passes on for servers elsewhere, what a mute server may
//! say (100), and everything out of band, which only points at what the store has committed.

use bytes::Bytes;
use presently_sip::transaction::TRANSACTION;
use presently_sip::{Flow, Moment, Now};

use super::{Host, HostedServer, LinkMessage, Outside};

/// The words of one server that wait, from few turns: a mute server says no more.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    to_phones: Vec<(Flow, Bytes, Bytes)>,
    to_links: Vec<LinkMessage>,
    bytes: usize,
    /// When the first of them came too late.
    since: Moment,
}

impl HeldBack {
    pub(super) fn is_empty(&self) -> bool {
        self.to_phones.is_empty() && self.to_links.is_empty()
    }

    /// Keeps a word to a phone; `false` when there is no room for it.
    fn keep_for_phone(&mut self, late: Moment, flow: Flow, head: &[u8], body: Bytes) -> bool {
        let last = self.to_phones.last().map(|(.., body)| body.as_ptr());
        // One document for many watchers is in memory once.
        let is_shared = last == Some(body.as_ptr());
        let bytes = head.len() + if is_shared { 0 } else { body.len() };
        let has_room = self.take_room(late, bytes);
        if has_room {
            let head = Bytes::copy_from_slice(head);
            self.to_phones.push((flow, head, body));
        }
        has_room
    }

    /// Keeps a word to another member; `false` when there is no room for it.
    fn keep_for_link(&mut self, late: Moment, message: LinkMessage) -> bool {
        let has_room = self.take_room(late, message.text.len());
        if has_room {
            self.to_links.push(message);
        }
        has_room
    }

    fn take_room(&mut self, late: Moment, bytes: usize) -> bool {
        if self.is_empty() {
            (self.since, self.bytes) = (late, 0);
        }
        let has_room = self.bytes + bytes <= HELD_BACK_BYTES;
        self.bytes += if has_room { bytes } else { 0 };
        has_room
    }

    /// Whether nobody waits for them any more: every transaction they are of has ended, here and at
    /// the phones.
    fn is_past(&self, late: Moment) -> bool {
        !self.is_empty() && late.since(self.since) >= TRANSACTION
    }

    /// Forgets them; how many they were.
    fn clear(&mut self) -> u64 {
        let Self {
            to_phones,
            to_links,
            ..
        } = std::mem::take(self);
        u64::try_from(to_phones.len() + to_links.len()).unwrap_or(u64::MAX)
    }

    fn say(&mut self, outside: &mut dyn Outside) {
        for (flow, head, body) in self.to_phones.drain(..) {
            outside.to_phone(flow, &head, &body);
        }
        for message in self.to_links.drain(..) {
            outside.to_link(message.from, message.to, &message.text);
        }
    }
}

impl Host {
    /// Takes out of the turn that began at `now` and is to be sent at `late` what servers said
    /// whose time was over in between.
    ///
    /// What there is no room for is lost, as a datagram may be: the repeat of a phone over UDP gets
    /// its answer again, and a NOTIFY without an answer is sent again.
    pub(super) fn hold_back(&mut self, now: Now, late: Moment) {
        let is_late =
            |one: &&mut HostedServer| one.machine.is_mute(late) && !one.machine.is_mute(now.moment);
        let mut is_any = false;
        for server in self.servers.iter_mut().filter(is_late) {
            is_any = true;
            let me = server.me.member;
            let held = &mut server.held_back;
            let mut lost = 0;
            if let Some(hosted) = &mut self.balancer {
                let mut speakers = hosted.speakers.iter();
                let is_its = |_: &mut _| speakers.next() == Some(&me);
                for word in hosted.out.to_phones.extract_if(.., is_its) {
                    let head = hosted.out.text.get(word.head).unwrap_or_default();
                    lost += u64::from(!held.keep_for_phone(late, word.flow, head, word.body));
                }
                hosted.speakers.retain(|speaker| *speaker != me);
            }
            for message in self.to_links.extract_if(.., |word| word.from == me) {
                lost += u64::from(!held.keep_for_link(late, message));
            }
            self.counters.words_lost += lost;
        }
        self.counters.turns_held_back += u64::from(is_any);
    }

    /// Says what was held back of servers that may speak again, before what they say now; forgets
    /// what has waited too long for that.
    pub(super) fn say_held_back(&mut self, late: Moment, outside: &mut dyn Outside) {
        for server in &mut self.servers {
            if server.held_back.is_past(late) {
                self.counters.words_lost += server.held_back.clear();
            } else if !server.machine.is_mute(late) {
                server.held_back.say(outside);
            }
        }
    }

    /// Whether words wait: what was said before a hand-over must leave before it.
    pub(super) fn holds_back(&self) -> bool {
        self.servers.iter().any(|one| !one.held_back.is_empty())
    }
}

/// What is kept of a server's words that were decided in time and came too late to be said.
const HELD_BACK_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_held_back_in_bounded_memory_and_a_shared_body_counts_once() {
        let flow = Flow::udp(0, "127.0.0.1:5060".parse().expect("an address"));
        let mut held = HeldBack::default();
        let shared = Bytes::from(vec![b'x'; HELD_BACK_BYTES - 20]);
        for _ in 0..2 {
            assert!(held.keep_for_phone(Moment(0), flow, &[b'h'; 10], shared.clone()));
        }
        assert!(!held.keep_for_phone(Moment(0), flow, b"h", Bytes::new()));
        assert_eq!(held.clear(), 2);
        assert!(held.is_empty());
        assert!(held.keep_for_phone(Moment(0), flow, b"h", shared));
    }

    #[test]
    fn words_that_no_transaction_waits_for_are_past() {
        let flow = Flow::udp(0, "127.0.0.1:5060".parse().expect("an address"));
        let mut held = HeldBack::default();
        let long = Moment(0).after(TRANSACTION * 2);
        assert!(!held.is_past(long), "there are none");
        held.keep_for_phone(long, flow, b"h", Bytes::new());
        held.keep_for_phone(long.after(TRANSACTION / 2), flow, b"h", Bytes::new());
        assert!(!held.is_past(long.after(TRANSACTION / 2)));
        assert!(held.is_past(long.after(TRANSACTION)));
    }
}
