//! Everything that must be there before the first connection, each with its own failure.

use super::App;
use super::account::Account;
use super::again::Again;
use super::clock::Clock;
use super::concealing;
use super::errand::Errands;
use super::gather::Gathering;
use super::jobs::Jobs;
use super::kept::KeptTransfers;
use super::linking::Linking;
use super::links::Links;
use super::lists::Lists;
use super::mapping::Mapping;
use super::memory::Memory;
use super::pace::Pace;
use super::persons::Persons;
use super::placing::Batches;
use super::reaching::Reaching;
use super::redial::Redial;
use super::sending::Sent;
use super::server::{Server, Trust};
use super::sources::Sources;
use super::transfers::{MAX_SMALL_ACTIVE, Transfers};
use super::voice::Voice;
use crate::cli;
use crate::notice::Code;
use crate::settings::{Plaintext, RelayPolicy, Settings};
use crate::share::{Share, ShareError};
use crate::state::StateError;
use chatnet::{ConnToken, Identity, Net, NetConfig, Security, ServerTls, Signal};
use chatproto::peer;
use chatproto::session::{Announcement, Config, RoomKey, Session};
use chatproto::wire::{Capabilities, Capability, ErrorCode, LinkKey, Name, Note, NoteRef};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Connections of one client: the server's, links, and callers that have not shown a ticket. Answers callers that
/// open connections and stay silent.
const MAX_CONNECTIONS: usize = 256;
const MAX_HANDSHAKES: usize = 32;
const MAX_HANDSHAKES_PER_ADDRESS: usize = 8;

/// Callers taken in at once from one address, and from all, and the time after which one comes back. A client has few
/// peers: whoever calls more often is no use to it, and costs it no handshake.
const CALLS_PER_ADDRESS: (u32, Duration) = (64, Duration::from_millis(500));
const CALLS: (u32, Duration) = (256, Duration::from_millis(100));

/// What lies in the TLS session and in the system, and cannot be overtaken by what somebody says: a few milliseconds of
/// a fast home connection, and enough to keep it busy.
const TLS_SEND_BUFFER: usize = 32 * 1024;
const UNSENT_LIMIT: u32 = 32 * 1024;

/// Time for a whole attempt. Each address has its own, shorter one; this is for a person who compares fingerprints.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(600);

/// Lowest port that may be announced with a private address.
const MIN_CANDIDATE_PORT: u16 = 1024;

/// What could not be had.
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

/// All that the client is made of, ready to connect.
pub(super) struct Start {
    settings: Settings,
    clock: Clock,
    net: Net,
    jobs: Jobs,
    memory: Memory,
    identity: Identity,
    server: Server,
    rooms: usize,
    share: Option<Share>,
}

impl App {
    pub(super) fn start(mut settings: Settings, voice: &mut Voice) -> Result<Start, Failure> {
        let memory = Memory::open(&settings.state)?;
        if memory.damaged_lines() > 0 {
            voice.info(format!(
                "{} lines of the journal in {:?} were damaged; messages that were not sent may be lost",
                memory.damaged_lines(),
                settings.state
            ));
        }
        let trust = trust(&settings, &memory)?;
        if concealing::wanted(&memory, settings.relay) == RelayPolicy::Only {
            // Nobody is to find this client, so nobody is waited for.
            settings.peer_listen = None;
        }
        let usage = |error: cli::ArgsError| {
            Failure::new(if error.is_interruption() { Code::Interrupted } else { Code::Usage }, error)
        };
        let needs_none = has_ticket(&settings, &memory, trust) && !settings.change_password;
        if settings.password.is_none() && settings.register.is_some() {
            let asked = cli::ask_new_password(&settings.user, &settings.server);
            settings.password = Some(asked.map_err(usage)?);
        } else if settings.password.is_none() && !needs_none {
            let asked = cli::ask_password(&settings.user, &settings.server);
            settings.password = Some(asked.map_err(usage)?);
        }
        if settings.change_password && settings.new_password.is_none() {
            let asked = cli::ask_new_password(&settings.user, &settings.server);
            settings.new_password = Some(asked.map_err(usage)?);
        }
        let identity = memory.identity().map_err(|error| Failure::new(Code::State, error))?;
        let share = settings.share.as_ref().map(Share::open).transpose()?;
        let share = match share {
            Some(share) => Some(share.with_hashes(memory.hashes()?)),
            None => None,
        };
        let mut net = Net::new(NetConfig {
            max_connections: MAX_CONNECTIONS,
            max_handshakes: MAX_HANDSHAKES,
            max_handshakes_per_address: MAX_HANDSHAKES_PER_ADDRESS,
            accepts_per_address: CALLS_PER_ADDRESS.0,
            accept_refill_per_address: CALLS_PER_ADDRESS.1,
            accepts: CALLS.0,
            accept_refill: CALLS.1,
            tls_send_buffer: TLS_SEND_BUFFER,
            unsent_limit: Some(UNSENT_LIMIT),
            ..NetConfig::default()
        })
        .map_err(Failure::internal)?;
        net.watch_signals(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup])
            .map_err(Failure::internal)?;
        let peer_port = listen(&mut net, &settings, &identity)?;
        let jobs = Jobs::start(&net.waker()).map_err(Failure::internal)?;
        let clock = Clock::start();

