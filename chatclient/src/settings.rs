//! What one run is to do, checked and complete: the arguments without their syntax.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chatnet::{Authorities, Fingerprint};
use chatproto::opaque::Password;
use chatproto::wire::{Name, Note};

use crate::portmap::Gateway;

/// Everything that the command line decides.
#[derive(Debug)]
pub struct Settings {
    /// Where the server is.
    pub server: ServerAddr,
    /// The certificate that the server must show, if it is known beforehand.
    pub fingerprint: Option<Fingerprint>,
    /// Whether a server that was never met is believed, and pinned, without asking anybody.
    pub trust_first: bool,
    /// Whose signature under the server's certificate is believed, instead of a pin.
    pub authority: Option<Authorities>,
    /// Whether, and how far, the connection to the server may go without TLS.
    pub plaintext: Plaintext,
    /// Who logs in.
    pub user: Name,
    /// The password; never sent. `None` when nobody has said it: a session ticket may do, and else the terminal asks.
    pub password: Option<Password>,
    /// Whether the account is to be made first, with the code of an invitation, which may be empty.
    pub register: Option<Note>,
    /// Whether the password is to be changed after the login.
    pub change_password: bool,
    /// To what; asked for if nobody has said it.
    pub new_password: Option<Password>,
    /// The directory with the device key, pins, unacknowledged says and partial transfers.
    pub state: PathBuf,
    /// The folder that peers may see; nothing is shared without one.
    pub share: Option<PathBuf>,
    /// The folder that files from peers land in.
    pub downloads: PathBuf,
    /// Where peers may connect; port 0 lets the system choose. `None` announces no port.
    pub peer_listen: Option<SocketAddr>,
    /// What happens when a peer asks.
    pub accept: AcceptPolicy,
    /// Whose port is to be mapped to this client, if any.
    pub map_port: Option<Gateway>,
    /// What links through the server's relay are wanted for.
    pub relay: RelayPolicy,
    /// How many files move at once, and how fast.
    pub pace: PaceSettings,
    /// Whether the client goes on after the end of its input.
    pub stay: bool,
}

/// How many files are sent at once, and how fast files may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceSettings {
    /// Files that are sent at once, to all peers together; at least 1.
    pub upload_slots: usize,
    /// Files that are sent at once to one peer; at least 1.
    pub upload_slots_per_peer: usize,
    /// Bytes of files a second that leave, over all links together; `None` for no limit.
    pub upload_rate: Option<u64>,
    /// Bytes of files a second that come, over all links together; `None` for no limit.
    pub download_rate: Option<u64>,
    /// A file of which next to nothing comes for so long is given up.
    pub stall_timeout: Duration,
}

/// The default port of a server.
pub const DEFAULT_PORT: u16 = 4848;

/// A host and a port, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddr {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for ServerAddr {
    /// `host:port`, IPv6 addresses in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether the connection to the server may go without TLS. Links between peers never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// TLS always.
    Off,
    /// No TLS, to a loopback address only.
    Loopback,
    /// No TLS, to any address: somebody insisted.
    Anywhere,
}

/// What happens when a peer asks for files or for a direct talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AcceptPolicy {
    /// It is shown, and waits for `/accept` or `/deny`.
    Ask,
    /// Yes to everybody.
    All,
    /// No to everybody.
    None,
}

/// What links through the server's relay are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayPolicy {
    /// When no other way to a peer works, and the server allows it.
    Last,
    /// Never: not even ciphertext passes through the server.
    Never,
    /// Always: peers learn no address of this client.
    Only,
}
