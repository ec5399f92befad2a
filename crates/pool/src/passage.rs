//! What a balancer and a server say to each other about one SIP message.
//!
//! In memory it is this struct; over a connection it is the value of the `Presently` header, which the
//! balancer removes from everything that phones send and receive.

use std::sync::Arc;

use presently_sip::{Aor, Flow};

use crate::{ClientId, Epoch, MemberId};

/// A flow and the balancer that holds it: where a request to a phone leaves the pool.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowToken {
    /// The balancer that holds the flow.
    pub balancer: MemberId,
    /// The flow, as that balancer knows it.
    pub flow: Flow,
}

/// What the message is on the link.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// To a server: a phone's request, or a phone's response to a request of the server's.
    /// To a balancer: the server's response, or a request to leave by `flow`.
    Forward,
    /// To a balancer: a request whose sender is not its client's server; `epoch` is the newer one if known.
    HandBack,
    /// To a server: a request that was handed back once; the receiver holds it, never hands it back.
    Marked,
}

/// The envelope of one SIP message between a balancer and a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passage {
    /// What the message is on the link.
    pub kind: Kind,
    /// The client the request is routed by; absent on responses to servers and requests to phones.
    pub client: Option<(ClientId, Aor)>,
    /// The epoch the sender believes in.
    pub epoch: Epoch,
    /// The flow the message came by or is to leave by.
    pub flow: Option<FlowToken>,
    /// Host and port, with a transport parameter where it is not UDP, of the listener's advertised
    /// address: what Contact and Record-Route name (`127.0.0.1:5060;transport=tcp`).
    pub advertised: Option<Arc<str>>,
}

impl Passage {
    /// The value of the `Presently` header.
    pub fn write(&self, out: &mut String) {
        let _ = out;
        todo!()
    }

    /// Reads a header value back.
    ///
    /// # Errors
    ///
    /// The text is not what [`Passage::write`] writes.
    pub fn read(text: &str) -> Result<Self, InvalidPassage> {
        let _ = text;
        todo!()
    }
}

/// The header value is not a passage.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a pool link envelope")]
pub struct InvalidPassage;
