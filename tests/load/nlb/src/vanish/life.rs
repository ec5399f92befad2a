//! One user's life: connect, talk as its class does, reconnect when cut, lie dead when told, return
//! when told.

use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Is, Story, User};
use crate::http::{Opening, open_session};
use crate::wall::now_ms;

/// Why a connection is left.
enum Over {
    Cut,
    Gone,
}

/// Prints one event.
pub(super) fn say(event: &str, user: &User, detail: &str) {
    let (id, session) = (user.id, user.session_no.get());
    let line = format!("{} {event} u{id} u{id}.{session} {detail}\n", now_ms());
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).expect("stdout is read");
    out.flush().expect("stdout is read");
}

/// Lives until the bench ends.
pub(super) async fn live(story: Rc<Story>, user: Rc<User>) {
    let mut rng = Rng::with_seed(user.id as u64 + 1000);
    let mut cookie = String::new();
    loop {
        user.session_no.set(user.session_no.get() + 1);
        let mut stream = match connect(&story, &user, &mut cookie).await {
            Ok(stream) => stream,
            Err(error) => {
                say("fail", &user, &error.to_string().replace(' ', "_"));
                tokio::time::sleep(story.scaled(1.0).max(RETRY_LEAST)).await;
                continue;
            }
        };
        user.connected.set(true);
        if user.state.get() == Is::Starting {
            user.state.set(Is::Live);
        }
        let over = talk(&story, &user, &mut stream, &mut rng).await;
        user.connected.set(false);
        match over {
            Over::Cut => {
                say("cut", &user, user.class());
                tokio::time::sleep(story.scaled(1.0)).await;
            }
            Over::Gone => {
                story.graveyard.borrow_mut().push(stream);
                user.back.notified().await;
                user.state.set(Is::Starting);
            }
        }
    }
}

/// Sends a message now and then; returns when the connection or the user is no more.
async fn talk(story: &Story, user: &User, stream: &mut TcpStream, rng: &mut Rng) -> Over {
    let mut is_first = true;
    let mut buffer = [0; 4096];
    loop {
        let next = tokio::time::sleep(story.scaled(gap(user, is_first, rng)));
        tokio::pin!(next);
        is_first = false;
        loop {
            tokio::select! {
                biased;
                () = user.gone.notified() => return Over::Gone,
                got = stream.read(&mut buffer) => match got {
                    Ok(length) if length > 0 => {}
                    _ => return Over::Cut,
                },
                () = &mut next => break,
            }
        }
        // A masked text frame of 8 bytes; a write that fails shows at the next read.
        let _ = stream.write_all(b"\x81\x88\0\0\0\0whatsnew").await;
        user.spoke_ms.set(now_ms());
    }
}

/// Seconds of the story before the next message.
fn gap(user: &User, is_first: bool, rng: &mut Rng) -> f64 {
    match user.class() {
        "ping25s" if is_first => 25.0 * rng.f64(),
        "ping25s" => 25.0,
        "chat60s" => exponential(rng, 60.0),
        _ => exponential(rng, 1200.0),
    }
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

async fn connect(story: &Story, user: &User, cookie: &mut String) -> std::io::Result<TcpStream> {
    let own = story.address(user);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((own, 0)))?;
    let is_ws = user.kind() == "ws";
    let to = if is_ws {
        story.told.http
    } else {
        story.told.tcp
    };
    let mut stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let (name, session) = (
        format!("u{}", user.id),
        format!("u{}.{}", user.id, user.session_no.get()),
    );
    let opening = Opening {
        kind: user.kind(),
        user: &name,
        session: &session,
        cookie: cookie.as_str(),
    };
    let (server, set) = open_session(&mut stream, &opening).await?;
    user.spoke_ms.set(now_ms());
    if story.told.keep_cookie && !set.is_empty() {
        *cookie = set;
    }
    let (kind, class) = (user.kind(), user.class());
    say("open", user, &format!("{kind},{class},{server},{own}"));
    Ok(stream)
}

/// However fast the story runs.
const RETRY_LEAST: Duration = Duration::from_millis(200);
