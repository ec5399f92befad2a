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
use crate::output::{self, Untold, tame_line};

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
                print_state(&presentity, &notified, args.phone.json)?;
                if args.once {
                    return Ok(());
                }
            }
            other => fail(&other, Patience::Endless)?,
        }
    }
}

fn print_state(presentity: &str, notified: &Notified, is_json: bool) -> Result<(), Untold> {
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
        return output::line(json!({
            "presentity": presentity,
            "state": state,
            "notes": notes,
            "subscription": subscription,
        }));
    }
    let notes = tame_line(&notes.join("; "));
    let colon = if notes.is_empty() { "" } else { ": " };
    output::line(format_args!("{presentity} is {state}{colon}{notes}"))
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
    let patience = match args.expires {
        // It ends once it is published; so it ends as well if it cannot be.
        Some(_) => Patience::Once,
        None => Patience::Endless,
    };
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
                print_published(&args, expires_secs, etag.as_ref().map(EntityTag::as_str))?;
                if args.expires.is_some() {
                    return Ok(());
                }
            }
            other => fail(&other, patience)?,
        }
    }
}

fn print_published(args: &Publish, expires_secs: u32, etag: Option<&str>) -> Result<(), Untold> {
    let state = if args.open { "open" } else { "closed" };
    let presentity = args.presentity.to_string();
    if args.phone.json {
        return output::line(json!({
            "presentity": presentity,
            "state": state,
            "expires_secs": expires_secs,
            "entity_tag": etag,
        }));
    }
    output::line(format_args!(
        "published: {presentity} is {state} for {expires_secs} s"
    ))
}

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
    let _ = tokio::time::timeout(LEAVE_WITHIN, answered).await;
}

/// What the system says when the pool's address takes no datagram.
fn unreachable(pool: SocketAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return format!("no pool listens for UDP at {pool} (--pool HOST:PORT)");
    }
    format!("the pool at {pool} cannot be reached: {error}")
}

/// For how long a command tries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Patience {
    /// Until it is interrupted; what fails meanwhile is said beside the output.
    Endless,
    /// Until the first answer, or until there is none.
    Once,
}

/// What the phone cannot mend by itself ends the command; so does what would need patience.
fn fail(event: &Event, patience: Patience) -> Result<(), Box<dyn Error>> {
    let (text, again_in) = match event {
        Event::PublishFailed {
            status, again_in, ..
        } => (format!("the pool refused the PUBLISH: {status}"), again_in),
        Event::SubscribeFailed {
            status, again_in, ..
        } => (
            format!("the pool refused the SUBSCRIBE: {status}"),
            again_in,
        ),
        Event::SubscriptionEnded {
            reason, again_in, ..
        } => (format!("the subscription is over: {reason:?}"), again_in),
        Event::TimedOut { again_in, .. } => ("the pool does not answer".to_owned(), again_in),
        _ => return Ok(()),
    };
    match again_in {
        // The pool named the time that it grants (RFC 3903 §6): the phone asks for that.
        Some(Duration::ZERO) => Ok(()),
        Some(_) if patience == Patience::Endless => {
            output::aside(format_args!("presently: {text}; trying again"));
            Ok(())
        }
        _ => Err(text.into()),
    }
}

const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";
/// Refreshed by the phone before it ends.
const EXPIRES_SECS: u32 = 600;
/// How long a pool may take to answer the last request.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use presently_agent::Subject;

    use super::*;

    #[test]
    fn a_command_that_ends_once_it_is_published_ends_when_nobody_answers() {
        let silent = |again_in| Event::TimedOut {
            what: Subject::Publication(PACKAGE.into()),
            again_in,
        };
        let refused = |status, again_in| Event::PublishFailed {
            package: PACKAGE.into(),
            status,
            again_in,
        };
        let later = Some(Duration::from_secs(7));
        let table = [
            (silent(later), Patience::Once, Some("does not answer")),
            (silent(later), Patience::Endless, None),
            (silent(None), Patience::Endless, Some("does not answer")),
            (refused(503, later), Patience::Once, Some("503")),
            (refused(503, later), Patience::Endless, None),
            (refused(403, None), Patience::Endless, Some("403")),
            // Asked for too short a time: the phone asks for a longer one at once.
            (refused(423, Some(Duration::ZERO)), Patience::Once, None),
        ];
        for (event, patience, expected) in table {
            let ended = fail(&event, patience).err().map(|error| error.to_string());
            match (ended, expected) {
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (None, None) => {}
                (ended, _) => panic!("{event:?} {patience:?}: {ended:?}"),
            }
        }
    }
}
