//! The users: their phones, what is true of them, and how they come and go.

use presently_agent::Event;
use presently_sip::{Aor, Moment};
use presently_tests::world::World;

/// A user with one or two phones.
pub(super) struct User {
    pub(super) aor: Aor,
    pub(super) devices: Vec<Device>,
    /// When it last was not surely there.
    pub(super) absent: Moment,
}

/// One phone of a user.
pub(super) struct Device {
    /// Its place among the world's phones.
    pub(super) place: usize,
    /// By what connections and documents call it.
    pub(super) name: String,
    /// Whether it has come, and not gone since.
    is_here: bool,
    /// When it came or went last.
    acted: Moment,
    /// How long it asks to be known.
    lease_secs: u32,
    /// When it last was not surely there.
    pub(super) absent: Moment,
}

/// How a phone goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Going {
    /// It says that nobody can be reached there, and stays registered.
    Closed,
    /// It logs off; its publication goes with its flow.
    LogsOff,
    /// It is not heard any more.
    Silent,
    /// It takes everything back.
    TakesBack,
}

impl User {
    pub(super) fn new(world: &mut World, name: &str, devices: usize) -> Self {
        let absent = world.now().moment;
        let devices = (0..devices).map(|_| {
            let place = world.add_phone(name);
            Device {
                place,
                name: format!("phone{place}"),
                is_here: false,
                acted: absent,
                lease_secs: LONG_SECS,
                absent,
            }
        });
        Self {
            devices: devices.collect(),
            aor: presently_tests::world::aor(name),
            absent,
        }
    }

    /// Notes whether it is there now: surely, only when the pool has confirmed a phone's word and
    /// that phone was heard ever since.
    pub(super) fn look(&mut self, world: &World) {
        let now = world.now().moment;
        let mut is_sure = false;
        for device in &mut self.devices {
            if device.is_sure(world) {
                is_sure = true;
            } else {
                device.absent = now;
            }
        }
        if !is_sure {
            self.absent = now;
        }
    }
}

impl Device {
    /// It logs on and says that its user is there.
    pub(super) fn come(&mut self, world: &mut World, lease_secs: u32) {
        let address = world.phones[self.place].address;
        world.network.lost_phones.remove(&address);
        (self.is_here, self.lease_secs) = (true, lease_secs);
        self.acted = world.now().moment;
        self.say(world, true);
    }

    /// It says again what it said: the pool may have forgotten.
    pub(super) fn repeat(&self, world: &mut World) {
        if self.is_here {
            self.say(world, true);
        }
    }

    pub(super) fn go(&mut self, world: &mut World, going: Going) {
        self.is_here = false;
        self.acted = world.now().moment;
        match going {
            Going::Closed => self.say(world, false),
            Going::LogsOff => world.with_phone(self.place, |phone, now| phone.unregister(now)),
            Going::Silent => {
                let address = world.phones[self.place].address;
                world.network.lost_phones.insert(address);
            }
            Going::TakesBack => world.with_phone(self.place, |phone, now| {
                phone.unpublish(now);
                phone.unregister(now);
            }),
        }
    }

    pub(super) fn is_here(&self) -> bool {
        self.is_here
    }

    fn say(&self, world: &mut World, is_open: bool) {
        let secs = self.lease_secs;
        let id = format!("id=\"{}\"", self.name);
        world.with_phone(self.place, |phone, now| {
            let body = presently_agent::pidf(&phone.aor, is_open, None);
            let body = String::from_utf8_lossy(&body).replace("id=\"phone\"", &id);
            phone.register(now, secs);
            phone.publish_body(now, body.into(), secs);
        });
    }

    fn is_sure(&self, world: &World) -> bool {
        let events = world.phones[self.place].events.iter().rev();
        let mut since = events.take_while(|(at, _)| *at >= self.acted);
        let is_confirmed = since.any(|(_, event)| matches!(event, Event::Published { .. }));
        self.is_here && self.lease_secs == LONG_SECS && is_confirmed
    }
}

/// Longer than any run: nothing has to be refreshed.
pub(super) const LONG_SECS: u32 = 3_600;
