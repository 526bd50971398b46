//! The account: registering before the login, changing the password and looking at devices after it.

use super::event::SecretBytes;
use super::requests::Ask;
use super::state::Turn;
use super::{Event, LoginError, RequestError, Session, State, Violation};
use crate::wire::{
    AccountReply, Blob, DeviceId, DeviceList, Devices, FrameType, Note, PasswordFinish, PasswordStart,
    RegisterFinish, RegisterStart, RequestId,
};

impl Session {
    /// Asks for an account under the session's ID instead of logging in, with an invitation's code or an empty note:
    /// [`Event::RegisterChallenge`] answers, or [`Event::LoginFailed`].
    ///
    /// A registration trusts whoever answers: only for a server whose certificate is known to be the right one.
    ///
    /// # Errors
    /// When it is not wanted now, the mechanism was not offered, or the bytes are too long.
    pub fn register(&mut self, mechanism: &str, invite: &Note, data: &[u8]) -> Result<(), LoginError> {
        if self.state != State::Choosing {
            return Err(LoginError::NotNow { state: self.state });
        }
        let mechanism = self.mechanisms.iter().find(|offered| *offered == mechanism);
        let mechanism = mechanism.ok_or(LoginError::NotOffered)?.clone();
        let data = Blob::new(data).map_err(LoginError::Data)?;
        self.turn(Turn::Applied);
        self.is_unproved = true;
        let user = self.config.user.borrow();
        self.out.send(&RegisterStart { user, mechanism: mechanism.borrow(), invite: invite.borrow(), data });
        Ok(())
    }

    /// Answers [`Event::RegisterChallenge`] with the record: [`Event::Registered`] or [`Event::LoginFailed`] follows.
    ///
    /// # Errors
    /// When no registration is under way, or the bytes are too long.
    pub fn finish_registration(&mut self, data: &[u8]) -> Result<(), LoginError> {
        if self.state != State::Registering {
            return Err(LoginError::NotNow { state: self.state });
        }
        let data = Blob::new(data).map_err(LoginError::Data)?;
        self.out.send(&RegisterFinish { data });
        self.is_unproved = false;
        Ok(())
    }

    /// Asks to change the password: [`Event::PasswordChallenge`] answers, or [`Event::Refused`].
    ///
    /// Needs [`Capability::Account`](crate::wire::Capability::Account) among the session's
    /// [`capabilities`](crate::session::Config::capabilities) and at the server; without it the answer is
    /// [`ErrorCode::NotSupported`](crate::wire::ErrorCode::NotSupported).
    ///
    /// # Errors
    /// When not logged in, too many requests are open, or the bytes are too long.
    pub fn change_password(&mut self, mechanism: &Note, data: &[u8]) -> Result<RequestId, RequestError> {
        let data = Blob::new(data).map_err(RequestError::Data)?;
        let request = self.open(Ask::Password { is_finished: false })?;
        self.out.send(&PasswordStart { request, mechanism: mechanism.borrow(), data });
        Ok(request)
    }

    /// Answers [`Event::PasswordChallenge`], which was right: [`Event::PasswordChanged`] or [`Event::Refused`] follows.
    ///
    /// # Errors
    /// When the request is not open, or the bytes are too long.
    pub fn finish_password(&mut self, request: RequestId, data: &[u8]) -> Result<(), RequestError> {
        let blob = Blob::new(data).map_err(RequestError::Data)?;
        if !self.requests.finish_password(request) {
            return Err(RequestError::NotOpen(request));
        }
        self.out.send(&PasswordFinish { request, data: blob });
        Ok(())
    }

    /// Gives a change of the password up, because the server's answer was wrong: nothing was changed.
    pub fn abandon_password(&mut self, request: RequestId) {
        self.requests.forget_password(request);
    }

    /// Asks for the devices of the account, after ending the sessions and tickets of one: [`Event::Devices`] answers, or
    /// [`Event::Refused`].
    ///
    /// Needs [`Capability::Account`](crate::wire::Capability::Account) among the session's
    /// [`capabilities`](crate::session::Config::capabilities) and at the server; without it the answer is
    /// [`ErrorCode::NotSupported`](crate::wire::ErrorCode::NotSupported).
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn devices(&mut self, revoke: Option<DeviceId>) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Devices)?;
        self.out.send(&Devices { request, revoke });
        Ok(request)
    }

    pub(super) fn account_reply(&mut self, reply: &AccountReply<'_>) -> Result<(), Violation> {
        const FRAME: FrameType = FrameType::AccountReply;
        let &AccountReply { request, data } = reply;
        let is_done = data.as_bytes().is_empty();
        let data = SecretBytes::copied(data.as_bytes());
        if self.state == State::Registering {
            if request.0 != 0 {
                return Err(Violation::NoSuchRequest { frame: FRAME, request });
            }
            // The record was handed over exactly when nothing more than the end can come.
            match (is_done, self.is_unproved) {
                (true, false) => {
                    self.turn(Turn::Enrolled);
                    self.out.emit(Event::Registered);
                }
                (false, true) => self.out.emit(Event::RegisterChallenge { data }),
                (true, true) | (false, false) => {
                    return Err(Violation::Content { frame: FRAME, what: "it comes out of turn" });
                }
            }
            return Ok(());
        }
        let ask = self.requests.answered(request, FRAME, !is_done)?;
        match (is_done, ask) {
            (true, Ask::Password { is_finished: true }) => self.out.emit(Event::PasswordChanged { request }),
            (false, Ask::Password { is_finished: false }) => {
                self.out.emit(Event::PasswordChallenge { request, data });
            }
            (true | false, _) => {
                return Err(Violation::Content { frame: FRAME, what: "it comes out of turn" });
            }
        }
        Ok(())
    }

    pub(super) fn listed_devices(&mut self, list: &DeviceList<'_>) -> Result<(), Violation> {
        self.requests.answered(list.request, FrameType::DeviceList, false)?;
        self.out.emit(Event::Devices { request: list.request, devices: list.devices.iter().collect() });
        Ok(())
    }
}
