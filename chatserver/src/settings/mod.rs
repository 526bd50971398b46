//! What an operator may set, and where it comes from: a flag goes before the environment, the environment before the
//! settings file, the file before the default.
//!
//! The file is TOML. A key that is unknown and a value out of its bounds are errors that name file, line and what is
//! allowed; nothing is guessed. `chatserver.example.toml` explains every key, and a test holds its values against the
//! defaults.

mod accounts;
mod sections;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatnet::NetConfig;
use chatproto::hub;
use chatproto::wire::{Name, Note, ServerId};
use serde::{Deserialize, Serialize};

use crate::cli::{DataArg, DurabilityArg, LogFormat, RunArgs};
use crate::exit::Failure;
use crate::logging;
use crate::server::RelayConfig;
use crate::store::{Durability, MAX_TICKETS, StoreConfig};

pub use accounts::{AccountPolicy, Registration};
use sections::{Connection, Hub, Log, Network, Relay, Requests};
use values::{Endpoint, Time};

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// The room that everybody is in unless they choose otherwise.
const DEFAULT_ROOM: &str = "lobby";

/// The greatest settings file that is read, in bytes: the example has a tenth of it.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What can be changed only by starting the server again: keys, and whole sections.
const AT_START_ONLY: [&str; 22] = [
    "listen",
    "data",
    "durability",
    "insecure_plaintext",
    "insecure_plaintext_anywhere",
    "plaintext_tickets",
    "ticket_lifetime",
    "metrics",
    "metrics_anywhere",
    "announce_lan",
    "log_format",
    "certificate",
    "certificate_key",
    "announce_link",
    "accounts",
    "connection.max_frame",
    "hub.page_bytes",
    "hub.recent_bytes",
    "network.io_threads",
    "network.max_poll_events",
    "relay",
    "store",
];

/// The most that one member takes in the list of a room's people.
const MEMBER_BYTES: usize = 36;

/// The most that one conversation takes when a client hears at its login that there is one.
const CONVERSATION_BYTES: usize = 51;

/// All settings of a server, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    #[serde(deserialize_with = "values::address")]
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) durability: DurabilityArg,
    pub(crate) insecure_plaintext: bool,
    insecure_plaintext_anywhere: bool,
    plaintext_tickets: bool,
    ticket_lifetime: Time<0, { 365 * DAY }>,
    metrics: Endpoint,
    metrics_anywhere: bool,
    pub(crate) announce_lan: bool,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    certificate: PathBuf,
    certificate_key: PathBuf,
    announce_link: String,
    accounts: AccountPolicy,
    hub: Hub,
    budgets: Requests,
    connection: Connection,
    relay: Relay,
    network: Network,
    store: Log,
}

impl Settings {
    /// The settings that `args`, the environment and the file that they name come to.
    ///
    /// # Errors
    /// [`Failure::Usage`] names the file, the line and what is allowed there, or the settings that do not go together.
    pub fn resolve(args: &RunArgs) -> Result<Self, Failure> {
        let mut settings = Self::of_file(&args.data)?;
        settings.overlay(args)?;
        settings.check()?;
        Ok(settings)
    }

    /// The settings of a command that is no server: those of the file, or the defaults.
    ///
    /// # Errors
    /// Those of the settings file.
    pub(crate) fn of_data(data: &DataArg) -> Result<Self, Failure> {
        Self::of_file(data)
    }

    fn of_file(data: &DataArg) -> Result<Self, Failure> {
        match &data.config {
            Some(file) => parse(file, &read(file)?),
            None => Ok(Self::default()),
        }
    }

