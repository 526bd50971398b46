//! The account desk: a thread that registers, changes passwords, remembers devices and tells who may stay.
//!
//! It has a connection of its own, so that a storm of logins does not stand between messages and their commit. What waits is done
//! in one transaction; only what somebody was told is flushed, a device's last login may be lost with the power.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use rusqlite::{Connection, TransactionBehavior};

use super::{
    Durability,
    accounts::{self, AccountError},
    data_dir::DataDir,
    devices::{self, DeviceRow},
    error::{DbError, StoreError},
    invites,
    refused::{self, Refused},
    schema,
    tickets::TicketHash,
    unix_ms,
};

/// Something about accounts. The id is the caller's choice and comes back in the [`DeskReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Makes an account, and uses an invitation up if one is needed.
    Register {
        /// Comes back in the reply.
        id: u64,
        /// Its name.
        user: String,
        /// What its logins are checked with.
        record: Vec<u8>,
        /// The code of the invitation without which there is no account; `None` if everybody may have one.
        invite: Option<String>,
    },
    /// Replaces a record, if the account may log in and still has the old one. Its tickets end.
    ChangePassword {
        /// Comes back in the reply.
        id: u64,
        /// The account.
        user: String,
        /// The record that the old password was checked with.
        old: Vec<u8>,
        /// The new one.
        new: Vec<u8>,
    },
    /// Lists the devices of an account, after revoking one.
    Devices {
        /// Comes back in the reply.
        id: u64,
        /// The account.
        user: String,
        /// The device to revoke.
        revoke: Option<[u8; 16]>,
    },
    /// A device has logged in. No reply.
    Seen {
        /// The account.
        user: String,
        /// The device.
        device: [u8; 16],
        /// From where.
        address: SocketAddr,
        /// The ticket that it came with, or was given; `None` if there is none.
        ticket: Option<TicketHash>,
    },
    /// Whether the sessions of an account may stay.
    Check {
        /// Comes back in the reply.
        id: u64,
        /// The account.
        user: String,
    },
}

/// What became of a [`Job`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskReply {
    /// The account exists now, or why not.
    Registered {
        /// The job's id.
        id: u64,
        /// Why not.
        outcome: Result<(), RegisterError>,
    },
    /// The account's generation after the change; `None` when it was changed meanwhile: nothing was written.
    PasswordChanged {
        /// The job's id.
        id: u64,
        /// The new generation.
        generation: Option<u64>,
    },
    /// The devices, the latest login first; `None` when the one to revoke is not there.
    Devices {
        /// The job's id.
        id: u64,
        /// The devices.
        devices: Option<Vec<DeviceRow>>,
    },
    /// What the sessions of an account are to be held against.
    Checked {
        /// The job's id.
        id: u64,
        /// `None` when the account is gone or disabled.
        standing: Option<Standing>,
    },
    /// The database refused.
    Failed {
        /// The job's id.
        id: u64,
        /// Why.
        error: DbError,
    },
}

/// Why an account was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterError {
    /// The invitation is unknown, used up or expired.
    Invite,
    /// The name is taken, or could be mistaken for one that is.
    Taken,
}

/// What the sessions of an account are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Changes with the record. Sessions of another one end.
    pub generation: u64,
    /// Devices that were revoked and have not logged in since.
    pub revoked: Vec<[u8; 16]>,
}

/// The loop's end of the desk.
#[derive(Debug)]
pub struct AccountDesk {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl AccountDesk {
    /// Opens the desk over a data directory. `sink` runs on its thread and must not block.
    ///
    /// # Errors
    /// When the database cannot be opened or the thread cannot be started.
    pub fn start(
        dir: &DataDir,
        durability: Durability,
        max_queued: usize,
        sink: impl FnMut(DeskReply) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let conn = dir.connect()?;
        let (jobs, queue) = crossbeam_channel::bounded(max_queued.max(1));
        let thread = thread::Builder::new()
            .name("accounts".into())
            .spawn(move || Desk { conn, durability, is_flushing: true }.run(&queue, sink))
            .map_err(StoreError::io("start a thread for", "the accounts"))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a job over. Jobs are done in this order.
    ///
    /// # Errors
    /// [`Refused`] gives the job back when too many wait.
    pub fn try_send(&self, job: Job) -> Result<(), Refused<Job>> {
        refused::try_send(self.jobs.as_ref(), job)
    }
}

impl Drop for AccountDesk {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread for the accounts died");
        }
    }
}

