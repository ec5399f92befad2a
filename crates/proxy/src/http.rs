//! HTTP/1.1: requests of one client's connection, each carried to the application server of its
//! user.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use presently_nlb::PathKind;
use presently_sip::Moment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::carried::{Answer, Carried, Flowing, Keeper};
use crate::client_io::ClientIo;
use crate::conn::{Admitted, Conn, NotAdmitted, Phase};
use crate::counters::LaneCounters;
use crate::forward::{self, Origin};
use crate::tunnel::{self, Ends};
use crate::upstream::{Unanswered, Upstream};
use crate::{Listener, Who, connect, greeting};

/// The connection to an application server that one client has for itself.
pub(crate) type OwnUpstream = RefCell<Option<Upstream>>;

/// A request until it is sent, and again when it may be sent once more.
type Outgoing = Option<Request<Carried>>;

/// What the requests of one connection share.
struct Requests {
    conn: Rc<Conn>,
    origin: Origin,
    own: Option<Rc<OwnUpstream>>,
    known: RefCell<Known>,
    /// The connection an upgrade was agreed on by.
    upgraded: RefCell<Option<Upstream>>,
}

/// For whom the last request spoke, and by what it was told.
#[derive(Default)]
struct Known {
    marks: Vec<u8>,
    who: Rc<Who>,
    until: Moment,
}

/// Why a request is answered by us.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// A method that is no request to a gateway.
    Method,
    NotAdmitted(NotAdmitted),
    /// The application server could not be reached, or what it sent is no answer.
    Server,
    /// The application server took too long.
    Time,
}

/// Serves one connection until it ends.
pub(crate) async fn serve(conn: &Rc<Conn>, listener: &Listener, stream: TcpStream) {
    // What only requests need is given back when a tunnel begins.
    if let Some(ends) = Box::pin(serve_requests(conn, listener, stream)).await {
        tunnel::carry(conn, ends).await;
    }
}

async fn serve_requests(
    conn: &Rc<Conn>,
    listener: &Listener,
    mut stream: TcpStream,
) -> Option<Ends> {
    let early = greeting::read(conn, listener, &mut stream).await?;
    let requests = Rc::new(Requests::new(conn, listener));
    let io = ClientIo {
        stream,
        early: early.rest,
        conn: Rc::clone(conn),
    };
    let answering = Rc::clone(&requests);
    let service = service_fn(move |request| Box::pin(answer(Rc::clone(&answering), request)));
    let mut serving = builder(conn).serve_connection(TokioIo::new(io), service);
    let served = std::future::poll_fn(|cx| {
        if conn.is_stopping() {
            Pin::new(&mut serving).graceful_shutdown();
        }
        serving.poll_without_shutdown(cx)
    });
    let served = served.await;
    let Parts { io, read_buf, .. } = serving.into_parts();
    let client = io.into_inner().stream;
    if let Some(upstream) = requests.upgraded.take() {
        let (server, server_early) = upstream.into_stream();
        return Some(Ends {
            client,
            client_early: read_buf,
            server,
            server_early,
        });
    }
    // What it sent is nothing we understand, and it may be sending still.
    if served.is_err_and(|error| error.is_parse()) {
        conn.leave();
        conn.enter_phase(Phase::Opening);
        linger(client).await;
    }
    None
}

/// How requests are read.
fn builder(conn: &Conn) -> Builder {
    let limits = conn.lane.limits();
    let mut builder = Builder::new();
    builder
        // The application server writes its own.
        .auto_date_header(false)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(BUFFER_BYTES_MIN));
    // hyper counts to a hundred without allocating.
    if limits.headers != HEADERS_OF_HYPER {
        builder.max_headers(limits.headers);
    }
    builder
}

/// Lets the client read our last answer: closing at once would reset the connection when more of
/// the request is on its way.
async fn linger(mut client: TcpStream) {
    if client.shutdown().await.is_err() {
        return;
    }
    let mut left = LINGER_BYTES;
    let mut discarded = [0; 1024];
    while let Ok(length @ 1..) = client.read(&mut discarded).await {
        left = left.saturating_sub(length);
        if left == 0 {
            return;
        }
    }
}

