//! The connection to the server: dialled, checked against its pin, logged in, and made again when it is lost.

use super::App;
use super::errand::Errand;
use super::jobs::Job;
use crate::cli;
use crate::exit::ExitStatus;
use crate::notice::{Code, Notice};
use crate::settings::Plaintext;
use bytes::Bytes;
use chatnet::{ClientTls, CloseReason, ConnToken, ConnectOptions, Fingerprint, Net, Security, TlsInfo};
use chatproto::opaque::{ClientLogin, ClientLoginError, MECHANISM, OsRng, Password};
use chatproto::session::{LostReason, Session, State};
use chatproto::ticket;
use chatproto::wire::{ErrorCode, Name, Note, Way};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time for one address of the server, with the TLS handshake; the next one is tried then.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The session and what its connection is made of.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) session: Session,
    /// The present socket; older ones are of no use any more.
    pub(super) token: Option<ConnToken>,
    pub(super) paused: bool,
    /// Addresses that were not tried yet in this attempt.
    left: VecDeque<SocketAddr>,
    /// All that are known, of both families.
    known: Vec<SocketAddr>,
    pub(super) trust: Trust,
    /// What the server of this connection showed: to be pinned once it has proved to know the account.
    pub(super) shown: Option<Fingerprint>,
    /// What ties the login to this connection; empty without TLS.
    pub(super) binding: Bytes,
    /// Counts logins, so that a late result of an old one is known as such.
    pub(super) attempt: u64,
    login: Option<Box<ClientLogin>>,
    /// Why this client gave the login up, where it is another reason than the password.
    gave_up: Option<ErrorCode>,
    /// The login under way shows a ticket.
    by_ticket: bool,
    /// Somebody was let in, once at least.
    pub(super) was_in: bool,
    /// Why the last address did not do.
    why: String,
    /// The user was told that the rooms of the first login are entered.
    pub(super) told_ready: bool,
    /// The port where peers may connect.
    pub(super) peer_port: Option<u16>,
    /// Rooms of the first login that were not entered yet.
    pub(super) entering: usize,
    pub(super) default_room: Option<Name>,
    told_lost: bool,
    /// `/server`, until the server is back.
    pub(super) returning: Option<Errand>,
}

/// Which server is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The one with this certificate, or the one that it has announced under this. `known` when that comes from an earlier
    /// run.
    Pinned { fingerprint: Fingerprint, next: Option<Fingerprint>, known: bool },
    /// The one that certificate authorities vouch for, under its name.
    Authority,
    /// Any, this first time.
    First,
    /// None: its certificate is shown to the user.
    Nobody,
}

impl Server {
    pub(super) fn new(session: Session, trust: Trust, peer_port: Option<u16>) -> Self {
        Self {
            session,
            token: None,
            paused: false,
            left: VecDeque::new(),
            known: Vec::new(),
            trust,
            shown: None,
            binding: Bytes::new(),
            attempt: 0,
            login: None,
            gave_up: None,
            by_ticket: false,
            was_in: false,
            why: String::new(),
            told_ready: false,
            peer_port,
            entering: 0,
            default_room: None,
            told_lost: false,
            returning: None,
        }
    }
}

impl Server {
    /// Where further connections to this server go: its address of the other family, for [`Way::Family`].
    pub(super) fn address_for(&self, net: &Net, way: Way) -> Option<SocketAddr> {
        let present = net.peer_addr(self.token?).ok()?;
        if way != Way::Family {
            return Some(present);
        }
        self.known.iter().copied().find(|known| known.is_ipv4() != present.is_ipv4())
    }
}

