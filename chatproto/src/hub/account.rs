//! Accounts over the wire: a stranger registers, a person changes the password or ends the sessions of a device. The hub
//! carries a mechanism's bytes and keeps the order; what they mean, and whether it may be, the program decides.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{ConnId, Event, Hub, State, strangers};
use crate::ticket;
use crate::wire::{
    AccountReply, Blob, Capability, CloseReason, DeviceEntry, DeviceList, Devices, ErrorCode, FrameType,
    List, MAX_LISTED_DEVICES, NoteRef, PasswordFinish, PasswordStart, RegisterFinish, RegisterStart,
    RequestId, ServerKey,
};

/// What a person who is logged in is doing with the account: one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errand {
    request: RequestId,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The program works on the start of a change of password.
    Starting,
    /// The client has the reply, and may give up without a word.
    Challenged,
    /// The program works on the proof.
    Finishing,
    /// The program looks devices up.
    Listing,
}

/// What the program says.
impl Hub {
    /// Sends the mechanism's bytes to a client that registers, after [`Event::RegisterStarted`]. `false` if it is not
    /// waiting for them, or `data` is empty or longer than [`Blob::MAX_LEN`].
    pub fn register_challenge(&mut self, id: ConnId, data: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Ok(blob) = Blob::new(data) else { return false };
        if client.state != State::Applying || client.conn.closing().is_some() || data.is_empty() {
            return false;
        }
        client.state = State::Admitted;
        self.strangers.owes(id, strangers::Step::Challenged, self.now);
        self.send(id, &AccountReply { request: RequestId(0), data: blob });
        true
    }

    /// The account of [`Event::RegisterFinished`] exists: the client may log in. `false` if it is not waiting for that.
    ///
    /// Says no with [`login_refuse`](Self::login_refuse).
    pub fn registered(&mut self, id: ConnId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.state != State::Enrolling || client.conn.closing().is_some() {
            return false;
        }
        client.state = State::Choosing;
        self.strangers.owes(id, strangers::Step::Greeted, self.now);
        self.send(id, &AccountReply { request: RequestId(0), data: Blob::default() });
        true
    }

    /// Answers [`Event::PasswordStarted`] with the mechanism's bytes. `false` as
    /// [`register_challenge`](Self::register_challenge).
    pub fn password_challenge(&mut self, id: ConnId, data: &[u8]) -> bool {
        let Ok(blob) = Blob::new(data) else { return false };
        if data.is_empty() {
            return false;
        }
        let Some(request) = self.step_account(id, Step::Starting, Some(Step::Challenged)) else {
            return false;
        };
        self.send(id, &AccountReply { request, data: blob });
        true
    }

    /// The new record of [`Event::PasswordFinished`] is stored. `false` if nobody waits for that.
    pub fn password_changed(&mut self, id: ConnId) -> bool {
        let Some(request) = self.step_account(id, Step::Finishing, None) else { return false };
        self.send(id, &AccountReply { request, data: Blob::default() });
        true
    }

    /// Answers [`Event::DevicesAsked`]. Of more than [`MAX_LISTED_DEVICES`] the first are sent.
    pub fn device_list(&mut self, id: ConnId, devices: &[DeviceEntry]) -> bool {
        let Some(request) = self.step_account(id, Step::Listing, None) else { return false };
        let devices = devices.get(..MAX_LISTED_DEVICES).unwrap_or(devices);
        self.send(id, &DeviceList { request, devices: List::new(devices) });
        true
    }

    /// Refuses what [`Event::PasswordStarted`], [`Event::PasswordFinished`] or [`Event::DevicesAsked`] asked for; the
    /// connection goes on. `retry_after` in milliseconds, 0 for no advice.
    pub fn account_refuse(&mut self, id: ConnId, code: ErrorCode, retry_after: u32, note: &str) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Some(Errand { request, step }) = client.account.filter(|errand| errand.step != Step::Challenged)
        else {
            return false;
        };
        client.account = None;
        let about = match step {
            Step::Starting | Step::Challenged => FrameType::PasswordStart,
            Step::Finishing => FrameType::PasswordFinish,
            Step::Listing => FrameType::Devices,
        };
        self.send_error_until(id, code, &about, request.into(), retry_after, note);
        true
    }

    /// Tells everybody, also those who log in later, which certificate the server will show next; `None` for none.
    pub fn tell_server_key(&mut self, fingerprint: Option<[u8; 32]>) {
        self.server_key = fingerprint;
        let open = self.people.values().flatten().copied().collect::<Vec<_>>();
        for id in open {
            self.send_server_key(id);
        }
    }

    /// Ends a session because its password changed or its device was revoked.
    pub fn revoke(&mut self, id: ConnId, note: &str) {
        self.close(id, CloseReason::Revoked, note);
    }

    /// The connections of an account that are logged in, each with its device.
    #[must_use]
    pub fn sessions(&self, user: &crate::wire::Name) -> Vec<(ConnId, crate::wire::DeviceId)> {
        let conns = self.people.get(user).into_iter().flatten();
        conns.filter_map(|id| self.clients.get(id).map(|client| (*id, client.device))).collect()
    }

    /// Where a connection comes from, as observed.
    #[must_use]
    pub fn addr(&self, id: ConnId) -> Option<core::net::SocketAddr> {
        self.clients.get(&id).map(|client| client.addr)
    }

    fn step_account(&mut self, id: ConnId, from: Step, to: Option<Step>) -> Option<RequestId> {
        let client = self.clients.get_mut(&id)?;
        let errand = client.account.filter(|errand| errand.step == from)?;
        client.account = to.map(|step| Errand { step, ..errand });
        client.conn.closing().is_none().then_some(errand.request)
    }

    pub(super) fn send_server_key(&mut self, id: ConnId) {
        if let Some(fingerprint) = self.server_key
            && self.capabilities(id).has(Capability::Account)
        {
            self.send(id, &ServerKey { fingerprint });
        }
    }
}

