//! Accounts that were removed, disabled or given another password, and devices that were revoked: the commands change them
//! beside the running server, which looks again at the accounts of those who are logged in, a few at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use chatproto::Instant as HubInstant;
use chatproto::hub::{ConnId, Hub};
use chatproto::wire::{DeviceId, Name};

use crate::store::{AccountDesk, Job, Removal, Reply, Standing};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Accounts looked at each time: with a thousand people logged in, a removal takes effect within a quarter of a minute.
const MAX_AT_ONCE: usize = 64;

/// Set in the id of a job of ours, so that it never meets those of the account work.
const CHECK: u64 = 1 << 62;

/// Who is logged in, in the order in which they are looked at.
#[derive(Debug, Default)]
pub(super) struct Removals {
    connected: BTreeMap<Name, usize>,
    sessions: HashMap<ConnId, Session>,
    /// Logins that the desk has not been told of, in their order; of those who are there, so they are bounded with them.
    unnoted: VecDeque<(ConnId, Job)>,
    turn: VecDeque<Name>,
    /// Jobs that are not done.
    asked: HashMap<u64, Name>,
    last: u64,
    next: Option<Instant>,
}

/// What a session was let in by.
#[derive(Debug, Clone, Copy)]
struct Session {
    generation: u64,
    device: DeviceId,
    /// The last job before it that asked about revoked devices. Jobs are done in their order, and a login takes the mark of a
    /// revocation away: what later ones find is newer than the login. No clock is asked, which may have been put back.
    since: u64,
}

impl Removals {
    /// `generation` is that of the account whose password or ticket was shown.
    pub(super) fn logged_in(&mut self, conn: ConnId, user: &Name, device: DeviceId, generation: u64) {
        self.sessions.insert(conn, Session { generation, device, since: u64::MAX });
        let devices = self.connected.entry(user.clone()).or_default();
        *devices += 1;
        if *devices == 1 {
            self.turn.push_back(user.clone());
        }
        self.next.get_or_insert_with(|| Instant::now() + INTERVAL);
    }

    /// Notes a login in the list of devices. Where the desk is too busy for that, it is tried again with every look: until then an
    /// older revocation cannot be told from a newer one, and none ends the session.
    pub(super) fn note(&mut self, desk: &AccountDesk, conn: ConnId, seen: Job) {
        self.unnoted.push_back((conn, seen));
        self.note_waiting(desk);
    }

    fn note_waiting(&mut self, desk: &AccountDesk) {
        while let Some((conn, seen)) = self.unnoted.pop_front() {
            if let Err(refused) = desk.try_send(seen) {
                return self.unnoted.push_front((conn, refused.into_inner()));
            }
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.since = self.last;
            }
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, user: &Name) {
        self.sessions.remove(&conn);
        self.unnoted.retain(|(unnoted, _)| *unnoted != conn);
        let Some(devices) = self.connected.get_mut(user) else { return };
        *devices -= 1;
        if *devices == 0 {
            self.connected.remove(user);
            self.turn.retain(|other| other != user);
        }
    }

