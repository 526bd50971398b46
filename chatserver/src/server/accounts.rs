//! Accounts over the wire: strangers register, people change their passwords and look at their devices. The desk's thread writes;
//! OPAQUE's part is a few scalar multiplications and done here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatnet::{Budget, origin};
use chatproto::hub::{ConnId, Hub};
use chatproto::opaque::{
    OsRng, PasswordChangeError, Record, ServerPasswordChange, ServerSetup, Stretch, accept_registration,
    offer_registration,
};
use chatproto::wire::{DeviceEntry, DeviceId, ErrorCode, Name, Note};

use super::attempts::{Attempts, advice};
use super::links::Links;
use super::removals::Removals;
use crate::settings::{AccountPolicy, Registration};
use crate::store::{AccountDesk, DeskReply, DeviceRow, Job, Read, RegisterError, Reply, Store};

/// Set in the id of a store read of ours; see `LOGIN_READ` of the logins.
const ACCOUNT_READ: u64 = 1 << 61;

/// What is under way; the hub bounds it to one thing for each connection.
pub(super) struct AccountWork {
    setup: ServerSetup,
    policy: AccountPolicy,
    stretch: Stretch,
    by_origin: Budget<IpAddr>,
    in_total: Budget<()>,
    applications: HashMap<ConnId, Application>,
    changes: HashMap<ConnId, Change>,
    /// By the id of a look-up or a job.
    waiting: HashMap<u64, Waiting>,
    last: u64,
    registered: u64,
}

struct Application {
    user: Name,
    invite: Option<String>,
}

struct Change {
    user: Name,
    old: Vec<u8>,
    change: ServerPasswordChange,
}

enum Waiting {
    Invite { conn: ConnId, user: Name, invite: Note, request: Bytes },
    Record { conn: ConnId, user: Name, request: Bytes },
    Register { conn: ConnId, user: Name },
    Change { conn: ConnId, user: Name },
    Devices { conn: ConnId, user: Name, revoke: Option<DeviceId> },
}

impl Waiting {
    fn conn(&self) -> ConnId {
        match self {
            Self::Invite { conn, .. }
            | Self::Record { conn, .. }
            | Self::Register { conn, .. }
            | Self::Change { conn, .. }
            | Self::Devices { conn, .. } => *conn,
        }
    }
}

impl AccountWork {
    pub(super) fn new(setup: ServerSetup, policy: AccountPolicy) -> Self {
        let now = Instant::now();
        let interval = policy.registration_interval();
        let refill = |burst: u32| interval / burst.max(1);
        let (each, all) = (policy.registrations_per_address(), policy.registrations());
        Self {
            setup,
            stretch: policy.stretch(),
            by_origin: Budget::new(each, refill(each), now),
            in_total: Budget::new(all, refill(all), now),
            policy,
            applications: HashMap::new(),
            changes: HashMap::new(),
            waiting: HashMap::new(),
            last: 0,
            registered: 0,
        }
    }

    /// Answers a stranger who wants an account. Where an invitation is needed, it is looked at first: without one nobody can use
    /// up what all have together.
    pub(super) fn apply(
        &mut self,
        hub: &mut Hub,
        store: &Store,
        conn: ConnId,
        user: Name,
        invite: Note,
        request: Bytes,
    ) {
        let addr = hub.addr(conn);
        let spent = addr.map_or(Ok(()), |addr| self.by_origin.spend(origin(addr.ip()), Instant::now()));
        if let Err(wait) = spent {
            return refuse_hasty(hub, conn, &user, wait);
        }
        if self.policy.registration() == Registration::Open {
            return self.offer(hub, conn, user, None, &request);
        }
        let id = self.next() | ACCOUNT_READ;
        if store.reader.try_send(Read::Invite { id, code: invite.as_str().into() }).is_err() {
            hub.login_refuse(conn, ErrorCode::Busy, "too many registrations at once, try again");
            return;
        }
        self.waiting.insert(id, Waiting::Invite { conn, user, invite, request });
    }

    fn offer(&mut self, hub: &mut Hub, conn: ConnId, user: Name, invite: Option<Note>, request: &[u8]) {
        if let Err(wait) = self.in_total.spend((), Instant::now()) {
            return refuse_hasty(hub, conn, &user, wait);
        }
        match offer_registration(&self.setup, user.as_str(), request, self.stretch) {
            Ok(offer) => {
                if hub.register_challenge(conn, &offer) {
                    let invite = invite.map(|invite| invite.as_str().to_owned());
                    self.applications.insert(conn, Application { user, invite });
                }
            }
            Err(error) => {
                hub.login_refuse(conn, ErrorCode::Malformed, &error.to_string());
            }
        }
    }

