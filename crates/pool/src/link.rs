//! How the connection between a balancer and a server opens: both show that they hold the pool's
//! key.
//!
//! ```text
//!   opener                                                        acceptor
//!      │ hello: "presently link", version, member, incarnation, nonce │
//!      │ ────────────────────────────────────────────────────────────►│
//!      │ hello of the acceptor, proof                                 │
//!      │ ◄────────────────────────────────────────────────────────────│
//!      │ proof                                                        │
//!      │ ────────────────────────────────────────────────────────────►│
//!      │ ◄──── SIP messages, framed by Content-Length, both ways ────►│
//!
//!   hello, 43 bytes:  magic (14) · version (1) · member (4) · incarnation (8) · nonce (16)
//!   proof,  8 bytes:  MAC over the side, the prover's hello and the verifier's hello
//! ```
//!
//! Integers are big-endian. Anything else closes the connection: there is nothing to answer a
//! stranger. A proof holds for one side of one pair of nonces, so a recorded one, or one's own sent
//! back, is worth nothing. What follows on the connection is neither encrypted nor authenticated.

use presently_sip::MacKey;

use crate::{Incarnation, MemberId, Membership};

/// One side of the opening of a link, from the first byte to the last proof. Owns no socket: bytes
/// in, bytes out.
#[derive(Debug)]
pub struct Handshake {
    key: MacKey,
    side: Side,
    expected: Option<MemberId>,
    own_hello: [u8; HELLO_BYTES],
    received: Vec<u8>,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkProgress {
    /// The far end has shown that it is `peer`; the bytes after the first `taken` of those just
    /// given are SIP.
    Established {
        /// Who is at the far end. Whether that incarnation still stands is the store's to say.
        peer: Membership,
        /// How many of the bytes just given were the handshake's.
        taken: usize,
    },
    /// More bytes are needed.
    Waiting,
}

/// Why the connection must be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkRefused {
    /// Another member answered than the one that was called, or it calls itself what we are.
    #[error("the far end is member {0:?}, which is not expected here")]
    Member(MemberId),
    /// The far end does not hold the pool's key, or repeats what another said.
    #[error("the far end cannot prove that it is of this pool")]
    Proof,
    /// The bytes are no hello of a link.
    #[error("the far end does not speak the pool's link protocol")]
    Stranger,
    /// The far end is another release.
    #[error("the far end speaks version {0} of the link protocol")]
    Version(u8),
}

impl Handshake {
    /// The side that connected, to `expected`; its hello is appended to `out`. `nonce` must be
    /// random and never used again.
    #[must_use]
    pub fn open(
        own: Membership,
        expected: MemberId,
        key: MacKey,
        nonce: [u8; 16],
        out: &mut Vec<u8>,
    ) -> Self {
        let handshake = Self::new(Side::Opener, own, Some(expected), key, nonce);
        out.extend_from_slice(&handshake.own_hello);
        handshake
    }

    /// The side that was connected to: it says nothing until the far end has said its hello.
    #[must_use]
    pub fn accept(own: Membership, key: MacKey, nonce: [u8; 16]) -> Self {
        Self::new(Side::Acceptor, own, None, key, nonce)
    }

