//! Composition: one document of all that is published about a presentity, in an order that the
//! simplest phone reads rightly. `docs/documents.md` gives the rules.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use presently_sip::Aor;
use presently_store::Publication;
use roxmltree::Node;

use super::scan::PREFIXES_MAX;
use super::splice::{Piece, cut};
use super::{COMPOSED_BYTES_MAX, Source, is_pidf, part, read, write};

/// The document of `aor`, and how many parts were left out of it. The order of `publications` does
/// not matter.
pub(crate) fn compose(
    aor: &Aor,
    publications: &[&Publication],
    is_registered: bool,
) -> (Bytes, usize) {
    let (documents, unread) = newest_first(publications);
    if let [only] = documents.as_slice()
        && only.publication.body.len() <= COMPOSED_BYTES_MAX
        && only.source.obeys(aor)
    {
        return (only.publication.body.clone(), unread);
    }
    let (body, dropped) = merge(aor, &documents, is_registered);
    (body.into(), unread + dropped)
}

/// A publication and its document.
#[derive(Debug)]
struct Published<'a> {
    publication: &'a Publication,
    source: Source<'a>,
}

/// Reads the publications, newest first. Left out, and but for copies counted: copies of a newer
/// body; what is beyond the bound on what is read; what is not a document; and among others, a
/// document that must not be merged.
fn newest_first<'a>(publications: &[&'a Publication]) -> (Vec<Published<'a>>, usize) {
    let mut ordered = publications.to_vec();
    // The tag decides between equal times, so that every server decides alike.
    ordered.sort_by(|a, b| {
        let newest = b.modified_at.cmp(&a.modified_at);
        newest.then_with(|| a.tag.as_str().cmp(b.tag.as_str()))
    });
    let mut bodies = HashSet::new();
    ordered.retain(|publication| bodies.insert(&publication.body));

    let mut room = SOURCE_BYTES_MAX;
    let mut read_all = Vec::with_capacity(ordered.len());
    for publication in &ordered {
        let Some(left) = room.checked_sub(publication.body.len()) else {
            break;
        };
        room = left;
        if let Ok(source) = read(&publication.body) {
            read_all.push(Published {
                publication,
                source,
            });
        }
    }
    let is_mergeable = |one: &Published<'_>| !one.source.is_unmergeable();
    if read_all.iter().any(is_mergeable) {
        read_all.retain(is_mergeable);
    } else {
        read_all.truncate(1);
    }
    let unread = ordered.len() - read_all.len();
    (read_all, unread)
}

/// Writes one document of several, or of one that may not be sent as it is.
fn merge(aor: &Aor, documents: &[Published<'_>], is_registered: bool) -> (String, usize) {
    let shared = shared_prefixes(documents);
    let head = write::head(aor, &shared);
    let inherited: Vec<_> = documents
        .iter()
        .map(|one| inherited(one, &shared))
        .collect();
    let (tuples, others) = candidates(documents, &inherited);
    // The tuples that make the composed state: the open ones, or else the newest.
    let open = tuples.iter().filter(|tuple| tuple.is_open).count();
    let (leading, trailing) = tuples.split_at(open.max(1).min(tuples.len()));

    let stand_in = write::registration(aor, leading.first().map_or(is_registered, |t| t.is_open));
    let frame = head.len() + write::TAIL.len() + stand_in.len() + 1;
    let mut shelf = Shelf::new(COMPOSED_BYTES_MAX.saturating_sub(frame));
    let mut parts = shelf.take(leading.get(..1).unwrap_or(&[]));
    if parts.is_empty() {
        // No tuple, or one that is too large: the state itself is never left out.
        parts.push(Part::registration(stand_in));
        shelf.is_full = false;
    }
    parts.extend(shelf.take(leading.get(1..).unwrap_or(&[])));
    let others = shelf.take(&others);
    parts.extend(shelf.take(trailing));
    parts.extend(others);

    make_unique(&mut parts);
    let mut text = head;
    for part in &parts {
        text.push_str(&part.piece.text);
        text.push('\n');
    }
    text.push_str(write::TAIL);
    // It is kept for as long as anybody watches: what growing left over is not.
    text.shrink_to_fit();
    (text, shelf.dropped)
}

/// An element that may become part of the document.
#[derive(Debug)]
struct Candidate<'a> {
    element: Node<'a, 'a>,
    inherited: &'a [(&'a str, &'a str)],
    publication: &'a Publication,
    is_open: bool,
}

