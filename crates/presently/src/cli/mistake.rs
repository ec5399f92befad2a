//! What is wrong with a command line, in one line; or the help that was asked for.

use std::process::ExitCode;

use clap::error::{Error, ErrorKind};

use crate::output;

/// Prints what parsing ended with, and gives the status to exit with.
pub(crate) fn tell(error: &Error) -> ExitCode {
    let is_mistake =
        error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_mistake {
        let line = line(&error.render().to_string());
        output::aside(format_args!("presently: {line}"));
    } else {
        // Whoever asked may be gone, as `head` is.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The paragraphs that say what is wrong, without the usage below them.
fn line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let is_said = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
    let said = text.lines().map(str::trim).take_while(is_said);
    let said: Vec<_> = said.filter(|line| !line.is_empty()).collect();
    said.join(" ").replace(" tip: ", "; ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_mistake_is_one_line() {
        let table = [
            (
                "presently serve --server 3",
                "unexpected argument '--server' found; a similar argument exists: '--servers'",
            ),
            (
                "presently serve --role king",
                "invalid value 'king' for '--role <ROLE>' [possible values: all, balancer, server]",
            ),
            (
                "presently nlb",
                "the following required arguments were not provided: --config <FILE>",
            ),
            (
                "presently serve --servers many",
                "invalid value 'many' for '--servers <N>': invalid digit found in string",
            ),
            (
                "presently publish sip:alice@example.com",
                "the following required arguments were not provided: <--open|--closed>",
            ),
        ];
        for (command, expected) in table {
            let error = Cli::try_parse_from(command.split(' ')).unwrap_err();
            assert_eq!(line(&error.render().to_string()), expected);
        }
    }
}