    /// This session changed the password itself, and stays.
    pub(super) fn keep(&mut self, conn: ConnId, generation: u64) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.generation = generation;
        }
    }

    /// When to look again; never while nobody is logged in.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the next accounts, if it is time.
    pub(super) fn look(&mut self, desk: &AccountDesk) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.note_waiting(desk);
        for _ in 0..self.turn.len().min(MAX_AT_ONCE) {
            let Some(user) = self.turn.pop_front() else { break };
            self.turn.push_back(user.clone());
            self.last += 1;
            let id = self.last | CHECK;
            // With a full queue there is a next time.
            if desk.try_send(Job::Check { id, user: user.as_str().into() }).is_ok() {
                self.asked.insert(id, user);
            }
        }
        self.next = (!self.turn.is_empty()).then(|| Instant::now() + INTERVAL);
    }

    /// Holds the sessions of an account against what it is now.
    pub(super) fn on_checked(
        &mut self,
        hub: &mut Hub,
        id: u64,
        standing: Option<&Standing>,
        now: HubInstant,
    ) {
        let Some(user) = self.asked.remove(&id) else { return };
        let Some(standing) = standing else { return hub.disconnect_user(&user, now) };
        for (conn, _) in hub.sessions(&user) {
            let Some(session) = self.sessions.get(&conn) else { continue };
            let is_newer = id & !CHECK > session.since;
            let is_revoked = |device: &[u8; 16]| is_newer && *device == session.device.0;
            // A change of this very session is on its way to us with its reply: never older than what we know.
            if session.generation < standing.generation {
                hub.revoke(conn, "the password was changed");
            } else if standing.revoked.iter().any(is_revoked) {
                hub.revoke(conn, "the device was revoked");
            }
        }
    }

    /// Takes a reply of the store if it tells of removed accounts: they are disconnected at once. Nobody who has such a name
    /// since is let in before this.
    pub(super) fn on_reply(hub: &mut Hub, reply: &Reply, now: HubInstant) -> bool {
        let Reply::Removed { accounts } = reply else { return false };
        // Whoever has no legal name never logged in.
        for Removal { name, is_disabled } in accounts {
            match Name::new(name) {
                Ok(name) if *is_disabled => hub.disconnect_user(&name, now),
                Ok(name) => hub.remove_user(&name, now),
                Err(_) => {}
            }
        }
        true
    }

    /// Takes a failure if it is of a job of ours; there is a next time.
    pub(super) fn on_failed(&mut self, id: u64) -> bool {
        self.asked.remove(&id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::store::{Accounts, DataDir, Durability};

    /// A desk with one place, whose thread stops at its first reply until it is let go; and that it stands there.
    fn busy_desk(dir: &tempfile::TempDir) -> (AccountDesk, std::sync::mpsc::Sender<()>) {
        let data = DataDir::open(dir.path()).unwrap();
        Accounts::open(&data).unwrap().add("alice", false, b"record").unwrap();
        let (stands, is_standing) = channel();
        let (let_go, wait): (_, Receiver<()>) = channel();
        let desk = AccountDesk::start(&data, Durability::Os, 1, move |_| {
            stands.send(()).unwrap();
            // Ends with the test.
            let _ = wait.recv();
        });
        let desk = desk.unwrap();
        desk.try_send(Job::Check { id: 1, user: "alice".into() }).unwrap();
        is_standing.recv().unwrap();
        (desk, let_go)
    }

    #[test]
    fn a_login_that_the_desk_had_no_room_for_is_noted_later() {
        let dir = tempfile::tempdir().unwrap();
        let (desk, let_go) = busy_desk(&dir);
        let (user, device) = (Name::new("alice").unwrap(), DeviceId([1; 16]));
        let mut removals = Removals { last: 5, ..Removals::default() };
        let seen = || Job::Seen {
            user: "alice".into(),
            device: device.0,
            address: SocketAddr::from(([192, 0, 2, 1], 5)),
            ticket: None,
        };
        for number in 1..=3 {
            removals.logged_in(ConnId(number), &user, device, 0);
            removals.note(&desk, ConnId(number), seen());
        }
        let since = |removals: &Removals, number| removals.sessions.get(&ConnId(number)).unwrap().since;
        assert_eq!((since(&removals, 1), since(&removals, 2)), (5, u64::MAX));
        assert_eq!(removals.unnoted.len(), 2);
        // Who has left is not noted.
        removals.closed(ConnId(2), &user);
        drop(let_go);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !removals.unnoted.is_empty() {
            assert!(Instant::now() < deadline, "the desk goes on");
            removals.last = 9;
            removals.note_waiting(&desk);
            std::thread::yield_now();
        }
        assert_eq!((since(&removals, 1), since(&removals, 3)), (5, 9));
        assert_eq!(removals.sessions.len(), 2);
    }
}
