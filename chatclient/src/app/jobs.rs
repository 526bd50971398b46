//! Work that would hold the loop up: name lookup, key stretching, disks. It runs on a few threads, between bounded
//! queues; whatever must stay in order has one job at a time.

use super::placing::{self, Placed};
use super::receiving::{self, Looked, Stored, Unit};
use super::sending::{self, Listed, Part, What};
use super::sources;
use crate::downloads::{Claim, Downloads, Incoming, KeptPart, Origin};
use crate::share::{Outgoing, Share};
use bytes::Bytes;
use chatnet::{PoolFull, Waker, WorkerPool};
use chatproto::opaque::{
    ClientLogin, ClientLoginError, ClientPasswordChange, ClientRegistration, OsRng, RegistrationError,
};
use chatproto::peer::{ListId, UnitData};
use chatproto::verify::{Layout, UnitLog2, UnitValue};
use chatproto::wire::{ErrorCode, Hash, RequestId, SafeName, SafeRelPath, TransferId};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::links::LinkId;

/// One stretches a password or looks a name up, the others read, hash and write files.
const THREADS: usize = 3;

/// Jobs in the pool's own queue; what is more waits in the loop's, which the links' limits bound.
const QUEUE: usize = 64;

/// A transfer on one of the links.
pub(super) type LinkTransfer = (LinkId, TransferId);

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Find the addresses of the server.
    Resolve { host: String, port: u16 },
    /// Check the server's answer and prove the password.
    FinishLogin { attempt: u64, login: Box<ClientLogin>, response: Bytes, user: String, binding: Bytes },
    /// Make the record of a new account.
    Enrol { attempt: u64, registration: Box<ClientRegistration>, offer: Bytes, user: String },
    /// Check the server's answer, prove the old password and make the record of the new one.
    ChangePassword {
        request: RequestId,
        change: Box<ClientPasswordChange>,
        reply: Bytes,
        user: String,
        binding: Bytes,
    },
    /// Look into a shared folder.
    List { link: LinkId, id: ListId, share: Share, path: SafeRelPath, content: bool },
    /// Open a shared file.
    Open { at: LinkTransfer, share: Share, what: What, unit: UnitLog2 },
    /// Look at some of the values that must be known before a shared file is sent.
    Hash { at: LinkTransfer, outgoing: Box<Outgoing>, part: Part },
    /// Read and hash the next unit of a shared file.
    Read { at: LinkTransfer, outgoing: Box<Outgoing> },
    /// Keep what was computed of shared files.
    Remember { share: Share, outgoing: Vec<Outgoing> },
    /// Stop believing what was known of a shared file.
    Doubt { share: Share, outgoing: Box<Outgoing> },
    /// Look for the part of a file that came earlier.
    Look { id: u64, folder: Folder, into: SafeRelPath, name: SafeName, origin: Origin },
    /// See whether values merge to a hash.
    Prove { id: u64, root: Hash, layout: Layout, values: Vec<Hash> },
    /// Look at some of what was found.
    Recheck { id: u64, incoming: Box<Incoming> },
    /// Begin a file that comes.
    Begin { id: u64, folder: Folder, into: SafeRelPath, name: SafeName, origin: Origin },
    /// Make a folder in the download folder.
    MakeFolder { folder: Folder, path: SafeRelPath },
    /// Hash and write one unit of a file that comes.
    Store { id: u64, incoming: Box<Incoming>, unit: Unit },
    /// Flush some of what came, and claim it in the record.
    Claim { claim: Claim },
    /// Write a file of one unit.
    StoreWhole { id: u64, folder: Folder, into: SafeRelPath, name: SafeName, origin: Origin, unit: Unit },
    /// Write what is not written, make files durable and give them their names, all together.
    Finish { folder: Folder, files: Vec<Placed> },
    /// Keep what came for another time.
    Keep { id: u64, incoming: Box<Incoming> },
    /// Remove what came.
    Discard { incoming: Box<Incoming> },
    /// Remove what was kept.
    Forget { id: u64, kept: KeptPart },
}