impl App {
    /// The session wants a connection.
    pub(super) fn dial_server(&mut self) {
        if let Some(old) = self.server.token.take() {
            self.net.abort(old);
        }
        self.server.paused = false;
        self.server.why.clear();
        let (host, port) = (self.settings.server.host.clone(), self.settings.server.port);
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                self.server.left = VecDeque::from([SocketAddr::new(ip, port)]);
                self.dial_next_address();
            }
            Err(_) => self.jobs.submit(Job::Resolve { host, port }),
        }
    }

    pub(super) fn on_resolved(&mut self, found: std::io::Result<Vec<SocketAddr>>) {
        if self.server.session.state() != State::Connecting || self.server.token.is_some() {
            return;
        }
        match found {
            Ok(addresses) => {
                self.server.known.clone_from(&addresses);
                self.server.left = addresses.into();
            }
            Err(error) => self.server.why = format!("no address is known: {error}"),
        }
        self.dial_next_address();
    }

    fn dial_next_address(&mut self) {
        while let Some(address) = self.server.left.pop_front() {
            let started = self.server_security(address).and_then(|security| {
                let options = ConnectOptions { security, timeout: DIAL_TIMEOUT };
                self.net.connect(address, options).map_err(|error| error.to_string())
            });
            match started {
                Ok(token) => {
                    self.server.token = Some(token);
                    return;
                }
                Err(error) => self.server.why = error,
            }
        }
        self.server.session.connect_failed(self.clock.now());
    }

    fn server_security(&self, address: SocketAddr) -> Result<Security, String> {
        match self.settings.plaintext {
            Plaintext::Anywhere => return Ok(Security::Plain),
            Plaintext::Loopback if address.ip().is_loopback() => return Ok(Security::Plain),
            Plaintext::Loopback => {
                return Err(format!(
                    "{address} is not this machine, and others could read everything without TLS"
                ));
            }
            Plaintext::Off => {}
        }
        let tls = match self.server.trust {
            Trust::Pinned { fingerprint, next, .. } => {
                ClientTls::pinned_to_any([fingerprint].into_iter().chain(next))
            }
            Trust::First | Trust::Nobody => ClientTls::trust_first(),
            Trust::Authority => match &self.settings.authority {
                Some(roots) => ClientTls::by_authority(roots, &self.settings.server.host),
                None => ClientTls::pinned_to_any([]),
            },
        };
        tls.map(Security::TlsClient).map_err(|error| error.to_string())
    }

    /// The server's connection is open for bytes.
    pub(super) fn on_server_connected(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        let shown = tls.and_then(|tls| tls.peer).map(|peer| peer.fingerprint);
        if let (Trust::Nobody, Some(shown)) = (self.server.trust, shown) {
            // Nothing was sent yet but the handshake.
            self.net.abort(token);
            self.server.token = None;
            return self.meet_server(shown);
        }
        self.server.shown = shown;
        self.server.binding = tls.map_or_else(Bytes::new, |tls| Bytes::copy_from_slice(&tls.channel_binding));
        self.announce_neighbour(token);
        self.server.session.connected(self.clock.now());
        self.start_input();
    }

    /// Asks the user, if there is one, whether an unknown server is the right one.
    fn meet_server(&mut self, shown: Fingerprint) {
        let server = self.settings.server.to_string();
        let question = format!(
            "{server} was never met. Its certificate is\n  {shown}\nThe server prints this at its start, and its operator can tell \
             it. Is it the same?"
        );
        match self.voice.ui.confirm(&question) {
            Ok(true) => {
                self.server.trust = Trust::Pinned { fingerprint: shown, next: None, known: false };
                return self.dial_server();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.voice.note_status(ExitStatus::Interrupted);
                return self.quit();
            }
            Ok(false) | Err(_) => {}
        }
        let message = format!(
            "{server} was never met; compare its fingerprint with what the server printed, and give it with --fingerprint"
        );
        let code = Code::UnknownServer;
        let notice = Notice::Error { code, message, fingerprint: Some(shown.to_string()) };
        self.voice.fatal(&notice, code);
        self.quit();
    }

    /// The server's socket is gone.
    pub(super) fn on_server_closed(&mut self, reason: &CloseReason) {
        self.server.token = None;
        if self.server.session.state() != State::Connecting {
            return self.server.session.handle_eof(self.clock.now());
        }
        if let CloseReason::WrongFingerprint { expected, found } = reason {
            return self.stop_at_other_key(*expected, *found);
        }
        self.server.why = reason.to_string();
        self.dial_next_address();
    }

    /// The server is not the one that it was, or should be: a loud stop.
    fn stop_at_other_key(&mut self, expected: Fingerprint, found: Fingerprint) {
        let server = self.settings.server.to_string();
        let (code, message) = match self.server.trust {
            Trust::Pinned { known: true, .. } => (
                Code::ServerChanged,
                format!(
                    "{server} HAS ANOTHER CERTIFICATE THAN BEFORE: somebody may stand in between. Nothing was sent to it. It was \
                     {expected} and is {found}. Ask the operator, by another way than this server, whether it has a new one; \
                     if what they tell is the same, give it once with --fingerprint"
                ),
            ),
            Trust::Pinned { known: false, .. } | Trust::First | Trust::Nobody | Trust::Authority => (
                Code::UnknownServer,
                format!("{server} shows the certificate {found} and not {expected} as it should"),
            ),
        };
        let notice = Notice::Error { code, message, fingerprint: Some(found.to_string()) };
        self.voice.fatal(&notice, code);
        self.quit();
    }

    /// The server said hello: the first message of the login.
    pub(super) fn begin_login(&mut self, mechanisms: &[Note]) {
        if self.register_first(mechanisms) {
            return;
        }
        let offers = |mechanism| mechanisms.iter().any(|offered| offered.as_str() == mechanism);
        if offers(ticket::MECHANISM)
            && let Some(shown) = self.server.shown
            && let Some(kept) = self.memory.ticket(&self.settings.user, self.ticket_key(shown))
            && (kept.is_fresh || self.settings.password.is_none())
        {
            // This certificate gave the ticket, so it is owed no other proof.
            let begun = self.server.session.login_one_way(ticket::MECHANISM, kept.secret);
            self.server.by_ticket = begun.is_ok();
            return;
        }
        if !offers(MECHANISM) {
            let text = "the server offers no way to log in that this client knows";
            return self.fail_login(ErrorCode::UnknownMechanism, text);
        }
        let password = match self.password() {
            Ok(password) => password,
            Err(text) => return self.fail_login(ErrorCode::LoginRefused, &text),
        };
        match ClientLogin::start(password, &mut OsRng) {
            Ok((login, request)) => {
                self.server.attempt += 1;
                self.server.login = Some(Box::new(login));
                // It asked for this just now.
                let _ = self.server.session.login(MECHANISM, &request);
            }
            Err(error) => self.fail_login(ErrorCode::LoginRefused, &error.to_string()),
        }
    }

    /// The password, asked for if nobody has said it and somebody can.
    pub(super) fn password(&mut self) -> Result<Password, String> {
        if let Some(password) = &self.settings.password {
            return Ok(password.clone());
        }
        if self.input.is_some() {
            return Err("the session has expired; start the client again to give the password".to_owned());
        }
        if self.voice.ui.is_interactive() {
            self.voice.info("the session has expired: the password is needed again");
        }
        let asked = cli::ask_password(&self.settings.user, &self.settings.server);
        let password = asked.map_err(|error| {
            if error.is_interruption() {
                self.voice.note_status(ExitStatus::Interrupted);
            }
            format!("the session has expired, and {error}")
        })?;
        self.settings.password = Some(password.clone());
        Ok(password)
    }

    /// The ticket was refused: from here on the password must do.
    fn fall_back_to_password(&mut self) -> Result<(), String> {
        let forgotten = self.memory.forget_ticket();
        self.report(forgotten);
        self.password()?;
        tracing::info!("the session ticket was refused: logging in with the password");
        self.server.session.reconnect_now(self.clock.now());
        Ok(())
    }

    /// The server's answer: checked, and the password stretched, on a worker.
    pub(super) fn go_on_with_login(&mut self, response: Bytes) {
        let Some(login) = self.server.login.take() else { return };
        let (attempt, binding) = (self.server.attempt, self.server.binding.clone());
        let user = self.settings.user.as_str().to_owned();
        self.jobs.submit(Job::FinishLogin { attempt, login, response, user, binding });
    }

    pub(super) fn on_login_finished(&mut self, attempt: u64, proof: Result<Vec<u8>, ClientLoginError>) {
        if attempt != self.server.attempt {
            return;
        }
        match proof {
            // The connection may have ended meanwhile.
            Ok(proof) => drop(self.server.session.respond(&proof)),
            Err(ClientLoginError::Refused) => {
                let text = self.say_who_may_be_there();
                self.fail_login(ErrorCode::LoginRefused, &text);
            }
            Err(
                error @ (ClientLoginError::Malformed
                | ClientLoginError::Stretch(_)
                | ClientLoginError::Scope(_)
                | ClientLoginError::OutOfMemory),
            ) => self.fail_login(ErrorCode::LoginRefused, &error.to_string()),
        }
    }

    /// What a login that this client gave up may mean: more, where nothing says which certificate is the right one.
    fn say_who_may_be_there(&self) -> String {
        let text = ClientLoginError::Refused.to_string();
        match (self.server.trust, self.server.shown) {
            (Trust::First | Trust::Nobody | Trust::Pinned { known: false, .. }, Some(shown)) => format!(
                "{text}. If ID and password are right, somebody may stand in between: the certificate shown is {shown}; compare \
                 it with what the server printed. Nothing was given away"
            ),
            (Trust::First | Trust::Nobody | Trust::Pinned { .. } | Trust::Authority, _) => text,
        }
    }

    /// Gives up for a reason that the server does not tell.
    pub(super) fn fail_login(&mut self, code: ErrorCode, text: &str) {
        if self.server.session.abandon_login(self.clock.now()).is_ok() {
            self.server.why = text.to_owned();
            self.server.gave_up = Some(code);
            self.server.login = None;
            tracing::debug!(%code, text, "login given up");
        }
    }

    /// The login was refused: a person must do something about it.
    pub(super) fn on_login_failed(&mut self, code: ErrorCode, note: &Note) {
        let (mut code, mut note) = (self.server.gave_up.take().unwrap_or(code), note.as_str());
        // Any other reason, as a ban or a lockdown, says nothing against the ticket.
        let is_against_it =
            matches!(code, ErrorCode::LoginRefused | ErrorCode::BadTicket | ErrorCode::UnknownMechanism);
        if std::mem::take(&mut self.server.by_ticket) && is_against_it {
            match self.fall_back_to_password() {
                Ok(()) => return,
                Err(text) => (code, note, self.server.why) = (ErrorCode::LoginRefused, "", text),
            }
        }
        let text = [note, self.server.why.as_str()].into_iter().find(|text| !text.is_empty());
        let text = text.map_or_else(|| super::facts::sentence(code), str::to_owned);
        self.server.why.clear();
        let message = format!("{} cannot log in: {text}", self.settings.user.as_str());
        self.voice.fatal(&Notice::error(code, message), code.into());
        self.quit_unless_linked();
    }

    /// Logged in.
    pub(super) fn on_ready(&mut self, default_room: Name, resumed: bool, ticket: &[u8], lifetime: Duration) {
        self.server.by_ticket = false;
        self.server.was_in = true;
        if self.redial.is_searching() {
            // Who is back needs no link for it; the other side may still come.
            self.forget_redial(None);
            self.direct = None;
        }
        if let Some(shown) = self.server.shown {
            self.pin(shown);
            if let Ok(ticket) = ticket.try_into() {
                let kept = self.memory.keep_ticket(&self.settings.user, shown, ticket, lifetime);
                self.report(kept);
            }
        }
        self.start_input();
        self.server.default_room.get_or_insert(default_room);
        if !resumed {
            self.server.entering = self.rooms_at_start.max(1);
        }
    }

    /// One of the first rooms was entered, or refused.
    pub(super) fn on_first_room(&mut self) {
        if self.server.told_ready {
            return;
        }
        self.server.entering = self.server.entering.saturating_sub(1);
        if self.server.entering > 0 {
            return;
        }
        self.server.told_ready = true;
        self.server.told_lost = false;
        self.room = self.server.default_room.clone().filter(|room| self.is_in(room));
        self.room = self.room.take().or_else(|| self.rooms_joined().into_iter().next());
        let notice = Notice::Ready {
            user: self.settings.user.clone(),
            device: self.memory.device(),
            server: self.settings.server.to_string(),
            peer_port: self.server.peer_port,
            rooms: self.rooms_joined(),
        };
        self.voice.show(&notice, None);
        if let Some(new) = self.settings.new_password.take() {
            let errand = self.errands.begin();
            self.change_password(errand, new);
        }
        self.tell_topics();
        self.refresh_prompt();
    }

    pub(super) fn on_lost(&mut self, reason: &LostReason, retry_in: Option<Duration>) {
        let (word, mut text) = super::facts::lost(reason);
        if *reason == LostReason::Unreachable && !self.server.why.is_empty() {
            text.clone_from(&self.server.why);
        }
        let goes_on = self.server.told_ready || (self.settings.stay && retry_in.is_some());
        if !goes_on {
            let message = format!("{}: {text}", self.settings.server);
            self.voice.fatal(&Notice::error(Code::Connect, message), Code::Connect);
            return self.quit();
        }
        if !self.server.told_lost {
            self.server.told_lost = true;
            let retry_ms = retry_in.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
            let errand = self.server.returning.clone();
            self.voice.info(format!("{}: {text}", self.settings.server));
            self.voice.show(&Notice::ServerLost { reason: word, retry_ms }, errand.as_ref());
        }
        if retry_in.is_none() {
            self.voice.note_status(ExitStatus::Connect);
            self.quit_unless_linked();
        }
    }

    pub(super) fn on_back(&mut self, missed: u64) {
        self.server.told_lost = false;
        let errand = self.server.returning.take();
        self.voice.show(&Notice::ServerBack { missed }, errand.as_ref());
        self.refresh_prompt();
    }

    /// `/server`.
    pub(super) fn come_back(&mut self, errand: Errand) {
        let now = self.clock.now();
        self.direct = None;
        match self.server.session.state() {
            // Who asked waits for this answer, also when it was there all the time.
            State::Ready => {
                self.voice.show(&Notice::ServerBack { missed: 0 }, Some(&errand));
                return self.refresh_prompt();
            }
            State::Away | State::Closing => self.server.session.come_back(now),
            State::Offline | State::Stopped => self.server.session.reconnect_now(now),
            State::Connecting | State::Hello | State::Choosing | State::Registering | State::Proving => {}
        }
        // Asked again while it waits: the first is told of the return, the second that it only hurried it up.
        self.server.returning.get_or_insert(errand);
        self.refresh_prompt();
    }
}
