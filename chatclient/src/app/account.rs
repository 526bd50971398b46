//! The account at the server: made before the first login, its password changed, its devices shown and revoked.

use super::App;
use super::errand::Errand;
use super::facts;
use super::jobs::Job;
use super::rooms::{Answer, Question};
use crate::cli;
use crate::notice::{AccountDevice, Code, Notice};
use bytes::Bytes;
use chatproto::opaque::{
    ClientLoginError, ClientPasswordChange, ClientRegistration, MECHANISM, OsRng, Password, RegistrationError,
};
use chatproto::session::Refusal;
use chatproto::wire::{Capability, DeviceEntry, DeviceId, ErrorCode, Note, NoteRef, RequestId};
use std::path::Path;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The code of the invitation, maybe empty, while the account is still to be made.
    invite: Option<Note>,
    registration: Option<Box<ClientRegistration>>,
    /// The mechanisms of the server, for the login after the registration.
    mechanisms: Vec<Note>,
    change: Option<Change>,
}

impl Account {
    pub(super) fn new(invite: Option<Note>) -> Self {
        Self { invite, ..Self::default() }
    }
}

/// A change of the password.
#[derive(Debug)]
struct Change {
    request: RequestId,
    change: Option<Box<ClientPasswordChange>>,
    new: Password,
    errand: Errand,
}

impl App {
    /// Asks for the account instead of logging in, if it is still to be made. Says whether it did.
    pub(super) fn register_first(&mut self, mechanisms: &[Note]) -> bool {
        let Some(invite) = self.account.invite.clone() else { return false };
        if !self.server.session.capabilities().has(Capability::Register) {
            let text = "this server lets nobody register; ask its operator for an account";
            self.fail_login(ErrorCode::RegistrationClosed, text);
            return true;
        }
        let started = match self.password() {
            Ok(password) => {
                ClientRegistration::start(password, &mut OsRng).map_err(|error| error.to_string())
            }
            Err(text) => Err(text),
        };
        match started {
            Ok((registration, request)) => {
                self.server.attempt += 1;
                self.account.registration = Some(Box::new(registration));
                self.account.mechanisms = mechanisms.to_vec();
                if let Err(error) = self.server.session.register(MECHANISM, &invite, &request) {
                    self.fail_login(ErrorCode::UnknownMechanism, &error.to_string());
                }
            }
            Err(text) => self.fail_login(ErrorCode::LoginRefused, &text),
        }
        true
    }

    /// The server lets the account be made: the password is stretched on a worker.
    pub(super) fn go_on_with_registration(&mut self, offer: Bytes) {
        let Some(registration) = self.account.registration.take() else { return };
        let user = self.settings.user.as_str().to_owned();
        self.jobs.submit(Job::Enrol { attempt: self.server.attempt, registration, offer, user });
    }

    pub(super) fn on_enrolled(&mut self, attempt: u64, record: Result<Vec<u8>, RegistrationError>) {
        if attempt != self.server.attempt {
            return;
        }
        match record {
            // The connection may have ended meanwhile.
            Ok(record) => drop(self.server.session.finish_registration(&record)),
            Err(error) => self.fail_login(ErrorCode::LoginRefused, &error.to_string()),
        }
    }

    /// The account exists.
    pub(super) fn on_registered(&mut self) {
        self.account.invite = None;
        let user = self.settings.user.clone();
        self.voice.show(&Notice::Registered { user }, None);
        let mechanisms = std::mem::take(&mut self.account.mechanisms);
        self.begin_login(&mechanisms);
    }

    /// `/passwd FILE`: the new password is the first line of the file.
    pub(super) fn change_password_to_file(&mut self, errand: Errand, file: &Path) {
        match cli::password_from_file(file) {
            Ok(new) => self.change_password(errand, new),
            Err(error) => self.voice.fail(Some(&errand), Code::Usage, error.to_string()),
        }
    }

    pub(super) fn change_password(&mut self, errand: Errand, new: Password) {
        let Some(old) = self.settings.password.clone() else {
            let text = "the old password is not known here: type /passwd at a terminal, or start with --password-file or --change-password";
            return self.voice.fail(Some(&errand), Code::Usage, text);
        };
        self.change_password_from(errand, old, new);
    }

    /// With the old password just typed, which may be needed because a ticket logged this run in.
    pub(super) fn change_password_from(&mut self, errand: Errand, old: Password, new: Password) {
        if self.account.change.is_some() {
            let text = "the password is being changed already";
            return self.voice.fail(Some(&errand), ErrorCode::TooManyRequests, text);
        }
        let (change, request) = match ClientPasswordChange::start(old, new.clone(), &mut OsRng) {
            Ok(started) => started,
            Err(error) => return self.voice.fail(Some(&errand), ErrorCode::Internal, error.to_string()),
        };
        match self.server.session.change_password(&NoteRef::truncated(MECHANISM).to_owned(), &request) {
            Ok(request) => {
                let change = Some(Box::new(change));
                self.account.change = Some(Change { request, change, new, errand });
            }
            Err(error) => self.refuse_request(&errand, &error),
        }
    }

