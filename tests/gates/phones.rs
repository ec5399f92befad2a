//! The texts of the phones on the stage.

/// A SUBSCRIBE of watcher `which` to `presentity`.
pub(crate) fn subscribe(which: u16, presentity: &str) -> String {
    format!(
        "SUBSCRIBE sip:{presentity}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:{which};branch=z9hG4bKs{which}{presentity};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:w{which}@example.com>;tag=tag{which}\r\n\
         To: <sip:{presentity}@example.com>\r\n\
         Call-ID: call-of-watcher-{which}-{presentity}@10.0.0.1\r\n\
         CSeq: 1 SUBSCRIBE\r\n\
         Contact: <sip:w{which}@10.0.0.1:{which}>\r\n\
         Event: presence\r\n\
         Accept: application/pidf+xml\r\n\
         Expires: 3600\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Alice's PUBLISH number `number`, under the entity-tag of the one before.
pub(crate) fn publish(number: u32, tag: Option<&str>) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <tuple id=\"t1\"><status><basic>open</basic></status>\
         <contact priority=\"0.8\">sip:alice@example.com</contact>\
         <note>version {number}</note></tuple></presence>"
    );
    let condition = tag.map_or(String::new(), |tag| format!("SIP-If-Match: {tag}\r\n"));
    format!(
        "PUBLISH sip:alice@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:9;branch=z9hG4bKp{number};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=p\r\n\
         To: <sip:alice@example.com>\r\n\
         Call-ID: publications@10.0.0.1\r\n\
         CSeq: {number} PUBLISH\r\n\
         Event: presence\r\n\
         Expires: 3600\r\n\
         {condition}\
         Content-Type: application/pidf+xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The 200 to a request of the pool.
pub(crate) fn ok(request: &str) -> String {
    let echoed = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines();
    let lines = lines.filter(|line| echoed.iter().any(|name| line.starts_with(name)));
    let lines: Vec<&str> = lines.collect();
    format!(
        "SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n",
        lines.join("\r\n")
    )
}
