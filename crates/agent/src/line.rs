//! What every request of a phone goes through: identifiers, writing, sending, and sending again.

use std::collections::BTreeMap;

use bytes::Bytes;
use presently_sip::transaction::{Action, ClientTransaction, Input};
use presently_sip::{Message, Moment, Writer};

use crate::agenda::{Agenda, Timer};
use crate::lease::{self, Refusal};
use crate::tokens::{Tokens, number_of_branch};
use crate::{Config, Outputs, Quirk, Subject, quirk};

/// The phone's flow to the pool, with the requests that wait for an answer.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) config: Config,
    pub(crate) tokens: Tokens,
    pub(crate) agenda: Agenda,
    exchanges: BTreeMap<u64, Box<Exchange>>,
    next_exchange: u64,
}

/// A request to be written.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) subject: Subject,
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    /// The whole To value.
    pub(crate) to: String,
    pub(crate) from_tag: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    /// The route set; `None` outside a dialog.
    pub(crate) routes: Option<&'a [String]>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Content-Type and body.
    pub(crate) body: Option<(&'a str, &'a [u8])>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    Response {
        status: u16,
        message: &'a Message<'a>,
    },
    TimedOut,
    Unreachable,
}

#[derive(Debug)]
struct Exchange {
    subject: Subject,
    method: &'static str,
    branch: String,
    request: Bytes,
    transaction: ClientTransaction,
}

