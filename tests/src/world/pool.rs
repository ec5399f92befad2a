//! The processes of a simulated pool: beginning, ending, standing still, and moving clients.

use std::sync::Arc;
use std::time::Duration;

use presently::host::{Host, Legacy};
use presently_balancer::{Balancer, Domains};
use presently_pool::{Incarnation, MemberId, MemberState, Membership, Role};
use presently_presence::package::Packages;
use presently_presence::{Expires, Secrets, Server};
use presently_sip::{MacKey, Now, Protocol};
use presently_store::sqlite::Inline;
use presently_store::{Operation, Outcome};

use super::process::{Doom, Joining, Paused, Process, Seat, State};
use super::slow_store::StoreLine;
use super::{Arrangement, Journal, Ledger, World, aor};

impl World {
    /// Every process ends at once, as at `kill -9`, and begins again under the same names on the
    /// same store. What was on its way between members is lost. None waits for its former life:
    /// nobody can be there.
    pub fn restart(&mut self) {
        for process in &mut self.processes {
            process.state = State::Ended;
        }
        self.network.forget_members();
        self.excuse_wakes();
        self.start();
    }

    /// The pool loses everything: all processes end, and begin again on an empty store. What was
    /// seen of it before says nothing any more.
    ///
    /// # Panics
    ///
    /// An nlb keeps its records in that store.
    pub fn forget(&mut self) {
        assert!(self.nlb.as_ref().is_none_or(|nlb| nlb.has_own_records()));
        self.store = Inline::open_in_memory().expect("memory for a store");
        self.journal = Journal::default();
        let broken = std::mem::take(&mut self.ledger.broken);
        self.ledger = Ledger::new(self.journal.clone());
        self.ledger.broken = broken;
        for process in &mut self.processes {
            let (store, seed) = (self.store.clone(), self.random.u64(..));
            process.line = StoreLine::new(store, self.journal.clone(), seed);
            (process.doom, process.leaves_by) = (None, None);
        }
        self.restart();
    }

    /// A process ends, as at `kill -9`: its memory is gone. What the store was doing for it may
    /// be done or not.
    pub fn kill(&mut self, place: usize) {
        let process = &mut self.processes[place];
        process.state = State::Ended;
        process.line.set(self.now);
        process.line.cut_short();
        process.doom = None;
        process.leaves_by = None;
        self.network.forget_process(place);
        self.excuse_wakes();
    }

    /// Something comes over a process in the midst of its next turn that has something to do.
    pub fn doom(&mut self, place: usize, doom: Doom) {
        self.processes[place].doom = Some(doom);
    }

    /// A process that has ended begins again with empty memory: it waits until the lives of its
    /// names have left, were ended, or stood still for 1.5 s.
    pub fn begin_again(&mut self, place: usize) {
        let process = &mut self.processes[place];
        if matches!(process.state, State::Ended) {
            process.state = State::Joining(Joining {
                next_look: self.now,
                looks: 0,
                formers: Vec::new(),
            });
        }
    }

    /// A process stands still: no turns, no timers. What arrives waits, up to a bound.
    pub fn pause(&mut self, place: usize) {
        self.stop(place, None);
    }

    /// It goes on.
    pub fn resume(&mut self, place: usize) {
        let process = &mut self.processes[place];
        process.doom = None;
        let paused = match std::mem::replace(&mut process.state, State::Ended) {
            State::Paused(paused) => *paused,
            other => {
                process.state = other;
                return;
            }
        };
        process.state = State::Running(Box::new(paused.host));
        process.is_touched = true;
        if let Some(stale) = paused.stale {
            self.turn(place, stale, None);
        }
        for packet in paused.inbox {
            self.deliver(packet);
        }
    }

    /// A process is told to end: it finishes what is in flight, and leaves the pool.
    pub fn leave(&mut self, place: usize) {
        let by = self.now.after(LEAVES_WITHIN);
        let process = &mut self.processes[place];
        if process.host().is_some() {
            process.leaves_by = Some(by);
            process.is_touched = true;
        }
    }

    /// An operator empties a server, or fills it again.
    pub fn drain(&mut self, name: &str, is_draining: bool) {
        let name = name.into();
        self.ask(Operation::Drain { name, is_draining });
    }

