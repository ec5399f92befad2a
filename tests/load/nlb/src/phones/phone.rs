//! One phone: an agent over a flow of its own, and what becomes of it with its user.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use presently_agent::{Agent, Config, Event, Outputs, pidf};
use presently_sip::{Aor, Protocol};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::clock::Clock;
use super::link::Link;
use super::{Arguments, Kind, Log};

/// What happens to its user.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Nothing it sends arrives, and nothing arrives at it.
    Mute,
    /// The network is there again.
    Unmute,
    /// The user is no more.
    Vanish,
}

/// A phone that is switched on.
pub(super) struct Phone {
    agent: Agent,
    link: Link,
    clock: Clock,
    out: Outputs,
    told: Arc<Arguments>,
    own: IpAddr,
    is_mute: bool,
    refresh: Instant,
}

impl Phone {
    /// A phone of `aor` at `own`, connected and not registered yet.
    pub(super) async fn open(
        told: &Arc<Arguments>,
        aor: Aor,
        own: IpAddr,
    ) -> std::io::Result<Self> {
        let protocol = match told.kind {
            Kind::Logoff | Kind::Udp => Protocol::Udp,
            Kind::Tcp => Protocol::Tcp,
        };
        let link = Link::open(protocol, own, told.pool).await?;
        let sent_by = link.local()?.to_string();
        let config = Config::new(aor, protocol, &sent_by, fastrand::u64(..));
        Ok(Self {
            agent: Agent::new(config),
            link,
            clock: Clock::new(),
            out: Outputs::default(),
            told: Arc::clone(told),
            own,
            is_mute: false,
            refresh: Instant::now(),
        })
    }

    /// Registers, stays registered, and ends as its user does.
    pub(super) async fn live(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        user: String,
        log: Log,
    ) {
        self.register();
        if self.told.publish {
            let body = pidf(&self.agent.config().aor, true, None);
            let (now, secs) = (self.clock.now(), self.expires_secs());
            let out = &mut self.out;
            self.agent
                .publish(now, "presence", "application/pidf+xml", body, secs, out);
        }
        loop {
            self.flush(&user, &log).await;
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Mute) => self.is_mute = true,
                    Some(Order::Unmute) => {
                        self.is_mute = false;
                        self.connect_anew().await;
                    }
                    Some(Order::Vanish) => break,
                    None => return,
                },
                message = self.link.receive() => match message {
                    Ok(message) if !self.is_mute => {
                        let now = self.clock.now();
                        self.agent.handle_message(now, &message, &mut self.out);
                    }
                    Ok(_) => {}
                    Err(_) => self.reconnect(&user, &log).await,
                },
                () = self.clock.until(self.agent.poll_timeout()) => {
                    self.agent.handle_timeout(self.clock.now(), &mut self.out);
                }
                () = tokio::time::sleep_until(self.refresh) => self.register(),
            }
        }
        if self.told.kind == Kind::Logoff {
            self.log_off(&user, &log).await;
        }
        // Its sockets stay as they are: nothing is read, nothing is sent, nothing is closed.
        std::future::pending::<()>().await;
    }

    fn expires_secs(&self) -> u32 {
        (self.told.expires / self.told.scale).round().max(1.0) as u32
    }

    /// Registers anew, and again after a share of the time.
    fn register(&mut self) {
        let secs = self.expires_secs();
        self.agent.register(self.clock.now(), secs, &mut self.out);
        self.refresh = Instant::now() + self.refresh_after();
    }

    fn refresh_after(&self) -> Duration {
        let granted = Duration::from_secs(self.expires_secs().into());
        granted.mul_f64(self.told.refresh_pct / 100.0)
    }

    async fn log_off(&mut self, user: &str, log: &Log) {
        self.agent.unregister(self.clock.now(), &mut self.out);
        if self.told.publish {
            let now = self.clock.now();
            self.agent.unpublish(now, "presence", &mut self.out);
        }
        log.line(&format!("logoff {user}"));
        let patience = tokio::time::sleep(Duration::from_secs(32));
        tokio::pin!(patience);
        while !self.flush(user, log).await {
            tokio::select! {
                Ok(message) = self.link.receive() => {
                    let now = self.clock.now();
                    self.agent.handle_message(now, &message, &mut self.out);
                }
                () = self.clock.until(self.agent.poll_timeout()) => {
                    self.agent.handle_timeout(self.clock.now(), &mut self.out);
                }
                () = &mut patience => return,
            }
        }
    }

    /// The presence server closed the connection: it has another, a moment later.
    async fn reconnect(&mut self, user: &str, log: &Log) {
        log.line(&format!("flow-lost {user}"));
        tokio::time::sleep(Duration::from_secs_f64(1.0 / self.told.scale)).await;
        self.connect_anew().await;
    }

    /// A phone that sees its network come back does not wait for what was under way, nor for a
    /// connection of before: it registers at once.
    async fn connect_anew(&mut self) {
        let protocol = self.agent.config().protocol;
        if protocol == Protocol::Tcp {
            match Link::open(protocol, self.own, self.told.pool).await {
                Ok(link) => self.link = link,
                Err(_) => return,
            }
        }
        let now = self.clock.now();
        self.agent.handle_flow_lost(now, &mut self.out);
        self.refresh = Instant::now() + self.refresh_after();
    }

    /// Sends what is to be sent and notes what happened: whether the registration has ended.
    async fn flush(&mut self, user: &str, log: &Log) -> bool {
        for message in self.out.datagrams.drain(..) {
            if !self.is_mute {
                // A connection that broke is seen when it is read next.
                let _ = self.link.send(&message).await;
            }
        }
        let mut has_ended = false;
        for event in self.out.events.drain(..) {
            match event {
                Event::MessageReceived { body, .. } => {
                    let text = String::from_utf8_lossy(&body);
                    let first = text.lines().next().unwrap_or_default();
                    log.line(&format!("message {user} {first}"));
                }
                Event::RegisterFailed { status, .. } => {
                    log.line(&format!("refused {user} {status}"));
                }
                Event::Registered { expires_secs, .. } => {
                    log.line(&format!("registered {user} {expires_secs}"));
                }
                Event::TimedOut { .. } => log.line(&format!("timed-out {user}")),
                Event::Unregistered => has_ended = true,
                _ => {}
            }
        }
        has_ended
    }
}
