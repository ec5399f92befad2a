//! What a run of the checker is given: the rules in force and how much may go wrong.

/// A rule that keeps a law. A check leaves one out to see that the law then falls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    /// An answer clears `owed` only when nothing newer is due on the subscription.
    ClearWhenCaughtUp,
    /// 200 leaves after the commit.
    CommitFirst,
    /// CSeq grows with each activation, and the phone refuses a lower one.
    CseqGrows,
    /// The end of a life is a compare-and-set on (id, incarnation, beat).
    EndCompares,
    /// The store refuses a write under an old epoch or from an ended life.
    EpochChecked,
    /// To begin a life under a name that stands still is a compare-and-set on its beat.
    JoinCompares,
    /// A server that leaves is silent before it says so.
    LeaverSilent,
    /// The move of a client is a compare-and-set on (client, epoch).
    MoveCompares,
    /// A server is mute from 1.25 s after it sent its last committed beat.
    Mute,
    /// The mute deadline comes before the standstill after which a life may be ended.
    MuteFirst,
    /// The deadline counts from when the beat was sent, not from when its reply came.
    MuteFromSending,
    /// A client of a server that lives is moved by that server, whose actor is still meanwhile.
    OwnerMoves,
    /// `settled` waits for every subscription the store assigned here in the sweep's snapshot.
    SettledCoversStore,
    /// `settled` is the counter of the sweep's snapshot, not of the moment it is written.
    SettledFromSnapshot,
    /// A SUBSCRIBE sets `owed` in its own commit.
    SubscribeOwes,
    /// Resources are swept: versions in the store against memory.
    Sweep,
    /// A sweep compares the clients assigned here with the actors in memory.
    SweepCompares,
    /// What `settled` says of a client counts only if the client was there, under its present
    /// epoch, in the sweep's snapshot.
    ToldForgotten,
    /// A client's move notes, in its own transaction, what the former server had settled.
    ToldKept,
    /// A move before the new server has settled more keeps the older word.
    ToldOldest,
    /// An actor whose commit's reply was lost is dropped and read again.
    UnknownDrops,
}

impl Rule {
    pub(crate) const ALL: [Self; 21] = [
        Self::ClearWhenCaughtUp,
        Self::CommitFirst,
        Self::CseqGrows,
        Self::EndCompares,
        Self::EpochChecked,
        Self::JoinCompares,
        Self::LeaverSilent,
        Self::MoveCompares,
        Self::Mute,
        Self::MuteFirst,
        Self::MuteFromSending,
        Self::OwnerMoves,
        Self::SettledCoversStore,
        Self::SettledFromSnapshot,
        Self::SubscribeOwes,
        Self::Sweep,
        Self::SweepCompares,
        Self::ToldForgotten,
        Self::ToldKept,
        Self::ToldOldest,
        Self::UnknownDrops,
    ];
}

/// The rules in force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    without: Option<Rule>,
}

impl Rules {
    pub(crate) fn without(rule: Rule) -> Self {
        Self {
            without: Some(rule),
        }
    }

    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// How large the pool is and how much may happen to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Scope {
    pub(crate) members: usize,
    pub(crate) balancers: usize,
    /// PUBLISH requests of the presentity's phone, each repeated until it is answered 200.
    pub(crate) publishes: u8,
    pub(crate) faults: Faults,
}

/// What may still go wrong or be asked for. Lost, repeated and late wakes are free.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Faults {
    /// Balancers killed.
    pub(crate) balancers: u8,
    /// Servers killed.
    pub(crate) kills: u8,
    /// Servers paused or cut off from the store for 1.25 s.
    pub(crate) lates: u8,
    /// Servers ended in order (SIGTERM).
    pub(crate) leaves: u8,
    /// Clients moved between servers that live.
    pub(crate) moves: u8,
    /// Replies to a commit lost.
    pub(crate) replies: u8,
    /// Processes started, under the name of one that was there before.
    pub(crate) starts: u8,
    /// SUBSCRIBEs of the watcher's phone that refresh its subscription.
    pub(crate) subscribes: u8,
}
