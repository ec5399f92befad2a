//! What a presence document says about a user and each of its devices (PIDF, RFC 3863 §4), read
//! strictly: the presence server is trusted to answer, not to send small and sound documents.

mod sent;
mod timestamp;

use presently_sip::{Uri, WallTime};
use roxmltree::{Document, Node, ParsingOptions};

pub use sent::{Sent, ServerClock};
use timestamp::read_timestamp;

/// A presence document, as far as it matters here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Presence {
    /// Its tuples, in their order.
    pub tuples: Vec<Tuple>,
}

/// One tuple: commonly one device (RFC 3863 §4.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tuple {
    /// Its id.
    pub id: Box<str>,
    /// Its contact address, as written.
    pub contact: Option<Box<str>>,
    /// What it says.
    pub state: State,
    /// When that became so, by the clock of whoever wrote it.
    pub timestamp: Option<WallTime>,
}

/// Whether a user or a device can be reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// It cannot.
    Closed,
    /// It can.
    Open,
    /// The document does not say.
    Unknown,
}

impl Presence {
    /// Reads the body of a NOTIFY. `None` when it is not a presence document, or is larger than
    /// any that a server here sends.
    pub fn read(body: &[u8]) -> Option<Self> {
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // Before the parser, which spends the square of a tag's attributes and of the namespaces.
        if !is_cheap(text) {
            return None;
        }
        let options = ParsingOptions {
            allow_dtd: false,
            ..ParsingOptions::default()
        };
        let tree = Document::parse_with_options(text, options).ok()?;
        let root = tree.root_element();
        let tuples = |node: &Node<'_, '_>| is_pidf(*node, "tuple");
        if !is_pidf(root, "presence") || root.children().filter(tuples).count() > TUPLES_MAX {
            return None;
        }
        let tuples: Option<Vec<Tuple>> = root.children().filter(tuples).map(Tuple::read).collect();
        Some(Self { tuples: tuples? })
    }

    /// Nobody is there.
    pub(crate) fn nobody() -> Self {
        let closed = Tuple {
            id: "".into(),
            contact: None,
            state: State::Closed,
            timestamp: None,
        };
        Self {
            tuples: vec![closed],
        }
    }

    /// The user as a whole: open when any tuple is. A server that composes as `docs/documents.md`
    /// says puts an open tuple first, so this is also what the first `<basic>` says; with servers
    /// that put them in any order, a user with one open device has not left.
    pub fn state(&self) -> State {
        state_of(self.tuples.iter())
    }

    /// The device that is known as `device`: by the id of a tuple, its contact address, or the host
    /// of that address. `None` when the document has no such tuple.
    pub fn device_state(&self, device: &str) -> Option<State> {
        let mut tuples = self
            .tuples
            .iter()
            .filter(|tuple| tuple.is_of(device))
            .peekable();
        tuples.peek()?;
        Some(state_of(tuples))
    }

    /// The newest time in it.
    pub fn newest(&self) -> Option<WallTime> {
        self.tuples.iter().filter_map(|tuple| tuple.timestamp).max()
    }
}

impl Tuple {
    /// `None` for a tuple without an id (RFC 3863 §4.1.2).
    fn read(node: Node<'_, '_>) -> Option<Self> {
        let id = node.attribute("id").filter(|id| !id.is_empty())?;
        let text = |name| {
            child(node, name)
                .and_then(|node| node.text())
                .map(str::trim)
        };
        let basic = child(node, "status").and_then(|status| child(status, "basic")?.text());
        let state = match basic.map(str::trim) {
            _ if node.descendants().any(must_be_understood) => State::Unknown,
            Some("closed") => State::Closed,
            Some("open") => State::Open,
            _ => State::Unknown,
        };
        Some(Self {
            id: id.into(),
            contact: text("contact")
                .filter(|contact| !contact.is_empty())
                .map(Into::into),
            state,
            timestamp: text("timestamp").and_then(read_timestamp),
        })
    }

    fn is_of(&self, device: &str) -> bool {
        let suffix = self.id.strip_prefix(device);
        if !device.is_empty() && suffix.is_some_and(is_suffix) {
            return true;
        }
        let Some(contact) = &self.contact else {
            return false;
        };
        let Ok(contact) = Uri::parse(contact) else {
            return **contact == *device;
        };
        contact.host.is_equal(device)
            || Uri::parse(device).is_ok_and(|device| contact.is_equal(&device))
    }
}

/// Whether `text` is nothing, or what a server of the pool puts behind an id that two devices share
/// (`docs/documents.md`): `-1f2e3d4c`, with `-2` for the second such tuple of one device.
fn is_suffix(text: &str) -> bool {
    let is_suffix = |rest: &str| {
        let (number, count) = rest.split_once('-').unwrap_or((rest, "2"));
        number.len() == 8
            && number.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !count.is_empty()
            && count.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.is_empty() || text.strip_prefix('-').is_some_and(is_suffix)
}

fn state_of<'a>(tuples: impl Iterator<Item = &'a Tuple>) -> State {
    tuples.fold(State::Unknown, |state, tuple| match (state, tuple.state) {
        (State::Open, _) | (_, State::Open) => State::Open,
        (State::Closed, _) | (_, State::Closed) => State::Closed,
        (State::Unknown, State::Unknown) => State::Unknown,
    })
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|child| is_pidf(*child, name))
}

fn is_pidf(node: Node<'_, '_>, name: &str) -> bool {
    node.has_tag_name((NAMESPACE, name))
}

/// Whether `node` has to be understood (RFC 3863 §4.2) and is none of the vocabularies around
/// PIDF: then nobody here knows what its tuple says.
fn must_be_understood(node: Node<'_, '_>) -> bool {
    node.is_element()
        && !node
            .tag_name()
            .namespace()
            .is_some_and(|uri| uri.starts_with(NAMESPACE))
        && node.attributes().any(|attribute| {
            attribute.name() == "mustUnderstand"
                && attribute.namespace().is_none_or(|uri| uri == NAMESPACE)
                && matches!(attribute.value().trim(), "1" | "true")
        })
}

/// Whether no start tag can have more than [`ATTRIBUTES_MAX`] attributes, nor the text more
/// namespace declarations than [`NAMESPACES_MAX`]. Counted over what may be attributes, whatever
/// it is: an equals sign in a text counts too.
fn is_cheap(text: &str) -> bool {
    let equals = |piece: &str| piece.bytes().filter(|byte| *byte == b'=').count();
    text.split('<')
        .map(equals)
        .all(|count| count <= ATTRIBUTES_MAX)
        && text.matches("xmlns").count() <= NAMESPACES_MAX
}

/// PIDF's namespace (RFC 3863 §4.1); those of rich presence and the data model begin like it
/// (RFC 4480 §3, RFC 4479 §5).
const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";

/// The longest document read; servers of the pool compose at most 48 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most tuples of one user: what the pool looks at to compose one document.
const TUPLES_MAX: usize = 1_024;

/// The most equals signs between two `<`.
const ATTRIBUTES_MAX: usize = 128;

/// The most namespace declarations in a document.
const NAMESPACES_MAX: usize = 256;

#[cfg(test)]
mod tests;