    fn overlay(&mut self, args: &RunArgs) -> Result<(), Failure> {
        fn set<T: Clone>(setting: &mut T, arg: Option<&T>) {
            if let Some(arg) = arg {
                setting.clone_from(arg);
            }
        }
        set(&mut self.listen, args.listen.as_ref());
        set(&mut self.data, args.data.dir.as_ref());
        set(&mut self.durability, args.durability.as_ref());
        set(&mut self.log, args.log.as_ref());
        set(&mut self.log_format, args.log_format.as_ref());
        self.insecure_plaintext |= args.insecure_plaintext;
        self.insecure_plaintext_anywhere |= args.insecure_plaintext_anywhere;
        self.plaintext_tickets |= args.plaintext_tickets;
        self.metrics_anywhere |= args.metrics_anywhere;
        self.announce_lan |= args.announce_lan;
        if let Some(lifetime) = args.ticket_lifetime {
            self.ticket_lifetime = lifetime.into();
        }
        set(&mut self.accounts.registration, args.registration.as_ref());
        if let Some(text) = &args.metrics {
            self.metrics = flag("--metrics", text.as_str())?;
        }
        if let Some(devices) = args.max_devices {
            self.hub.max_devices = flag("--max-devices", u64::try_from(devices).unwrap_or(u64::MAX))?;
        }
        if let Some(threads) = args.io_threads {
            self.network.io_threads = flag("--io-threads", u64::try_from(threads).unwrap_or(u64::MAX))?;
        }
        Ok(())
    }

    /// What no single value can show.
    fn check(&self) -> Result<(), Failure> {
        let wrong = |text: String| Err(Failure::Usage(text));
        if self.insecure_plaintext && !self.listen.ip().is_loopback() && !self.insecure_plaintext_anywhere {
            return wrong(format!(
                "--insecure-plaintext on {}: others on the network could read everything. Listen on 127.0.0.1, leave \
                 the flag out, or insist with --insecure-plaintext-anywhere",
                self.listen
            ));
        }
        if self.insecure_plaintext_anywhere && !self.insecure_plaintext {
            return wrong("--insecure-plaintext-anywhere needs --insecure-plaintext".into());
        }
        if self.plaintext_tickets && !self.insecure_plaintext {
            return wrong("--plaintext-tickets needs --insecure-plaintext".into());
        }
        if self.plaintext_tickets && !self.listen.ip().is_loopback() {
            return wrong(format!(
                "--plaintext-tickets on {}: others on the network could log in with what they read. Only for 127.0.0.1 \
                 or ::1",
                self.listen
            ));
        }
        if self.announce_lan && self.listen.ip().is_loopback() {
            return wrong(format!(
                "--announce-lan on {}: nobody else could connect to it. Listen on 0.0.0.0, or on an address of the local \
                 network",
                self.listen
            ));
        }
        if let Some(addr) = self.metrics.0
            && !addr.ip().is_loopback()
            && !self.metrics_anywhere
        {
            return wrong(format!(
                "--metrics on {addr}: others on the network could read them, for they have no password. Use 127.0.0.1, \
                 or insist with --metrics-anywhere"
            ));
        }
        if self.certificate.as_os_str().is_empty() != self.certificate_key.as_os_str().is_empty() {
            return wrong("certificate and certificate_key go together: a PEM file each".into());
        }
        if self.certificate().is_some() && self.insecure_plaintext {
            return wrong("a certificate is of no use with --insecure-plaintext".into());
        }
        let connection = &self.connection;
        if connection.max_queue_hard.0 < connection.max_queue.0.saturating_add(self.hub.page_bytes.0) {
            return wrong(
                "connection.max_queue_hard must be at least connection.max_queue and hub.page_bytes together: a page of \
                 the log may be queued on top of what waits"
                    .into(),
            );
        }
        // All of these are queued whether they are read or not.
        let beside = connection.max_queue_hard.0.saturating_sub(connection.max_queue.0);
        let requests = usize::try_from(self.hub.max_requests.0).unwrap_or(usize::MAX);
        for (what, needed) in [
            ("hub.max_requests times hub.page_bytes", requests.saturating_mul(self.hub.page_bytes.0)),
            (
                "36 bytes for each of hub.max_room_members",
                self.hub.max_room_members.0.saturating_mul(MEMBER_BYTES),
            ),
            (
                "51 bytes for each of hub.max_conversations",
                self.hub.max_conversations.0.saturating_mul(CONVERSATION_BYTES),
            ),
        ] {
            if needed > beside {
                return wrong(format!(
                    "connection.max_queue_hard must be at least connection.max_queue and {what} together, which are {} \
                     bytes: whoever is owed all that would be sent away as too slow",
                    connection.max_queue.0.saturating_add(needed)
                ));
            }
        }
        if connection.ping_interval.0 >= connection.idle_timeout.0 {
            return wrong(
                "connection.ping_interval must be shorter than connection.idle_timeout, or nobody quiet could stay"
                    .into(),
            );
        }
        if let (Some(keep), Some(max)) = (self.store.keep_bytes.0, self.store.max_file_bytes.0)
            && keep > max - max / 8
        {
            return wrong(
                "store.keep_bytes must be at most 7/8 of store.max_file_bytes: the oldest messages have to go before the \
                 file is full"
                    .into(),
            );
        }
        logging::parse(&self.log).map(drop)
    }

