//! What a phone's request asks of the balancer: a pure function from the request to where it goes
//! (RFC 3261 §16.3 to §16.5, and the pool's own rule of which client a request is routed by).

use std::fmt::Write as _;

use presently_pool::ClientId;
use presently_sip::{
    Aor, Host, InvalidAor, Message, Method, Moment, Name, NameAddr, Scheme, Uri, Via, base32,
};

use crate::branch::{Below, Branch};
use crate::cache::Cache;
use crate::edge::{Edge, is_named};
use crate::keys::{Keys, Parts};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Verdict<'m> {
    /// OPTIONS: answered here.
    Options,
    /// It goes to the server of `client`.
    Route {
        /// By whom it is routed.
        client: Named,
        /// The URI that named it, where it was read anew and is of a domain of ours.
        spelling: Option<&'m str>,
        /// What changes on the way.
        onward: Onward,
    },
}

/// By what a request names its client.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Named {
    /// An address of record.
    Aor(Aor),
    /// A row, by the token of a pool Contact.
    Row(ClientId),
}

/// What changes in a request on its way to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Onward {
    /// Route values to take from the top.
    pub(crate) routes_removed: usize,
    /// Max-Forwards to write.
    pub(crate) max_forwards: u32,
    /// A strict router put us into the Request-URI: the last Route value is the real one
    /// (RFC 3261 §16.4).
    pub(crate) is_strict: bool,
    /// Whether to put a Record-Route on top (RFC 6665 §4.3).
    pub(crate) record_routes: bool,
}

/// Why a request is answered here with an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Proxy-Require, or Require of an OPTIONS, names what we do not know.
    BadExtension(Name),
    /// Something in it cannot be read.
    BadRequest,
    /// What the reader of the message found; its status.
    Defect(u16),
    /// A Route or maddr leads elsewhere, or its token is forged.
    Forbidden,
    /// It has been here before.
    Loop,
    /// A method the pool does not serve.
    Method,
    /// It belongs to a dialog or transaction that is not there.
    NoDialog,
    /// The address of record is not the pool's.
    NotFound,
    /// The client has no assignment, so nothing is registered.
    NotReachable,
    /// The scheme is none that we serve.
    Scheme,
    /// Max-Forwards is used up.
    TooManyHops,
    /// No server, or no room to wait for one.
    Unavailable,
}

impl Refusal {
    /// The status to answer with.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadExtension(_) => 420,
            Self::BadRequest => 400,
            Self::Defect(status) => status,
            Self::Forbidden => 403,
            Self::Loop => 482,
            Self::Method => 405,
            Self::NoDialog => 481,
            Self::NotFound => 404,
            Self::NotReachable => 480,
            Self::Scheme => 416,
            Self::TooManyHops => 483,
            Self::Unavailable => 503,
        }
    }
}

/// A request, and what it is judged by.
pub(crate) struct Asked<'a, 'm> {
    pub(crate) message: &'a Message<'m>,
    pub(crate) below: &'a Below<'m>,
    pub(crate) method: Method,
    /// The Request-URI as written.
    pub(crate) uri: &'m str,
    pub(crate) now: Moment,
    pub(crate) edge: &'a Edge,
    pub(crate) keys: &'a Keys,
    pub(crate) cache: &'a Cache,
    /// The option tags the pool's servers know.
    pub(crate) supported: &'a str,
}

