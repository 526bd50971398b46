//! The server's certificate: pinned once it has proved to know the account; the next one, told under the present one, lets
//! the pin roll on without alarm.

use super::App;
use super::server::Trust;
use crate::notice::Code;
use chatnet::Fingerprint;

impl App {
    /// The server has proved to know the account, so its certificate is worth remembering.
    pub(super) fn pin(&mut self, shown: Fingerprint) {
        let rolled = match self.server.trust {
            // Authorities answer for its certificates, whichever it shows.
            Trust::Authority => return,
            Trust::Pinned { fingerprint, known: true, .. } if fingerprint == shown => return,
            Trust::Pinned { next, .. } => next == Some(shown),
            Trust::First | Trust::Nobody => false,
        };
        let address = self.settings.server.to_string();
        if rolled {
            let moved = self.memory.move_ticket(shown);
            self.report(moved);
            self.voice.info(format!("{address} has the certificate {shown} now, as it had announced"));
        }
        match self.memory.pin_server(&address, shown, None) {
            Ok(()) => self.server.trust = Trust::Pinned { fingerprint: shown, next: None, known: true },
            Err(error) => self.voice.fail(None, Code::State, error.to_string()),
        }
    }

    /// The server says which certificate it will show next. Who shows the pinned one, after a login that has proved it to know
    /// the account, is believed.
    pub(super) fn on_server_key(&mut self, next: [u8; 32]) {
        let next = Fingerprint::from_bytes(next);
        let Trust::Pinned { fingerprint, next: known_next, known: true } = self.server.trust else { return };
        if self.server.shown != Some(fingerprint) || known_next == Some(next) || fingerprint == next {
            return;
        }
        let address = self.settings.server.to_string();
        let kept = self.memory.pin_server(&address, fingerprint, Some(next));
        if kept.is_ok() {
            self.server.trust = Trust::Pinned { fingerprint, next: Some(next), known: true };
        }
        self.report(kept);
    }

    /// By which certificate the ticket of the server that shows `shown` is kept: by the pinned one, as long as it has only
    /// announced this one.
    pub(super) fn ticket_key(&self, shown: Fingerprint) -> Fingerprint {
        match self.server.trust {
            Trust::Pinned { fingerprint, next, .. } if next == Some(shown) => fingerprint,
            Trust::Pinned { .. } | Trust::First | Trust::Nobody | Trust::Authority => shown,
        }
    }
}