    /// How long tickets are good, if any are given. Whoever can listen in could use one again.
    pub(crate) fn tickets(&self) -> Option<Duration> {
        let is_private = !self.insecure_plaintext || self.plaintext_tickets;
        Some(self.ticket_lifetime.0).filter(|lifetime| is_private && !lifetime.is_zero())
    }

    /// The operator's own certificate chain and its key.
    pub(crate) fn certificate(&self) -> Option<(PathBuf, PathBuf)> {
        let is_set = !self.certificate.as_os_str().is_empty();
        is_set.then(|| (self.certificate.clone(), self.certificate_key.clone()))
    }

    /// The host and port under which clients reach this server, if the operator wants it printed as a link.
    pub(crate) fn announce_link(&self) -> Option<&str> {
        Some(self.announce_link.as_str()).filter(|host| !host.is_empty())
    }

    /// Who may make an account, and how often somebody may try.
    pub(crate) fn accounts(&self) -> &AccountPolicy {
        &self.accounts
    }

    /// The settings of a command that needs a few of them.
    ///
    /// # Errors
    /// Those of the settings file.
    pub(crate) fn of_command(data: &DataArg) -> Result<Self, Failure> {
        let mut settings = Self::of_file(data)?;
        settings.data = data.dir.clone().unwrap_or(settings.data);
        settings.check()?;
        Ok(settings)
    }

    /// Where metrics are served.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.0
    }

    /// Sets the hub's limits, but for what holds from its start on.
    pub(crate) fn apply(&self, config: &mut hub::Config) {
        self.hub.apply(config);
        self.budgets.apply(&mut config.budgets);
        self.connection.apply(&mut config.limits);
    }

    /// The relay's settings.
    pub(crate) fn relay(&self) -> RelayConfig {
        let mut config = RelayConfig::default();
        self.relay.apply(&mut config);
        config
    }

    /// A hub's settings for a server with this identity.
    pub(crate) fn hub(
        &self,
        server: ServerId,
        agent: Note,
        mechanisms: Note,
    ) -> Result<hub::Config, Failure> {
        let mut config = hub::Config::new(server, agent, mechanisms, default_room()?);
        self.apply(&mut config);
        let relay = self.relay();
        config.max_relays = relay.max_relays;
        config.max_relays_per_account = relay.max_relays_per_account;
        Ok(config)
    }

    /// The loop's settings.
    pub(crate) fn network(&self) -> NetConfig {
        let mut config = NetConfig::default();
        self.network.apply(&mut config);
        // What is on its way counts as queued, and who missed messages gets more when half of the queue is free.
        config.max_in_transit = config.max_in_transit.min(self.connection.max_queue.0 / 2);
        config
    }

    /// The log's settings.
    pub(crate) fn store(&self) -> StoreConfig {
        let mut config = StoreConfig::default();
        self.store.apply(&mut config);
        config.max_tickets = self.hub.max_devices.0.max(MAX_TICKETS);
        config.durability = match self.durability {
            DurabilityArg::Full => Durability::Full,
            DurabilityArg::Os => Durability::Os,
            DurabilityArg::Off => Durability::Off,
        };
        config
    }

    /// The keys whose values differ between `self` and `other`: those that can change at run time, and those that wait for
    /// the next start.
    pub(crate) fn changes(&self, other: &Self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (ours, theirs) = (self.flat(), other.flat());
        let changed = ours.symmetric_difference(&theirs).map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
        changed.into_iter().partition(|key| {
            let section = key.split('.').next().unwrap_or_default();
            !AT_START_ONLY.iter().any(|only| only == key || *only == section)
        })
    }

    /// Every key, as `section.key`, with its value as text.
    fn flat(&self) -> BTreeSet<(String, String)> {
        let mut flat = BTreeSet::new();
        for (key, value) in toml::Table::try_from(self).unwrap_or_default() {
            match value.as_table() {
                Some(section) => {
                    let named =
                        |(name, value): (&String, &toml::Value)| (format!("{key}.{name}"), value.to_string());
                    flat.extend(section.iter().map(named));
                }
                None => {
                    flat.insert((key, value.to_string()));
                }
            }
        }
        flat
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 4848)),
            data: PathBuf::from("chatserver-data"),
            durability: DurabilityArg::Full,
            insecure_plaintext: false,
            insecure_plaintext_anywhere: false,
            plaintext_tickets: false,
            ticket_lifetime: Duration::from_millis(7 * DAY).into(),
            metrics: Endpoint(None),
            metrics_anywhere: false,
            announce_lan: false,
            log: "info".into(),
            log_format: LogFormat::Text,
            certificate: PathBuf::new(),
            certificate_key: PathBuf::new(),
            announce_link: String::new(),
            accounts: AccountPolicy::default(),
            hub: Hub::default(),
            budgets: Requests::default(),
            connection: Connection::default(),
            relay: Relay::default(),
            network: Network::default(),
            store: Log::default(),
        }
    }
}