    /// The process that a member lives in.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn home(&self, member: MemberId) -> usize {
        self.network.homes[&member]
    }

    /// How many processes the pool is to have.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Whether a process takes turns, as a member.
    #[must_use]
    pub fn is_running(&self, place: usize) -> bool {
        self.processes[place].host().is_some()
    }

    /// How often a process began.
    #[must_use]
    pub fn begun(&self, place: usize) -> u32 {
        self.processes[place].begun
    }

    /// Sets the wall clock of a process's machine forward, or back.
    pub fn step_wall(&mut self, place: usize, micros: i64) {
        self.processes[place].clock.step_wall(micros);
    }

    /// Makes the store answer at once from now on.
    pub fn hasten_store(&mut self) {
        for process in &self.processes {
            process.line.hasten();
        }
    }

    /// Moves a user to another server, and lets the members be told.
    ///
    /// # Panics
    ///
    /// The user has no server.
    pub fn reassign(&mut self, user: &str, to: MemberId) {
        assert!(self.try_reassign(user, to), "{user} is at no server");
    }

    /// Moves a user's client if a server has it in memory.
    pub fn try_reassign(&mut self, user: &str, to: MemberId) -> bool {
        let client = aor(user);
        let at = self.now;
        self.processes.iter_mut().any(|process| {
            let now = process.clock.now(at);
            let host = process.host_mut();
            let is_held = host.is_some_and(|host| host.hand_over(now, &client, Some(to)));
            // The host asks with its next turn.
            process.is_touched |= is_held;
            is_held
        })
    }

    /// Lets every server grant `expires` from now on.
    pub fn set_expires(&mut self, expires: Expires) {
        let domains = domains();
        for host in self.processes.iter_mut().filter_map(Process::host_mut) {
            host.set_terms(&domains, expires);
        }
    }

    /// What was written so far may not have been told of in time: sweeps find it.
    pub fn excuse_wakes(&mut self) {
        self.ledger.wakes.excused = self.journal.entries().documents.len();
    }

    pub(super) fn start(&mut self) {
        for place in 0..self.processes.len() {
            let formers = self.lives_of(place);
            let joined = self.join_all(place, &formers, None);
            assert!(joined, "a process did not join");
        }
        // Two beats: everybody is known to everybody.
        self.run_for(Duration::from_millis(600));
    }

    /// A start looks at who has its names, and joins when none of them moves.
    pub(super) fn look(&mut self, place: usize) {
        let again = self.now.after(LOOK_EVERY);
        let is_away = {
            let faults = self.processes[place].line.faults();
            faults.is_away || faults.is_stuck
        };
        let now = self.lives_of(place);
        let State::Joining(joining) = &mut self.processes[place].state else {
            return;
        };
        joining.next_look = again;
        if is_away {
            joining.looks = 0;
            return;
        }
        if joining.looks == 0 || now.iter().any(|one| !joining.formers.contains(one)) {
            // Somebody began or goes on under one of the names: start-up is refused, and tried
            // again by whoever watches over it.
            (joining.formers, joining.looks) = (now.clone(), 0);
        }
        joining.looks += 1;
        if now.is_empty() || joining.looks > STANDSTILL_LOOKS {
            self.join_all(place, &now, None);
        }
    }

    /// The store has ended a life of this process: it drops everything and joins anew, unless
    /// somebody else has one of its names.
    pub(super) fn join_anew(&mut self, place: usize) {
        let own = self.processes[place].lives.clone();
        let found = self.lives_of(place);
        let process = &mut self.processes[place];
        let now = process.clock.now(self.now);
        let legacy = match std::mem::replace(&mut process.state, State::Ended) {
            State::Running(host) => Some(host.end(now).1),
            _ => None,
        };
        self.kill(place);
        let is_own = |(id, incarnation, _): &(MemberId, Incarnation, u64)| {
            own.iter()
                .any(|life| (life.member, life.incarnation) == (*id, *incarnation))
        };
        let faults = self.processes[place].line.faults();
        if found.iter().all(is_own) && !faults.is_away && !faults.is_stuck {
            self.join_all(place, &found, legacy);
        } else {
            self.begin_again(place);
        }
    }

    fn lives_of(&mut self, place: usize) -> Vec<(MemberId, Incarnation, u64)> {
        let members = self.status().members;
        self.processes[place].formers(&members)
    }

    fn join_all(
        &mut self,
        place: usize,
        formers: &[(MemberId, Incarnation, u64)],
        legacy: Option<Legacy>,
    ) -> bool {
        let status = self.status();
        let process = &mut self.processes[place];
        process.begun += 1;
        process.lives.clear();
        let (now, seats) = (process.clock.now(self.now), process.seats.clone());
        process.line.set(self.now);
        let mut host = Host::new(now, Box::new(process.line.open()));
        for seat in &seats {
            let former = status.members.iter().find(|one| *one.name == *seat.name);
            let former = former.filter(|one| one.state == MemberState::Alive);
            let over = former.and_then(|former| {
                let same = formers.iter().find(|(id, ..)| *id == former.id);
                same.map(|(_, incarnation, beat)| (*incarnation, *beat))
            });
            let Some((life, key)) = self.join(seat, over) else {
                self.begin_again(place);
                return false;
            };
            self.network.homes.insert(life.member, place);
            self.network.doors.insert(seat.oob, place);
            self.ledger.key = Some(MacKey::new(key));
            let mut seed = [0; 16];
            self.random.fill(&mut seed);
            match seat.role {
                Role::Balancer => {
                    let machine = balancer(life, key, now);
                    host.add_balancer(machine, life, key);
                }
                Role::Server => {
                    self.ledger.names.insert(seat.name.clone(), life.member);
                    let secrets = Secrets { pool: key, seed };
                    let packages = Arc::new(Packages::default());
                    let mut config = presently_presence::Config::new(&seat.name, packages);
                    config.ask_after = self.ask_after;
                    host.add_server(Server::new(now, life, config, &secrets), key);
                }
            }
            self.processes[place].lives.push(life);
        }
        host.set_joined(now, now.moment);
        if let Some(legacy) = legacy {
            host.inherit(now, legacy);
        }
        let process = &mut self.processes[place];
        process.state = State::Running(Box::new(host));
        process.is_touched = true;
        true
    }

    fn join(
        &mut self,
        seat: &Seat,
        over: Option<(Incarnation, u64)>,
    ) -> Option<(Membership, [u8; 16])> {
        let mut seed = [0; 16];
        self.random.fill(&mut seed);
        let outcome = self.try_ask(Operation::Join {
            name: seat.name.as_str().into(),
            over,
            role: seat.role,
            host: "simulation".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: Some(seat.oob),
            weight: seat.weight,
            seed,
        });
        match outcome.ok()? {
            Outcome::Joined {
                membership, key, ..
            } => Some((membership, key)),
            outcome => panic!("{} did not join: {outcome:?}", seat.name),
        }
    }

    /// Takes a process out of time; `stale` is what it believes the time to be.
    pub(super) fn stop(&mut self, place: usize, stale: Option<Now>) {
        let process = &mut self.processes[place];
        process.doom = None;
        let state = std::mem::replace(&mut process.state, State::Ended);
        process.state = match state {
            State::Running(host) => State::Paused(Box::new(Paused {
                host: *host,
                since: self.now,
                stale,
                inbox: Vec::new(),
            })),
            other => other,
        };
        self.excuse_wakes();
    }

    /// A process that was told to end has finished, or has no more time.
    pub(super) fn end_leaving(&mut self, place: usize) {
        let process = &self.processes[place];
        let is_idle = process.host().is_some_and(|host| host.in_flight() == 0);
        let Some(by) = process.leaves_by else {
            return;
        };
        if !is_idle && self.now < by {
            return;
        }
        let (lives, faults) = (process.lives.clone(), process.line.faults());
        self.kill(place);
        // A store that cannot be reached is told nothing: the standing beat says it too.
        if !faults.is_away && !faults.is_stuck {
            for by in lives {
                let _ = self.try_ask(Operation::Leave { by });
            }
        }
    }
}

