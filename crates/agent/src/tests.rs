//! Goal: a phone that does, at the right time, what a good phone does.
//! Method: one agent, a scripted pool that answers with text, and a virtual clock.

mod incoming;
mod pool;
mod publication;
mod registration;
mod resume;
mod subscription;
mod two_phones;

use std::time::Duration;

use presently_sip::{
    Aor, Edits, Framing, Index, Moment, Now, Params, Protocol, Response, WallTime, Writer,
};

use crate::{Agent, Config, Event, Outputs};

/// One agent, what it sent and said, and the time.
struct Bench {
    agent: Agent,
    now: Now,
    out: Outputs,
}

impl Bench {
    fn new() -> Self {
        Self::with(config("sip:al@example.com", 1))
    }

    fn with(config: Config) -> Self {
        Self {
            agent: Agent::new(config),
            now: at(0),
            out: Outputs::default(),
        }
    }

    /// What was sent since the last call.
    fn sent(&mut self) -> Vec<String> {
        let datagrams = self.out.datagrams.drain(..);
        datagrams
            .map(|it| String::from_utf8(it.to_vec()).unwrap())
            .collect()
    }

    /// The one message that was sent since the last call.
    #[track_caller]
    fn sent_one(&mut self) -> String {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// What was said since the last call.
    fn events(&mut self) -> Vec<Event> {
        self.out.events.drain(..).collect()
    }

    /// The one event since the last call.
    #[track_caller]
    fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:#?}");
        events.remove(0)
    }

    fn receive(&mut self, message: &str) {
        self.agent
            .handle_message(self.now, message.as_bytes(), &mut self.out);
    }

    /// Answers `request`; the To tag is `pool`.
    fn answer(&mut self, request: &str, status: u16, headers: &[(&str, &str)]) {
        self.receive(&response(request, status, headers));
    }

    /// Lets `millis` go by, with every timer on its moment.
    fn wait(&mut self, millis: u64) {
        let end = self.now.moment.after(Duration::from_millis(millis));
        while let Some(due) = self.agent.poll_timeout().filter(|due| *due <= end) {
            self.now = Now {
                moment: due,
                ..self.now
            };
            self.agent.handle_timeout(self.now, &mut self.out);
        }
        self.now.moment = end;
    }

    /// Goes to the next timer; how many milliseconds that took.
    #[track_caller]
    fn skip(&mut self) -> u64 {
        let due = self.agent.poll_timeout().expect("a timer is set");
        let millis = due.since(self.now.moment).as_micros().div_ceil(1000);
        let millis = u64::try_from(millis).unwrap();
        self.wait(millis);
        millis
    }
}

fn at(millis: u64) -> Now {
    Now {
        moment: Moment(START + millis * 1000),
        wall: WallTime(START + millis * 1000),
    }
}

fn aor(text: &str) -> Aor {
    Aor::parse(text).unwrap()
}

fn config(user: &str, seed: u64) -> Config {
    Config::new(aor(user), Protocol::Udp, "192.0.2.7:5060", seed)
}

/// The value of the first header called `name`; empty when there is none.
fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let head = message.split("\r\n\r\n").next().unwrap();
    let values = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = values.filter(|(it, _)| *it == name).map(|(_, value)| value);
    values.next().unwrap_or_default()
}

fn method(message: &str) -> &str {
    message.split(' ').next().unwrap()
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

fn tag(value: &str) -> &str {
    let params = value.split_once(">;").unwrap().1;
    Params(params).value("tag").unwrap()
}

fn response(request: &str, status: u16, headers: &[(&str, &str)]) -> String {
    let mut index = Index::default();
    let message = index.read(request.as_bytes(), Framing::Datagram).unwrap();
    let mut text = Vec::new();
    let mut writer = Response::to(&mut text, &message, &Edits::default(), status, "pool");
    for (name, value) in headers {
        writer.header(name, value);
    }
    writer.end();
    String::from_utf8(text).unwrap()
}

/// The NOTIFY in the dialog that `subscribe` and the To tag `remote_tag` make.
fn notify(subscribe: &str, remote_tag: &str, cseq: u32, state: &str, body: &str) -> String {
    let mut text = Vec::new();
    let to = header(subscribe, "To").split(";tag").next().unwrap();
    let mut writer = Writer::request(&mut text, "NOTIFY", "sip:phone@192.0.2.7:5060");
    let branch = format!("z9hG4bKn{cseq}{}", body.len());
    writer
        .header(
            "Via",
            format_args!("SIP/2.0/UDP pool.example.com;branch={branch}"),
        )
        .header("From", format_args!("{to};tag={remote_tag}"))
        .header("To", header(subscribe, "From"))
        .header("Call-ID", header(subscribe, "Call-ID"))
        .header("CSeq", format_args!("{cseq} NOTIFY"))
        .header("Max-Forwards", 70)
        .header("Contact", "<sip:owner@pool.example.com>")
        .header("Event", header(subscribe, "Event"))
        .header("Subscription-State", state);
    match body {
        "" => writer.end(),
        body => writer.body("application/pidf+xml", body.as_bytes()),
    }
    String::from_utf8(text).unwrap()
}

/// Not zero, so that a moment taken for a span shows.
const START: u64 = 3_000_000_000;