/// The download folder: named, or open already.
#[derive(Debug, Clone)]
pub(super) enum Folder {
    Named(PathBuf),
    Open(Downloads),
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Done {
    Resolved(io::Result<Vec<SocketAddr>>),
    LoginFinished {
        attempt: u64,
        proof: Result<Vec<u8>, ClientLoginError>,
    },
    Enrolled {
        attempt: u64,
        record: Result<Vec<u8>, RegistrationError>,
    },
    PasswordReady {
        request: RequestId,
        proof: Result<Vec<u8>, ClientLoginError>,
    },
    Listed {
        link: LinkId,
        id: ListId,
        listed: Result<Listed, ErrorCode>,
    },
    Opened {
        at: LinkTransfer,
        opened: Result<Box<Outgoing>, ErrorCode>,
    },
    Read {
        at: LinkTransfer,
        outgoing: Box<Outgoing>,
        read: Result<UnitData, ErrorCode>,
    },
    Hashed {
        at: LinkTransfer,
        outgoing: Box<Outgoing>,
        part: Part,
        left: Result<u64, ErrorCode>,
    },
    Looked {
        id: u64,
        looked: Result<(Downloads, Looked), receiving::Failure>,
    },
    Rechecked {
        id: u64,
        incoming: Box<Incoming>,
        left: Result<usize, receiving::Failure>,
    },
    Kept {
        id: u64,
        kept: Result<Option<KeptPart>, receiving::Failure>,
    },
    Forgotten {
        id: u64,
        forgotten: Result<bool, receiving::Failure>,
    },
    Begun {
        id: u64,
        begun: Result<(Downloads, Box<Incoming>), receiving::Failure>,
    },
    Stored {
        id: u64,
        incoming: Box<Incoming>,
        stored: Result<Stored, receiving::Failure>,
    },
    StoredWhole {
        id: u64,
        stored: Result<(Downloads, Box<Incoming>, Stored), receiving::Failure>,
    },
    Finished(placing::Ended),
    Proved {
        id: u64,
        values: Option<Arc<[UnitValue]>>,
    },
    FolderMade(Result<(), receiving::Failure>),
    Remembered,
    /// Nobody waits for it.
    Nothing,
}

impl Job {
    /// The download whose bytes it has, or may find.
    fn holds(&self) -> Option<u64> {
        match self {
            Self::Look { id, .. }
            | Self::Recheck { id, .. }
            | Self::Begin { id, .. }
            | Self::Store { id, .. }
            | Self::StoreWhole { id, .. }
            | Self::Keep { id, .. }
            | Self::Forget { id, .. } => Some(*id),
            Self::Resolve { .. }
            | Self::FinishLogin { .. }
            | Self::Enrol { .. }
            | Self::ChangePassword { .. }
            | Self::List { .. }
            | Self::Open { .. }
            | Self::Hash { .. }
            | Self::Read { .. }
            | Self::Remember { .. }
            | Self::Doubt { .. }
            | Self::Prove { .. }
            | Self::MakeFolder { .. }
            | Self::Claim { .. }
            | Self::Finish { .. }
            | Self::Discard { .. } => None,
        }
    }
}

impl Done {
    /// The download whose bytes the job had.
    pub(super) fn held(&self) -> Option<u64> {
        match self {
            Self::Looked { id, .. }
            | Self::Rechecked { id, .. }
            | Self::Begun { id, .. }
            | Self::Stored { id, .. }
            | Self::StoredWhole { id, .. }
            | Self::Kept { id, .. }
            | Self::Forgotten { id, .. } => Some(*id),
            Self::Resolved(_)
            | Self::LoginFinished { .. }
            | Self::Enrolled { .. }
            | Self::PasswordReady { .. }
            | Self::Listed { .. }
            | Self::Opened { .. }
            | Self::Read { .. }
            | Self::Hashed { .. }
            | Self::Finished(_)
            | Self::Proved { .. }
            | Self::FolderMade(_)
            | Self::Remembered
            | Self::Nothing => None,
        }
    }
}

/// The workers, and the jobs that their queue has no room for.
#[derive(Debug)]
pub(super) struct Jobs {
    pool: WorkerPool<Job, Done>,
    waiting: VecDeque<Job>,
    under_way: usize,
    /// How many of them have the bytes of a download, or what is left of them.
    holding: BTreeMap<u64, usize>,
}

impl Jobs {
    pub(super) fn start(waker: &Waker) -> io::Result<Self> {
        let pool = WorkerPool::new("chatclient worker", THREADS, QUEUE, waker, work)?;
        Ok(Self { pool, waiting: VecDeque::new(), under_way: 0, holding: BTreeMap::new() })
    }

    pub(super) fn submit(&mut self, job: Job) {
        if let Some(id) = job.holds() {
            *self.holding.entry(id).or_default() += 1;
        }
        self.waiting.push_back(job);
        self.under_way += 1;
        self.refill();
    }

    /// Takes what is done.
    pub(super) fn drain(&mut self) -> Vec<Done> {
        let done = self.pool.drain().collect::<Vec<_>>();
        self.under_way = self.under_way.saturating_sub(done.len());
        self.refill();
        done
    }