/// The members of a pool of one balancer and a server for each weight.
pub(super) fn seats(weights: &[u32], arrangement: Arrangement) -> Vec<Vec<Seat>> {
    let servers = (1..)
        .zip(weights)
        .map(|(place, weight)| Seat::new(&format!("s{place}"), Role::Server, *weight, place));
    let all = std::iter::once(Seat::new("b1", Role::Balancer, 1, 0)).chain(servers);
    match arrangement {
        Arrangement::Apart => all.map(|seat| vec![seat]).collect(),
        Arrangement::Together => vec![all.collect()],
    }
}

/// The members of a pool with a process for each of `roles`; balancers are b1, b2 …, servers s1,
/// s2 ….
pub(super) fn processes(roles: &[&[Role]]) -> Vec<Vec<Seat>> {
    let (mut balancers, mut servers, mut places) = (0, 0, 0..);
    let mut seat = |role: Role| {
        let name = match role {
            Role::Balancer => {
                balancers += 1;
                format!("b{balancers}")
            }
            Role::Server => {
                servers += 1;
                format!("s{servers}")
            }
        };
        Seat::new(&name, role, 1, places.next().expect("few members"))
    };
    let processes = roles.iter();
    processes
        .map(|roles| roles.iter().map(|role| seat(*role)).collect())
        .collect()
}

pub(super) fn process(seats: Vec<Seat>, world: &mut World) -> Process {
    let seed = world.random.u64(..);
    let line = StoreLine::new(world.store.clone(), world.journal.clone(), seed);
    Process {
        seats,
        clock: super::clock::Clock::default(),
        line,
        lives: Vec::new(),
        state: State::Ended,
        waker: Arc::default(),
        is_touched: false,
        doom: None,
        leaves_by: None,
        begun: 0,
    }
}

fn balancer(me: Membership, key: [u8; 16], now: Now) -> Balancer {
    let config = presently_balancer::Config {
        domains: domains(),
        listeners: vec![listener(Protocol::Udp), listener(Protocol::Tcp)],
        ..presently_balancer::Config::default()
    };
    Balancer::new(config, me, MacKey::new(key), now)
}

fn domains() -> Domains {
    Domains::Listed(vec!["example.com".into()])
}

fn listener(protocol: Protocol) -> presently_balancer::Listener {
    presently_balancer::Listener {
        protocol,
        advertised_host: "10.0.0.1".into(),
        advertised_port: 5060,
        bound: std::net::SocketAddr::from(([10, 0, 0, 1], 5060)),
    }
}

/// As the program does: a look every 250 ms, 1.5 s and one more.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const STANDSTILL_LOOKS: u32 = 7;
/// How long a process that is told to stop finishes what is in flight.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