    /// Makes the account, if the record is what was asked for.
    pub(super) fn enrol(&mut self, hub: &mut Hub, desk: &AccountDesk, conn: ConnId, record: &[u8]) {
        let Some(Application { user, invite }) = self.applications.remove(&conn) else { return };
        let record = match accept_registration(record, self.stretch) {
            Ok(record) => record.to_bytes(),
            Err(error) => {
                hub.login_refuse(conn, ErrorCode::Malformed, &error.to_string());
                return;
            }
        };
        let id = self.next();
        let job = Job::Register { id, user: user.as_str().into(), record, invite };
        if desk.try_send(job).is_err() {
            hub.login_refuse(conn, ErrorCode::Busy, "too many registrations at once, try again");
            return;
        }
        self.waiting.insert(id, Waiting::Register { conn, user });
    }

    /// Looks the record up that the old password is to be checked with.
    pub(super) fn start_change(
        &mut self,
        hub: &mut Hub,
        store: &Store,
        attempts: &mut Attempts,
        conn: ConnId,
        user: Name,
        request: Bytes,
    ) {
        self.changes.remove(&conn);
        let spent = hub.addr(conn).map(|addr| attempts.begin(conn, addr, &user, Instant::now()));
        if let Some(Err(hasty)) = spent {
            let (code, wait, note) = hasty.refusal();
            hub.account_refuse(conn, code, wait, &note);
            return;
        }
        let id = self.next() | ACCOUNT_READ;
        if store.reader.try_send(Read::Account { id, name: user.as_str().into() }).is_err() {
            attempts.end(conn, Instant::now());
            hub.account_refuse(conn, ErrorCode::Busy, 0, "the server is busy, try again");
            return;
        }
        self.waiting.insert(id, Waiting::Record { conn, user, request });
    }

    /// Takes a reply of the store if it answers a look-up of ours.
    pub(super) fn on_reply(
        &mut self,
        hub: &mut Hub,
        attempts: &mut Attempts,
        reply: &Reply,
        links: &Links,
    ) -> bool {
        let (Reply::Account { id, .. } | Reply::Invite { id, .. } | Reply::Failed { id, .. }) = reply else {
            return false;
        };
        if id & ACCOUNT_READ == 0 {
            return false;
        }
        match self.waiting.remove(id) {
            Some(Waiting::Record { conn, user, request }) => {
                if self.on_record(hub, conn, user, &request, reply, links) {
                    attempts.challenged(conn);
                } else {
                    attempts.end(conn, Instant::now());
                }
            }
            Some(Waiting::Invite { conn, user, invite, request }) => match reply {
                Reply::Invite { is_good: true, .. } => self.offer(hub, conn, user, Some(invite), &request),
                Reply::Invite { is_good: false, .. } => refuse_invite(hub, conn),
                Reply::Failed { .. }
                | Reply::Account { .. }
                | Reply::Ticket { .. }
                | Reply::Page { .. }
                | Reply::Found { .. }
                | Reply::Audit { .. }
                | Reply::Removed { .. }
                | Reply::Looked { .. } => {
                    hub.login_refuse(conn, ErrorCode::Internal, "the invitation could not be read");
                }
            },
            Some(Waiting::Register { .. } | Waiting::Change { .. } | Waiting::Devices { .. }) | None => {}
        }
        true
    }

    /// Sends the challenge; `false` if it could not.
    fn on_record(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        user: Name,
        request: &[u8],
        reply: &Reply,
        links: &Links,
    ) -> bool {
        let old = match reply {
            Reply::Account { account, .. } => account.as_ref().map(|account| account.record.clone()),
            Reply::Failed { .. }
            | Reply::Invite { .. }
            | Reply::Ticket { .. }
            | Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Audit { .. }
            | Reply::Removed { .. }
            | Reply::Looked { .. } => None,
        };
        let record = old.as_deref().map(Record::from_bytes).and_then(Result::ok);
        let (Some(old), Some(record)) = (old, record) else {
            hub.account_refuse(conn, ErrorCode::Internal, 0, "the account could not be read");
            return false;
        };
        let binding = links.channel_binding(conn);
        let started = ServerPasswordChange::start(
            &self.setup,
            &record,
            user.as_str(),
            request,
            binding,
            self.stretch,
            &mut OsRng,
        );
        match started {
            Ok((change, answer)) => {
                let is_sent = hub.password_challenge(conn, &answer);
                if is_sent {
                    self.changes.insert(conn, Change { user, old, change });
                }
                is_sent
            }
            Err(error) => {
                hub.account_refuse(conn, ErrorCode::Malformed, 0, &error.to_string());
                false
            }
        }
    }

    /// Checks the proof of the old password, and stores the new record.
    pub(super) fn finish_change(
        &mut self,
        hub: &mut Hub,
        desk: &AccountDesk,
        attempts: &mut Attempts,
        conn: ConnId,
        proof: &[u8],
    ) {
        let Some(Change { user, old, change }) = self.changes.remove(&conn) else { return };
        let record = match change.finish(proof) {
            Ok(record) => {
                attempts.right(conn);
                record
            }
            Err(error) => {
                attempts.end(conn, Instant::now());
                let code = match error {
                    PasswordChangeError::Password => ErrorCode::WrongPassword,
                    PasswordChangeError::Malformed => ErrorCode::Malformed,
                };
                hub.account_refuse(conn, code, 0, &error.to_string());
                return;
            }
        };
        let id = self.next();
        let job = Job::ChangePassword { id, user: user.as_str().into(), old, new: record.to_bytes() };
        if desk.try_send(job).is_err() {
            hub.account_refuse(conn, ErrorCode::Busy, 0, "the server is busy, try again");
            return;
        }
        self.waiting.insert(id, Waiting::Change { conn, user });
    }

