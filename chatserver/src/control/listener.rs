//! The thread that hands the operator's orders to the loop: one caller at a time, so many bytes, so long.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use chatnet::MailSender;
use crossbeam_channel::{Sender, bounded};

use super::{ANSWER_TIMEOUT, Answer, MAX_BYTES, ORDER_TIMEOUT, Order, bind};
use crate::exit::Failure;

/// Pause after the system refused to accept, for instance for lack of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// An order, and where its answer goes; the answer may come turns later.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) order: Order,
    pub(crate) answer: Sender<Answer>,
}

/// Takes orders for the server that runs on `dir`, until the process ends.
///
/// # Errors
/// When the socket cannot be made, or the thread not started.
pub(crate) fn start(dir: &Path, questions: MailSender<Question>) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot take orders in {}", dir.display()), error);
    let listener = bind(dir).map_err(failed)?;
    let serve = move || serve(&listener, &questions);
    thread::Builder::new().name("control".into()).spawn(serve).map(drop).map_err(failed)
}

fn serve(listener: &UnixListener, questions: &MailSender<Question>) {
    loop {
        match listener.accept() {
            // What goes wrong with a caller is the caller's loss: it asks again.
            Ok((stream, _)) => drop(serve_one(stream, questions)),
            Err(error) => {
                tracing::warn!(%error, "no orders for now");
                thread::sleep(ACCEPT_RETRY);
            }
        }
    }
}

fn serve_one(mut stream: UnixStream, questions: &MailSender<Question>) -> io::Result<()> {
    stream.set_read_timeout(Some(ORDER_TIMEOUT))?;
    stream.set_write_timeout(Some(ORDER_TIMEOUT))?;
    let mut text = String::new();
    io::Read::by_ref(&mut stream).take(MAX_BYTES).read_to_string(&mut text)?;
    let answer = match toml::from_str::<Order>(&text) {
        Ok(order) => carried_out(order, questions),
        Err(error) => refusal(format!("the order cannot be read: {error}")),
    };
    let text = toml::to_string(&answer).map_err(io::Error::other)?;
    // An answer without an error would be empty, which is no answer.
    stream.write_all(format!("{text}\n").as_bytes())
}

fn carried_out(order: Order, questions: &MailSender<Question>) -> Answer {
    let (answer, answers) = bounded(1);
    if questions.send(Question { order, answer }).is_err() {
        return refusal("the server is ending".into());
    }
    answers
        .recv_timeout(ANSWER_TIMEOUT)
        .unwrap_or_else(|_| refusal("the server did not answer in time".into()))
}

fn refusal(error: String) -> Answer {
    Answer { error: Some(error) }
}
