//! One line for each answer and each NOTIFY, for whoever asks afterwards who waited how long.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::operation::{Operation, Subscription};

/// What is written down, in memory until the end.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether the present phase is of interest.
    pub(crate) is_on: bool,
    is_wanted: bool,
    lines: Vec<u8>,
}

impl Log {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            ..Self::default()
        }
    }

    /// An answer: entity, begun and answered in nanoseconds, status, repeats.
    pub(crate) fn answer(
        &mut self,
        entity: usize,
        operation: &Operation,
        (now, status): (u64, u16),
    ) {
        let (started, repeats) = (operation.started, operation.repeats);
        self.put(format_args!(
            "answer {entity} {started} {now} {status} {repeats}\n"
        ));
    }

    /// A NOTIFY: subscription, nanosecond, CSeq, version and when that was due, and the CSeq and
    /// version it had before.
    pub(crate) fn notify(
        &mut self,
        place: usize,
        subscription: &Subscription,
        (now, cseq): (u64, u32),
        (version, published): (u32, u64),
    ) {
        let (last, shown) = (subscription.notify_cseq, subscription.shown);
        self.put(format_args!(
            "notify {place} {now} {cseq} {version} {published} {last} {shown}\n"
        ));
    }

    /// Writes it all to `path`.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&self.lines)?;
        file.flush()
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        if self.is_on && self.is_wanted {
            let written = self.lines.write_fmt(line);
            written.expect("a vector takes every byte");
        }
    }
}
