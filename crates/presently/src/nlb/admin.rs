//! The admin port of an nlb: metrics, health and sessions over HTTP.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;

use super::Control;
use crate::admin::port;

/// Answers `/metrics`, `/healthz`, `/readyz`, `/sessions` and `/steps` about the nlb of `control`,
/// for ever.
///
/// `/healthz` is 200 while the loop turns, `/readyz` while users are given access. `/sessions` and
/// `/steps` name people, so they are served on loopback only.
pub(super) async fn serve(listener: TcpListener, control: Control) -> io::Result<()> {
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(control.clone())
        .route("/sessions", get(sessions))
        .route("/steps", get(steps))
        .with_state(Private { control, address });
    match port::serve(listener, router).await {}
}

async fn metrics(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(snapshot) => (StatusCode::OK, snapshot.encode()),
        None => stuck(),
    }
}

async fn health(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(_) => (StatusCode::OK, "ok\n".to_owned()),
        None => stuck(),
    }
}

async fn readiness(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(snapshot) if snapshot.is_ready => (StatusCode::OK, "ready\n".to_owned()),
        Some(snapshot) => {
            let text = if snapshot.is_reachable {
                "no application server is up\n"
            } else {
                "the presence server does not answer\n"
            };
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
        None => stuck(),
    }
}

async fn sessions(State(private): State<Private>, RawQuery(query): RawQuery) -> Response {
    match private.wanted(query.as_deref()) {
        Ok(Wanted { user, after }) => json(private.control.sessions(user, after).await).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn steps(State(private): State<Private>, RawQuery(query): RawQuery) -> Response {
    match private.wanted(query.as_deref()) {
        Ok(Wanted { user, .. }) => json(private.control.steps(user).await).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What names people: nobody is asked for a password here, so only this machine is served.
#[derive(Clone)]
struct Private {
    control: Control,
    address: SocketAddr,
}

/// What a query asks for.
#[derive(Default)]
struct Wanted<'a> {
    /// The part of an address; empty for all.
    user: &'a str,
    /// The session behind which a page begins.
    after: u64,
}

impl Private {
    fn wanted<'a>(&self, query: Option<&'a str>) -> Result<Wanted<'a>, (StatusCode, String)> {
        let address = self.address;
        if !address.ip().is_loopback() {
            let text = format!("users are shown on loopback only, and this port is {address}\n");
            return Err((StatusCode::FORBIDDEN, text));
        }
        Wanted::read(query.unwrap_or_default()).ok_or_else(|| {
            let text = "the parameters are user=PART-OF-THE-ADDRESS and after=NUMBER\n".to_owned();
            (StatusCode::BAD_REQUEST, text)
        })
    }
}

impl<'a> Wanted<'a> {
    fn read(query: &'a str) -> Option<Self> {
        let mut wanted = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("user", user) => wanted.user = user,
                ("after", number) => wanted.after = number.parse().ok()?,
                _ => return None,
            }
        }
        Some(wanted)
    }
}

/// Written on a thread beside the loop's: a page of sessions takes some milliseconds.
async fn json(found: Option<impl Serialize + Send + 'static>) -> Response {
    let Some(found) = found else {
        return stuck().into_response();
    };
    let write = move || serde_json::to_string(&found).expect("every row can be written");
    let Ok(text) = tokio::task::spawn_blocking(write).await else {
        return stuck().into_response();
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, text).into_response()
}

fn stuck() -> (StatusCode, String) {
    let text = "the loop does not answer\n".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
