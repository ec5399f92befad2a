//! What the nlb counts, for metrics (S30).

/// Plain numbers since the start, but for those that say "now".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Sessions now.
    pub sessions: u64,
    /// Sessions now that wait for a slot.
    pub queued: u64,
    /// Sessions now that say good-bye to the presence server.
    pub leaving: u64,
    /// Users followed now: their feed has spoken.
    pub followed: u64,
    /// Paths now, waiting ones included.
    pub paths: u64,
    /// Sessions begun.
    pub begun: u64,
    /// Sessions taken up from their records.
    pub restored: u64,
    /// Paths admitted.
    pub admitted: u64,
    /// Paths refused because they named nobody.
    pub refused_anonymous: u64,
    /// Paths refused because of a bound.
    pub refused_full: u64,
    /// Paths refused because no application server was healthy.
    pub refused_no_server: u64,
    /// Paths refused because no slot became free in time.
    pub refused_no_slot: u64,
    /// Paths refused because the presence server did not answer in time.
    pub refused_unannounced: u64,
    /// Paths cut.
    pub cut: u64,
    /// Notifications taken.
    pub notified: u64,
    /// Notifications that changed nothing: stale, repeated, baseline, or of no use.
    pub ignored: u64,
    /// Slots released because presence said that their users left, who were using nothing.
    pub released_by_presence: u64,
    /// Slots released by an ordinary time-out.
    pub released_by_timeout: u64,
    /// Slots released of users who left while using, were asked to come back and did not.
    pub released_not_resumed: u64,
    /// Connections of one device of several, cut because that device went offline.
    pub devices_released: u64,
    /// What the releases by presence saved against the ordinary time-outs, in seconds.
    pub saved_secs: u64,
    /// Users who came back within seconds of a release by presence: releases that were wrong.
    pub wrong_releases: u64,
    /// Messages with the UUID sent.
    pub messages: u64,
    /// Of those, taken by the presence server for a device.
    pub messages_delivered: u64,
    /// Users who came back after a message.
    pub resumed: u64,
    /// Of those, over a path that brought the UUID of the message.
    pub resumed_with_uuid: u64,
    /// Closures dismissed, by the guard or by an outage.
    pub dismissed: u64,
    /// Times the guard found too many closures.
    pub alarms: u64,
    /// Times the presence server was lost.
    pub unreachable: u64,
    /// Sessions that moved because their application server went down.
    pub moved: u64,
    /// Writes that the store refused; they are tried again.
    pub store_refused: u64,
    /// SIP messages for nobody here.
    pub strays: u64,
}
