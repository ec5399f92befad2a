//! Reads one message from a file, or the one below, and says what it means.
//!
//! ```sh
//! cargo run --example parse_a_message -- a-message.sip
//! ```

use std::error::Error;

use presently_sip::{
    Aor, Defect, Edits, Framing, Index, Message, Name, NameAddr, Response, Start, Uri,
};

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => PUBLISH.as_bytes().to_vec(),
    };
    // The index is the memory; one serves for any number of messages, one after another.
    let mut index = Index::default();
    let message = index.read(&bytes, Framing::Datagram)?;
    describe(&message)?;
    if matches!(message.start(), Start::Request { .. }) {
        let status = message.defect().map_or(200, Defect::status);
        let mut out = Vec::new();
        Response::to(&mut out, &message, &Edits::default(), status, "a-tag").end();
        println!("\nAn answer:\n{}", String::from_utf8_lossy(&out));
    }
    Ok(())
}

fn describe(message: &Message<'_>) -> Result<(), Box<dyn Error>> {
    match message.start() {
        Start::Request {
            method_text, uri, ..
        } => println!("{method_text} to {uri}"),
        Start::Response { status, reason } => {
            println!("response {status} {}", String::from_utf8_lossy(reason));
        }
    }
    if let Some(defect) = message.defect() {
        println!("  broken: {defect}");
        return Ok(());
    }
    if let Some(from) = message.from() {
        // Two spellings of one user give equal addresses of record.
        let aor = Aor::from_uri(&Uri::parse(from.uri)?, &[5060])?;
        println!("  from {aor}, tag {:?}", from.tag());
    }
    for contact in message.values(Name::Contact).filter_map(NameAddr::parse) {
        println!(
            "  contact {}, q {:?}",
            contact.uri,
            contact.params.value("q")
        );
    }
    for name in [Name::Event, Name::Expires, Name::ContentType] {
        if let Some(value) = message.text(name) {
            println!("  {}: {value}", name.as_str());
        }
    }
    println!("  {} bytes of body", message.body().len());
    Ok(())
}

const PUBLISH: &str = "PUBLISH sip:alice@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK652hsge\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:alice@example.com>\r\n\
    From: \"Alice\" <sips:alice@EXAMPLE.com:5060>;tag=1234wxyz\r\n\
    Call-ID: 81818181@192.0.2.1\r\n\
    CSeq: 1 PUBLISH\r\n\
    Event: presence\r\n\
    Expires: 3600\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 5\r\n\r\n\
    hello";