/// Answers one request. An async function would hold the request twice, once as its argument; this
/// future is small enough for the allocator to have one at hand.
fn answer(
    requests: Rc<Requests>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answer>, Infallible>> {
    LaneCounters::add(&requests.conn.lane.counters.requests);
    let mut outgoing = Some(request.map(Carried::new));
    async move {
        let answer = requests.carry(&mut outgoing).await;
        Ok(answer.unwrap_or_else(|failure| {
            requests.conn.enter_phase(Phase::Idle);
            requests.refuse(failure)
        }))
    }
}

impl Requests {
    fn new(conn: &Rc<Conn>, listener: &Listener) -> Self {
        let source = conn.source.get();
        Self {
            origin: Origin::new(source.ip(), conn.lane.trusts(source)),
            own: listener.is_announced.then(Rc::default),
            known: RefCell::default(),
            upgraded: RefCell::default(),
            conn: Rc::clone(conn),
        }
    }

    async fn carry(&self, outgoing: &mut Outgoing) -> Result<Response<Answer>, Failure> {
        let request = outgoing.as_mut().expect("it is not sent yet");
        if request.method() == Method::CONNECT {
            return Err(Failure::Method);
        }
        let is_upgrade = forward::upgrade_asked(request);
        let admitted = self.admit(request).await?;
        let lane = &self.conn.lane;
        let (telling, forwarding) = (lane.identify.headers(), lane.settings.forwarding);
        forward::rewrite_request(request, &self.origin, telling, forwarding, is_upgrade);
        self.exchange(&admitted, outgoing, is_upgrade).await
    }

    async fn admit(&self, request: &Request<Carried>) -> Result<Admitted, Failure> {
        let who = self.who(request);
        let before = self.conn.path();
        let admitted = self
            .conn
            .admit(&who, PathKind::Http, || resource(request))
            .await;
        if let Some(own) = &self.own
            && self.conn.path() != before
        {
            // It was announced for the user before.
            own.take();
        }
        admitted.map_err(Failure::NotAdmitted)
    }

    /// For whom this request speaks: as the one before, while nothing that tells has changed.
    fn who(&self, request: &Request<Carried>) -> Rc<Who> {
        let lane = &self.conn.lane;
        let identify = &lane.identify;
        let mut marks = lane.marks.borrow_mut();
        marks.clear();
        for name in identify.headers() {
            for value in request.headers().get_all(name) {
                marks.extend_from_slice(value.as_bytes());
                // No value contains a line's end.
                marks.push(b'\n');
            }
            marks.push(b'\r');
        }
        if identify.reads_query() {
            marks.extend_from_slice(request.uri().query().unwrap_or_default().as_bytes());
        }
        let mut known = self.known.borrow_mut();
        if known.until < lane.now() || known.marks != *marks {
            known.who = Rc::new(identify.who(request.uri(), request.headers()));
            known.marks.clone_from(&marks);
            known.until = lane.now().after(lane.limits().identity);
        }
        Rc::clone(&known.who)
    }

    /// Sends the request to its server, a second time if the first connection was stale.
    async fn exchange(
        &self,
        admitted: &Admitted,
        outgoing: &mut Outgoing,
        is_upgrade: bool,
    ) -> Result<Response<Answer>, Failure> {
        if let Some(mut upstream) = self.kept(admitted) {
            let answered = self.send(&mut upstream, outgoing).await;
            if answered.is_ok() || outgoing.is_none() {
                return self.deliver(answered?, upstream, is_upgrade);
            }
            LaneCounters::add(&self.conn.lane.counters.retried);
        }
        let mut upstream = self.connect(admitted).await?;
        let response = self.send(&mut upstream, outgoing).await?;
        self.deliver(response, upstream, is_upgrade)
    }

    /// An idle connection to the server, if there is one.
    fn kept(&self, admitted: &Admitted) -> Option<Upstream> {
        match &self.own {
            Some(own) => own.take().filter(|own| own.address == admitted.address),
            None => self.conn.lane.pool.take(admitted.address),
        }
    }

    async fn connect(&self, admitted: &Admitted) -> Result<Upstream, Failure> {
        let announced = self.own.is_some();
        let stream = connect::open(&self.conn, admitted.address, announced).await;
        let stream = stream.map_err(|failed| match failed {
            connect::Failed::Late => Failure::Time,
            connect::Failed::Refused => Failure::Server,
        })?;
        let upstream = Upstream::open(stream, admitted.address).await;
        upstream.map_err(|_| Failure::Server)
    }

    async fn send(
        &self,
        upstream: &mut Upstream,
        outgoing: &mut Outgoing,
    ) -> Result<Response<Incoming>, Failure> {
        self.conn.enter_phase(Phase::Awaiting);
        let answered = upstream.exchange(outgoing, || self.conn.is_late()).await;
        answered.map_err(|unanswered| match unanswered {
            Unanswered::Late => Failure::Time,
            Unanswered::Broken => Failure::Server,
        })
    }

    fn deliver(
        &self,
        response: Response<Incoming>,
        upstream: Upstream,
        is_upgrade: bool,
    ) -> Result<Response<Answer>, Failure> {
        let mut response = if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let keeper = Keeper {
                conn: Rc::clone(&self.conn),
                own: self.own.clone(),
            };
            response.map(|body| Flowing::begin(body, upstream, keeper))
        } else if is_upgrade {
            self.upgraded.replace(Some(upstream));
            response.map(|_| Answer::Empty)
        } else {
            return Err(Failure::Server);
        };
        forward::rewrite_response(&mut response);
        Ok(response)
    }

    fn refuse(&self, failure: Failure) -> Response<Answer> {
        let counters = &self.conn.lane.counters;
        match failure {
            Failure::Method | Failure::NotAdmitted(_) => LaneCounters::add(&counters.refused),
            Failure::Server | Failure::Time => {
                LaneCounters::add(&counters.failed);
                self.conn.note_error();
            }
        }
        let text = Bytes::from(failure.text());
        let mut response = Response::new(Answer::Text(Some(text)));
        *response.status_mut() = failure.status();
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(hyper::header::CONTENT_TYPE, plain);
        if failure.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECS));
        }
        if matches!(failure, Failure::Method) {
            let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
            headers.insert(ALLOW, allowed);
        }
        if failure.status() == StatusCode::UNAUTHORIZED {
            self.challenge(&mut response);
        }
        response
    }

    /// Says how to ask again; where there is no way to say it, it is no 401 (RFC 9110 §15.5.2).
    fn challenge(&self, response: &mut Response<Answer>) {
        let challenges = self.conn.lane.identify.challenges();
        for challenge in challenges {
            let headers = response.headers_mut();
            headers.append(WWW_AUTHENTICATE, challenge.clone());
        }
        if challenges.is_empty() {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
    }
}

