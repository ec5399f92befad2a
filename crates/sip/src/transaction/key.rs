//! Which server transaction a request belongs to (RFC 3261 §17.2.3), as one keyed hash.

use std::net::IpAddr;

use crate::{Flow, MacKey, Message, Method, Start, Via};

/// Names one server transaction.
///
/// A repeat of a request gives an equal key. Two phones that chose the same branch, Call-ID, tag
/// and sequence number in the same second give different ones, because the users and the flow are
/// part of it. The hash is keyed: nobody outside can make two requests meet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TransactionKey([u8; 16]);

impl TransactionKey {
    /// The transaction of `request`, which arrived by `flow`; `None` for a response and for a
    /// request without what names a transaction. An ACK gives the key of its INVITE
    /// (RFC 3261 §17.2.3).
    pub fn of(key: &MacKey, request: &Message<'_>, flow: &Flow) -> Option<Self> {
        let Start::Request {
            method,
            method_text,
            ..
        } = request.start()
        else {
            return None;
        };
        let method_text = match method {
            Method::Ack => "INVITE",
            _ => method_text,
        };
        Self::with_method(key, request, flow, method_text)
    }

    /// The transaction of the request that `cancel` takes back, had that request been a `method`: a
    /// CANCEL does not say what it cancels (RFC 3261 §9.2).
    pub fn cancelled_by(
        key: &MacKey,
        cancel: &Message<'_>,
        flow: &Flow,
        method: &str,
    ) -> Option<Self> {
        Self::with_method(key, cancel, flow, method)
    }

    #[cfg(test)]
    pub(super) fn for_test(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    fn with_method(key: &MacKey, request: &Message<'_>, flow: &Flow, method: &str) -> Option<Self> {
        let Start::Request { uri, .. } = request.start() else {
            return None;
        };
        let (via, from, to) = (request.via()?, request.from()?, request.to()?);
        // Without the cookie a branch need not be unique: the whole Via and the To tag count as
        // well (RFC 3261 §17.2.3). An ACK carries another To tag, but no answer of ours waits for
        // one.
        let (old_via, old_tag) = if has_cookie(&via) {
            ("", "")
        } else {
            (via.params.0, to.tag().unwrap_or_default())
        };
        let remote = match flow.remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let parts: [&[u8]; 18] = [
            method.as_bytes(),
            uri.as_bytes(),
            via.host.0.as_bytes(),
            &via.port.unwrap_or(0).to_be_bytes(),
            via.branch().unwrap_or_default().as_bytes(),
            from.uri.as_bytes(),
            from.tag().unwrap_or_default().as_bytes(),
            to.uri.as_bytes(),
            request.call_id()?.as_bytes(),
            &request.cseq()?.number.to_be_bytes(),
            old_via.as_bytes(),
            old_tag.as_bytes(),
            flow.protocol.token().as_bytes(),
            &[flow.listener],
            &remote.octets(),
            &flow.remote.port().to_be_bytes(),
            &flow.slot.to_be_bytes(),
            &flow.generation.to_be_bytes(),
        ];
        Some(Self(key.mac128(&parts)))
    }
}

/// Whether the branch promises to be unique (RFC 3261 §8.1.1.7).
fn has_cookie(via: &Via<'_>) -> bool {
    let branch = via.branch().unwrap_or_default();
    let cookie = branch.get(..COOKIE.len()).unwrap_or_default();
    cookie.eq_ignore_ascii_case(COOKIE) && branch.len() > COOKIE.len()
}

const COOKIE: &str = "z9hG4bK";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Index};

    const PUBLISH: &str = "PUBLISH sip:al@x SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport\r\n\
        From: <sip:al@x>;tag=1\r\nTo: <sip:al@x>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    fn flow(port: u16) -> Flow {
        Flow::udp(0, ([192, 0, 2, 1], port).into())
    }

    fn key(text: &str, flow: &Flow) -> Option<TransactionKey> {
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        TransactionKey::of(&MacKey::new([7; 16]), &message, flow)
    }

    /// Whether `old` replaced by `new` in the PUBLISH still is the same transaction.
    fn is_same(base: &str, old: &str, new: &str) -> bool {
        assert!(base.contains(old), "{old}");
        key(base, &flow(5060)) == key(&base.replace(old, new), &flow(5060))
    }

    #[test]
    fn what_tells_two_transactions_apart() {
        let table = [
            // in the message        otherwise              same    why
            ("z9hG4bKa1", "z9hG4bKa2", false),      // the branch
            ("192.0.2.1:5060", "192.0.2.1", false), // sent-by
            ("192.0.2.1", "192.0.2.2", false),      // sent-by
            ("al@x>;tag", "bo@x>;tag", false),      // another phone of the same second
            ("tag=1", "tag=2", false),              // another phone
            ("To: <sip:al@x>", "To: <sip:bo@x>", false), // the same
            ("Call-ID: c", "Call-ID: d", false),
            ("CSeq: 1 ", "CSeq: 2 ", false),
            ("PUBLISH", "OPTIONS", false),
            ("PUBLISH sip:al@x", "PUBLISH sip:bo@x", false),
            (";rport", ";rport;alias", true), // with the cookie the branch is enough
            ("Forwards: 70", "Forwards: 69", true),
            ("To: <sip:al@x>", "To: <sip:al@x>;tag=9", true),
        ];
        for (old, new, same) in table {
            assert_eq!(is_same(PUBLISH, old, new), same, "{old} {new}");
        }
        assert_ne!(key(PUBLISH, &flow(5060)), key(PUBLISH, &flow(5062)));
    }

    #[test]
    fn without_the_cookie_the_whole_via_and_the_to_tag_count() {
        let old = PUBLISH.replace("z9hG4bKa1", "1");
        assert!(!is_same(&old, ";rport", ";rport;alias"));
        assert!(!is_same(&old, "To: <sip:al@x>", "To: <sip:al@x>;tag=9"));
        assert!(is_same(&old, "Forwards: 70", "Forwards: 69"));
        let none = PUBLISH.replace(";branch=z9hG4bKa1", "");
        assert!(key(&none, &flow(5060)).is_some());
    }

    #[test]
    fn an_ack_and_a_cancel_find_their_request() {
        let invite = PUBLISH.replace("PUBLISH", "INVITE");
        let ack = PUBLISH.replace("PUBLISH", "ACK");
        assert_eq!(key(&invite, &flow(5060)), key(&ack, &flow(5060)));
        let cancel = PUBLISH.replace("PUBLISH", "CANCEL");
        assert_ne!(key(&cancel, &flow(5060)), key(PUBLISH, &flow(5060)));
        let mut index = Index::default();
        let message = index.read(cancel.as_bytes(), Framing::Datagram).unwrap();
        let secret = MacKey::new([7; 16]);
        let found = TransactionKey::cancelled_by(&secret, &message, &flow(5060), "PUBLISH");
        assert_eq!(found, key(PUBLISH, &flow(5060)));
    }

    #[test]
    fn a_response_has_no_server_transaction() {
        let response = PUBLISH.replace("PUBLISH sip:al@x SIP/2.0", "SIP/2.0 200 OK");
        assert_eq!(key(&response, &flow(5060)), None);
    }
}
