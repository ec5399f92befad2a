//! The lease in fine time: one server's beats, a store that may stand still, and somebody who
//! looks: a balancer that would end the server's life, or a process that would join over its name.
//!
//! Time goes in beats of 250 ms, one for all clocks: they do not drift. A process that is neither
//! paused nor kept waiting by the store commits one beat in each.

use stateright::{Model, Property};

use crate::rules::{Rule, Rules};

/// A server under somebody's eye.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) rules: Rules,
    /// How often the looker's own beat must commit while the other stands still.
    pub(crate) own_beats: u8,
    pub(crate) faults: Faults,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Faults {
    pub(crate) kills: u8,
    /// Pauses of either process, each as long as it likes.
    pub(crate) pauses: u8,
    /// Times in which the store commits nothing.
    pub(crate) stalls: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    is_stalled: bool,
    /// The life that the server was given.
    is_alive: bool,
    server: Server,
    looker: Looker,
    faults: Faults,
    /// The server was paused or killed: its life may be ended.
    is_hurt: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Server {
    is_up: bool,
    is_paused: bool,
    /// Since the last beat it knows to be committed was sent.
    age: u8,
    beat: Option<Beat>,
    /// A beat was committed in this beat of time.
    has_beaten: bool,
}

/// A beat of the server's on its way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Beat {
    age: u8,
    /// What the store said, once it did.
    is_accepted: Option<bool>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Looker {
    is_paused: bool,
    /// Since it first saw the beat that it last saw.
    still: u8,
    /// Its own commits since then.
    own: u8,
    /// Whether the beat it last saw is the one in the store.
    is_current: bool,
    beat: Option<Look>,
    has_beaten: bool,
    /// The end of the life on its way to the store; whether what it compares is unchanged.
    ending: Option<bool>,
}

/// A beat of the looker's on its way, which brings the table of members back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Look {
    Asked,
    Read { is_same: bool, is_current: bool },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    CommitBeat,
    CommitEnd,
    CommitLook,
    DecideEnd,
    HearBeat,
    HearLook,
    Kill,
    LoseBeat,
    PauseLooker,
    PauseServer,
    ResumeLooker,
    ResumeServer,
    SendBeat,
    SendLook,
    Stall,
    Tick,
    Unstall,
}

impl Model for Lease {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            is_stalled: false,
            is_alive: true,
            server: Server {
                is_up: true,
                is_paused: false,
                age: 0,
                beat: None,
                has_beaten: true,
            },
            looker: Looker {
                is_paused: false,
                still: 0,
                own: 0,
                is_current: true,
                beat: None,
                has_beaten: true,
                ending: None,
            },
            faults: self.faults,
            is_hurt: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        of_server(state, actions);
        self.of_looker(state, actions);
        if state.is_stalled {
            actions.push(Action::Unstall);
        } else if state.faults.stalls > 0 {
            actions.push(Action::Stall);
        }
        if state.is_stalled || (state.server.is_done() && state.looker.is_done()) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        self.perform(&mut next, action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SILENT, |lease: &Self, state: &State| {
                let server = &state.server;
                let is_mute = server.age >= mute(lease.rules);
                state.is_alive || is_mute || server.is_paused || !server.is_up
            }),
            Property::always(HEALTHY, |_, state: &State| state.is_alive || state.is_hurt),
            Property::sometimes(FOUND, |_, state: &State| {
                !state.is_alive && !state.server.is_up
            }),
            Property::sometimes(BACK, |_, state: &State| {
                !state.is_alive && state.server.is_up && !state.server.is_paused
            }),
        ]
    }
}

impl Lease {
    fn of_looker(&self, state: &State, actions: &mut Vec<Action>) {
        let looker = &state.looker;
        if !state.is_stalled {
            if looker.beat == Some(Look::Asked) {
                actions.push(Action::CommitLook);
            }
            if looker.ending.is_some() {
                actions.push(Action::CommitEnd);
            }
        }
        if looker.is_paused {
            actions.push(Action::ResumeLooker);
            return;
        }
        if state.faults.pauses > 0 {
            actions.push(Action::PauseLooker);
        }
        match looker.beat {
            None if !looker.has_beaten => actions.push(Action::SendLook),
            None | Some(Look::Asked) => {}
            Some(Look::Read { .. }) => actions.push(Action::HearLook),
        }
        let has_seen = looker.still >= STILL && looker.own >= self.own_beats;
        if has_seen && looker.ending.is_none() && state.is_alive {
            actions.push(Action::DecideEnd);
        }
    }