/// What clients say.
impl Hub {
    pub(super) fn on_register_start(&mut self, id: ConnId, start: &RegisterStart<'_>) {
        let refusal = if !self.config.capabilities.has(Capability::Register) {
            Some((ErrorCode::RegistrationClosed, "accounts are made by the operator here"))
        } else if !self.registers_by(start.mechanism) {
            Some((ErrorCode::UnknownMechanism, "accounts are not made by this mechanism"))
        } else {
            None
        };
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let Some((code, note)) = refusal {
            client.conn.send_error(code, FrameType::RegisterStart.number(), 0, note);
            return self.close(id, CloseReason::LoginRefused, note);
        }
        client.state = State::Applying;
        self.strangers.is_answered(id);
        self.events.push_back(Event::RegisterStarted {
            conn: id,
            user: start.user.to_owned(),
            invite: start.invite.to_owned(),
            data: Bytes::copy_from_slice(start.data.as_bytes()),
        });
    }

    pub(super) fn on_register_finish(&mut self, id: ConnId, finish: &RegisterFinish<'_>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.state = State::Enrolling;
        self.strangers.is_answered(id);
        let data = Bytes::copy_from_slice(finish.data.as_bytes());
        self.events.push_back(Event::RegisterFinished { conn: id, data });
    }

    pub(super) fn on_password_start(&mut self, id: ConnId, start: &PasswordStart<'_>) {
        if !self.registers_by(start.mechanism) {
            let note = "accounts are not made by this mechanism";
            return self.send_error(
                id,
                ErrorCode::UnknownMechanism,
                &FrameType::PasswordStart,
                start.request.into(),
                note,
            );
        }
        if !self.begin_account(id, start.request, Step::Starting, FrameType::PasswordStart) {
            return;
        }
        let Some((user, _)) = self.identity(id) else { return };
        let data = Bytes::copy_from_slice(start.data.as_bytes());
        self.events.push_back(Event::PasswordStarted { conn: id, user, data });
    }

    pub(super) fn on_password_finish(&mut self, id: ConnId, finish: &PasswordFinish<'_>) {
        let waits = self.clients.get(&id).and_then(|client| client.account);
        let expected = Errand { request: finish.request, step: Step::Challenged };
        if waits != Some(expected) {
            let note = "no change of the password waits for this";
            return self.send_error(
                id,
                ErrorCode::Expired,
                &FrameType::PasswordFinish,
                finish.request.into(),
                note,
            );
        }
        self.step_account(id, Step::Challenged, Some(Step::Finishing));
        let data = Bytes::copy_from_slice(finish.data.as_bytes());
        self.events.push_back(Event::PasswordFinished { conn: id, data });
    }

    pub(super) fn on_devices(&mut self, id: ConnId, devices: &Devices) {
        if !self.begin_account(id, devices.request, Step::Listing, FrameType::Devices) {
            return;
        }
        let Some((user, _)) = self.identity(id) else { return };
        self.events.push_back(Event::DevicesAsked { conn: id, user, revoke: devices.revoke });
    }

    /// Whether the account may be worked on; if not, the client hears why. What the client left unfinished ends.
    fn begin_account(&mut self, id: ConnId, request: RequestId, step: Step, about: FrameType) -> bool {
        let agreed = self.capabilities(id).has(Capability::Account);
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let is_busy = client.account.is_some_and(|errand| errand.step != Step::Challenged);
        let (code, note) = if !agreed {
            (ErrorCode::NotSupported, "this was not agreed on")
        } else if is_busy {
            (ErrorCode::TooManyRequests, "one change of the account at a time")
        } else {
            client.account = Some(Errand { request, step });
            return true;
        };
        self.send_error(id, code, &about, request.into(), note);
        false
    }

    /// A ticket stands for a password, and cannot take its place.
    fn registers_by(&self, mechanism: NoteRef<'_>) -> bool {
        mechanism.as_str() != ticket::MECHANISM && self.offers_mechanism(mechanism)
    }

    pub(super) fn offers_mechanism(&self, mechanism: NoteRef<'_>) -> bool {
        self.config.mechanisms.as_str().split(' ').any(|name| name == mechanism.as_str())
    }
}
