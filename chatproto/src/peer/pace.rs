//! Transfers that stand still for a while, and the rate at which files may come.
//!
//! Either end may stop a transfer and let it go on; it moves while neither end stops it. What is on its way still
//! arrives.

use super::{Event, PaceError, Peer, TransferFault, Violation};
use crate::wire::{Capability, FilePause, FileRate, FileResume, FrameType, TransferId};

/// Who has stopped a transfer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pause {
    here: bool,
    there: bool,
}

impl Pause {
    /// Whether nobody has stopped it.
    pub(super) fn moves(self) -> bool {
        !self.here && !self.there
    }
}

impl Peer {
    /// Stops a transfer in either direction for now, and tells the other end. Twice is as good as once.
    ///
    /// Units that are wanted of a file that is being sent may still be provided; no others are wanted meanwhile.
    ///
    /// # Errors
    /// When the transfer has ended, or the ends have not agreed on [`Capability::Pace`].
    pub fn pause_file(&mut self, transfer: TransferId) -> Result<(), PaceError> {
        if self.set_pause(transfer, true)? {
            self.conn.send(&FilePause { transfer });
        }
        Ok(())
    }

    /// Lets a transfer go on that this end has stopped, and tells the other end.
    ///
    /// # Errors
    /// As [`pause_file`](Self::pause_file).
    pub fn resume_file(&mut self, transfer: TransferId) -> Result<(), PaceError> {
        if self.set_pause(transfer, false)? {
            self.conn.send(&FileResume { transfer });
        }
        Ok(())
    }

    /// Asks the other end to send files no faster over this link, all together; 0 lifts it.
    ///
    /// # Errors
    /// When the link does not stand, or the ends have not agreed on [`Capability::Pace`].
    pub fn limit_rate(&mut self, bytes_per_second: u64) -> Result<(), PaceError> {
        self.check_open().map_err(PaceError::NotLinked)?;
        self.check_pace()?;
        self.conn.send(&FileRate { bytes_per_second });
        Ok(())
    }

    pub(super) fn on_pause(
        &mut self,
        frame: FrameType,
        transfer: TransferId,
        stopped: bool,
    ) -> Result<(), Violation> {
        if !self.downloads.was_asked(transfer) && !self.uploads.was_wanted(transfer) {
            return Err(TransferFault::NeverAsked.of(frame, transfer));
        }
        // Without a pause it has ended, and the frame crossed that on its way.
        if let Some(pause) = self.pause_of(transfer)
            && pause.there != stopped
        {
            pause.there = stopped;
            let event =
                if stopped { Event::FilePaused { transfer } } else { Event::FileResumed { transfer } };
            self.events.push_back(event);
        }
        Ok(())
    }

    /// Whether that changed anything.
    fn set_pause(&mut self, transfer: TransferId, stopped: bool) -> Result<bool, PaceError> {
        self.check_pace()?;
        let pause = self.pause_of(transfer).ok_or(PaceError::NotOpen(transfer))?;
        Ok(core::mem::replace(&mut pause.here, stopped) != stopped)
    }

    fn pause_of(&mut self, transfer: TransferId) -> Option<&mut Pause> {
        match self.downloads.pause_of(transfer) {
            Some(pause) => Some(pause),
            None => self.uploads.pause_of(transfer),
        }
    }

    fn check_pace(&self) -> Result<(), PaceError> {
        if self.capabilities.has(Capability::Pace) { Ok(()) } else { Err(PaceError::NotSupported) }
    }
}