impl<'m> Asked<'_, 'm> {
    /// Where the request goes, or why it does not.
    pub(crate) fn decide(
        &self,
        parts: &mut Parts,
        scratch: &mut Vec<u8>,
    ) -> Result<Verdict<'m>, Refusal> {
        if let Some(defect) = self.message.defect() {
            return Err(Refusal::Defect(defect.status()));
        }
        let uri = Uri::parse(self.uri).map_err(|_| Refusal::BadRequest)?;
        let max_forwards = self.hops_left()?;
        self.refuse_loop(parts, scratch)?;
        self.refuse_extensions()?;
        match self.method {
            Method::Ack | Method::Bye | Method::Invite | Method::Other => {
                return Err(Refusal::Method);
            }
            Method::Cancel | Method::Notify => return Err(Refusal::NoDialog),
            Method::Message
            | Method::Options
            | Method::Publish
            | Method::Register
            | Method::Subscribe => {}
        }
        if uri.scheme == Scheme::Other {
            return Err(Refusal::Scheme);
        }
        let (routes_removed, strict) = self.strip_routes(&uri)?;
        let target = match strict {
            Some(target) => Uri::parse(target).map_err(|_| Refusal::BadRequest)?,
            None => uri,
        };
        self.check_target(&target)?;
        if self.method == Method::Options {
            return Ok(Verdict::Options);
        }
        let (client, spelling) = self.client(&target, parts)?;
        Ok(Verdict::Route {
            client,
            spelling,
            onward: Onward {
                routes_removed,
                max_forwards,
                is_strict: strict.is_some(),
                record_routes: self.method == Method::Subscribe,
            },
        })
    }

    /// What Max-Forwards becomes (RFC 3261 §16.3 step 3, §16.6 step 3).
    fn hops_left(&self) -> Result<u32, Refusal> {
        if self.message.header(Name::MaxForwards).is_none() {
            return Ok(MAX_FORWARDS);
        }
        match self.message.number(Name::MaxForwards) {
            // OPTIONS with none left is answered by whom it reaches (RFC 3261 §11).
            Some(0) if self.method == Method::Options => Ok(0),
            Some(0) => Err(Refusal::TooManyHops),
            Some(hops) => Ok(hops - 1),
            None => Err(Refusal::BadRequest),
        }
    }

    /// RFC 3261 §16.3 step 4: a Via that we wrote for this very request is below the top.
    fn refuse_loop(&self, parts: &mut Parts, scratch: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut above = Branch::parse(self.below.branch, scratch);
        for value in self.message.values(Name::Via).skip(1) {
            let via = Via::parse(value).ok_or(Refusal::BadRequest)?;
            if let Some(branch) = above
                && let Some(below) = Below::read(self.message, &via)
                && branch.is_authentic(self.now, &below, self.keys, parts)
            {
                return Err(Refusal::Loop);
            }
            above = via
                .branch()
                .and_then(|branch| Branch::parse(branch, scratch));
        }
        Ok(())
    }

    /// RFC 3261 §16.3 step 5; and §8.2.2.3 where we are the one who answers.
    fn refuse_extensions(&self) -> Result<(), Refusal> {
        if self.message.header(Name::ProxyRequire).is_some() {
            return Err(Refusal::BadExtension(Name::ProxyRequire));
        }
        let is_known = |tag: &str| is_listed(tag, self.supported);
        if self.method == Method::Options && !self.message.values(Name::Require).all(is_known) {
            return Err(Refusal::BadExtension(Name::Require));
        }
        Ok(())
    }

    /// How many Route values are ours, all of them, and the real Request-URI where a strict router
    /// put it last (RFC 3261 §16.4). We lead nowhere but into the pool: a Route to elsewhere is
    /// refused.
    fn strip_routes(&self, uri: &Uri<'m>) -> Result<(usize, Option<&'m str>), Refusal> {
        if self.message.header(Name::Route).is_none() {
            return Ok((0, None));
        }
        let is_strict = uri.params.has("lr")
            && self.edge.is_own(uri.host, uri.port)
            && uri.user.is_some_and(|user| self.keys.flow(user).is_some());
        let mut routes = self.message.values(Name::Route).peekable();
        let mut removed = 0;
        while let Some(value) = routes.next() {
            let route = NameAddr::parse(value).ok_or(Refusal::BadRequest)?;
            removed += 1;
            if is_strict && routes.peek().is_none() {
                return Ok((removed, Some(route.uri)));
            }
            let route = Uri::parse(route.uri).map_err(|_| Refusal::BadRequest)?;
            let is_genuine = route.user.is_none_or(|user| self.keys.flow(user).is_some());
            if !is_genuine || !self.edge.is_own_route(&route, uri) {
                return Err(Refusal::Forbidden);
            }
        }
        Ok((removed, None))
    }

    /// RFC 3261 §16.4 (maddr) and §16.5: only what is the pool's own goes on.
    fn check_target(&self, uri: &Uri<'_>) -> Result<(), Refusal> {
        if uri.scheme == Scheme::Other {
            return Err(Refusal::Scheme);
        }
        if let Some(maddr) = uri.params.value("maddr")
            && !self.edge.is_own(Host(maddr), uri.port)
        {
            return Err(Refusal::Forbidden);
        }
        if !self.edge.serves(uri) {
            return Err(Refusal::NotFound);
        }
        Ok(())
    }

    /// Whose request it is, and by which new spelling.
    fn client(
        &self,
        target: &Uri<'m>,
        parts: &mut Parts,
    ) -> Result<(Named, Option<&'m str>), Refusal> {
        if self.method == Method::Register {
            let to = self.message.to().ok_or(Refusal::BadRequest)?;
            if let Some(aor) = self.cache.spelled(to.uri) {
                return Ok((Named::Aor(aor.clone()), None));
            }
            let to = Uri::parse(to.uri).map_err(|_| Refusal::BadRequest)?;
            // RFC 3261 §10.3 step 5.
            if to.scheme != Scheme::Other && (to.user.is_none() || !self.edge.serves(&to)) {
                return Err(Refusal::NotFound);
            }
            return Ok((self.aor(&to)?, Some(to.text)));
        }
        // Outside a dialog a pool Contact names who is watched, not who watches.
        if let Some(row) = self.row(target)
            && (self.method != Method::Subscribe || is_in_dialog(self.message))
        {
            return Ok((Named::Row(row), None));
        }
        if self.method == Method::Subscribe {
            return self.subscriber(parts);
        }
        if target.user.is_none() {
            return Err(Refusal::NotFound);
        }
        match self.cache.spelled(target.text) {
            Some(aor) => Ok((Named::Aor(aor.clone()), None)),
            None => Ok((self.aor(target)?, Some(target.text))),
        }
    }

    fn aor(&self, uri: &Uri<'_>) -> Result<Named, Refusal> {
        match Aor::from_uri(uri, self.edge.own_ports()) {
            Ok(aor) => Ok(Named::Aor(aor)),
            Err(InvalidAor::Scheme) => Err(Refusal::Scheme),
            Err(_) => Err(Refusal::BadRequest),
        }
    }

    /// The row of a pool Contact in the Request-URI.
    fn row(&self, target: &Uri<'_>) -> Option<ClientId> {
        let token = self.keys.contact(target.user?)?;
        self.edge
            .is_own(target.host, target.port)
            .then_some(token.0)
    }

    /// The watcher. One without a name is a client of its own for each dialog: all of them together
    /// would be one hot client.
    fn subscriber(&self, parts: &mut Parts) -> Result<(Named, Option<&'m str>), Refusal> {
        let from = self.message.from().ok_or(Refusal::BadRequest)?;
        let uri = Uri::parse(from.uri).map_err(|_| Refusal::BadRequest)?;
        if uri.scheme == Scheme::Other || is_anonymous(&uri) {
            return Ok((Named::Aor(self.nameless(parts)?), None));
        }
        if let Some(aor) = self.cache.spelled(uri.text) {
            return Ok((Named::Aor(aor.clone()), None));
        }
        let is_ours = uri.user.is_some() && self.edge.serves(&uri);
        Ok((self.aor(&uri)?, is_ours.then_some(uri.text)))
    }

    fn nameless(&self, parts: &mut Parts) -> Result<Aor, Refusal> {
        parts.begin(b"nameless");
        parts.push(self.message.call_id().unwrap_or_default().as_bytes());
        parts.push(self.below.from_tag.as_bytes());
        let mut text = String::from("sip:anonymous-");
        base32(&parts.mac(self.keys.current()).to_be_bytes(), &mut text);
        write!(text, "@{NAMELESS_HOST}").expect("a string takes all that is written");
        Aor::parse(&text).map_err(|_| Refusal::BadRequest)
    }
}

