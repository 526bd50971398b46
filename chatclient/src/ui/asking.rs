//! Questions at the terminal that a signal ends.
//!
//! Who waits for an answer sits in a read that knows nothing of signals. So a thread waits there, and this one for either.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;

use crossbeam_channel::bounded;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// Asks, and waits for the answer. The terminal is as it was afterwards.
///
/// # Errors
/// Those of the question, and [`io::ErrorKind::Interrupted`] when a signal asks the program to end. Then the program must end: the
/// thread that asks goes on until it does.
pub(crate) fn ask<T: Send + 'static>(
    question: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let stdin = rustix::stdio::stdin();
    let before = tcgetattr(stdin);
    let (mut either, signals) = UnixStream::pair()?;
    let mut answered = signals.try_clone()?;
    let registered = ENDINGS.map(|signal| pipe::register(signal, signals.try_clone()?));
    let (sender, answer) = bounded(1);
    thread::Builder::new().name("question".to_owned()).spawn(move || {
        // Both fail only when nobody waits any more.
        let _ = sender.send(question());
        let _ = answered.write_all(&[ANSWERED]);
    })?;
    let mut first = [0];
    let heard = either.read_exact(&mut first);
    registered.into_iter().flatten().for_each(|id| {
        unregister(id);
    });
    heard?;
    if first == [ANSWERED]
        && let Ok(answer) = answer.try_recv()
    {
        return answer;
    }
    if let Ok(before) = before {
        tcsetattr(stdin, OptionalActions::Now, &before)?;
    }
    // Whatever comes next does not belong on the question's line.
    let _ = io::stdout().lock().write_all(b"\n");
    Err(io::ErrorKind::Interrupted.into())
}

/// What asks the program to end.
const ENDINGS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Another byte than any signal writes.
const ANSWERED: u8 = b'a';