    /// Looks the devices up.
    pub(super) fn devices(
        &mut self,
        hub: &mut Hub,
        desk: &AccountDesk,
        conn: ConnId,
        user: Name,
        revoke: Option<DeviceId>,
    ) {
        let id = self.next();
        let job = Job::Devices { id, user: user.as_str().into(), revoke: revoke.map(|device| device.0) };
        if desk.try_send(job).is_err() {
            hub.account_refuse(conn, ErrorCode::Busy, 0, "the server is busy, try again");
            return;
        }
        self.waiting.insert(id, Waiting::Devices { conn, user, revoke });
    }

    /// What the desk has done.
    pub(super) fn on_done(
        &mut self,
        hub: &mut Hub,
        removals: &mut Removals,
        reply: DeskReply,
        now: chatproto::Instant,
    ) {
        match reply {
            DeskReply::Registered { id, outcome } => {
                if let Some(Waiting::Register { conn, user }) = self.waiting.remove(&id) {
                    self.on_registered(hub, conn, &user, outcome);
                }
            }
            DeskReply::PasswordChanged { id, generation } => {
                let Some(Waiting::Change { conn, user }) = self.waiting.remove(&id) else { return };
                let Some(generation) = generation else {
                    hub.account_refuse(
                        conn,
                        ErrorCode::Changed,
                        0,
                        "the account has just changed, try again",
                    );
                    return;
                };
                tracing::info!("{} changed the password", user.as_str());
                hub.password_changed(conn);
                removals.keep(conn, generation);
                for (other, _) in hub.sessions(&user) {
                    if other != conn {
                        hub.revoke(other, "the password was changed");
                    }
                }
            }
            DeskReply::Devices { id, devices } => {
                let Some(Waiting::Devices { conn, user, revoke }) = self.waiting.remove(&id) else { return };
                let Some(devices) = devices else {
                    hub.account_refuse(conn, ErrorCode::NoSuchDevice, 0, "the account has no such device");
                    return;
                };
                let online = hub.sessions(&user);
                let devices = devices.iter().map(|row| entry(row, &online)).collect::<Vec<_>>();
                hub.device_list(conn, &devices);
                for (other, device) in online {
                    if Some(device) == revoke {
                        tracing::info!(%device, "{} revoked a device", user.as_str());
                        hub.revoke(other, "the device was revoked");
                    }
                }
            }
            DeskReply::Checked { id, standing } => removals.on_checked(hub, id, standing.as_ref(), now),
            DeskReply::Failed { id, error } => {
                if removals.on_failed(id) {
                    return;
                }
                let note = format!("the account could not be changed: {error}");
                match self.waiting.remove(&id) {
                    Some(Waiting::Register { conn, .. }) => {
                        hub.login_refuse(conn, ErrorCode::Internal, "the account could not be made");
                    }
                    Some(waiting) => drop(hub.account_refuse(waiting.conn(), ErrorCode::Internal, 0, &note)),
                    None => {}
                }
            }
        }
    }

    fn on_registered(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        user: &Name,
        outcome: Result<(), RegisterError>,
    ) {
        match outcome {
            Ok(()) => {
                tracing::info!(%conn, "new account {}", user.as_str());
                self.registered += 1;
                hub.registered(conn);
            }
            Err(RegisterError::Invite) => refuse_invite(hub, conn),
            Err(RegisterError::Taken) => {
                let note = "this ID is taken, or could be mistaken for one that is";
                hub.login_refuse(conn, ErrorCode::NameTaken, note);
            }
        }
    }

    /// The connection has ended.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.applications.remove(&conn);
        self.changes.remove(&conn);
        self.waiting.retain(|_, waiting| waiting.conn() != conn);
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

fn refuse_hasty(hub: &mut Hub, conn: ConnId, user: &Name, wait: Duration) {
    let note = format!("too many registrations for now; try again in {} s", wait.as_secs() + 1);
    tracing::warn!(%conn, user = user.as_str(), "a registration was refused: the budget is spent");
    hub.login_refuse_for(conn, ErrorCode::TooManyAttempts, advice(wait), &note);
}

fn refuse_invite(hub: &mut Hub, conn: ConnId) {
    tracing::warn!(%conn, "a registration was refused: the invitation is not good");
    hub.login_refuse(conn, ErrorCode::BadInvite, "the invitation is unknown, used up or expired");
}

fn entry(row: &DeviceRow, online: &[(ConnId, DeviceId)]) -> DeviceEntry {
    DeviceEntry {
        device: DeviceId(row.device),
        first: row.first_ms,
        last: row.last_ms,
        address: row.address,
        ticket: row.has_ticket,
        online: online.iter().any(|(_, device)| device.0 == row.device),
    }
}
