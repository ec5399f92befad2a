//! A client that reconnects when its phone is sent the UUID: `cargo run --example nlb_client --
//! --pool HOST:PORT --nlb HOST:PORT --user NAME`, beside the example `nlb` or any nlb that takes
//! the user's name from the header X-User.
//!
//! It registers a SIP phone, opens a WebSocket through the nlb, and echoes a line each second. When
//! a MESSAGE with `UUID=…` arrives, or the connection ends, it connects again: with the UUID, and
//! with the ordinary login, which the UUID does not replace.

#[path = "nlb/client.rs"]
mod client;
#[path = "nlb/websocket.rs"]
#[expect(dead_code, reason = "the server's side of it is for the other example")]
mod websocket;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use presently::Phone;
use presently_agent::{Event, pidf};
use presently_sip::Aor;

use crate::client::{Client, uuid_in};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("usage: nlb_client --pool HOST:PORT --nlb HOST:PORT --user NAME");
        return ExitCode::FAILURE;
    };
    match serve(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nlb_client: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    pool: SocketAddr,
    nlb: SocketAddr,
    user: String,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut pool, mut nlb, mut user) = (None, None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--pool" => pool = Some(arguments.next()?.parse().ok()?),
                "--nlb" => nlb = Some(arguments.next()?.parse().ok()?),
                "--user" => user = Some(arguments.next()?),
                _ => return None,
            }
        }
        Some(Self {
            pool: pool?,
            nlb: nlb?,
            user: user?,
        })
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    let mut phone = log_on(options).await?;
    let mut client = connect(options, None).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            event = phone.next_event() => {
                let event = event.map_err(|error| error.to_string())?;
                if let Event::MessageReceived { body, from, .. } = event
                    && let Some(uuid) = uuid_in(&body)
                {
                    println!("{from} says UUID={uuid}");
                    client = connect(options, Some(&uuid)).await?;
                }
            }
            _ = ticks.tick() => {
                if let Err(reason) = client.echo("tick").await {
                    println!("{reason}");
                    client = connect(options, None).await?;
                }
            }
            _ = tokio::signal::ctrl_c() => return log_off(phone).await,
        }
    }
}

async fn connect(options: &Options, uuid: Option<&str>) -> Result<Client, String> {
    let client = Client::open(options.nlb, &options.user, uuid).await?;
    println!("connected to {}", client.server);
    Ok(client)
}

async fn log_on(options: &Options) -> Result<Phone, String> {
    let aor = Aor::parse(&format!("sip:{}@example.com", options.user));
    let aor = aor.map_err(|error| error.to_string())?;
    let phone = Phone::open(aor.clone(), options.pool).await;
    let mut phone = phone.map_err(|error| error.to_string())?;
    phone.ask(|agent, now, out| {
        agent.register(now, EXPIRES_SECS, out);
        let body = pidf(&aor, true, None);
        agent.publish(
            now,
            "presence",
            "application/pidf+xml",
            body,
            EXPIRES_SECS,
            out,
        );
    });
    Ok(phone)
}

/// Says that the user leaves; the nlb then frees the slot without waiting for anything.
async fn log_off(mut phone: Phone) -> Result<(), String> {
    phone.ask(|agent, now, out| {
        agent.unpublish(now, "presence", out);
        agent.unregister(now, out);
    });
    let answered =
        async { while !matches!(phone.next_event().await, Ok(Event::Unregistered) | Err(_)) {} };
    // A pool that is gone forgets the phone when its registration expires.
    let _ = tokio::time::timeout(Duration::from_secs(2), answered).await;
    Ok(())
}

const EXPIRES_SECS: u32 = 600;
