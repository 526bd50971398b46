//! How a link begins: the dialling end says hello with its ticket, the other one is asked by its program.

use super::state::Step;
use super::{Config, Event, Introduction, NoHello, Peer, State, Violation};
use crate::Instant;
use crate::conn::Stage;
use crate::wire::{
    Capabilities, CloseReason, DeviceId, ErrorCode, FrameType, LinkHello, LinkWelcome, MAGIC, MAX_FRAME,
    MIN_FRAME, Name, NameRef, Note, NoteRef, Purpose, VERSION,
};

/// What is expected of the other end, or known of it.
#[derive(Debug)]
pub(super) enum Remote {
    /// Nothing yet.
    Unknown,
    /// Was introduced and dialled, and must answer.
    Introduced { user: Name, device: DeviceId, purpose: Purpose },
    /// Has said hello, and is not believed yet.
    Claimed(Claim),
}

/// What a hello says of its sender.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    user: Name,
    device: DeviceId,
    purpose: Purpose,
    agent: Note,
    capabilities: Capabilities,
}

impl Peer {
    pub(super) fn say_hello(&mut self, introduction: Introduction) {
        let Introduction { offer, ticket, purpose, peer, device } = introduction;
        let Config { user, device: own_device, agent, capabilities, limits, .. } = &self.config;
        self.conn.send(&LinkHello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: *capabilities,
            max_frame: limits.max_frame,
            offer,
            ticket,
            user: user.borrow(),
            device: *own_device,
            purpose,
            agent: agent.borrow(),
        });
        self.remote = Remote::Introduced { user: peer, device, purpose };
    }

    /// Believes the hello of [`Event::Hello`]: the link stands, and [`Event::Open`] says so.
    ///
    /// # Errors
    /// When no hello waits, or no more.
    pub fn admit(&mut self, now: Instant) -> Result<(), NoHello> {
        let claim = match (&self.state, &self.remote) {
            (State::Admitting, Remote::Claimed(claim)) => claim.clone(),
            (state, _) => return Err(NoHello { state: *state }),
        };
        let Config { user, device, agent, capabilities, limits, .. } = &self.config;
        self.conn.send(&LinkWelcome {
            version: VERSION,
            capabilities: capabilities.common(claim.capabilities),
            max_frame: limits.max_frame,
            user: user.borrow(),
            device: *device,
            agent: agent.borrow(),
        });
        self.open(Step::Admitted, claim, now);
        Ok(())
    }

    /// Does not believe the hello of [`Event::Hello`]: says so, most often with [`ErrorCode::BadTicket`], and closes.
    ///
    /// # Errors
    /// When no hello waits, or no more.
    pub fn refuse(&mut self, code: ErrorCode, now: Instant) -> Result<(), NoHello> {
        if self.state != State::Admitting {
            return Err(NoHello { state: self.state });
        }
        self.conn.send_error(code, FrameType::LinkHello.number(), 0, "");
        self.close(CloseReason::BadTicket, now);
        Ok(())
    }

    pub(super) fn on_hello(&mut self, hello: &LinkHello<'_>) -> Result<(), Violation> {
        if hello.magic != MAGIC {
            return Err(Violation::Magic);
        }
        if !(hello.version_min..=hello.version_max).contains(&VERSION) {
            return Err(Violation::Version { min: hello.version_min, max: hello.version_max });
        }
        self.agree_on_frames(FrameType::LinkHello, hello.max_frame)?;
        let LinkHello { offer, ticket, device, purpose, capabilities, .. } = *hello;
        let (user, agent) = (hello.user.to_owned(), hello.agent.to_owned());
        let claim = Claim { user: user.clone(), device, purpose, agent: agent.clone(), capabilities };
        self.remote = Remote::Claimed(claim);
        self.state = self.state.after(Step::HelloCame);
        self.events.push_back(Event::Hello { offer, ticket, user, device, purpose, agent });
        Ok(())
    }

    pub(super) fn on_welcome(&mut self, welcome: &LinkWelcome<'_>, now: Instant) -> Result<(), Violation> {
        if welcome.version != VERSION {
            return Err(Violation::Chosen { version: welcome.version });
        }
        self.agree_on_frames(FrameType::LinkWelcome, welcome.max_frame)?;
        let purpose = self.introduced(welcome.user, welcome.device).ok_or(Violation::WrongPeer)?;
        let LinkWelcome { user, device, agent, capabilities, .. } = *welcome;
        let claim = claim(user, device, purpose, agent, capabilities);
        self.open(Step::Welcomed, claim, now);
        Ok(())
    }

    /// What the link is for, if it is with whom it should be.
    fn introduced(&self, user: NameRef<'_>, device: DeviceId) -> Option<Purpose> {
        match &self.remote {
            Remote::Introduced { user: wanted, device: wanted_device, purpose }
                if wanted.borrow() == user && *wanted_device == device =>
            {
                Some(*purpose)
            }
            Remote::Introduced { .. } | Remote::Unknown | Remote::Claimed(_) => None,
        }
    }

    fn agree_on_frames(&mut self, frame: FrameType, max: u32) -> Result<(), Violation> {
        if max < MIN_FRAME {
            return Err(Violation::FrameLimit { frame, max });
        }
        self.max_frame_out = usize::try_from(max.min(MAX_FRAME)).unwrap_or(usize::MAX);
        Ok(())
    }

    fn open(&mut self, step: Step, claim: Claim, now: Instant) {
        let Claim { user, device, purpose, agent, capabilities } = claim;
        self.state = self.state.after(step);
        self.conn.deadlines.enter(Stage::Open, now);
        self.max_frame_in = self.config.limits.max_frame;
        self.conn.reader.set_max_frame(self.max_frame_in);
        let capabilities = self.config.capabilities.common(capabilities);
        self.capabilities = capabilities;
        self.events.push_back(Event::Open { user, device, purpose, agent, capabilities });
    }
}

fn claim(
    user: NameRef<'_>,
    device: DeviceId,
    purpose: Purpose,
    agent: NoteRef<'_>,
    capabilities: Capabilities,
) -> Claim {
    Claim { user: user.to_owned(), device, purpose, agent: agent.to_owned(), capabilities }
}
