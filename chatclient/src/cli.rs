//! The command line: its syntax, and how it becomes [`Settings`].

mod password;
mod server;

pub use password::PasswordFileError;
pub(crate) use password::{
    ask as ask_password, ask_new as ask_new_password, new_from_file as password_from_file,
};
pub use server::{Server, ServerError};

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chatnet::{Authorities, AuthoritiesError, Fingerprint};
use chatproto::opaque::{Password, PasswordError};
use chatproto::wire::{Name, Note, NoteRef, WireError};
use clap::Parser;

use crate::portmap::Gateway;
use crate::settings::{AcceptPolicy, PaceSettings, Plaintext, RelayPolicy, Settings};
use crate::state::{self, StateError};
use crate::ui::Format;

/// Group chat, and files straight from peer to peer.
///
/// Lines on standard input are commands: /help shows them. What is no command is said in the current room.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Args {
    /// The server: HOST, HOST:PORT, or the chat:// invite that the server prints.
    #[arg(long, env = "CHATCLIENT_SERVER", value_name = "HOST:PORT|chat://...")]
    pub server: Server,

    /// Your ID at the server.
    #[arg(long, env = "CHATCLIENT_USER", value_name = "NAME", value_parser = name)]
    pub user: Name,

    /// A file whose first line is the password; without it, the terminal asks when the password is needed. It is not,
    /// while the server accepts the session ticket of the last login.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Make the account first; the server must let people register, and most want an invitation.
    #[arg(long)]
    pub register: bool,

    /// The code of an invitation, if the chat:// link does not carry it.
    #[arg(long, value_name = "CODE", requires = "register", value_parser = Note::new)]
    pub invite: Option<Note>,

    /// Change the password after the login: asks for the old and the new one.
    #[arg(long, conflicts_with = "register")]
    pub change_password: bool,

    /// With --change-password: a file whose first line is the new password.
    #[arg(long, value_name = "FILE", requires = "change_password")]
    pub new_password_file: Option<PathBuf>,

    /// Where this client remembers its device, known keys and unfinished work [default: a directory of the
    /// server and user below the XDG state directory].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// The folder that peers may see after you said yes; without it, none.
    #[arg(long, value_name = "DIR")]
    pub share: Option<PathBuf>,

    /// Where files from peers land.
    #[arg(long, value_name = "DIR", default_value = "downloads")]
    pub downloads: PathBuf,

    /// Where peers may connect to this client: an address with a port (0 lets the system choose), or none.
    #[arg(long, value_name = "ADDR|none", default_value = "0.0.0.0:0")]
    pub peer_listen: PeerListen,

    /// Have the router map a port to this client, by PCP, NAT-PMP or UPnP, and announce that one. Only the gateway of the
    /// default route is asked, or the one named here. It is taken back at the end.
    #[arg(long, value_name = "GATEWAY", num_args = 0..=1, value_parser = gateway, default_missing_value = "default")]
    pub map_port: Option<Gateway>,

    /// What happens when a peer asks for files, or to talk directly.
    #[arg(long, value_enum, default_value_t = AcceptPolicy::Ask)]
    pub accept: AcceptPolicy,

    /// What links through the server's relay are wanted for; with `only`, peers learn no address of this client.
    #[arg(long, value_enum, default_value_t = RelayPolicy::Last)]
    pub relay: RelayPolicy,

    /// Files that are sent at once, to all peers together; the others wait in a queue, each peer in its turn.
    #[arg(long, value_name = "N", default_value = "12", value_parser = slots)]
    pub upload_slots: usize,

    /// Files that are sent at once to one peer.
    #[arg(long, value_name = "N", default_value = "4", value_parser = slots)]
    pub upload_slots_per_peer: usize,

    /// Bytes of files a second that may leave, as 500K or 2M; chat is not counted.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub upload_rate: Option<u64>,

    /// Bytes of files a second that may come.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub download_rate: Option<u64>,

    /// A file of which next to nothing comes for so many seconds is given up; what came of it is kept.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stall_timeout: u64,

    /// The certificate that the server must show.
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "insecure_plaintext")]
    pub fingerprint: Option<Fingerprint>,

    /// Believe a server that was never met before, and remember its certificate.
    #[arg(long, conflicts_with = "insecure_plaintext")]
    pub trust_first: bool,

    /// Believe the server whose certificate is signed, for its name, by an authority: of this PEM file, or those that this
    /// system trusts.
    #[arg(long, value_name = "FILE|system", conflicts_with_all = ["insecure_plaintext", "fingerprint", "trust_first"])]
    pub ca: Option<PathBuf>,

    /// No TLS to the server: everybody on the way can read. Loopback addresses only.
    #[arg(long)]
    pub insecure_plaintext: bool,

    /// With --insecure-plaintext: to any address.
    #[arg(long, requires = "insecure_plaintext")]
    pub insecure_plaintext_anywhere: bool,

    /// One JSON object a line, for programs.
    #[arg(long)]
    pub json: bool,

    /// Go on after the end of the input, until a signal.
    #[arg(long)]
    pub stay: bool,

    /// What is logged to standard error, as `info` or `chatclient=debug`.
    #[arg(long, env = "CHATCLIENT_LOG", value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// The value of `--peer-listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerListen {
    /// Peers may connect here.
    At(SocketAddr),
    /// No peer can connect.
    None,
}