/// The Request-URI that a strict router moved to the end of the route set (RFC 3261 §16.4).
pub(crate) fn strict_target<'a>(message: &Message<'a>) -> Option<&'a str> {
    let last = message.values(Name::Route).last()?;
    NameAddr::parse(last).map(|route| route.uri)
}

/// Whether a request may begin an assignment: a REGISTER that binds, PUBLISH, and a SUBSCRIBE
/// outside a dialog.
pub(crate) fn may_assign(method: Method, message: &Message<'_>) -> bool {
    match method {
        Method::Publish => true,
        Method::Register => binds(message),
        Method::Subscribe => !is_in_dialog(message),
        _ => false,
    }
}

/// Whether the request has a To tag (RFC 3261 §12.2).
pub(crate) fn is_in_dialog(message: &Message<'_>) -> bool {
    message.to().is_some_and(|to| to.tag().is_some())
}

/// Whether a REGISTER has a contact that it does not remove (RFC 3261 §10.2.2).
fn binds(message: &Message<'_>) -> bool {
    let default = message.number(Name::Expires);
    message.values(Name::Contact).any(|value| {
        let Some(contact) = NameAddr::parse(value).filter(|_| value != "*") else {
            // The registrar says what is wrong with it.
            return value != "*";
        };
        let own = contact.params.value("expires");
        let seconds = own.and_then(|seconds| seconds.parse().ok()).or(default);
        seconds != Some(0)
    })
}

/// RFC 3323 §4.1.1.3 and what phones write in its place.
fn is_anonymous(uri: &Uri<'_>) -> bool {
    let user = uri.user.unwrap_or_default();
    user.eq_ignore_ascii_case("anonymous")
        || is_named(uri.host, "anonymous")
        || is_named(uri.host, NAMELESS_HOST)
}

pub(crate) fn is_listed(tag: &str, list: &str) -> bool {
    list.split(',')
        .any(|listed| listed.trim().eq_ignore_ascii_case(tag))
}

/// RFC 3261 §8.1.1.6.
pub(crate) const MAX_FORWARDS: u32 = 70;
const NAMELESS_HOST: &str = "anonymous.invalid";
