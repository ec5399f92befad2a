//! The requests of the played phones.

use std::io::Write;

use crate::operation::{Kind, Presentity, Subscription};

/// What all requests of a run share.
pub(crate) struct Writing {
    /// Different in each run, so that nothing of an earlier one is met.
    pub(crate) run: u32,
    pub(crate) domain: String,
    /// Subscribers of each presentity.
    pub(crate) subscribers: usize,
    /// How many users, when they watch each other.
    pub(crate) mutual: Option<usize>,
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) port: u16,
    /// Which operation it belongs to: its entity and its number.
    pub(crate) entity: usize,
    pub(crate) number: u32,
}

impl Writing {
    /// The watcher of a subscription. A set of `subscribers` watchers watches twenty presentities,
    /// so that none has more than a phone's worth of lamps; or each user is watched by those that
    /// follow.
    fn watcher(&self, subscription: usize) -> (char, usize) {
        let (presentity, place) = (
            subscription / self.subscribers,
            subscription % self.subscribers,
        );
        match self.mutual {
            Some(users) => ('u', (presentity + place + 1) % users),
            None => ('w', presentity / LAMPS * self.subscribers + place),
        }
    }

    fn start(&self, out: &mut Vec<u8>, method: &str, uri: std::fmt::Arguments<'_>, from: Source) {
        let Source {
            port,
            entity,
            number,
        } = from;
        put(
            out,
            format_args!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port}\
                 ;branch=z9hG4bKload{}.{entity}.{number}\r\nMax-Forwards: 70\r\n",
                self.run
            ),
        );
    }

    /// A REGISTER of one binding, first or refreshed.
    pub(crate) fn register(&self, out: &mut Vec<u8>, user: &mut Presentity, from: Source) {
        let (run, domain, who, port) = (self.run, &self.domain, from.entity, from.port);
        user.register_cseq += 1;
        self.start(out, "REGISTER", format_args!("sip:{domain}"), from);
        put(
            out,
            format_args!(
                "From: <sip:u{run}-{who}@{domain}>;tag=r{who}\r\n\
                 To: <sip:u{run}-{who}@{domain}>\r\n\
                 Call-ID: r{who}-{run}@load\r\nCSeq: {} REGISTER\r\n\
                 Contact: <sip:u{run}-{who}@127.0.0.1:{port}>;expires={EXPIRES}\r\n\
                 Supported: path\r\nContent-Length: 0\r\n\r\n",
                user.register_cseq
            ),
        );
    }

    /// A PUBLISH of a new state, first or under the entity-tag of the one before.
    pub(crate) fn publish(
        &self,
        out: &mut Vec<u8>,
        user: &mut Presentity,
        (from, scheduled): (Source, u64),
    ) {
        let (run, domain, who) = (self.run, &self.domain, from.entity);
        user.publish_cseq += 1;
        let uri = format_args!("sip:u{run}-{who}@{domain}");
        self.start(out, "PUBLISH", uri, from);
        put(
            out,
            format_args!(
                "From: <sip:u{run}-{who}@{domain}>;tag=p{who}\r\n\
                 To: <sip:u{run}-{who}@{domain}>\r\n\
                 Call-ID: p{who}-{run}@load\r\nCSeq: {} PUBLISH\r\n\
                 Event: presence\r\nExpires: {EXPIRES}\r\n",
                user.publish_cseq
            ),
        );
        if !user.entity_tag.is_empty() {
            out.extend_from_slice(b"SIP-If-Match: ");
            out.extend_from_slice(&user.entity_tag);
            out.extend_from_slice(b"\r\n");
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:u{run}-{who}@{domain}\">\
             <tuple id=\"t1\"><status><basic>open</basic></status>\
             <contact priority=\"0.8\">sip:u{run}-{who}@{domain}</contact>\
             <note>load:{}:{scheduled}</note></tuple>\
             <dm:person id=\"p1\"><rpid:activities><rpid:busy/></rpid:activities></dm:person>\
             </presence>",
            user.version
        );
        put(
            out,
            format_args!(
                "Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
    }

    /// A SUBSCRIBE: initial, refresh or end.
    pub(crate) fn subscribe(
        &self,
        out: &mut Vec<u8>,
        subscription: &mut Subscription,
        (from, kind): (Source, Kind),
    ) {
        let (run, domain, which, port) = (self.run, &self.domain, from.entity, from.port);
        let presentity = which / self.subscribers;
        let (kind_of_user, watcher) = self.watcher(which);
        subscription.cseq += 1;
        match std::str::from_utf8(&subscription.target) {
            Ok(target) if kind != Kind::Subscribe => {
                self.start(out, "SUBSCRIBE", format_args!("{target}"), from);
            }
            _ => {
                let uri = format_args!("sip:u{run}-{presentity}@{domain}");
                self.start(out, "SUBSCRIBE", uri, from);
            }
        }
        out.extend_from_slice(&subscription.routes);
        put(
            out,
            format_args!(
                "From: <sip:{kind_of_user}{run}-{watcher}@{domain}>;tag=s{which}\r\n\
                 To: <sip:u{run}-{presentity}@{domain}>"
            ),
        );
        if kind != Kind::Subscribe {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(&subscription.to_tag);
        }
        let expires = if kind == Kind::Unsubscribe {
            0
        } else {
            EXPIRES
        };
        put(
            out,
            format_args!(
                "\r\nCall-ID: s{which}-{run}@load\r\nCSeq: {} SUBSCRIBE\r\n\
                 Contact: <sip:s{which}@127.0.0.1:{port}>\r\nEvent: presence\r\n\
                 Accept: application/pidf+xml\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n",
                subscription.cseq
            ),
        );
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

/// A day: longer than any run, where the server grants it.
const EXPIRES: u32 = 86_400;
/// Presentities that one set of watchers watches.
const LAMPS: usize = 20;
