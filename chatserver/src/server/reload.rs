//! SIGHUP: settings and certificate are read again, on a thread of their own, and take effect together or not at all.

use std::collections::BTreeSet;
use std::thread;

use chatnet::{Fingerprint, MailSender, Mailbox, ServerTls, Waker};

use crate::certificate::Source;
use crate::cli::RunArgs;
use crate::exit::Failure;
use crate::settings::Settings;

/// What was read.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) settings: Settings,
    /// For connections that come from now on; `None` for a server that speaks plaintext.
    pub(super) tls: Option<Tls>,
}

/// The certificate in force, and the one that comes next.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: ServerTls,
    pub(super) fingerprint: Fingerprint,
    pub(super) next: Option<Fingerprint>,
}

/// Reads again whenever it is asked to, one reading at a time.
#[derive(Debug)]
pub(super) struct Reload {
    args: RunArgs,
    /// What the server was started with, and what was read last.
    started: Settings,
    latest: Settings,
    /// Of the running server: that its settings file names another one now changes nothing before the next start.
    certificate: Option<Source>,
    answers: Mailbox<Result<Box<Fresh>, Failure>>,
    sender: MailSender<Result<Box<Fresh>, Failure>>,
    is_reading: bool,
    /// Asked for while reading: what was read may be older than what is meant.
    again: bool,
}

impl Reload {
    pub(super) fn new(args: &RunArgs, settings: Settings, waker: Waker) -> Self {
        let (sender, answers) = Mailbox::new(waker, 1);
        let certificate = (!settings.insecure_plaintext).then(|| Source::of(&settings));
        Self {
            args: args.clone(),
            started: settings.clone(),
            latest: settings,
            certificate,
            answers,
            sender,
            is_reading: false,
            again: false,
        }
    }

    /// Starts to read; the answer comes with a later turn.
    pub(super) fn request(&mut self) {
        if self.is_reading {
            self.again = true;
            return;
        }
        let (args, certificate, sender) = (self.args.clone(), self.certificate.clone(), self.sender.clone());
        // The loop is gone only when the process ends: there is nobody left to tell then.
        let read = move || drop(sender.send(read(&args, certificate)));
        match thread::Builder::new().name("reload".into()).spawn(read) {
            Ok(_) => self.is_reading = true,
            Err(error) => tracing::error!(%error, "nothing is reloaded: no thread can be started"),
        }
    }

    /// Remembers `settings` as those in force, and tells what is new.
    pub(super) fn note(&mut self, settings: Settings) -> Changes {
        let (now, _) = self.latest.changes(&settings);
        let (_, at_start) = self.started.changes(&settings);
        self.latest = settings;
        Changes { now, at_start }
    }

    /// What was read since, or why it keeps the old settings.
    pub(super) fn take(&mut self) -> Option<Result<Box<Fresh>, Failure>> {
        let answer = self.answers.drain().next()?;
        self.is_reading = false;
        if std::mem::take(&mut self.again) {
            self.request();
        }
        Some(answer)
    }
}

/// The keys that have changed since the last time, and those that wait for the next start.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) now: BTreeSet<String>,
    pub(super) at_start: BTreeSet<String>,
}

fn read(args: &RunArgs, certificate: Option<Source>) -> Result<Box<Fresh>, Failure> {
    let settings = Settings::resolve(args)?;
    let failed = |error| Failure::new("certificate", error);
    let tls = certificate.map(|source| {
        let identity = source.load()?;
        let config = ServerTls::new(&identity).map_err(failed)?;
        Ok(Tls { config, fingerprint: identity.fingerprint(), next: source.next()? })
    });
    Ok(Box::new(Fresh { settings, tls: tls.transpose()? }))
}