impl Failure {
    fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAdmitted(NotAdmitted::Refused(refusal)) => {
                StatusCode::from_u16(refusal.status()).expect("a refusal has a status")
            }
            Self::NotAdmitted(NotAdmitted::Unanswered) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Server => StatusCode::BAD_GATEWAY,
            Self::Time => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Method => "this method is not carried\n".to_owned(),
            Self::NotAdmitted(NotAdmitted::Refused(refusal)) => format!("{refusal}\n"),
            Self::NotAdmitted(NotAdmitted::Unanswered) => "no decision in time\n".to_owned(),
            Self::Server => "the application server did not answer\n".to_owned(),
            Self::Time => "the application server took too long\n".to_owned(),
        }
    }
}

/// What a request asks for, for people: its host and path.
fn resource(request: &Request<Carried>) -> Box<str> {
    let host = request.headers().get(hyper::header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut text = String::with_capacity(RESOURCE_BYTES);
    for character in host.chars().chain(request.uri().path().chars()) {
        if text.len() + character.len_utf8() > RESOURCE_BYTES {
            break;
        }
        text.push(character);
    }
    text.into_boxed_str()
}

/// Waits for `work` as long as the phase of `conn` has time; `None` when that is over.
pub(crate) async fn in_time<T>(conn: &Conn, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        if conn.is_late() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// What hyper allows without being told, and without allocating for it.
const HEADERS_OF_HYPER: usize = 100;
/// hyper takes no smaller buffer.
const BUFFER_BYTES_MIN: usize = 8192;
/// What is read of a client that was told to go.
const LINGER_BYTES: usize = 256 * 1024;
/// A page's path; the rest says little.
const RESOURCE_BYTES: usize = 256;
/// A slot becomes free in seconds, or in minutes.
const RETRY_SECS: &str = "5";
