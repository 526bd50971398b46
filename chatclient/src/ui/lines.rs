//! Input that is no terminal: a script on a pipe, or a file. Neither can be polled, so a thread reads it.

use std::io::{self, BufRead, Read as _};
use std::thread;

use chatnet::MailSender;

use super::Format;
use super::input::{Input, InputError, MAX_LINE_BYTES, malformed, read};

/// Starts the thread that reads standard input to its end.
pub(super) fn start(format: Format, sender: MailSender<Input>) -> io::Result<()> {
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_all(format, io::stdin().lock(), &|input| sender.send(input).is_ok()))
        .map(drop)
}

/// Reads to the end, or until `send` says that nobody wants more.
fn read_all(format: Format, mut source: impl BufRead, send: &dyn Fn(Input) -> bool) {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        number += 1;
        let input = match next_line(&mut source, &mut line) {
            Ok(Line::End) => break,
            Ok(Line::TooLong) => Some(malformed(InputError::TooLong { line: number }, None)),
            Ok(Line::Whole) => match str::from_utf8(&line) {
                Ok(text) => read(format, text),
                Err(error) => {
                    let byte = error.valid_up_to() + 1;
                    Some(malformed(InputError::NotUtf8 { line: number, byte }, None))
                }
            },
            Err(error) => {
                send(malformed(InputError::Failed(error.to_string()), None));
                break;
            }
        };
        if input.is_some_and(|input| !send(input)) {
            return;
        }
    }
    send(Input::End);
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads the next line into `line`, without its end. Of a line that is too long the rest is skipped.
fn next_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    // One byte for the line's end, one more to see that it is too long.
    let bound = u64::try_from(MAX_LINE_BYTES + 1).unwrap_or(u64::MAX);
    if source.by_ref().take(bound).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Line::Whole);
    }
    if line.len() <= MAX_LINE_BYTES {
        return Ok(Line::Whole);
    }
    source.skip_until(b'\n')?;
    Ok(Line::TooLong)
}

#[cfg(test)]
mod tests;
