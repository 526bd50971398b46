//! The hello and the login: an exchange of a mechanism's bytes that the program answers.

use core::time::Duration;

use bytes::Bytes;

use super::{Accept, ConnId, Event, Hub, State, Step};
use crate::conn::Stage;
use crate::wire::{
    Blob, ClientHello, CloseReason, ErrorCode, FrameType, LoginChallenge, LoginOk, LoginResponse, LoginStart,
    MAGIC, MIN_FRAME, ServerHello, VERSION,
};

impl Hub {
    /// Sends the mechanism's bytes to a client that is logging in. `false` if it is not waiting for them, because it
    /// has gone meanwhile, or because `data` is longer than [`Blob::MAX_LEN`].
    pub fn login_challenge(&mut self, id: ConnId, data: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Ok(data) = Blob::new(data) else { return false };
        if client.state != State::Starting || client.conn.closing().is_some() {
            return false;
        }
        client.state = State::Challenged;
        self.strangers.owes(id, Step::Challenged, self.now);
        self.send(id, &LoginChallenge { data });
        true
    }

    /// Ends a login well: the session stands, and [`Event::LoggedIn`] follows. `false` if it does not: the client is not waiting for
    /// it, or was told that its account is barred, that there is lockdown, or that it has too many devices.
    ///
    /// An older connection of the same device is closed as replaced.
    pub fn login_accept(&mut self, id: ConnId, accept: &Accept) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let (Ok(ticket), Ok(data)) = (Blob::new(&accept.ticket), Blob::new(&accept.data)) else {
            return false;
        };
        if !matches!(client.state, State::Starting | State::Proving) || client.conn.closing().is_some() {
            return false;
        }
        let device = client.device;
        if let Some((code, note)) = self.bars_login(&accept.user, accept.is_admin) {
            self.login_refuse(id, code, &note);
            return false;
        }
        self.replace_older(id, accept, device);
        if self.people.get(&accept.user).is_some_and(|conns| conns.len() >= self.config.max_devices) {
            let note = "too many devices of this account are connected";
            self.close_for(id, CloseReason::Busy, super::BUSY_RETRY_MS, note);
            return false;
        }
        let Some(client) = self.clients.get_mut(&id) else { return false };
        client.state = State::Open;
        client.user = Some(accept.user.clone());
        client.is_admin = accept.is_admin;
        client.conn.reader.set_max_frame(self.config.limits.max_frame);
        client.conn.deadlines.enter(Stage::Open, now);
        let addr = client.addr;
        self.schedule(id);
        self.strangers.leave(id);
        self.people.entry(accept.user.clone()).or_default().insert(id);
        let default_room = self.config.default_room.clone();
        self.send(
            id,
            &LoginOk {
                user: accept.user.borrow(),
                default_room: default_room.borrow(),
                observed: addr,
                ticket,
                ticket_lifetime: seconds(accept.ticket_lifetime),
                data,
            },
        );
        self.events.push_back(Event::LoggedIn { conn: id, user: accept.user.clone(), device, addr });
        self.tell_directs(id, &accept.user);
        self.send_server_key(id);
        true
    }

    /// Ends a login or a registration badly; the error is about the frame that the client sent last. Whatever was wrong
    /// with ID or password of a login, the code must be [`ErrorCode::LoginRefused`].
    pub fn login_refuse(&mut self, id: ConnId, code: ErrorCode, note: &str) -> bool {
        self.login_refuse_for(id, code, 0, note)
    }

    /// As [`login_refuse`](Self::login_refuse), with the advice to come back after `retry_after` milliseconds.
    pub fn login_refuse_for(&mut self, id: ConnId, code: ErrorCode, retry_after: u32, note: &str) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let about = match client.state {
            State::Starting => FrameType::LoginStart,
            State::Proving => FrameType::LoginResponse,
            State::Applying => FrameType::RegisterStart,
            State::Enrolling => FrameType::RegisterFinish,
            State::Hello
            | State::Choosing
            | State::Challenged
            | State::Admitted
            | State::Open
            | State::Side
            | State::Relaying => return false,
        };
        if client.conn.closing().is_some() {
            return false;
        }
        self.send_error_until(id, code, &about, 0, retry_after, note);
        self.close_for(id, CloseReason::LoginRefused, retry_after, note);
        true
    }

    pub(super) fn on_hello(&mut self, id: ConnId, hello: &ClientHello<'_>) {
        let about = crate::wire::FrameType::ClientHello.number();
        if hello.magic != MAGIC {
            return self.refuse_and_close(
                id,
                ErrorCode::Malformed,
                about,
                "`magic` is not that of this protocol",
            );
        }
        if hello.version_min > VERSION || hello.version_max < VERSION {
            let note = alloc::format!("this server speaks version {VERSION}");
            return self.refuse_and_close(id, ErrorCode::Version, about, &note);
        }
        if hello.max_frame < MIN_FRAME {
            let note = alloc::format!("`max_frame` must be at least {MIN_FRAME}");
            return self.refuse_and_close(id, ErrorCode::Malformed, about, &note);
        }
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.state = State::Choosing;
        client.max_frame = hello.max_frame.min(crate::wire::MAX_FRAME);
        client.capabilities = self.config.capabilities.common(hello.capabilities);
        let capabilities = client.capabilities;
        client.conn.deadlines.enter(Stage::Login, now);
        self.strangers.owes(id, Step::Greeted, now);
        self.schedule(id);
        let (agent, mechanisms) = (self.config.agent.clone(), self.config.mechanisms.clone());
        let frame = ServerHello {
            version: VERSION,
            capabilities,
            max_frame: self.config.limits.max_frame,
            server: self.config.server,
            agent: agent.borrow(),
            mechanisms: mechanisms.borrow(),
        };
        self.send(id, &frame);
    }

    pub(super) fn on_login_start(&mut self, id: ConnId, start: &LoginStart<'_>) {
        if !self.offers_mechanism(start.mechanism) {
            let about = crate::wire::FrameType::LoginStart.number();
            let note = "this login mechanism is not offered";
            if let Some(client) = self.clients.get_mut(&id) {
                client.conn.send_error(ErrorCode::UnknownMechanism, about, 0, note);
            }
            return self.close(id, CloseReason::LoginRefused, note);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.state = State::Starting;
        client.device = start.device;
        self.strangers.is_answered(id);
        self.events.push_back(Event::LoginStarted {
            conn: id,
            user: start.user.to_owned(),
            device: start.device,
            mechanism: start.mechanism.to_owned(),
            data: Bytes::copy_from_slice(start.data.as_bytes()),
        });
    }

    pub(super) fn on_login_response(&mut self, id: ConnId, response: &LoginResponse<'_>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.state = State::Proving;
        self.strangers.is_answered(id);
        let data = Bytes::copy_from_slice(response.data.as_bytes());
        self.events.push_back(Event::LoginResponse { conn: id, data });
    }

    fn replace_older(&mut self, id: ConnId, accept: &Accept, device: crate::wire::DeviceId) {
        let conns = self.people.get(&accept.user).into_iter().flatten();
        let is_same = |other: &&ConnId| self.clients.get(other).is_some_and(|client| client.device == device);
        let older =
            conns.copied().filter(|other| *other != id && is_same(&other)).collect::<alloc::vec::Vec<_>>();
        for other in older {
            self.close(other, CloseReason::Replaced, "the same device logged in again");
        }
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
