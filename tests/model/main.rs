//! A model of ownership and repair, every state of it looked at for two or three servers and two
//! clients: assignment, beats, takeover, fencing, wakes, sweeps and what they settle.
//!
//! `pool` has no time. Any process may wait between any two of its steps for as long as it likes,
//! so a pause is nothing but steps not taken (also between a commit and its wakes, or between
//! deciding a NOTIFY and sending it). What time does to a server is the step `FallLate`: 1.25 s
//! have gone since it sent its last committed beat. Only then can its life be ended, or joined
//! over. That this is so is shown by `lease`, with beats of 250 ms, a store that stands still and a
//! balancer that looks. Its clocks do not drift; the 250 ms between deadline and standstill are
//! what a real pool has for that.
//!
//! | step | in the code |
//! |---|---|
//! | `Publish`, `TakeOutcome`, `LoseOutcome` | `Operation::Commit`, its outcome, or `Unknown` |
//! | `AnswerRepeat` | a repeated request key, answered from the actor's memory |
//! | `HearWake`, `RepeatWake`, `LoseWake` | oob: a wake; `Operation::Documents` |
//! | `Sweep`, `Settle` | `Operation::Sweep`; `Operation::Beat` with `settled` |
//! | `Activate`, `ActivateInVain` | `Operation::Activate`, and with its reply lost |
//! | `Subscribe`, `Owe`, `Clear` | a SUBSCRIBE's `Commit`; `Operation::Owe` |
//! | `Notify`, `Deliver`, `LoseNotify` | the notifier; the turn's end, with the clock read again |
//! | `Beat`, `FallLate` | `Operation::Beat`, and the deadline after it |
//! | `Start`, `Look`, `JoinOver`, `Join`, `Leave` | a process under its name; `Join`, `Leave` |
//! | `DecideEnd`, `CommitEnd` | a balancer that sees a standstill; `Operation::End` |
//! | `DecideMove`, `CommitMove` | `Operation::TakeOver`: one transaction, in two steps here |
//! | `MoveAway`; `Reassign` | `Operation::Reassign` by the client's server; by anybody |
//! | `Tell`, `HearMoved`, `LoseMoved` | oob: `moved` |
//!
//! Wakes, repairs and sweeps read the store as it is, so a wake that is late, doubled or of an old
//! life is the same read at another time. There is one resource with one subscription; a NOTIFY of
//! an activation that is over is forgotten by the network when its process sends another. Reading
//! the clock and sending are one step: a process paused between the two could still send what it
//! had decided before the deadline, which its CSeq then makes harmless.
//!
//! The model's store is held to the real one: `store` walks at random and asks every operation of
//! both. What the model says of the machines in `presence`, `balancer` and `oob` is held by reading
//! and by the simulation.
//!
//! Each rule can be left out, and then a law falls: `each_rule_is_needed` shows the way to it.
//! `MODEL=large cargo test -p presently-tests --test model` looks at larger pools, for minutes.

mod checks;
mod lease;
mod pool;
mod rules;
mod store;