/// The `check-config` command: prints the settings in force, as a settings file that would set them.
///
/// # Errors
/// Those of [`Settings::resolve`].
pub fn check_config(args: &RunArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(args)?;
    let text =
        toml::to_string(&settings).map_err(|error| Failure::new("cannot print the settings", error))?;
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new("standard output", error))
}

/// The data directory of a command that needs no other setting.
///
/// # Errors
/// Those of the settings file.
pub fn data_dir(data: &DataArg) -> Result<PathBuf, Failure> {
    match &data.dir {
        Some(dir) => Ok(dir.clone()),
        None => Settings::of_file(data).map(|settings| settings.data),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::Usage(format!("settings file {} cannot be read: {error}", file.display()))
    };
    let mut text = String::new();
    let mut opened = File::open(file).map_err(failed)?.take(MAX_FILE_BYTES + 1);
    opened.read_to_string(&mut text).map_err(failed)?;
    if opened.limit() == 0 {
        let why = format!("settings file {} has more than {MAX_FILE_BYTES} bytes", file.display());
        return Err(Failure::Usage(why));
    }
    Ok(text)
}

fn parse(file: &Path, text: &str) -> Result<Settings, Failure> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count();
        let shown = text.lines().nth(line).unwrap_or_default().trim();
        let (file, line) = (file.display(), line + 1);
        let message = error.message().trim_end().replace('\n', ", ");
        Failure::Usage(format!(
            "settings file {file}, line {line}: `{}`: {message}",
            chatproto::wire::escaped(shown)
        ))
    })
}

/// A flag's value, held against the bounds of its setting.
fn flag<'a, T: Deserialize<'a>, V: serde::de::IntoDeserializer<'a, toml::de::Error>>(
    name: &str,
    value: V,
) -> Result<T, Failure> {
    T::deserialize(value.into_deserializer())
        .map_err(|error| Failure::Usage(format!("{name}: {}", error.message().trim_end())))
}

/// The hub's defaults, for an identity that nobody asks for.
#[expect(clippy::expect_used, reason = "constants of this file; the tests make the defaults")]
fn hub_defaults() -> hub::Config {
    let note = Note::new("").expect("an empty note is a note");
    hub::Config::new(ServerId([0; 16]), note.clone(), note, default_room().expect("`lobby` is a name"))
}

fn default_room() -> Result<Name, Failure> {
    Name::new(DEFAULT_ROOM).map_err(|error| Failure::new("the server's own settings", error))
}
