//! The wire format: one frame is one datagram, and carries items.
//!
//! ```text
//!  0         1      2            6              10                18              26
//! +---------+------+------------+--------------+-----------------+---------------+------ - - -
//! | version | kind | sender (4) | receiver (4) | incarnation (8) | sequence (8)  | items
//! +---------+------+------------+--------------+-----------------+---------------+------ - - -
//!                                             - - - to the end, and then the MAC (8) of all before
//!
//! an item is one byte of kind, then:
//!  1 wake       package length (1) · client length (2) · version (8) · package · address of record
//!  2 heartbeat  oldest kept (8) · last sent (8) · clients (8)
//!  3 repair     incarnation asked (8) · first (8) · last (8)
//!  4 moved      client length (2) · server (4) · epoch (8) · address of record
//!  5 flow gone  client (8) · flow token without MAC
//!  6 its acknowledgement, alike
//! ```
//!
//! Integers are big-endian, texts UTF-8. Reading allocates nothing, never panics, and reads only
//! what writing writes.

use std::ops::Range;

use presently_pool::{ClientId, Epoch, FlowToken, Incarnation, MemberId, Membership, Version};
use presently_sip::MacKey;

/// What every frame says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What its items are, and which count its sequence belongs to.
    pub kind: FrameKind,
    /// Who sent it, in which life.
    pub sender: Membership,
    /// For whom it is, in whichever life.
    pub receiver: MemberId,
    /// Its place among the frames of this kind on the way from `sender` to `receiver`, from 1.
    pub sequence: u64,
}

/// Whether a frame is missed when it is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameKind {
    /// A heartbeat, then repair requests: neither kept nor sent again.
    Control,
    /// Wakes and what else must arrive: kept for repair.
    Signals,
}

/// One thing that a member tells another. Borrowed from the datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item<'a> {
    /// A flow of a client is gone; repeated until it is acknowledged.
    FlowGone(ClientId, FlowToken),
    /// The client's server has taken note.
    FlowGoneAcknowledged(ClientId, FlowToken),
    /// The sender lives, and what it has sent.
    Heartbeat {
        /// The oldest signals frame that can still be repaired; one above `last` when none can.
        oldest: u64,
        /// The sequence of the last signals frame sent; 0 before the first.
        last: u64,
        /// How many clients are assigned to the sender.
        clients: u64,
    },
    /// A client has another distinguished server.
    Moved {
        /// The client, as [`presently_sip::Aor::as_str`] spells it.
        client: &'a str,
        /// Its server now.
        server: MemberId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Signals frames of the receiver's that have not arrived: to be sent again.
    Repair {
        /// The receiver's incarnation that sent them.
        incarnation: Incarnation,
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
    },
    /// A resource has reached a version.
    Wake {
        /// Who it is about, as [`presently_sip::Aor::as_str`] spells it.
        aor: &'a str,
        /// In which event package.
        package: &'a str,
        /// How far it has come.
        version: Version,
    },
}

/// A datagram that the holder of the pool's key made.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    header: Header,
    items: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads and authenticates a datagram; its items are read as they are asked for.
    ///
    /// # Errors
    ///
    /// Says why it is dropped.
    pub fn open(datagram: &'a [u8], key: &MacKey) -> Result<Self, FrameError> {
        if datagram.len() > DATAGRAM_MAX {
            return Err(FrameError::Length);
        }
        let (signed, mac) = datagram.split_last_chunk().ok_or(FrameError::Length)?;
        let (&[version, kind], rest) = signed.split_first_chunk().ok_or(FrameError::Length)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let (header, items) = Header::read(kind, rest)?;
        if key.mac64(&[signed]) != u64::from_be_bytes(*mac) {
            return Err(FrameError::Forged);
        }
        Ok(Self { header, items })
    }

    /// What the frame says of itself.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Its items in order. After an error there are none.
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        Items(self.items)
    }
}

/// The items of a frame, read one by one from the datagram.
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, ItemError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = Item::read(self.0).map(|(item, rest)| {
            self.0 = rest;
            item
        });
        if item.is_err() {
            self.0 = &[];
        }
        Some(item)
    }
}

