//! The demo's stand-in for a user's real phone: switches it on and off when the page asks, and
//! shows the page what the phone heard. In earnest the phone is a phone, or the page's own program
//! speaks SIP.

use std::collections::BTreeMap;
use std::sync::Arc;

use presently::Phone;
use presently_agent::{Event, pidf};
use presently_sip::Aor;
use tokio::sync::{Mutex, mpsc};

use crate::client::uuid_in;

/// The phones of those who look at the page, by user.
#[derive(Clone)]
pub(crate) struct Desk {
    pool: std::net::SocketAddr,
    phones: Arc<Mutex<BTreeMap<String, mpsc::Sender<bool>>>>,
    /// The UUID that each phone was sent last.
    heard: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Desk {
    /// A desk whose phones log on at `pool`.
    pub(crate) fn new(pool: std::net::SocketAddr) -> Self {
        Self {
            pool,
            phones: Arc::default(),
            heard: Arc::default(),
        }
    }

    /// Switches the phone of `user` `on` or `off`; without a wish, the UUID that it heard last.
    pub(crate) async fn asked(&self, user: &str, wish: Option<&str>) -> String {
        let is_on = match wish {
            Some("on") => true,
            Some("off") => false,
            _ => return self.heard.lock().await.remove(user).unwrap_or_default(),
        };
        let mut phones = self.phones.lock().await;
        if !phones.contains_key(user) && phones.len() < PHONES_MAX {
            let (sender, wishes) = mpsc::channel(8);
            phones.insert(user.to_owned(), sender);
            let (desk, user) = (self.clone(), user.to_owned());
            tokio::spawn(async move { desk.keep(&user, wishes).await });
        }
        if let Some(phone) = phones.get(user) {
            // A phone that broke is switched off for good.
            let _ = phone.try_send(is_on);
        }
        String::new()
    }

    /// The life of one phone.
    async fn keep(&self, user: &str, mut wishes: mpsc::Receiver<bool>) -> Option<()> {
        let aor = Aor::parse(&format!("sip:{user}@example.com")).ok()?;
        let mut phone = Phone::open(aor.clone(), self.pool).await.ok()?;
        loop {
            tokio::select! {
                wish = wishes.recv() => {
                    let is_on = wish?;
                    phone.ask(|agent, now, out| {
                        if is_on {
                            agent.register(now, EXPIRES_SECS, out);
                            let body = pidf(&aor, true, None);
                            agent.publish(now, "presence", PIDF, body, EXPIRES_SECS, out);
                        } else {
                            agent.unpublish(now, "presence", out);
                            agent.unregister(now, out);
                        }
                    });
                }
                event = phone.next_event() => {
                    if let Event::MessageReceived { body, .. } = event.ok()? {
                        let uuid = uuid_in(&body).unwrap_or_default();
                        self.heard.lock().await.insert(user.to_owned(), uuid);
                    }
                }
            }
        }
    }
}

const PIDF: &str = "application/pidf+xml";
const EXPIRES_SECS: u32 = 600;
/// A demo on one machine.
const PHONES_MAX: usize = 64;
