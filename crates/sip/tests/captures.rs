//! Goal: what real phones sent is read as they meant it.
//! Method: `tests/data/captures` holds their messages, one a file, and `expected.tsv` what each
//! says, written from the messages by another reader and checked by eye. rsip reads the same bytes
//! as a third opinion.

use std::path::PathBuf;

use presently_sip::{
    CSeq, Edits, Framing, Index, Message, Name, NameAddr, Response, Start, Stream, Uri,
};
use rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};

/// One row of `expected.tsv`; `-` stands for what the message does not have.
struct Row {
    file: String,
    bytes: Vec<u8>,
    cells: Vec<(String, String)>,
}

impl Row {
    /// Over WebSocket a frame is one message, as a datagram is.
    fn framing(&self) -> Framing {
        if self.file.contains("/tcp-") {
            Framing::Stream
        } else {
            Framing::Datagram
        }
    }
}

#[test]
fn each_message_says_what_its_phone_meant() {
    for row in rows() {
        let mut index = Index::default();
        let message = index.read(&row.bytes, row.framing()).unwrap();
        assert_eq!(message.defect(), None, "{}", row.file);
        for (column, expected) in &row.cells {
            let found = cell(&message, column);
            assert_eq!(found, *expected, "{column} of {}", row.file);
        }
    }
}

#[test]
fn an_unedited_message_is_written_byte_for_byte() {
    for row in rows() {
        let mut index = Index::default();
        let message = index.read(&row.bytes, row.framing()).unwrap();
        let (mut request, mut response) = (Vec::new(), Vec::new());
        Edits::default().write(&message, &mut request);
        Edits::default().write_response(&message, 0, &mut response);
        assert_eq!(request, response, "{}", row.file);
        if message.header(Name::ContentLength).is_some() {
            assert_eq!(request, row.bytes, "{}", row.file);
        } else {
            let text = String::from_utf8(request).unwrap();
            let text = text.replace("Content-Length: 0\r\n", "");
            assert_eq!(text.as_bytes(), row.bytes, "{}", row.file);
        }
    }
}

/// Linphone leaves Content-Length out over UDP and writes it over TCP: the stream may insist on it.
#[test]
fn a_stream_of_all_messages_is_cut_where_they_end() {
    let rows: Vec<Row> = rows()
        .into_iter()
        .filter(|row| row.framing() == Framing::Stream)
        .collect();
    let all: Vec<u8> = rows.iter().flat_map(|row| row.bytes.clone()).collect();
    for size in [1, 7, 100, 1460, all.len()] {
        let (mut stream, mut pings) = (Stream::default(), 0);
        let mut expected = rows.iter();
        for segment in all.chunks(size) {
            stream.push(segment);
            while let Some(message) = stream.next_message(&mut pings).unwrap() {
                assert_eq!(message, expected.next().unwrap().bytes);
            }
        }
        assert!(expected.next().is_none());
    }
}

#[test]
fn a_second_reader_agrees() {
    let mut agreed = 0;
    for row in rows() {
        let Ok(theirs) = rsip::SipMessage::try_from(row.bytes.as_slice()) else {
            continue; // It refuses what it must not; here it is only a witness.
        };
        let mut index = Index::default();
        let ours = index.read(&row.bytes, row.framing()).unwrap();
        let file = &row.file;
        assert_eq!(
            theirs.headers().iter().count(),
            ours.headers().count(),
            "{file}"
        );
        assert_eq!(theirs.body(), ours.body(), "{file}");
        let call_id = theirs.call_id_header().unwrap().value();
        assert_eq!(Some(call_id), ours.call_id(), "{file}");
        if let Ok(cseq) = theirs.cseq_header().unwrap().typed() {
            let expected = (cseq.seq, cseq.method.to_string());
            let found = ours.cseq().unwrap();
            assert_eq!((found.number, found.method.to_owned()), expected, "{file}");
        }
        if let Ok(from) = theirs.from_header().unwrap().typed() {
            let tag = from.tag().map(|tag| tag.value().to_owned());
            assert_eq!(tag.as_deref(), ours.from().unwrap().tag(), "{file}");
            assert_eq!(from.uri.to_string(), ours.from().unwrap().uri, "{file}");
        }
        if let Ok(via) = theirs.via_header().unwrap().typed() {
            let branch = via.branch().map(|branch| branch.value().to_owned());
            assert_eq!(branch.as_deref(), ours.via().unwrap().branch(), "{file}");
        }
        agreed += 1;
    }
    assert!(agreed > 100, "only {agreed} messages had a second reader");
}