    /// Takes what was received and appends what is to be sent. After `Established` or a refusal it
    /// is not called again.
    ///
    /// # Errors
    ///
    /// The far end is not who may be there; the connection is to be closed, whatever is in `out`.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<LinkProgress, LinkRefused> {
        let mut rest = bytes;
        if self.received.len() < HELLO_BYTES {
            self.take(&mut rest, HELLO_BYTES);
            // What is there is checked at once: a stranger need not send a whole hello to be seen.
            self.check_opening()?;
            if self.received.len() < HELLO_BYTES {
                return Ok(LinkProgress::Waiting);
            }
            self.on_hello(out)?;
        }
        self.take(&mut rest, HELLO_BYTES + PROOF_BYTES);
        if self.received.len() < HELLO_BYTES + PROOF_BYTES {
            return Ok(LinkProgress::Waiting);
        }
        let peer = self.on_proof(out)?;
        let taken = bytes.len() - rest.len();
        Ok(LinkProgress::Established { peer, taken })
    }

    fn new(
        side: Side,
        own: Membership,
        expected: Option<MemberId>,
        key: MacKey,
        nonce: [u8; 16],
    ) -> Self {
        Self {
            key,
            side,
            expected,
            own_hello: hello(own, nonce),
            received: Vec::with_capacity(HELLO_BYTES + PROOF_BYTES),
        }
    }

    /// Moves bytes from `rest` until `whole` have been received in all.
    fn take(&mut self, rest: &mut &[u8], whole: usize) {
        let wanted = whole.saturating_sub(self.received.len()).min(rest.len());
        let (taken, after) = rest.split_at(wanted);
        self.received.extend_from_slice(taken);
        *rest = after;
    }

    fn check_opening(&self) -> Result<(), LinkRefused> {
        let known = self.received.len().min(MAGIC.len());
        if self.received.get(..known) != MAGIC.get(..known) {
            return Err(LinkRefused::Stranger);
        }
        match self.received.get(MAGIC.len()) {
            Some(&version) if version != VERSION => Err(LinkRefused::Version(version)),
            _ => Ok(()),
        }
    }

    fn on_hello(&self, out: &mut Vec<u8>) -> Result<(), LinkRefused> {
        let peer = self.peer().ok_or(LinkRefused::Stranger)?;
        let own = membership(&self.own_hello).ok_or(LinkRefused::Stranger)?;
        // Nobody has a link to itself: this is our own hello sent back, or a second life of our
        // name.
        let is_expected = self.expected.is_none_or(|expected| expected == peer.member);
        if peer.member == own.member || !is_expected {
            return Err(LinkRefused::Member(peer.member));
        }
        if self.side == Side::Acceptor {
            out.extend_from_slice(&self.own_hello);
            out.extend_from_slice(&self.own_proof());
        }
        Ok(())
    }

    fn on_proof(&self, out: &mut Vec<u8>) -> Result<Membership, LinkRefused> {
        let (hello, proof) = self
            .received
            .split_first_chunk::<HELLO_BYTES>()
            .ok_or(LinkRefused::Proof)?;
        if proof != self.proof(self.side.other(), hello, &self.own_hello) {
            return Err(LinkRefused::Proof);
        }
        if self.side == Side::Opener {
            out.extend_from_slice(&self.own_proof());
        }
        membership(hello).ok_or(LinkRefused::Stranger)
    }

    fn own_proof(&self) -> [u8; PROOF_BYTES] {
        let peer = self.received.get(..HELLO_BYTES).unwrap_or_default();
        self.proof(self.side, &self.own_hello, peer)
    }

    fn proof(&self, side: Side, prover: &[u8], verifier: &[u8]) -> [u8; PROOF_BYTES] {
        self.key
            .mac64(&[side.label(), prover, verifier])
            .to_be_bytes()
    }

    fn peer(&self) -> Option<Membership> {
        membership(self.received.first_chunk()?)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Acceptor,
    Opener,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Acceptor => Self::Opener,
            Self::Opener => Self::Acceptor,
        }
    }

    /// Keeps the proof of one side from being taken for the other's, or for another MAC of the
    /// pool.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Acceptor => b"link acceptor",
            Self::Opener => b"link opener",
        }
    }
}

fn hello(own: Membership, nonce: [u8; 16]) -> [u8; HELLO_BYTES] {
    let mut bytes = [0; HELLO_BYTES];
    let member = own.member.0.to_be_bytes();
    let incarnation = own.incarnation.0.to_be_bytes();
    let parts = MAGIC
        .iter()
        .chain(&[VERSION])
        .chain(&member)
        .chain(&incarnation)
        .chain(&nonce);
    for (place, byte) in bytes.iter_mut().zip(parts) {
        *place = *byte;
    }
    bytes
}

fn membership(hello: &[u8; HELLO_BYTES]) -> Option<Membership> {
    let rest = hello.get(MAGIC.len() + 1..)?;
    let (member, rest) = rest.split_first_chunk()?;
    Some(Membership {
        member: MemberId(u32::from_be_bytes(*member)),
        incarnation: Incarnation(u64::from_be_bytes(*rest.first_chunk()?)),
    })
}

const MAGIC: &[u8; 14] = b"presently link";
const VERSION: u8 = 1;
const HELLO_BYTES: usize = MAGIC.len() + 1 + 4 + 8 + 16;
const PROOF_BYTES: usize = 8;

#[cfg(test)]
mod tests;