    /// A job that had the bytes of a download has come back.
    pub(super) fn let_go(&mut self, id: u64) {
        if let Some(count) = self.holding.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.holding.remove(&id);
            }
        }
    }

    /// Whether a job has the bytes of a download, or what is left of them.
    pub(super) fn hold(&self, id: u64) -> bool {
        self.holding.contains_key(&id)
    }

    /// Whether a job has the bytes of any download.
    pub(super) fn hold_any(&self) -> bool {
        !self.holding.is_empty()
    }

    /// The program ends, whatever is still being worked on.
    pub(super) fn leave(self) {
        self.pool.leave();
    }

    /// Whether nothing is being worked on, or will be.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Whether a job died of a mistake in this program, so that somebody waits for it in vain.
    pub(super) fn is_broken(&self) -> bool {
        self.pool.panics() > 0
    }

    fn refill(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            if let Err(PoolFull(job)) = self.pool.submit(job) {
                return self.waiting.push_front(job);
            }
        }
    }
}

fn work(job: Job) -> Done {
    match job {
        Job::Resolve { host, port } => {
            Done::Resolved((host.as_str(), port).to_socket_addrs().map(Iterator::collect))
        }
        Job::FinishLogin { attempt, login, response, user, binding } => {
            let proof = login.finish(&response, &user, &binding, &mut OsRng).map(|(proof, _key)| proof);
            Done::LoginFinished { attempt, proof }
        }
        Job::Enrol { attempt, registration, offer, user } => {
            Done::Enrolled { attempt, record: registration.take_offer(&offer, &user, &mut OsRng) }
        }
        Job::ChangePassword { request, change, reply, user, binding } => {
            Done::PasswordReady { request, proof: change.finish(&reply, &user, &binding, &mut OsRng) }
        }
        Job::List { link, id, share, path, content } => {
            Done::Listed { link, id, listed: sending::list(&share, &path, content) }
        }
        Job::Open { at, share, what, unit } => {
            Done::Opened { at, opened: sending::open(&share, &what, unit) }
        }
        Job::Hash { at, mut outgoing, part } => {
            let left = sending::hash(&mut outgoing, &part);
            Done::Hashed { at, outgoing, part, left }
        }
        Job::Read { at, mut outgoing } => {
            let read = sending::read(&mut outgoing);
            Done::Read { at, outgoing, read }
        }
        Job::Remember { share, outgoing } => {
            outgoing.iter().for_each(|outgoing| outgoing.remember(share.hashes()));
            Done::Remembered
        }
        Job::Doubt { share, outgoing } => {
            outgoing.doubt(share.hashes());
            Done::Nothing
        }
        Job::Look { id, folder, into, name, origin } => {
            Done::Looked { id, looked: receiving::look(folder, &into, &name, &origin) }
        }
        Job::Prove { id, root, layout, values } => {
            Done::Proved { id, values: sources::prove(root, layout, &values) }
        }
        Job::Recheck { id, mut incoming } => {
            let left = receiving::recheck(&mut incoming);
            Done::Rechecked { id, incoming, left }
        }
        Job::Begin { id, folder, into, name, origin } => {
            Done::Begun { id, begun: receiving::begin(folder, &into, &name, &origin) }
        }
        Job::MakeFolder { folder, path } => Done::FolderMade(receiving::make_folder(folder, &path)),
        Job::Store { id, mut incoming, unit } => {
            let stored = receiving::store(&mut incoming, &unit);
            Done::Stored { id, incoming, stored }
        }
        Job::Claim { mut claim } => {
            if let Err(error) = claim.write() {
                // It is tried again with the next one. After a crash it costs these units, and nothing else.
                tracing::warn!(%error, "what came is not claimed");
            }
            Done::Nothing
        }
        Job::StoreWhole { id, folder, into, name, origin, unit } => {
            Done::StoredWhole { id, stored: receiving::store_whole(folder, &into, &name, &origin, &unit) }
        }
        Job::Finish { folder, files } => Done::Finished(placing::finish(folder, files)),
        Job::Keep { id, incoming } => Done::Kept { id, kept: incoming.keep().map_err(Into::into) },
        Job::Discard { incoming } => {
            // Its name says that it is unfinished, so nothing is lost when it cannot be removed.
            let _ = incoming.discard();
            Done::Nothing
        }
        Job::Forget { id, kept } => Done::Forgotten { id, forgotten: kept.discard().map_err(Into::into) },
    }
}
