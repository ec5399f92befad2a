//! What went out of band, decoded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use presently_oob::{Frame, FrameKind, Header, Item};
use presently_pool::{Incarnation, MemberId, Membership, PackageName, ResourceId, Version};
use presently_sip::{Aor, MacKey, Moment};

use super::journal::{Entries, Journal};

/// All frames with signals, each once: one that is sent again is the same frame.
#[derive(Debug, Default)]
pub struct Wakes {
    /// In order.
    pub frames: Vec<Signals>,
    /// Heartbeats and repair requests.
    pub controls: u64,
    /// Frames sent again because their receiver asked.
    pub repairs: u64,
    /// Documents, in the journal's order, whose wakes may have died with their process: sweeps find
    /// them.
    pub(super) excused: usize,
    /// Sender, receiver, which life of it, and sequence: a new life is a new link.
    seen: BTreeSet<(Membership, MemberId, Option<Incarnation>, u64)>,
    /// The same, as it was sent.
    bytes: BTreeSet<Bytes>,
    /// What was asked for again: by whom, of whom, from which frame to which.
    asked: BTreeSet<(Membership, Membership, u64, u64)>,
    /// Law 6: who was told of which version of what, by versions.
    told: BTreeMap<(ResourceId, MemberId), BTreeSet<Version>>,
}

/// One frame with signals.
#[derive(Clone, Debug)]
pub struct Signals {
    /// When it was sent first.
    pub at: Moment,
    /// By whom.
    pub from: MemberId,
    /// To whom.
    pub to: MemberId,
    /// What it says of resources.
    pub wakes: Vec<(ResourceId, Version)>,
    /// Clients that it says have moved, and where to.
    pub moved: Vec<(Aor, MemberId)>,
}

impl Wakes {
    /// All items that told of a resource: when, from whom, to whom, and which version.
    #[must_use]
    pub fn about(&self, resource: &ResourceId) -> Vec<(MemberId, MemberId, Version)> {
        let mut items = Vec::new();
        for frame in &self.frames {
            let of = frame.wakes.iter().filter(|(about, _)| about == resource);
            items.extend(of.map(|(_, version)| (frame.from, frame.to, *version)));
        }
        items
    }

    /// Law 6, the other half: every server with a watcher was told of each version, or of a later
    /// one.
    #[must_use]
    pub fn untold(&self, entries: &Entries) -> Vec<String> {
        let mut broken = Vec::new();
        for document in entries.documents.iter().skip(self.excused) {
            let others = document
                .servers
                .iter()
                .filter(|server| **server != document.by);
            for server in others {
                let told = self.told.get(&(document.resource.clone(), *server));
                let is_told = told
                    .and_then(BTreeSet::last)
                    .is_some_and(|last| *last >= document.version);
                if !is_told {
                    let (resource, version) = (&document.resource, document.version);
                    broken.push(format!(
                        "law 6: {server:?} was not told {resource:?} {version:?}"
                    ));
                }
            }
        }
        broken
    }

    pub(super) fn note(
        &mut self,
        now: Moment,
        bytes: &[u8],
        key: &MacKey,
        journal: &Journal,
        broken: &mut Vec<String>,
    ) {
        let Ok(frame) = Frame::open(bytes, key) else {
            broken.push("an out-of-band datagram cannot be read".to_owned());
            return;
        };
        let header = frame.header();
        if header.kind == FrameKind::Control {
            self.controls += 1;
            self.hear_asking(&frame);
            return;
        }
        let life = journal.entries().lives.get(&header.receiver).copied();
        let name = (header.sender, header.receiver, life, header.sequence);
        let is_same = !self.bytes.insert(Bytes::copy_from_slice(bytes));
        let is_repair = is_same && self.is_asked(&header);
        if !self.seen.insert(name) || is_repair {
            self.repairs += 1;
            return;
        }
        let mut signals = Signals {
            at: now,
            from: header.sender.member,
            to: header.receiver,
            wakes: Vec::new(),
            moved: Vec::new(),
        };
        for item in frame.items().flatten() {
            match item {
                Item::Wake {
                    aor,
                    package,
                    version,
                } => {
                    let resource = ResourceId {
                        aor: Aor::from_canonical(aor),
                        package: PackageName::new(package),
                    };
                    signals.wakes.push((resource, version));
                }
                Item::Moved { client, server, .. } => {
                    signals.moved.push((Aor::from_canonical(client), server));
                }
                _ => {}
            }
        }
        self.check(&signals, &journal.entries(), broken);
        self.frames.push(signals);
    }

    fn hear_asking(&mut self, frame: &Frame<'_>) {
        let by = frame.header().sender;
        for item in frame.items().flatten() {
            if let Item::Repair {
                incarnation,
                first,
                last,
            } = item
            {
                let of = Membership {
                    member: frame.header().receiver,
                    incarnation,
                };
                self.asked.insert((by, of, first, last));
            }
        }
    }

    /// Whether its receiver has asked for a frame: in its present life, because a late heartbeat
    /// from before its time showed it a gap, or in a former one, whose sender stood still since.
    fn is_asked(&self, header: &Header) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|(by, of, first, last)| {
            let is_by = by.member == header.receiver;
            is_by && *of == header.sender && (*first..=*last).contains(&header.sequence)
        })
    }

    /// Law 6: one item for each (change, server), and none for a server without a watcher (R18).
    fn check(&mut self, signals: &Signals, entries: &Entries, broken: &mut Vec<String>) {
        let to = signals.to;
        for (resource, version) in &signals.wakes {
            let told = self.told.entry((resource.clone(), to)).or_default();
            if !told.insert(*version) {
                broken.push(format!(
                    "law 6: {to:?} was told {resource:?} {version:?} twice"
                ));
            }
            let mut written = entries.documents.iter().rev();
            let written = written.find(|document| document.version == *version);
            match written {
                None => broken.push(format!("law 2: a wake for {resource:?} before its commit")),
                Some(document) if !document.servers.contains(&to) => {
                    broken.push(format!("law 6: {to:?} has no watcher of {resource:?}"));
                }
                Some(_) => {}
            }
        }
    }
}
