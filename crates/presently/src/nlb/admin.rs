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
    axum::serve(listener, router).await
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
    match private.part(query.as_deref()) {
        Ok(part) => json(private.control.sessions(part).await),
        Err(refusal) => refusal.into_response(),
    }
}

async fn steps(State(private): State<Private>, RawQuery(query): RawQuery) -> Response {
    match private.part(query.as_deref()) {
        Ok(part) => json(private.control.steps(part).await),
        Err(refusal) => refusal.into_response(),
    }
}

/// What names people: nobody is asked for a password here, so only this machine is served.
#[derive(Clone)]
struct Private {
    control: Control,
    address: SocketAddr,
}

impl Private {
    /// The part of an address that `query` asks for; all of them without one.
    fn part<'a>(&self, query: Option<&'a str>) -> Result<&'a str, (StatusCode, String)> {
        let address = self.address;
        if !address.ip().is_loopback() {
            let text = format!("users are shown on loopback only, and this port is {address}\n");
            return Err((StatusCode::FORBIDDEN, text));
        }
        let Some(query) = query else {
            return Ok("");
        };
        query.strip_prefix("user=").ok_or_else(|| {
            let text = "the only parameter is user=PART-OF-THE-ADDRESS\n".to_owned();
            (StatusCode::BAD_REQUEST, text)
        })
    }
}

fn json(found: Option<impl Serialize>) -> Response {
    let Some(found) = found else {
        return stuck().into_response();
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let text = serde_json::to_string(&found).expect("every row can be written");
    (kind, text).into_response()
}

fn stuck() -> (StatusCode, String) {
    let text = "the loop does not answer\n".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
