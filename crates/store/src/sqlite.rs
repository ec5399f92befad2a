//! The embedded store: `SQLite`, on a file or in memory.
//!
//! [`Inline`] does what it is given at once, in the caller's thread: for simulation, tests and
//! tools. [`Threaded`] is the back end of a running pool: one writer thread that merges what waits
//! into one transaction, and one reader thread beside it. [`back_up`] copies a file while
//! they run.
//!
//! ```text
//!   submit ──► queue ──► writer ──► file (WAL) ◄── reader ◄── queue ◄── submit (reads)
//!                          │                          │
//!   poll  ◄────────────────┴──── completions ◄────────┘
//! ```

mod backup;
mod batch;
mod client;
mod commit;
mod inline;
mod lock;
mod member;
mod open;
mod place;
mod process;
mod queue;
mod read;
mod rows;
mod schema;
mod session;
mod takeover;
mod text;
mod threaded;
mod turn;
mod waiting;
mod writer;

pub use backup::{BackupError, Existing, back_up};
pub use inline::Inline;
pub use lock::LockCounters;
pub use open::{Durability, OpenError, Order, Settings};
pub use process::Process;
pub use threaded::Threaded;