/// The tuples, open ones first, and what stands beside them, notes first (RFC 3863 §4.1.1); each
/// kind newest first, and in the order of its document.
fn candidates<'a>(
    documents: &'a [Published<'a>],
    inherited: &'a [Vec<(&'a str, &'a str)>],
) -> (Vec<Candidate<'a>>, Vec<Candidate<'a>>) {
    let all = documents
        .iter()
        .zip(inherited)
        .flat_map(|(one, inherited)| {
            one.source.elements().map(|element| Candidate {
                element,
                inherited,
                publication: one.publication,
                is_open: is_pidf(element, "tuple") && part::is_open(element),
            })
        });
    let (mut tuples, mut others): (Vec<_>, Vec<_>) =
        all.partition(|candidate| is_pidf(candidate.element, "tuple"));
    tuples.sort_by_key(|candidate| !candidate.is_open);
    others.sort_by_key(|candidate| !is_pidf(candidate.element, "note"));
    (tuples, others)
}

/// The prefixes to declare once, at the root: of each document, as long as they agree and there is
/// room. What is not among them is declared where it is used.
fn shared_prefixes<'a>(documents: &'a [Published<'_>]) -> Vec<(&'a str, &'a str)> {
    let most = documents.iter().map(|one| one.source.prefixes).max();
    let count_max = PREFIXES_MAX.saturating_sub(most.unwrap_or(0));
    let mut shared: Vec<(&str, &str)> = Vec::new();
    let mut room = SHARED_PREFIX_BYTES_MAX;
    for (prefix, uri) in documents.iter().flat_map(prefixes) {
        let is_new = shared.iter().all(|(known, _)| *known != prefix);
        // Six bytes is the longest that one byte becomes by escaping.
        let length = prefix.len() + 6 * uri.len();
        if is_new && shared.len() < count_max && length <= room {
            room -= length;
            shared.push((prefix, uri));
        }
    }
    shared
}

/// The prefixes of a document's root that `shared` does not give the same meaning.
fn inherited<'a>(one: &'a Published<'_>, shared: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    prefixes(one)
        .filter(|declared| !shared.contains(declared))
        .collect()
}

fn prefixes<'a>(one: &'a Published<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let namespaces = one.source.root().namespaces();
    namespaces
        .filter_map(|namespace| Some((namespace.name()?, namespace.uri())))
        .filter(|(prefix, _)| *prefix != "xml")
}

/// A part of the composed document.
#[derive(Debug)]
struct Part {
    piece: Piece,
    /// Its id, as a reader of XML sees it.
    id: String,
    /// Tells equal ids of different devices apart.
    device: u32,
}

impl Part {
    fn new(candidate: &Candidate<'_>) -> Self {
        Self {
            piece: cut(candidate.element, candidate.inherited),
            id: candidate.element.attribute("id").unwrap_or("").to_owned(),
            device: device(candidate),
        }
    }

    fn registration(text: String) -> Self {
        let id = write::REGISTRATION_ID;
        let at = text.find(id).map(|start| start..start + id.len());
        Self {
            piece: Piece { text, id: at },
            id: id.to_owned(),
            device: 0,
        }
    }

    /// What it says, whatever it is called: a person that two devices describe in the same words
    /// is one. Tuples are devices, so theirs includes the id.
    fn content(&self, is_tuple: bool) -> String {
        let mut content = self.piece.text.clone();
        if let Some(id) = self.piece.id.clone().filter(|_| !is_tuple) {
            content.replace_range(id, "");
        }
        content
    }
}