struct Desk {
    conn: Connection,
    durability: Durability,
    /// Whether commits are flushed now.
    is_flushing: bool,
}

impl Desk {
    fn run(mut self, queue: &Receiver<Job>, mut sink: impl FnMut(DeskReply)) {
        let mut jobs = Vec::new();
        while let Ok(first) = queue.recv() {
            jobs.push(first);
            jobs.extend(queue.try_iter().take(MAX_BATCH - 1));
            match self.work(&jobs) {
                Ok(replies) => replies.into_iter().for_each(&mut sink),
                Err(error) => {
                    tracing::error!(%error, "accounts could not be read or written");
                    jobs.iter()
                        .filter_map(id)
                        .for_each(|id| sink(DeskReply::Failed { id, error: error.clone() }));
                }
            }
            jobs.clear();
        }
    }

    fn work(&mut self, jobs: &[Job]) -> Result<Vec<DeskReply>, DbError> {
        if jobs.iter().all(|job| matches!(job, Job::Check { .. })) {
            return jobs.iter().filter_map(|job| work(&self.conn, job, unix_ms()).transpose()).collect();
        }
        let is_flushing = jobs.iter().any(|job| !matches!(job, Job::Seen { .. } | Job::Check { .. }));
        if is_flushing != self.is_flushing {
            let durability = if is_flushing { self.durability } else { Durability::Os };
            schema::set_durability(&self.conn, durability)?;
            self.is_flushing = is_flushing;
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now_ms = unix_ms();
        let replies = jobs.iter().filter_map(|job| work(&tx, job, now_ms).transpose());
        let replies = replies.collect::<Result<Vec<_>, _>>()?;
        tx.commit()?;
        Ok(replies)
    }
}

fn work(conn: &Connection, job: &Job, now_ms: u64) -> Result<Option<DeskReply>, DbError> {
    Ok(Some(match job {
        Job::Register { id, user, record, invite } => {
            let outcome = register(conn, user, record, invite.as_deref(), now_ms)?;
            DeskReply::Registered { id: *id, outcome }
        }
        Job::ChangePassword { id, user, old, new } => {
            let generation = accounts::exchange_record(conn, user, old, new)?;
            DeskReply::PasswordChanged { id: *id, generation }
        }
        Job::Devices { id, user, revoke } => {
            let is_there = match revoke {
                Some(device) => devices::revoke(conn, user, *device, now_ms)?,
                None => true,
            };
            let devices = is_there.then(|| devices::list(conn, user, now_ms)).transpose()?;
            DeskReply::Devices { id: *id, devices }
        }
        Job::Seen { user, device, address, ticket } => {
            devices::seen(conn, user, *device, *address, *ticket, now_ms)?;
            return Ok(None);
        }
        Job::Check { id, user } => {
            let standing = match accounts::generation(conn, user)? {
                Some(generation) => Some(Standing { generation, revoked: devices::revoked(conn, user)? }),
                None => None,
            };
            DeskReply::Checked { id: *id, standing }
        }
    }))
}

/// Whether the invitation is good comes first: without one, nobody learns which names are taken.
fn register(
    conn: &Connection,
    user: &str,
    record: &[u8],
    invite: Option<&str>,
    now_ms: u64,
) -> Result<Result<(), RegisterError>, DbError> {
    if let Some(code) = invite
        && !invites::is_good(conn, code, now_ms)?
    {
        return Ok(Err(RegisterError::Invite));
    }
    match accounts::add(conn, user, false, record, now_ms) {
        Ok(()) => {
            if let Some(code) = invite {
                invites::spend(conn, code)?;
            }
            Ok(Ok(()))
        }
        Err(AccountError::Exists(_) | AccountError::Lookalike { .. } | AccountError::Unknown(_)) => {
            Ok(Err(RegisterError::Taken))
        }
        Err(AccountError::Database(error)) => Err(error),
    }
}

fn id(job: &Job) -> Option<u64> {
    match job {
        Job::Register { id, .. }
        | Job::ChangePassword { id, .. }
        | Job::Devices { id, .. }
        | Job::Check { id, .. } => Some(*id),
        Job::Seen { .. } => None,
    }
}

/// Jobs in one transaction: the flush of one is shared, and no one waits long for the rest.
const MAX_BATCH: usize = 256;