/// Why the arguments do not make [`Settings`].
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Two fingerprints that differ.
    #[error("--fingerprint and the invite name different certificates")]
    Fingerprints,
    /// An invite with a fingerprint, and no TLS to show a certificate with.
    #[error("the invite names a certificate, which --insecure-plaintext never sees")]
    PlaintextInvite,
    /// A link with a pin, and an authority.
    #[error("the link pins a certificate: leave --ca out, or the fp of the link")]
    AuthorityAndPin,
    /// The authorities cannot be read.
    #[error("--ca: {0}")]
    Authorities(#[from] AuthoritiesError),
    /// A port is to be mapped, and there is none.
    #[error("--map-port: no peer can connect to this client, because of --peer-listen none or --relay only")]
    NothingToMap,
    /// Two codes that differ.
    #[error("--invite and the link carry different codes")]
    Invites,
    /// No password, and nobody to ask.
    #[error("no terminal to ask for the password at; name a file with --password-file")]
    NoPassword,
    /// The terminal failed.
    #[error("cannot ask for the password: {0}")]
    Ask(io::Error),
    /// The password file cannot be used.
    #[error(transparent)]
    PasswordFile(#[from] PasswordFileError),
    /// The new password was typed in two ways.
    #[error("the two passwords differ")]
    Differ,
    /// What was typed is no password.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// There is no place for the state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ArgsError {
    /// Whether somebody who was asked for something ended the program instead.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Ask(error) if error.kind() == io::ErrorKind::Interrupted)
    }
}

