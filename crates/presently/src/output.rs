//! Standard output and what is said beside it, told to somebody who may be gone.

use std::fmt::Display;
use std::io::{self, Write};

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// Whoever read has enough, as `head` has: no failure.
    #[error("nobody reads the output any more")]
    Gone,
    /// The disk is full, say.
    #[error("the output cannot be written")]
    Unwritten(#[source] io::Error),
}

impl From<io::Error> for Untold {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Gone,
            _ => Self::Unwritten(error),
        }
    }
}

/// Prints `text` as a line. A process that goes on serving leaves the answer; a command that has
/// nothing else to do ends with it.
pub(crate) fn line(text: impl Display) -> Result<(), Untold> {
    print(format_args!("{text}\n"))
}

/// Prints `text`, which is whole lines.
pub(crate) fn print(text: impl Display) -> Result<(), Untold> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Says `text` as a line on standard error, if somebody hears: what a command does is worth more.
pub(crate) fn aside(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// `text` in one line, fit for a terminal: what a phone sent must neither reach it as a command nor
/// look like a line of ours.
pub(crate) fn tame_line(text: &str) -> String {
    tame(text).replace(['\n', '\t', '\u{2028}', '\u{2029}'], "\u{fffd}")
}

/// `text` with every control character but line breaks and tabs replaced.
pub(crate) fn tame(text: &str) -> String {
    let shown = text.chars().filter(|letter| *letter != '\r');
    let shown = shown.map(|letter| match letter {
        '\n' | '\t' => letter,
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        let sent = "To: \u{1b}[2J\u{9b}0m\u{7}\u{0}<sip:a@b>\r\n\tx";
        let shown = "To: \u{fffd}[2J\u{fffd}0m\u{fffd}\u{fffd}<sip:a@b>\n\tx";
        assert_eq!(tame(sent), shown);
        let line = shown.replace(['\n', '\t'], "\u{fffd}");
        assert_eq!(tame_line(sent), line);
    }
}
