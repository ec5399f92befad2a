//! `presently watch` and `presently publish`: a phone for the command line.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use presently::Phone;
use presently_agent::{Event, Notified, SubscriptionState, pidf, read_pidf};
use presently_sip::EntityTag;
use serde_json::json;

use crate::cli::{Publish, Watch};

/// `presently watch`.
pub(crate) async fn watch(args: Watch) -> Result<(), Box<dyn Error>> {
    let me = args.phone.me.unwrap_or_else(|| args.presentity.clone());
    let pool = args.phone.pool;
    let opened = Phone::open(me, pool).await;
    let mut phone = opened.map_err(|error| unreachable(pool, &error))?;
    let feed = phone.ask(|agent, now, out| {
        let expires_secs = if args.once { 0 } else { EXPIRES_SECS };
        agent.subscribe(now, &args.presentity, PACKAGE, expires_secs, &[PIDF], out)
    });
    let presentity = args.presentity.to_string();
    loop {
        let event = tokio::select! {
            event = phone.next_event() => event.map_err(|error| unreachable(pool, &error))?,
            _ = tokio::signal::ctrl_c() => {
                phone.ask(|agent, now, out| agent.unsubscribe(now, feed, out));
                leave(phone, |event| matches!(event, Event::SubscriptionEnded { .. })).await;
                return Ok(());
            }
        };
        match event {
            Event::Notified(notified) => {
                print_state(&presentity, &notified, args.phone.json);
                if args.once {
                    return Ok(());
                }
            }
            other => fail(&other)?,
        }
    }
}

fn print_state(presentity: &str, notified: &Notified, is_json: bool) {
    let read = read_pidf(&notified.body);
    let state = match &read {
        Some((true, _)) => "open",
        Some((false, _)) => "closed",
        None => "unknown",
    };
    let notes = read.map(|(_, notes)| notes).unwrap_or_default();
    let subscription = match notified.state {
        SubscriptionState::Active => "active",
        SubscriptionState::Pending => "pending",
        SubscriptionState::Terminated { .. } => "terminated",
    };
    if is_json {
        let line = json!({
            "presentity": presentity,
            "state": state,
            "notes": notes,
            "subscription": subscription,
        });
        println!("{line}");
    } else if notes.is_empty() {
        println!("{presentity} is {state}");
    } else {
        println!("{presentity} is {state}: {}", notes.join("; "));
    }
}

/// `presently publish`.
pub(crate) async fn publish(args: Publish) -> Result<(), Box<dyn Error>> {
    let me = args.phone.me.clone();
    let me = me.unwrap_or_else(|| args.presentity.clone());
    if me != args.presentity {
        // RFC 3903 §14.1 leaves it to the server whom it lets publish about others; this phone is
        // the presentity's own.
        let text = format!(
            "--as {me}: `publish` speaks only as {} itself",
            args.presentity
        );
        return Err(text.into());
    }
    let pool = args.phone.pool;
    let opened = Phone::open(me, pool).await;
    let mut phone = opened.map_err(|error| unreachable(pool, &error))?;
    let body = pidf(&args.presentity, args.open, args.note.as_deref());
    let expires_secs = args.expires.unwrap_or(EXPIRES_SECS);
    phone.ask(|agent, now, out| {
        agent.publish(now, PACKAGE, PIDF, body.clone(), expires_secs, out);
    });
    let mut is_first = true;
    loop {
        let event = tokio::select! {
            event = phone.next_event() => event.map_err(|error| unreachable(pool, &error))?,
            _ = tokio::signal::ctrl_c() => {
                phone.ask(|agent, now, out| agent.unpublish(now, PACKAGE, out));
                leave(phone, |event| matches!(event, Event::Unpublished { .. })).await;
                return Ok(());
            }
        };
        match event {
            Event::Published {
                expires_secs, etag, ..
            } if is_first => {
                is_first = false;
                print_published(&args, expires_secs, etag.as_ref().map(EntityTag::as_str));
                if args.expires.is_some() {
                    return Ok(());
                }
            }
            other => fail(&other)?,
        }
    }
}

fn print_published(args: &Publish, expires_secs: u32, etag: Option<&str>) {
    let state = if args.open { "open" } else { "closed" };
    let presentity = args.presentity.to_string();
    if args.phone.json {
        let line = json!({
            "presentity": presentity,
            "state": state,
            "expires_secs": expires_secs,
            "entity_tag": etag,
        });
        println!("{line}");
    } else {
        println!("published: {presentity} is {state} for {expires_secs} s");
    }
}

/// Takes the document back; waits for the answer, but not for long.
/// Waits, not for long, for what was asked for last to be over.
async fn leave(mut phone: Phone, is_over: fn(&Event) -> bool) {
    let answered = async {
        while let Ok(event) = phone.next_event().await {
            if is_over(&event) {
                break;
            }
        }
    };
    // A pool that is gone forgets it when it expires.
    let _ = tokio::time::timeout(PATIENCE, answered).await;
}

/// What the system says when the pool's address takes no datagram.
fn unreachable(pool: SocketAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return format!("no pool listens for UDP at {pool} (--pool HOST:PORT)");
    }
    format!("the pool at {pool} cannot be reached: {error}")
}

/// What the phone cannot mend by itself ends the command.
fn fail(event: &Event) -> Result<(), Box<dyn Error>> {
    let text = match event {
        Event::PublishFailed {
            status,
            again_in: None,
            ..
        } => {
            format!("the pool refused the PUBLISH: {status}")
        }
        Event::SubscribeFailed {
            status,
            again_in: None,
            ..
        } => {
            format!("the pool refused the SUBSCRIBE: {status}")
        }
        Event::SubscriptionEnded {
            reason,
            again_in: None,
            ..
        } => {
            format!("the subscription is over: {reason:?}")
        }
        Event::TimedOut { again_in: None, .. } => "the pool does not answer".to_owned(),
        _ => return Ok(()),
    };
    Err(text.into())
}

const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";
/// Refreshed by the phone before it ends.
const EXPIRES_SECS: u32 = 600;
/// How long a pool may take to answer the last request.
const PATIENCE: Duration = Duration::from_secs(2);