    fn perform(&self, state: &mut State, action: Action) {
        let State { server, looker, .. } = state;
        match action {
            Action::CommitBeat => state.commit_beat(),
            Action::CommitEnd => {
                let is_same = looker.ending.take() == Some(true);
                if is_same || !self.rules.keep(Rule::EndCompares) {
                    state.is_alive = false;
                }
            }
            Action::CommitLook => {
                let is_same = looker.is_current;
                let is_current = true;
                looker.beat = Some(Look::Read {
                    is_same,
                    is_current,
                });
                looker.has_beaten = true;
            }
            Action::DecideEnd => looker.ending = Some(looker.is_current),
            Action::HearBeat => server.hear(self.rules),
            Action::HearLook => looker.hear(self.own_beats),
            Action::Kill => {
                state.faults.kills -= 1;
                state.is_hurt = true;
                server.is_up = false;
                server.beat = None;
            }
            Action::LoseBeat => server.beat = None,
            Action::PauseLooker => {
                state.faults.pauses -= 1;
                looker.is_paused = true;
            }
            Action::PauseServer => {
                state.faults.pauses -= 1;
                state.is_hurt = true;
                server.is_paused = true;
            }
            Action::ResumeLooker => looker.is_paused = false,
            Action::ResumeServer => server.is_paused = false,
            Action::SendBeat => {
                server.beat = Some(Beat {
                    age: 0,
                    is_accepted: None,
                });
            }
            Action::SendLook => looker.beat = Some(Look::Asked),
            Action::Stall => {
                state.faults.stalls -= 1;
                state.is_stalled = true;
            }
            Action::Tick => state.tick(self.rules),
            Action::Unstall => state.is_stalled = false,
        }
    }
}

fn of_server(state: &State, actions: &mut Vec<Action>) {
    let server = &state.server;
    if !server.is_up {
        return;
    }
    let is_asked = |beat: Beat| beat.is_accepted.is_none();
    if !state.is_stalled && server.beat.is_some_and(is_asked) {
        actions.push(Action::CommitBeat);
    }
    if state.faults.kills > 0 {
        actions.push(Action::Kill);
    }
    if server.is_paused {
        actions.push(Action::ResumeServer);
        return;
    }
    if state.faults.pauses > 0 {
        actions.push(Action::PauseServer);
    }
    match server.beat {
        None if !server.has_beaten => actions.push(Action::SendBeat),
        None => {}
        Some(beat) => {
            if !is_asked(beat) {
                actions.push(Action::HearBeat);
            }
            // Its outcome is unknown; the next beat says more.
            actions.push(Action::LoseBeat);
        }
    }
}

impl State {
    fn commit_beat(&mut self) {
        let is_alive = self.is_alive;
        if let Some(beat) = &mut self.server.beat {
            beat.is_accepted = Some(is_alive);
        }
        self.server.has_beaten = true;
        if !is_alive {
            return;
        }
        let looker = &mut self.looker;
        looker.is_current = false;
        looker.ending = looker.ending.map(|_| false);
        if let Some(Look::Read { is_current, .. }) = &mut looker.beat {
            *is_current = false;
        }
    }

    fn tick(&mut self, rules: Rules) {
        let server = &mut self.server;
        let mute = mute(rules);
        server.age = (server.age + 1).min(mute);
        if let Some(beat) = &mut server.beat {
            beat.age = (beat.age + 1).min(mute);
        }
        server.has_beaten = false;
        self.looker.still = (self.looker.still + 1).min(STILL);
        self.looker.has_beaten = false;
    }
}

impl Server {
    /// Whether time may go on: it does what is due in each beat of time, if it can.
    fn is_done(&self) -> bool {
        self.has_beaten || self.is_paused || !self.is_up
    }

    fn hear(&mut self, rules: Rules) {
        let Some(beat) = self.beat.take() else {
            return;
        };
        if beat.is_accepted == Some(false) {
            // Fenced: it drops all, and joins anew if it likes.
            self.is_up = false;
        } else if rules.keep(Rule::MuteFromSending) {
            self.age = beat.age;
        } else {
            self.age = 0;
        }
    }
}

impl Looker {
    fn is_done(&self) -> bool {
        self.has_beaten || self.is_paused
    }

    fn hear(&mut self, own_beats: u8) {
        let Some(Look::Read {
            is_same,
            is_current,
        }) = self.beat.take()
        else {
            return;
        };
        if is_same {
            self.own = (self.own + 1).min(own_beats);
        } else {
            self.still = 0;
            self.own = 0;
            self.is_current = is_current;
        }
    }
}

/// From which age of its last committed beat a server is mute.
fn mute(rules: Rules) -> u8 {
    if rules.keep(Rule::MuteFirst) {
        MUTE
    } else {
        STILL + 1
    }
}

/// 1.25 s in beats.
const MUTE: u8 = 5;
/// 1.5 s in beats.
const STILL: u8 = 6;
/// What a balancer asks of itself.
pub(crate) const OWN_BEATS: u8 = 4;

pub(crate) const SILENT: &str = "whose life was ended is mute";
pub(crate) const HEALTHY: &str = "a store that stands still ends no life";
pub(crate) const FOUND: &str = "the life of a dead server is ended";
pub(crate) const BACK: &str = "a server comes back after its life was ended";