impl Line {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            tokens: Tokens::new(config.seed),
            config,
            agenda: Agenda::default(),
            exchanges: BTreeMap::new(),
            next_exchange: 1,
        }
    }

    /// Writes and sends `ask`; returns the number by which its end will be told.
    pub(crate) fn send(&mut self, now: Moment, ask: &Ask<'_>, out: &mut Outputs) -> u64 {
        let number = self.next_exchange;
        self.next_exchange += 1;
        let branch = self.tokens.branch(number);
        let request = self.write(ask, &branch);
        out.datagrams.push(request.clone());
        let transaction = ClientTransaction::new(now, self.config.protocol);
        self.agenda
            .set(Timer::Exchange(number), transaction.poll_timeout());
        let exchange = Exchange {
            subject: ask.subject.clone(),
            method: ask.method,
            branch,
            request,
            transaction,
        };
        self.exchanges.insert(number, Box::new(exchange));
        number
    }

    /// Takes a response; the exchange it ends, if it ends one. Repeats and strays give nothing.
    pub(crate) fn on_response(
        &mut self,
        now: Moment,
        status: u16,
        message: &Message<'_>,
    ) -> Option<(u64, Subject)> {
        let (via, cseq) = (message.via()?, message.cseq()?);
        let branch = via.branch()?;
        let number = number_of_branch(branch)?;
        let exchange = self.exchanges.get_mut(&number)?;
        if exchange.branch != branch || exchange.method != cseq.method {
            return None;
        }
        let action = exchange
            .transaction
            .handle_input(now, Input::Response { status });
        // Once it is gone from the table a repeat matches nothing, so Timer K need not be waited
        // for.
        (action == Action::Answered).then(|| self.end(number))?
    }

    /// Time has come for `number`; the exchange, if it ends without an answer.
    pub(crate) fn on_timeout(
        &mut self,
        now: Moment,
        number: u64,
        out: &mut Outputs,
    ) -> Option<(u64, Subject)> {
        let exchange = self.exchanges.get_mut(&number)?;
        match exchange.transaction.handle_input(now, Input::Timeout) {
            Action::Resend => out.datagrams.push(exchange.request.clone()),
            Action::TimedOut => return self.end(number),
            _ => {}
        }
        let due = exchange.transaction.poll_timeout();
        self.agenda.set(Timer::Exchange(number), due);
        None
    }

    /// The flow is gone: every exchange that waits ends, in the order they began.
    pub(crate) fn take_all(&mut self) -> Vec<(u64, Subject)> {
        let numbers: Vec<u64> = self.exchanges.keys().copied().collect();
        numbers.into_iter().filter_map(|it| self.end(it)).collect()
    }

    /// How much sooner than others what is granted now is refreshed.
    pub(crate) fn early(&mut self) -> u16 {
        match self.config.refresh_spread_percent {
            0 => 0,
            spread => lease::early(spread, self.tokens.number()),
        }
    }

    /// Whether a request waits for its answer.
    pub(crate) fn is_asking(&self) -> bool {
        !self.exchanges.is_empty()
    }

    fn end(&mut self, number: u64) -> Option<(u64, Subject)> {
        self.agenda.set(Timer::Exchange(number), None);
        let exchange = self.exchanges.remove(&number)?;
        if self.exchanges.is_empty() {
            // An empty tree keeps its last node.
            self.exchanges = BTreeMap::new();
        }
        Some((number, exchange.subject))
    }

    /// The address of record in angle brackets.
    pub(crate) fn address(&self) -> String {
        format!("<{}>", self.config.aor)
    }

    /// The Contact value of this device.
    pub(crate) fn contact(&self) -> String {
        let contact = &self.config.contact;
        match &self.config.instance {
            Some(instance) => format!("<{contact}>;+sip.instance=\"<{instance}>\""),
            None => format!("<{contact}>"),
        }
    }

    pub(crate) fn has_quirk(&self, quirk: Quirk) -> bool {
        self.config.quirks.contains(&quirk)
    }

    /// `message` as this phone writes it, quirks and all.
    pub(crate) fn finish(&self, message: Vec<u8>) -> Bytes {
        quirk::apply(&self.config.quirks, message).into()
    }

    fn write(&self, ask: &Ask<'_>, branch: &str) -> Bytes {
        let Config {
            protocol, sent_by, ..
        } = &self.config;
        let mut text = Vec::with_capacity(REQUEST_USUAL);
        let mut writer = Writer::request(&mut text, ask.method, &ask.uri);
        let via = format!(
            "SIP/2.0/{} {sent_by};branch={branch};rport",
            protocol.token()
        );
        writer.header("Via", via);
        let routes = ask.routes.unwrap_or(self.config.route.as_slice());
        for route in routes {
            writer.header("Route", route);
        }
        writer
            .header("Max-Forwards", 70)
            .header("From", self.from(ask.from_tag))
            .header("To", &ask.to)
            .header("Call-ID", ask.call_id)
            .header("CSeq", format_args!("{} {}", ask.cseq, ask.method))
            .header("User-Agent", &self.config.user_agent);
        for (name, value) in &ask.headers {
            writer.header(name, value);
        }
        match ask.body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.end(),
        }
        self.finish(text)
    }

    fn from(&self, tag: &str) -> String {
        let display = &self.config.display;
        let address = self.address();
        if display.is_empty() {
            return format!("{address};tag={tag}");
        }
        let display = display.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{display}\" {address};tag={tag}")
    }
}

impl Answer<'_> {
    /// What it says if it is no success; no answer counts as 408, no flow as 503
    /// (RFC 3261 §8.1.3.1).
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match *self {
            Self::Response {
                status: 200..=299, ..
            } => None,
            Self::Response { status, message } => Some(Refusal::of(status, Some(message))),
            Self::TimedOut => Some(Refusal::of(408, None)),
            Self::Unreachable => Some(Refusal::of(503, None)),
        }
    }

    /// The response, if it is a success.
    pub(crate) fn success(&self) -> Option<&Message<'_>> {
        match self {
            Self::Response {
                status: 200..=299,
                message,
            } => Some(message),
            _ => None,
        }
    }

    /// Whether the flow went before an answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable)
    }

    /// Whether nobody answered.
    pub(crate) fn is_none(&self) -> bool {
        !matches!(self, Self::Response { .. })
    }
}

/// Room for most requests, so that writing one allocates once.
const REQUEST_USUAL: usize = 1024;