#[test]
fn an_answer_to_each_request_carries_its_names() {
    for row in rows() {
        let mut index = Index::default();
        let request = index.read(&row.bytes, row.framing()).unwrap();
        if matches!(request.start(), Start::Response { .. }) {
            continue;
        }
        let mut out = Vec::new();
        Response::to(&mut out, &request, &Edits::default(), 200, "ours").end();
        let mut answer = Index::default();
        let answer = answer.read(&out, Framing::Stream).unwrap();
        assert_eq!(answer.defect(), None, "{}", row.file);
        for column in ["from", "from_tag", "to", "call_id", "cseq", "branch"] {
            assert_eq!(
                cell(&answer, column),
                cell(&request, column),
                "{}",
                row.file
            );
        }
        let tag = request.to().unwrap().tag().unwrap_or("ours");
        assert_eq!(cell(&answer, "to_tag"), tag);
    }
}

fn cell(message: &Message<'_>, column: &str) -> String {
    let from = message.from().expect("a From");
    let to = message.to().expect("a To");
    let cseq = message.cseq().expect("a CSeq");
    let via = message.via().expect("a Via");
    let text = |name| message.text(name);
    let found = match column {
        "what" => return what(message, cseq),
        "uri" => match message.start() {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        },
        "from" => Some(from.uri),
        "from_tag" => from.tag(),
        "to" => Some(to.uri),
        "to_tag" => to.tag(),
        "call_id" => message.call_id(),
        "cseq" => return cseq.number.to_string(),
        "branch" => via.branch(),
        "contacts" => return contacts(message),
        "expires" => return expiry(message),
        "event" => text(Name::Event),
        "entity_tag" => text(Name::SipIfMatch).or_else(|| text(Name::SipEtag)),
        "content_type" if message.body().is_empty() => None,
        "content_type" => text(Name::ContentType),
        "body" => return message.body().len().to_string(),
        _ => panic!("no such column: {column}"),
    };
    found.unwrap_or("-").to_owned()
}

fn what(message: &Message<'_>, cseq: CSeq<'_>) -> String {
    match message.start() {
        Start::Request { method_text, .. } => method_text.to_owned(),
        Start::Response { status, .. } => format!("{status} {}", cseq.method),
    }
}

fn contacts(message: &Message<'_>) -> String {
    let contacts = message.values(Name::Contact).filter_map(NameAddr::parse);
    let uris: Vec<&str> = contacts.map(|contact| contact.uri).collect();
    if uris.is_empty() {
        return "-".to_owned();
    }
    uris.join(" ")
}

/// What was asked for: in a REGISTER the Contact's parameter says it before the header does (RFC
/// 3261 §10.2.1.1); Linphone writes one into the Contact of a SUBSCRIBE, where it says nothing.
fn expiry(message: &Message<'_>) -> String {
    let contact = message.values(Name::Contact).next();
    let param = contact
        .filter(|_| message.bytes().starts_with(b"REGISTER"))
        .and_then(NameAddr::parse)
        .and_then(|contact| contact.params.value("expires"));
    let header = message.number(Name::Expires).map(|secs| secs.to_string());
    param
        .map(str::to_owned)
        .or(header)
        .unwrap_or_else(|| "-".to_owned())
}

#[test]
fn each_uri_but_one_phones_own_is_a_uri() {
    for row in rows() {
        let mut index = Index::default();
        let message = index.read(&row.bytes, row.framing()).unwrap();
        for contact in message.values(Name::Contact) {
            let uri = NameAddr::parse(contact).unwrap().uri;
            // pidgin-sipe prints a missing Contact as a C library prints a null pointer.
            assert_eq!(Uri::parse(uri).is_ok(), uri != "(null)", "{}", row.file);
        }
    }
}

fn rows() -> Vec<Row> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/captures");
    let table = std::fs::read_to_string(folder.join("expected.tsv")).expect("the table");
    let mut lines = table
        .lines()
        .map(|line| line.split('\t').map(str::to_owned));
    let columns: Vec<String> = lines.next().expect("a heading").collect();
    lines
        .map(|mut cells| {
            let file = cells.next().expect("a file");
            let bytes = std::fs::read(folder.join(&file)).expect("a file for each row");
            let cells = columns.iter().skip(1).cloned().zip(cells).collect();
            Row { file, bytes, cells }
        })
        .collect()
}
