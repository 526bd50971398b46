//! How the commands of the operator reach the server that runs on the same data directory: a socket in it, mode 0600. What
//! they ask goes through the hub like everything else, and is answered when it is durable.
//!
//! One order for each connection: a TOML document, answered by another. Whoever can write to the directory may give orders;
//! they could as well change the database.

pub(crate) mod listener;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatproto::wire::Action;
use serde::{Deserialize, Serialize};

/// What the operator wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// To a room.
    Room {
        room: String,
        #[serde(with = "action")]
        action: Action,
        user: Option<String>,
        network: Option<String>,
        seconds: u32,
        note: String,
    },
    /// A new room.
    Create { room: String, owner: Option<String>, is_private: bool },
    /// To the whole server.
    Server {
        #[serde(with = "action")]
        action: Action,
        subject: Option<String>,
        seconds: u32,
        note: String,
    },
    /// An account is gone: the server is to look which.
    Forget {},
}

/// What became of it; an error says why nothing did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) error: Option<String>,
}

/// Asks the server that runs on `dir`.
///
/// # Errors
/// When none can be reached, or it does not answer in time.
pub(crate) fn ask(dir: &Path, order: &Order) -> io::Result<Answer> {
    let (_dir, path) = reachable(dir)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(ORDER_TIMEOUT))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let text = toml::to_string(order).map_err(io::Error::other)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(MAX_BYTES).read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    toml::from_str(&answer).map_err(io::Error::other)
}

/// Listens in `dir`, in place of a server that has died there: the caller holds its lock.
fn bind(dir: &Path) -> io::Result<UnixListener> {
    remove(dir);
    let (_dir, path) = reachable(dir)?;
    let listener = UnixListener::bind(path)?;
    // The directory is private already; this is for one that somebody has opened.
    fs::set_permissions(dir.join(SOCKET), std::os::unix::fs::PermissionsExt::from_mode(PRIVATE))?;
    Ok(listener)
}

/// Takes the socket away when the server ends.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = fs::remove_file(dir.join(SOCKET))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the control socket is in the way");
    }
}

/// A path to the socket that is short enough for an address, whatever the directory is called; the file keeps it alive.
fn reachable(dir: &Path) -> io::Result<(Option<File>, PathBuf)> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() <= MAX_PATH {
        return Ok((None, path));
    }
    let dir = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(SOCKET);
    Ok((Some(dir), path))
}

/// Actions by their names.
mod action {
    use chatproto::wire::Action;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
    pub(super) fn serialize<S: Serializer>(action: &Action, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(action.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
        let name = String::deserialize(from)?;
        let found = Action::ALL.iter().copied().find(|action| action.name() == name);
        found.ok_or_else(|| D::Error::custom("there is no such action"))
    }
}

const SOCKET: &str = "control.sock";

const PRIVATE: u32 = 0o600;

/// The address of a socket has 108 bytes, the last of them 0.
const MAX_PATH: usize = 107;

/// Most bytes of an order, and of an answer.
const MAX_BYTES: u64 = 16 * 1024;

/// Time in which an order has to be there whole.
const ORDER_TIMEOUT: Duration = Duration::from_secs(2);

/// Time in which the server has to carry it out; a disk may be slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_back_as_they_were_written() {
        let user = Some("bob".to_owned());
        let orders = [
            Order::Room {
                room: "den".into(),
                action: Action::Mute,
                user,
                network: None,
                seconds: 60,
                note: "\"x\"".into(),
            },
            Order::Room {
                room: "den".into(),
                action: Action::BanNetwork,
                user: None,
                network: Some("192.0.2.0/24".into()),
                seconds: 0,
                note: String::new(),
            },
            Order::Create { room: "den".into(), owner: None, is_private: true },
            Order::Server { action: Action::Unlock, subject: None, seconds: 0, note: String::new() },
            Order::Forget {},
        ];
        for order in orders {
            assert_eq!(toml::from_str(&toml::to_string(&order).unwrap()), Ok(order));
        }
        assert!(toml::from_str::<Order>("order = \"forget\"\nmore = 1").is_err());
    }

    #[test]
    fn a_directory_with_a_long_name_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let listener = bind(&deep).unwrap();
        let (_dir, path) = reachable(&deep).unwrap();
        let _caller = UnixStream::connect(path).unwrap();
        listener.accept().unwrap();
        // A server that was killed leaves its socket behind.
        bind(&deep).unwrap();
    }
}