        let restored = memory.restored()?;
        let mut config = Config::new(settings.user.clone(), memory.device());
        config.agent = agent();
        config.capabilities = [
            Capability::Search,
            Capability::Tickets,
            Capability::Register,
            Capability::Account,
            Capability::Probe,
            Capability::Relay,
            Capability::Ways,
        ]
        .into_iter()
        .fold(Capabilities::NONE, Capabilities::with);
        config.policy = concealing::ways(concealing::wanted(&memory, settings.relay));
        config.relay_only = memory.relay_only();
        config.connect_timeout = CONNECT_TIMEOUT;
        config.rooms = rooms_to_enter(&restored.cursors);
        let rooms = config.rooms.as_ref().map_or(1, Vec::len);
        config.announcement = Some(announcement(peer_port, &identity, Vec::new())?);
        let seed = getrandom::u64().map_err(Failure::internal)?;
        let session = Session::new(config, restored, seed, clock.now());
        let server = Server::new(session, trust, peer_port);
        Ok(Start { settings, clock, net, jobs, memory, identity, server, rooms, share })
    }

    pub(super) fn new(start: Start, voice: Voice) -> Self {
        let Start { settings, clock, net, jobs, memory, identity, server, rooms, share } = start;
        let account = Account::new(settings.register.clone());
        let pace = Pace::new(&settings.pace, Instant::now());
        let mut app = Self {
            settings,
            voice,
            clock,
            net,
            jobs,
            input: None,
            input_ended: None,
            errands: Errands::default(),
            held: VecDeque::new(),
            memory,
            identity,
            server,
            account,
            persons: Persons::default(),
            rooms_at_start: rooms,
            room: None,
            says: BTreeMap::new(),
            joins: BTreeMap::new(),
            topics: BTreeMap::new(),
            leaves: BTreeMap::new(),
            questions: BTreeMap::new(),
            linking: Linking::default(),
            reaching: Reaching::default(),
            mapping: Mapping::default(),
            redial: Redial::default(),
            links: Links::default(),
            direct: None,
            lists: Lists::default(),
            again: Again::default(),
            sources: Sources::default(),
            share,
            share_remark: String::new(),
            downloads: None,
            transfers: Transfers::default(),
            uploads: BTreeMap::new(),
            begun_uploads: Vec::new(),
            sent: Sent::default(),
            batches: Batches::default(),
            kept: KeptTransfers::default(),
            gathering: Gathering::default(),
            pace,
            ending: None,
        };
        app.restore_wanted();
        app.start_mapping();
        // What an earlier run said is finished when it is posted now.
        let said = app.server.session.pending().map(|say| say.counter).collect::<Vec<_>>();
        for counter in said {
            let errand = app.errands.begin();
            app.says.insert(counter, errand);
        }
        if app.server.trust != Trust::Nobody {
            app.start_input();
        }
        app
    }

    /// How this end of a link is set up.
    pub(super) fn peer_config(&self) -> peer::Config {
        let mut config = peer::Config::new(self.settings.user.clone(), self.memory.device(), agent());
        config.max_transfers = 2 * MAX_SMALL_ACTIVE;
        config.capabilities = [Capability::Resume, Capability::Sources, Capability::Inline, Capability::Pace]
            .into_iter()
            .fold(config.capabilities, Capabilities::with);
        config
    }

    /// Tells the server under which private address neighbours find this machine: the one that it is talked to from.
    pub(super) fn announce_neighbour(&mut self, server: ConnToken) {
        let neighbours = self.neighbours(server);
        if !neighbours.is_empty() {
            self.announce(neighbours);
        }
    }

    /// Tells the server again where peers may connect, for something of it has changed.
    pub(super) fn announce_anew(&mut self) {
        let neighbours = self.server.token.map(|server| self.neighbours(server));
        self.announce(neighbours.unwrap_or_default());
    }

    fn announce(&mut self, candidates: Vec<SocketAddr>) {
        if let Ok(announcement) = announcement(self.announced_port(), &self.identity, candidates) {
            self.server.session.announce(announcement);
        }
    }

    fn neighbours(&self, server: ConnToken) -> Vec<SocketAddr> {
        let (Some(port), Ok(local)) = (self.server.peer_port, self.net.local_addr(server)) else {
            return Vec::new();
        };
        let listens_there =
            self.settings.peer_listen.is_some_and(|at| at.ip().is_unspecified() || at.ip() == local.ip());
        if !listens_there || !is_private(local.ip()) || port < MIN_CANDIDATE_PORT {
            return Vec::new();
        }
        vec![SocketAddr::new(local.ip().to_canonical(), port)]
    }
}