impl Args {
    /// What the output is for.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    /// Checks what the syntax alone does not tell, and reads the password file.
    ///
    /// # Errors
    /// [`ArgsError`]: all of them are errors of usage.
    pub fn into_settings(self) -> Result<Settings, ArgsError> {
        let fingerprint = match (self.fingerprint, self.server.fingerprint) {
            (Some(argument), Some(invite)) if argument != invite => return Err(ArgsError::Fingerprints),
            (argument, invite) => argument.or(invite),
        };
        let plaintext = match (self.insecure_plaintext, self.insecure_plaintext_anywhere) {
            (false, _) => Plaintext::Off,
            (true, false) => Plaintext::Loopback,
            (true, true) => Plaintext::Anywhere,
        };
        if fingerprint.is_some() && plaintext != Plaintext::Off {
            return Err(ArgsError::PlaintextInvite);
        }
        let invite = match (self.invite, self.server.invite) {
            (Some(argument), Some(link)) if argument != link => return Err(ArgsError::Invites),
            (argument, link) => argument.or(link).unwrap_or_else(|| NoteRef::EMPTY.to_owned()),
        };
        let no_peers = self.peer_listen == PeerListen::None || self.relay == RelayPolicy::Only;
        if self.map_port.is_some() && no_peers {
            return Err(ArgsError::NothingToMap);
        }
        let new_password = self.new_password_file.as_deref().map(password::new_from_file).transpose()?;
        let authority = match self.ca.as_deref() {
            None => None,
            // What is pinned needs nobody else's word.
            Some(_) if fingerprint.is_some() => return Err(ArgsError::AuthorityAndPin),
            Some(path) if path == Path::new(SYSTEM) => Some(Authorities::of_system()?),
            Some(path) => Some(Authorities::of_file(path)?),
        };
        let server = self.server.addr;
        let state = match self.state {
            Some(path) => path,
            None => state::default_path(&server.to_string(), self.user.as_str())?,
        };
        let password = match &self.password_file {
            Some(path) => Some(Password::new(&password::from_file(path)?)?),
            None if password::can_ask() => None,
            None if state::may_have_ticket(&state) && !self.register && !self.change_password => None,
            None => return Err(ArgsError::NoPassword),
        };
        Ok(Settings {
            server,
            fingerprint,
            trust_first: self.trust_first,
            authority,
            plaintext,
            user: self.user,
            password,
            register: self.register.then_some(invite),
            change_password: self.change_password,
            new_password,
            state,
            share: self.share,
            downloads: self.downloads,
            peer_listen: match self.peer_listen {
                PeerListen::At(addr) => Some(addr).filter(|_| self.relay != RelayPolicy::Only),
                PeerListen::None => None,
            },
            map_port: self.map_port,
            relay: self.relay,
            accept: self.accept,
            pace: PaceSettings {
                upload_slots: self.upload_slots,
                upload_slots_per_peer: self.upload_slots_per_peer,
                upload_rate: self.upload_rate,
                download_rate: self.download_rate,
                stall_timeout: Duration::from_secs(self.stall_timeout),
            },
            stay: self.stay,
        })
    }
}

impl FromStr for PeerListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        let addr: SocketAddr = text
            .parse()
            .map_err(|_| "write an address with a port, as 0.0.0.0:0 or [::]:4900, or none".to_owned())?;
        match addr.port() {
            0 | LOWEST_PEER_PORT.. => Ok(Self::At(addr)),
            port => {
                Err(format!("port {port} is below {LOWEST_PEER_PORT}, and peers connect to none of those"))
            }
        }
    }
}

/// The value of `--ca` that means this system's authorities.
const SYSTEM: &str = "system";

fn name(text: &str) -> Result<Name, WireError> {
    Name::new(text)
}

fn gateway(text: &str) -> Result<Gateway, String> {
    match text.parse() {
        Ok(address) => Ok(Gateway::At(address)),
        Err(_) if text == "default" => Ok(Gateway::Default),
        Err(_) => Err("write the router's IPv4 address, or nothing for that of the default route".to_owned()),
    }
}

fn slots(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_SLOTS).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MAX_SLOTS}"))
}

/// Most files that may be sent at once. Each may hold two units of a megabyte in memory.
const MAX_SLOTS: usize = 256;

/// Bytes a second: digits, and maybe K, M or G for powers of 1,024.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        Some(_) | None => (Some(text), 0),
    };
    let is_number = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.filter(is_number).and_then(|digits| digits.parse::<u64>().ok());
    let rate = number.and_then(|number| number.checked_mul(1 << shift));
    rate.filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate))
        .ok_or_else(|| "write bytes a second from 4K to 1024G, as 500K or 2M".to_owned())
}

/// Below this a frame of file data, of nearly 64 KiB, takes too much of the time for which a peer waits.
const MIN_RATE: u64 = 4 << 10;

const MAX_RATE: u64 = 1 << 40;

/// Peers refuse to dial lower ports: otherwise a network of clients could be turned against mail or name servers.
const LOWEST_PEER_PORT: u16 = 1024;

const AFTER_HELP: &str = "\
`chatclient discover` lists the servers that announce themselves on the local network; it has a --help of its own.

Exit status:
  0 done, 1 failure, 2 usage, 3 no connection or an unknown server, 4 login refused, 5 not found,
  6 refused by the peer or by policy, 7 verification failed, 8 timeout, 130 interrupted.
  It is that of the first command that failed.

Without a terminal, a server is accepted only by --fingerprint, by an invite, when it is known from before, or
with --trust-first. Without a terminal, whoever asks for files waits for an /accept on standard input.";

#[cfg(test)]
mod tests;
