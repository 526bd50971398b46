//! What the user does, as the loop receives it.

use std::sync::Arc;

use chatproto::opaque::{Password, PasswordError};
use serde::Deserialize;

use super::Format;
use crate::command::{CommandError, Request, parse};

/// The longest line of input, in bytes without its end. Bounds the memory of a line that never ends; the longest text
/// takes 4 KiB, six times that when all of it is escaped in JSON.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// One thing that the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Asked for something.
    Request(Request),
    /// Wrote a line that asks for nothing: show an error with [`Code::Usage`](crate::notice::Code::Usage).
    Malformed {
        /// What is wrong with it.
        error: InputError,
        /// The `ref` of the JSON line.
        reference: Option<String>,
    },
    /// Typed the password, and a new one that is to take its place.
    NewPassword(NewPassword),
    /// Nothing more will come.
    End,
    /// Ctrl-C at the terminal.
    Interrupt,
}

/// The password as it is, and the one that it is to be.
#[derive(Debug, Clone)]
pub struct NewPassword(Arc<(Password, Password)>);

impl NewPassword {
    pub(super) fn new(old: Password, new: Password) -> Self {
        Self(Arc::new((old, new)))
    }

    /// The old one, and the new one.
    #[must_use]
    pub fn into_parts(self) -> (Password, Password) {
        let (old, new) = &*self.0;
        (old.clone(), new.clone())
    }
}

/// Passwords are not compared: one input is itself and its clones.
impl PartialEq for NewPassword {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NewPassword {}

/// Why a line of input asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Longer than [`MAX_LINE_BYTES`].
    #[error("line {line} of the input has more than {MAX_LINE_BYTES} bytes and was skipped")]
    TooLong {
        /// Counted from 1.
        line: u64,
    },
    /// Not UTF-8.
    #[error("line {line} of the input is not UTF-8 from byte {byte} on")]
    NotUtf8 {
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        byte: usize,
    },
    /// Begins with a brace and is not the JSON of a command.
    #[error("not a JSON command like {{\"cmd\":\"/get 3\",\"ref\":\"x\"}}: {0}")]
    Json(String),
    /// What was typed is no password.
    #[error("the password was not changed: {0}")]
    Password(#[from] PasswordError),
    /// The new password was typed in two ways.
    #[error("the password was not changed: the two new passwords differ")]
    Differ,
    /// The input itself failed.
    #[error("cannot read the input: {0}")]
    Failed(String),
}

/// Reads a line without its end; `None` for a blank one. In JSON a line that begins with a brace is an object.
pub(super) fn read(format: Format, line: &str) -> Option<Input> {
    let line = line.trim();
    match format {
        Format::Json if line.starts_with('{') => Some(read_json(line)),
        Format::Json | Format::Text => request(line, None),
    }
}

fn read_json(line: &str) -> Input {
    // In two steps, so that also the answer to a wrong command carries its `ref`.
    let value: serde_json::Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return malformed(InputError::Json(error.to_string()), None),
    };
    let reference = value.get("ref").and_then(serde_json::Value::as_str).map(str::to_owned);
    match serde_json::from_value(value) {
        Ok(JsonCommand { cmd, reference }) => request(&cmd, reference.clone())
            .unwrap_or_else(|| malformed(InputError::Json("cmd is empty".to_owned()), reference)),
        Err(error) => malformed(InputError::Json(error.to_string()), reference),
    }
}

pub(super) fn malformed(error: InputError, reference: Option<String>) -> Input {
    Input::Malformed { error, reference }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCommand {
    cmd: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

fn request(line: &str, reference: Option<String>) -> Option<Input> {
    match parse(line) {
        Ok(command) => {
            let line = line.trim().to_owned();
            command.map(|command| Input::Request(Request { command, line, reference }))
        }
        Err(error) => Some(malformed(error.into(), reference)),
    }
}