    pub(super) fn on_password_challenge(&mut self, request: RequestId, reply: Bytes) {
        let Some(waits) = self.account.change.as_mut().filter(|change| change.request == request) else {
            return;
        };
        let Some(change) = waits.change.take() else { return };
        let user = self.settings.user.as_str().to_owned();
        let binding = self.server.binding.clone();
        self.jobs.submit(Job::ChangePassword { request, change, reply, user, binding });
    }

    pub(super) fn on_password_ready(&mut self, request: RequestId, proof: Result<Vec<u8>, ClientLoginError>) {
        if self.account.change.as_ref().is_none_or(|change| change.request != request) {
            return;
        }
        let sent = match proof {
            Ok(proof) => {
                let sent = self.server.session.finish_password(request, &proof);
                sent.map_err(|error| (Code::NotConnected, error.to_string()))
            }
            Err(error) => Err(unproved(&error)),
        };
        if let Err((code, text)) = sent
            && let Some(change) = self.account.change.take()
        {
            self.server.session.abandon_password(request);
            let message = format!("the password was not changed: {text}");
            self.voice.fail(Some(&change.errand), code, message);
        }
    }

    pub(super) fn on_password_changed(&mut self, request: RequestId) {
        let Some(change) = self.account.change.take_if(|change| change.request == request) else { return };
        self.settings.password = Some(change.new);
        // Every ticket of the account has ended with the old password.
        let forgotten = self.memory.forget_ticket();
        self.report(forgotten);
        self.voice.show(&Notice::PasswordChanged, Some(&change.errand));
    }

    /// Takes a refusal if it is of a change of the password.
    pub(super) fn on_change_refused(&mut self, request: RequestId, refusal: &Refusal) -> bool {
        let Some(change) = self.account.change.take_if(|change| change.request == request) else {
            return false;
        };
        let (code, text) = facts::refusal(refusal);
        let message = format!("the password was not changed: {text}");
        self.voice.fail(Some(&change.errand), code, message);
        true
    }

    /// `/devices`, and `/revoke` with the beginning of a device's name.
    pub(super) fn ask_devices(&mut self, errand: Errand, revoke: Option<String>) {
        let asked = self.server.session.devices(None);
        self.ask(errand, asked, Answer::Devices { revoke });
    }

    pub(super) fn on_devices(&mut self, request: RequestId, devices: Vec<DeviceEntry>) {
        let Some(question) = self.questions.remove(&request) else { return };
        let (errand, answer) = question.into_parts();
        let Answer::Devices { revoke } = answer else { return };
        let Some(wanted) = revoke else {
            let own = self.memory.device();
            let devices = devices.into_iter().map(|entry| device(entry, own)).collect();
            return self.voice.show(&Notice::Devices { devices }, Some(&errand));
        };
        match named(&devices, &wanted) {
            Ok(device) if device == self.memory.device() => {
                let text = "that is this device; to end its session, /quit";
                self.voice.fail(Some(&errand), Code::Usage, text);
            }
            Ok(device) => {
                let asked = self.server.session.devices(Some(device));
                match asked {
                    Ok(request) => {
                        let question = Question::new(errand, Answer::Devices { revoke: None });
                        self.questions.insert(request, question);
                    }
                    Err(error) => self.refuse_request(&errand, &error),
                }
            }
            Err(text) => self.voice.fail(Some(&errand), ErrorCode::NoSuchDevice, text),
        }
    }
}

/// The one device whose name begins so.
fn named(devices: &[DeviceEntry], wanted: &str) -> Result<DeviceId, String> {
    let mut meant = devices.iter().filter(|entry| entry.device.to_string().starts_with(wanted));
    let found = meant
        .next()
        .ok_or_else(|| format!("no device of yours begins with {wanted:?}; /devices shows them"))?;
    match meant.next() {
        None => Ok(found.device),
        Some(_) => Err(format!("more than one device begins with {wanted:?}; give more of its name")),
    }
}

fn device(entry: DeviceEntry, own: DeviceId) -> AccountDevice {
    AccountDevice {
        device: entry.device,
        first: entry.first,
        last: entry.last,
        address: entry.address.ip(),
        ticket: entry.ticket,
        online: entry.online,
        this: entry.device == own,
    }
}

/// Why the old password could not be shown to be known: only a refusal says that it is wrong.
fn unproved(error: &ClientLoginError) -> (Code, String) {
    match error {
        ClientLoginError::Refused => {
            (ErrorCode::WrongPassword.into(), "the old password is wrong".to_owned())
        }
        ClientLoginError::Malformed | ClientLoginError::Stretch(_) | ClientLoginError::Scope(_) => {
            (ErrorCode::Malformed.into(), error.to_string())
        }
        ClientLoginError::OutOfMemory => (ErrorCode::Internal.into(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_password_is_told_as_one() {
        let told = |error| unproved(&error).0;
        assert_eq!(told(ClientLoginError::Refused), ErrorCode::WrongPassword.into());
        assert_eq!(told(ClientLoginError::Malformed), ErrorCode::Malformed.into());
        assert_eq!(told(ClientLoginError::OutOfMemory), ErrorCode::Internal.into());
    }
}