impl Header {
    fn read(kind: u8, bytes: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let kind = match kind {
            KIND_CONTROL => FrameKind::Control,
            KIND_SIGNALS => FrameKind::Signals,
            unknown => return Err(FrameError::Kind(unknown)),
        };
        let mut reader = Reader(bytes);
        let mut fields = || Some((reader.u32()?, reader.u32()?, reader.u64()?, reader.u64()?));
        let (member, receiver, incarnation, sequence) = fields().ok_or(FrameError::Length)?;
        if sequence == 0 || sequence > SEQUENCE_MAX {
            return Err(FrameError::Sequence);
        }
        let header = Self {
            kind,
            sender: Membership {
                member: MemberId(member),
                incarnation: Incarnation(incarnation),
            },
            receiver: MemberId(receiver),
            sequence,
        };
        Ok((header, reader.0))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            FrameKind::Control => KIND_CONTROL,
            FrameKind::Signals => KIND_SIGNALS,
        };
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.sender.member.0.to_be_bytes());
        out.extend_from_slice(&self.receiver.0.to_be_bytes());
        out.extend_from_slice(&self.sender.incarnation.0.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
    }
}

impl<'a> Item<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ItemError> {
        let (&kind, rest) = bytes.split_first().ok_or(ItemError::Length)?;
        let mut reader = Reader(rest);
        let item = match kind {
            ITEM_FLOW_GONE => reader.flow().map(|(c, token)| Self::FlowGone(c, token)),
            ITEM_FLOW_GONE_ACKNOWLEDGED => reader
                .flow()
                .map(|(c, token)| Self::FlowGoneAcknowledged(c, token)),
            ITEM_HEARTBEAT => reader.heartbeat(),
            ITEM_MOVED => return reader.moved().map(|item| (item, reader.0)),
            ITEM_REPAIR => reader.repair(),
            ITEM_WAKE => return reader.wake().map(|item| (item, reader.0)),
            unknown => return Err(ItemError::Kind(unknown)),
        };
        Ok((item.ok_or(ItemError::Length)?, reader.0))
    }

    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        match *self {
            Self::FlowGone(client, token) => write_flow(ITEM_FLOW_GONE, client, &token, out),
            Self::FlowGoneAcknowledged(client, token) => {
                write_flow(ITEM_FLOW_GONE_ACKNOWLEDGED, client, &token, out);
            }
            Self::Heartbeat {
                oldest,
                last,
                clients,
            } => write_numbers(ITEM_HEARTBEAT, [oldest, last, clients], out),
            Self::Moved {
                client,
                server,
                epoch,
            } => {
                out.push(ITEM_MOVED);
                out.extend_from_slice(&u16::try_from(client.len()).ok()?.to_be_bytes());
                out.extend_from_slice(&server.0.to_be_bytes());
                out.extend_from_slice(&epoch.0.to_be_bytes());
                out.extend_from_slice(client.as_bytes());
            }
            Self::Repair {
                incarnation,
                first,
                last,
            } => write_numbers(ITEM_REPAIR, [incarnation.0, first, last], out),
            Self::Wake {
                aor,
                package,
                version,
            } => {
                out.extend_from_slice(&[ITEM_WAKE, u8::try_from(package.len()).ok()?]);
                out.extend_from_slice(&u16::try_from(aor.len()).ok()?.to_be_bytes());
                out.extend_from_slice(&version.0.to_be_bytes());
                out.extend_from_slice(package.as_bytes());
                out.extend_from_slice(aor.as_bytes());
            }
        }
        Some(())
    }
}

fn write_flow(kind: u8, client: ClientId, token: &FlowToken, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&client.0.to_be_bytes());
    token.write_bytes(out);
}

