//! The phone's side of a dialog made by SUBSCRIBE (RFC 3261 §12, RFC 6665 §4.4.1).

use presently_sip::{Message, Name, NameAddr};

/// Where in-dialog requests go, and how far the other side's have come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dialog {
    pub(crate) remote_tag: String,
    /// The remote target: the URI of the last Contact.
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    /// The CSeq of the last NOTIFY; `None` until one came.
    pub(crate) remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that the 2xx to a SUBSCRIBE makes; `None` when it lacks what makes one. Its
    /// Record-Route is read from the last value up (RFC 3261 §12.1.2).
    pub(crate) fn of_response(response: &Message<'_>, request_uri: &str) -> Option<Self> {
        let mut routes = routes(response);
        routes.reverse();
        Some(Self {
            remote_tag: response.to()?.tag()?.to_owned(),
            target: contact(response).unwrap_or(request_uri).to_owned(),
            routes,
            remote_cseq: None,
        })
    }

    /// The dialog that a NOTIFY makes when it comes before the 2xx; its Record-Route is read from
    /// the top (RFC 3261 §12.1.1).
    pub(crate) fn of_notify(notify: &Message<'_>, request_uri: &str) -> Option<Self> {
        Some(Self {
            remote_tag: notify.from()?.tag()?.to_owned(),
            target: contact(notify).unwrap_or(request_uri).to_owned(),
            routes: routes(notify),
            remote_cseq: None,
        })
    }

    /// Takes the Contact of a later message: NOTIFY and SUBSCRIBE refresh the remote target
    /// (RFC 6665 §4.4.1).
    pub(crate) fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(uri) = contact(message) {
            uri.clone_into(&mut self.target);
        }
    }
}

fn contact<'a>(message: &Message<'a>) -> Option<&'a str> {
    let value = message.values(Name::Contact).next()?;
    NameAddr::parse(value).map(|it| it.uri)
}

fn routes(message: &Message<'_>) -> Vec<String> {
    let values = message.values(Name::RecordRoute);
    values.map(str::to_owned).collect()
}