/// A number for the device behind a part: it is the same whenever that device publishes again, and
/// does not depend on what others do. Entity-tags change with every refresh; some phones give every
/// tuple the same id and no contact, so where the device is counts as well.
fn device(candidate: &Candidate<'_>) -> u32 {
    let contact = candidate
        .element
        .children()
        .find(|child| is_pidf(*child, "contact"))
        .and_then(|contact| contact.text())
        .unwrap_or("");
    let remote = candidate.publication.flow.flow.remote.to_string();
    let bytes = contact.trim().bytes().chain([0]).chain(remote.bytes());
    // FNV-1a: every server of the pool must come to the same number.
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Takes parts in for as long as there is room.
#[derive(Debug)]
struct Shelf {
    /// Bytes left.
    room: usize,
    /// Parts that may still be looked at.
    turns: usize,
    seen: HashSet<String>,
    is_full: bool,
    dropped: usize,
}

impl Shelf {
    fn new(room: usize) -> Self {
        Self {
            room,
            turns: PARTS_MAX,
            seen: HashSet::new(),
            is_full: false,
            dropped: 0,
        }
    }

    /// Takes what fits, in order, and nothing after the first that does not: a smaller and older
    /// one must not pass a newer one by. What was taken before in the same words is passed over.
    fn take(&mut self, candidates: &[Candidate<'_>]) -> Vec<Part> {
        let mut parts = Vec::new();
        for candidate in candidates {
            if self.is_full || self.turns == 0 {
                self.dropped += 1;
                continue;
            }
            self.turns -= 1;
            let part = Part::new(candidate);
            let is_new = self
                .seen
                .insert(part.content(is_pidf(candidate.element, "tuple")));
            let length = part.piece.text.len() + ID_SUFFIX_BYTES_MAX + 1;
            match self.room.checked_sub(length) {
                _ if !is_new => {}
                Some(room) => {
                    self.room = room;
                    parts.push(part);
                }
                None => {
                    self.is_full = true;
                    self.dropped += 1;
                }
            }
        }
        parts
    }
}

/// Gives parts with the same id ids of their own (RFC 3863 §4.1.2, RFC 4479 §3).
///
/// Each of them gets its device's number, not only the later ones: so an id depends on the device
/// and on whether its id is taken, never on who published last. Two with the same number, two
/// tuples of one document, are counted in order.
fn make_unique(parts: &mut [Part]) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for part in parts.iter().filter(|part| part.piece.id.is_some()) {
        *uses.entry(part.id.clone()).or_default() += 1;
    }
    let mut taken: HashSet<String> = uses.keys().cloned().collect();
    let mut counts: HashMap<(String, u32), usize> = HashMap::new();
    let shared = |part: &&mut Part| uses.get(&part.id).is_some_and(|count| *count > 1);
    for part in parts.iter_mut().filter(shared) {
        let Some(id) = part.piece.id.clone() else {
            continue;
        };
        let count = counts.entry((part.id.clone(), part.device)).or_default();
        let suffix = loop {
            *count += 1;
            let suffix = match *count {
                1 => format!("-{:08x}", part.device),
                count => format!("-{:08x}-{count}", part.device),
            };
            if taken.insert(format!("{}{suffix}", part.id)) {
                break suffix;
            }
        };
        part.piece.text.insert_str(id.end, &suffix);
    }
}

/// How much of the publications of one presentity is read for one document, newest first: nobody
/// needs to publish four documents to fill one, and nobody shall keep a server busy.
const SOURCE_BYTES_MAX: usize = 4 * COMPOSED_BYTES_MAX;
/// Parts looked at for one document: 32 of each of 32 publications. Repeated ones take no room in
/// the document, so its size alone would not bound the work.
const PARTS_MAX: usize = 1024;
/// Room for prefixes declared at the root.
const SHARED_PREFIX_BYTES_MAX: usize = 4 * 1024;
/// `-`, eight digits, `-`, and a count below 100,000.
const ID_SUFFIX_BYTES_MAX: usize = 15;