fn write_numbers(kind: u8, numbers: [u64; 3], out: &mut Vec<u8>) {
    out.push(kind);
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Writes frames one behind the other into a turn's bytes.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    key: &'a MacKey,
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame at the end of `out`.
    #[must_use]
    pub fn begin(key: &'a MacKey, header: &Header, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        header.write(out);
        Self { key, out, start }
    }

    /// Adds an item; `false` and nothing written when it does not fit any more.
    #[must_use]
    pub fn push(&mut self, item: &Item<'_>) -> bool {
        let before = self.out.len();
        let written = item.write(self.out).is_some();
        let fits = self.out.len() - self.start + MAC_BYTES <= DATAGRAM_MAX;
        if !(written && fits) {
            self.out.truncate(before);
        }
        written && fits
    }

    /// Signs the frame with `items` as they are: for frames that no member would write.
    pub(crate) fn seal_raw(self, items: &[u8]) -> Range<usize> {
        self.out.extend_from_slice(items);
        self.seal()
    }

    /// Signs the frame; where it lies in `out`.
    pub fn seal(self) -> Range<usize> {
        let signed = self.out.get(self.start..).unwrap_or_default();
        let mac = self.key.mac64(&[signed]);
        self.out.extend_from_slice(&mac.to_be_bytes());
        self.start..self.out.len()
    }
}

/// Why a datagram is no frame of this pool: it is dropped and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Altered on the way, or made without the pool's key: another pool's look the same.
    #[error("the MAC is not of this pool")]
    Forged,
    /// No kind of frame.
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    /// Shorter than a header, or longer than a frame may be.
    #[error("wrong length")]
    Length,
    /// A sequence that no link reaches.
    #[error("impossible sequence")]
    Sequence,
    /// Of another release.
    #[error("unknown version {0}")]
    Version(u8),
}

/// Why an authentic frame cannot be read: a member of another release, or a defect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// No kind of item.
    #[error("unknown kind of item {0}")]
    Kind(u8),
    /// An item is cut off, or a number in it cannot be.
    #[error("an item is cut off")]
    Length,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, ItemError> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(ItemError::Length)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| ItemError::Text)
    }

    fn flow(&mut self) -> Option<(ClientId, FlowToken)> {
        let client = ClientId(self.u64()?);
        let (token, rest) = FlowToken::read_bytes(self.0)?;
        self.0 = rest;
        Some((client, token))
    }

    fn heartbeat(&mut self) -> Option<Item<'a>> {
        let (oldest, last, clients) = (self.u64()?, self.u64()?, self.u64()?);
        // Frames count from 1, and the oldest is at most the next.
        let fits = last <= SEQUENCE_MAX && oldest > 0 && oldest - 1 <= last;
        fits.then_some(Item::Heartbeat {
            oldest,
            last,
            clients,
        })
    }

    fn repair(&mut self) -> Option<Item<'a>> {
        let incarnation = Incarnation(self.u64()?);
        let (first, last) = (self.u64()?, self.u64()?);
        (first <= last).then_some(Item::Repair {
            incarnation,
            first,
            last,
        })
    }

    fn moved(&mut self) -> Result<Item<'a>, ItemError> {
        let mut numbers = || Some((self.u16()?, self.u32()?, self.u64()?));
        let (length, server, epoch) = numbers().ok_or(ItemError::Length)?;
        Ok(Item::Moved {
            client: self.text(usize::from(length))?,
            server: MemberId(server),
            epoch: Epoch(epoch),
        })
    }

    fn wake(&mut self) -> Result<Item<'a>, ItemError> {
        let mut numbers = || Some((self.take::<1>()?, self.u16()?, self.u64()?));
        let ([package], aor, version) = numbers().ok_or(ItemError::Length)?;
        Ok(Item::Wake {
            package: self.text(usize::from(package))?,
            aor: self.text(usize::from(aor))?,
            version: Version(version),
        })
    }
}

/// The longest datagram, so that no path of ours fragments it.
pub const DATAGRAM_MAX: usize = 1_200;

/// Beyond any link's life, and far from where counting would overflow.
const SEQUENCE_MAX: u64 = 1 << 62;
/// The MAC is over one part of at least a header's length; the pool's other MACs begin with a label
/// that is shorter, so that none can be taken for another's.
const MAC_BYTES: usize = 8;
const VERSION: u8 = 1;

const KIND_CONTROL: u8 = 1;
const KIND_SIGNALS: u8 = 2;

const ITEM_WAKE: u8 = 1;
const ITEM_HEARTBEAT: u8 = 2;
const ITEM_REPAIR: u8 = 3;
const ITEM_MOVED: u8 = 4;
const ITEM_FLOW_GONE: u8 = 5;
const ITEM_FLOW_GONE_ACKNOWLEDGED: u8 = 6;

#[cfg(test)]
mod tests;