fn listen(net: &mut Net, settings: &Settings, identity: &Identity) -> Result<Option<u16>, Failure> {
    let Some(address) = settings.peer_listen else { return Ok(None) };
    let tls = ServerTls::for_peers(identity).map_err(|error| Failure::new(Code::State, error))?;
    match net.listen_shared(address, Security::TlsServer(tls)) {
        Ok((_, bound)) => Ok(Some(bound.port())),
        Err(error) => {
            Err(Failure::new(Code::PeerListen, format!("cannot accept peers on {address}: {error}")))
        }
    }
}

/// Whom to believe: what the user says now outweighs what was seen before.
fn trust(settings: &Settings, memory: &Memory) -> Result<Trust, StateError> {
    if settings.authority.is_some() {
        return Ok(Trust::Authority);
    }
    let known = memory.known_server(&settings.server.to_string())?;
    Ok(match (settings.fingerprint, known) {
        (Some(fingerprint), Some((known, next))) if known == fingerprint => {
            Trust::Pinned { fingerprint, next, known: true }
        }
        (Some(fingerprint), _) => Trust::Pinned { fingerprint, next: None, known: false },
        (None, Some((fingerprint, next))) => Trust::Pinned { fingerprint, next, known: true },
        (None, None) if settings.trust_first => Trust::First,
        (None, None) => Trust::Nobody,
    })
}

/// Whether a ticket may do for the password. It goes to no server but the one that gave it, over TLS.
fn has_ticket(settings: &Settings, memory: &Memory, trust: Trust) -> bool {
    match trust {
        Trust::Pinned { fingerprint, .. } => {
            settings.plaintext == Plaintext::Off && memory.ticket(&settings.user, fingerprint).is_some()
        }
        Trust::First | Trust::Nobody | Trust::Authority => false,
    }
}

/// The rooms of the last run, or the server's default room the first time.
fn rooms_to_enter(cursors: &[(RoomKey, u64)]) -> Option<Vec<Name>> {
    let rooms = cursors.iter().filter_map(|(key, _)| match key {
        RoomKey::Room(name) => Some(name.clone()),
        RoomKey::User(_) | RoomKey::Former(..) => None,
    });
    let rooms = rooms.collect::<Vec<_>>();
    (!rooms.is_empty()).then_some(rooms)
}

fn announcement(
    port: Option<u16>,
    identity: &Identity,
    candidates: Vec<SocketAddr>,
) -> Result<Announcement, Failure> {
    let link_key = LinkKey(*identity.link_key().as_bytes());
    Announcement::new(port.unwrap_or(0), link_key, candidates).map_err(Failure::internal)
}

/// Private, unique-local and link-local addresses mean something to neighbours only.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Program and version, for others' logs.
fn agent() -> Note {
    NoteRef::truncated(concat!("chatclient ", env!("CARGO_PKG_VERSION"))).to_owned()
}

impl Failure {
    fn new(code: Code, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }

    fn internal(error: impl ToString) -> Self {
        Self::new(ErrorCode::Internal.into(), error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let code = if matches!(error, StateError::InUse { .. }) { Code::StateInUse } else { Code::State };
        Self::new(code, error)
    }
}

impl From<ShareError> for Failure {
    fn from(error: ShareError) -> Self {
        let code = match &error {
            ShareError::NotFound { .. } | ShareError::NotAFolder { .. } => ErrorCode::NoSuchPath,
            ShareError::NotAFile { .. }
            | ShareError::Denied { .. }
            | ShareError::Changed { .. }
            | ShareError::NoSuchUnit { .. }
            | ShareError::Io { .. } => ErrorCode::Unreadable,
        };
        Self::new(code.into(), format!("cannot share: {error}"))
    }
}
