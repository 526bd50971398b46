//! Receiving files: what was asked for comes in order, unit by unit, and is acknowledged as it is stored.
//!
//! ```text
//!  fetch() --> Asked --file_head--> Coming --file_end, all stored--> Complete --finish_file()--> done
//!              file_queued*         file_data*, file_unit
//!
//!  any --file_cancel, cancel(), a value that differs, the end of the link--> gone
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::pace::Pause;
use super::unit::Units;
use super::{Event, FetchError, Part, Peer, Resume, TransferError, TransferFault, Violation};
use crate::wire::{
    Capability, ErrorCode, FileCancel, FileData, FileDone, FileEnd, FileHead, FileQueued, FileRequest,
    FileUnit, FileValues, FrameType, Hash, Source, TransferId, UNITS_WITH_VALUES, UnitRequest,
};

/// The files that this end fetches.
#[derive(Debug)]
pub(super) struct Downloads {
    open: BTreeMap<TransferId, Download>,
    /// The number of the next transfer; none when they are used up.
    next: Option<u32>,
    /// The lowest bit of this end's numbers.
    parity: u32,
}

#[derive(Debug)]
struct Download {
    source: Source,
    at: Resume,
    /// Not the rest of the file, but some units.
    part: Option<Part>,
    stage: Stage,
    pause: Pause,
}

#[derive(Debug)]
enum Stage {
    Asked,
    Coming(Coming),
}

/// A file on its way.
#[derive(Debug)]
struct Coming {
    units: Units,
    /// The unit after the last that comes.
    end: u64,
    /// The unit whose value must come before any data; none if no more have to.
    next_value: Option<u64>,
    /// Next byte that must come.
    next: u64,
    /// The unit that it belongs to, whose value was not sent yet.
    unit: u64,
    /// Units that wait to be stored, with what they must hash to.
    unstored: BTreeMap<u64, Hash>,
    /// The root, if it was told beforehand.
    promised: Option<Hash>,
    /// The root that the end named.
    root: Option<Hash>,
    complete: bool,
}

impl Downloads {
    /// `first` is 1 for the side that dialled, 2 for the other.
    pub(super) fn new(first: u32) -> Self {
        Self { open: BTreeMap::new(), next: Some(first), parity: first % 2 }
    }

    /// Goes on with `number`, as if all before it had been used.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, number: u32) {
        self.next = Some(number);
    }

    pub(super) fn is_open(&self, transfer: TransferId) -> bool {
        self.open.contains_key(&transfer)
    }

    /// Who has stopped a transfer.
    pub(super) fn pause_of(&mut self, transfer: TransferId) -> Option<&mut Pause> {
        self.open.get_mut(&transfer).map(|download| &mut download.pause)
    }

    /// Whether `transfer` was asked for on this link at all. What still comes for one that has ended crossed our
    /// cancel on the way.
    pub(super) fn was_asked(&self, transfer: TransferId) -> bool {
        transfer.0 % 2 == self.parity && transfer.0 > 0 && self.next.is_none_or(|next| transfer.0 < next)
    }

    /// Ends all transfers, in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = TransferId> + use<> {
        core::mem::take(&mut self.open).into_keys()
    }

    /// Bytes handed to the program and not yet stored.
    fn unstored(&self) -> u64 {
        self.coming().map(Coming::unstored_bytes).sum()
    }

    /// Whether the driver may go on reading. While the program has no complete unit that it could store, waiting
    /// would be for nothing, and for ever.
    pub(super) fn wants_data(&self, max_unstored: u64) -> bool {
        self.coming().all(|coming| coming.unstored.is_empty()) || self.unstored() <= max_unstored
    }

    fn coming(&self) -> impl Iterator<Item = &Coming> {
        self.open.values().filter_map(|download| match &download.stage {
            Stage::Asked => None,
            Stage::Coming(coming) => Some(coming),
        })
    }

    /// The transfer that a frame is about; none if it has ended and the frame is late.
    fn get(&mut self, frame: FrameType, transfer: TransferId) -> Result<Option<&mut Download>, Violation> {
        if !self.was_asked(transfer) {
            return Err(TransferFault::NeverAsked.of(frame, transfer));
        }
        Ok(self.open.get_mut(&transfer))
    }
}

impl Peer {
    /// Asks for a file. Events about it follow, beginning with [`Event::FileStarted`].
    ///
    /// # Errors
    /// When the link does not stand, too many files are on their way, or `at` breaks a rule.
    pub fn fetch(&mut self, source: Source, at: Resume) -> Result<TransferId, FetchError> {
        self.check_open().map_err(FetchError::NotOpen)?;
        at.check().map_err(FetchError::Resume)?;
        if at.offset > 0 && !self.capabilities.has(Capability::Resume) {
            return Err(FetchError::NoResume);
        }
        let transfer = self.next_download()?;
        let Resume { unit_log2, offset, held } = at;
        self.conn.send(&FileRequest { transfer, source, unit_log2, offset, held });
        self.downloads.open.insert(
            transfer,
            Download { source, at, part: None, stage: Stage::Asked, pause: Pause::default() },
        );
        Ok(transfer)
    }

    /// Asks for some units of the file with this root. Events about it follow as for [`fetch`](Self::fetch), but only for
    /// these units, and with [`Event::FileValues`] first if the values were wanted; [`Event::FileComplete`] says that these
    /// units came.
    ///
    /// # Errors
    /// When the link does not stand, the ends have not agreed on [`Capability::Sources`], too many files are on their way, or
    /// `part` breaks a rule.
    pub fn fetch_units(&mut self, root: Hash, part: Part) -> Result<TransferId, FetchError> {
        self.check_open().map_err(FetchError::NotOpen)?;
        let at = part.check().map_err(FetchError::Resume)?;
        if !self.capabilities.has(Capability::Sources) {
            return Err(FetchError::NoSources);
        }
        let transfer = self.next_download()?;
        let Part { unit_log2, first, count, values } = part;
        let flags = if values { UNITS_WITH_VALUES } else { 0 };
        self.conn.send(&UnitRequest { transfer, root, unit_log2, first, count, flags });
        let source = Source::Root(root);
        self.downloads.open.insert(
            transfer,
            Download { source, at, part: Some(part), stage: Stage::Asked, pause: Pause::default() },
        );
        Ok(transfer)
    }

    fn next_download(&mut self) -> Result<TransferId, FetchError> {
        if self.downloads.open.len() >= self.config.max_transfers {
            return Err(FetchError::TooMany { max: self.config.max_transfers });
        }
        let number = self.downloads.next.ok_or(FetchError::UsedUp)?;
        self.downloads.next = number.checked_add(2);
        Ok(TransferId(number))
    }

    /// Reports that a unit of [`Event::FileUnit`] is stored, and what its bytes hash to (the value that the `verify`
    /// module computes). Units may be reported in any order.
    ///
    /// A value that differs ends the transfer: [`Event::FileFailed`] with [`ErrorCode::VerifyFailed`] follows.
    ///
    /// # Errors
    /// When the transfer has ended or the unit does not wait to be stored.
    pub fn unit_stored(
        &mut self,
        transfer: TransferId,
        unit: u64,
        computed: Hash,
    ) -> Result<(), TransferError> {
        let download = self.downloads.open.get_mut(&transfer).ok_or(TransferError::NotOpen(transfer))?;
        let no_unit = TransferError::Unit { transfer, unit };
        let Stage::Coming(coming) = &mut download.stage else { return Err(no_unit) };
        let value = coming.unstored.remove(&unit).ok_or(no_unit)?;
        if value != computed {
            self.fail_file(transfer, ErrorCode::VerifyFailed);
            return Ok(());
        }
        self.events.extend(coming.complete(transfer));
        Ok(())
    }

    /// Ends a transfer after [`Event::FileComplete`]: the file is in its place, or why it is not. No event follows.
    ///
    /// # Errors
    /// When the transfer has ended or is not complete.
    pub fn finish_file(
        &mut self,
        transfer: TransferId,
        outcome: Result<(), ErrorCode>,
    ) -> Result<(), TransferError> {
        let download = self.downloads.open.get(&transfer).ok_or(TransferError::NotOpen(transfer))?;
        match &download.stage {
            Stage::Coming(coming) if coming.complete => {}
            Stage::Asked | Stage::Coming(_) => return Err(TransferError::NotComplete(transfer)),
        }
        self.downloads.open.remove(&transfer);
        match outcome {
            Ok(()) => self.conn.send(&FileDone { transfer }),
            Err(code) => self.conn.send(&FileCancel { transfer, code }),
        }
        Ok(())
    }

    /// Stops a transfer in either direction, at any point. No event of this transfer follows, also none that waited.
    ///
    /// # Errors
    /// When the transfer has ended already.
    pub fn cancel(&mut self, transfer: TransferId, code: ErrorCode) -> Result<(), TransferError> {
        if self.downloads.open.remove(&transfer).is_none() && !self.uploads.remove(transfer) {
            return Err(TransferError::NotOpen(transfer));
        }
        self.outflow.forget(transfer);
        self.events.retain(|event| event.transfer() != Some(transfer));
        self.conn.send(&FileCancel { transfer, code });
        Ok(())
    }

    /// Gives a file up because of what came.
    fn fail_file(&mut self, transfer: TransferId, code: ErrorCode) {
        self.downloads.open.remove(&transfer);
        self.conn.send(&FileCancel { transfer, code });
        self.events.push_back(Event::FileFailed { transfer, code, local: true });
    }

    pub(super) fn on_queued(&mut self, queued: FileQueued) -> Result<(), Violation> {
        let FileQueued { transfer, position } = queued;
        match self.downloads.get(FrameType::FileQueued, transfer)?.map(|download| &download.stage) {
            None => {}
            Some(Stage::Asked) => self.events.push_back(Event::FileQueued { transfer, position }),
            Some(Stage::Coming(_)) => {
                return Err(
                    TransferFault::WrongStage { when: AFTER_HEAD }.of(FrameType::FileQueued, transfer)
                );
            }
        }
        Ok(())
    }

    pub(super) fn on_head(&mut self, head: &FileHead<'_>) -> Result<(), Violation> {
        let transfer = head.transfer;
        let Some(download) = self.downloads.get(FrameType::FileHead, transfer)? else { return Ok(()) };
        download.check_head(head).map_err(|fault| fault.of(FrameType::FileHead, transfer))?;
        let asked_root = match download.source {
            Source::Number { .. } => None,
            Source::Root(root) => Some(root),
        };
        let is_told = head.root.is_some() || download.part.is_some();
        if asked_root.is_some() && is_told && head.root != asked_root {
            self.fail_file(transfer, ErrorCode::VerifyFailed);
            return Ok(());
        }
        let units = Units::new(head.size, head.unit_log2);
        let end = download.part.map_or(units.count(), |part| part.end());
        if end > units.count() {
            // The same root has no other size, so one of the two ends is wrong about it.
            self.fail_file(transfer, ErrorCode::VerifyFailed);
            return Ok(());
        }
        let values = download.part.is_some_and(|part| part.values);
        download.stage = Stage::Coming(Coming {
            units,
            end,
            next_value: values.then_some(0),
            next: head.offset,
            unit: units.at(head.offset),
            unstored: BTreeMap::new(),
            promised: asked_root.or(head.root),
            root: None,
            complete: false,
        });
        self.events.push_back(Event::FileStarted {
            transfer,
            path: head.path.to_owned(),
            size: head.size,
            mtime: head.mtime,
            unit_log2: head.unit_log2,
            offset: head.offset,
            root: head.root,
        });
        Ok(())
    }

    pub(super) fn on_values(&mut self, values: &FileValues<'_>) -> Result<(), Violation> {
        let FileValues { transfer, first, values } = *values;
        let fault = |fault: TransferFault| fault.of(FrameType::FileValues, transfer);
        let Some(download) = self.downloads.get(FrameType::FileValues, transfer)? else { return Ok(()) };
        let values = download.coming().and_then(|coming| coming.values(first, values.0)).map_err(fault)?;
        self.events.push_back(Event::FileValues { transfer, first, values });
        Ok(())
    }

    pub(super) fn on_data(&mut self, data: &FileData<'_>) -> Result<(), Violation> {
        let FileData { transfer, offset, data } = *data;
        let fault = |fault: TransferFault| fault.of(FrameType::FileData, transfer);
        let Some(download) = self.downloads.get(FrameType::FileData, transfer)? else { return Ok(()) };
        download.coming().and_then(|coming| coming.data(offset, data.0.len())).map_err(fault)?;
        self.events.push_back(Event::FileData { transfer, offset, data: Bytes::copy_from_slice(data.0) });
        Ok(())
    }

    pub(super) fn on_unit(&mut self, unit: FileUnit) -> Result<(), Violation> {
        let FileUnit { transfer, unit, value } = unit;
        let fault = |fault: TransferFault| fault.of(FrameType::FileUnit, transfer);
        let Some(download) = self.downloads.get(FrameType::FileUnit, transfer)? else { return Ok(()) };
        download.coming().and_then(|coming| coming.unit(unit, value)).map_err(fault)?;
        self.events.push_back(Event::FileUnit { transfer, unit, value });
        Ok(())
    }

    pub(super) fn on_end(&mut self, end: FileEnd) -> Result<(), Violation> {
        let FileEnd { transfer, root } = end;
        let fault = |fault: TransferFault| fault.of(FrameType::FileEnd, transfer);
        let Some(download) = self.downloads.get(FrameType::FileEnd, transfer)? else { return Ok(()) };
        let coming = download.coming().map_err(fault)?;
        coming.end(root).map_err(fault)?;
        if coming.promised.is_some_and(|promised| promised != root) {
            self.fail_file(transfer, ErrorCode::VerifyFailed);
            return Ok(());
        }
        self.events.extend(coming.complete(transfer));
        Ok(())
    }

    /// The sender gives up; `false` if the number is none of ours.
    pub(super) fn on_download_cancelled(&mut self, cancel: FileCancel) -> bool {
        let FileCancel { transfer, code } = cancel;
        if self.downloads.open.remove(&transfer).is_some() {
            self.events.push_back(Event::FileFailed { transfer, code, local: false });
            return true;
        }
        self.downloads.was_asked(transfer)
    }
}

impl Download {
    fn check_head(&self, head: &FileHead<'_>) -> Result<(), TransferFault> {
        match self.stage {
            Stage::Asked if head.unit_log2 != self.at.unit_log2 => {
                Err(TransferFault::Differs { field: "unit" })
            }
            Stage::Asked if head.offset != self.at.offset => Err(TransferFault::Differs { field: "offset" }),
            Stage::Asked if head.offset > head.size => {
                Err(TransferFault::OffsetPastEnd { offset: head.offset, size: head.size })
            }
            Stage::Asked => Ok(()),
            Stage::Coming(_) => Err(TransferFault::WrongStage { when: AFTER_HEAD }),
        }
    }

    fn coming(&mut self) -> Result<&mut Coming, TransferFault> {
        match &mut self.stage {
            Stage::Asked => Err(TransferFault::WrongStage { when: "before the head" }),
            Stage::Coming(coming) if coming.root.is_some() => {
                Err(TransferFault::WrongStage { when: "after the end" })
            }
            Stage::Coming(coming) => Ok(coming),
        }
    }
}

impl Coming {
    fn values(&mut self, first: u64, bytes: &[u8]) -> Result<Vec<Hash>, TransferFault> {
        let Some(expected) = self.next_value else {
            return Err(TransferFault::WrongStage { when: "unless values were asked for and are missing" });
        };
        let (values, rest) = bytes.as_chunks();
        let fault = TransferFault::Values { expected, found: first, len: bytes.len() };
        let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
        let next = first.checked_add(count).filter(|&next| next <= self.units.count()).ok_or(fault)?;
        if first != expected || values.is_empty() || !rest.is_empty() {
            return Err(fault);
        }
        self.next_value = (next < self.units.count()).then_some(next);
        Ok(values.iter().map(|value| Hash(*value)).collect())
    }

    fn data(&mut self, offset: u64, len: usize) -> Result<(), TransferFault> {
        if self.next_value.is_some() {
            return Err(TransferFault::WrongStage { when: "before all values" });
        }
        if self.unit >= self.end {
            return Err(TransferFault::PastUnit { end: self.units.range(self.end).start });
        }
        if offset != self.next {
            return Err(TransferFault::Offset { expected: self.next, found: offset });
        }
        if len == 0 {
            return Err(TransferFault::Empty);
        }
        let unit_end = self.units.range(self.unit).end;
        let end =
            u64::try_from(len).ok().and_then(|len| offset.checked_add(len)).filter(|&end| end <= unit_end);
        self.next = end.ok_or(TransferFault::PastUnit { end: unit_end })?;
        Ok(())
    }

    fn unit(&mut self, unit: u64, value: Hash) -> Result<(), TransferFault> {
        if unit != self.unit || unit >= self.end {
            return Err(TransferFault::Unit { expected: self.unit, found: unit });
        }
        let missing = self.units.range(unit).end - self.next;
        if missing > 0 {
            return Err(TransferFault::Early { missing });
        }
        self.unit += 1;
        self.unstored.insert(unit, value);
        Ok(())
    }

    fn end(&mut self, root: Hash) -> Result<(), TransferFault> {
        let missing = self.units.range(self.end).start.saturating_sub(self.next);
        if missing > 0 {
            return Err(TransferFault::Early { missing });
        }
        if self.unit < self.end || self.next_value.is_some() {
            return Err(TransferFault::WrongStage { when: "before the value of the last unit" });
        }
        self.root = Some(root);
        Ok(())
    }

    /// The event that says so, the first time that all has come and is stored.
    fn complete(&mut self, transfer: TransferId) -> Option<Event> {
        let root = self.root.filter(|_| self.unstored.is_empty() && !self.complete)?;
        self.complete = true;
        Some(Event::FileComplete { transfer, root, size: self.units.size })
    }

    fn unstored_bytes(&self) -> u64 {
        let whole: u64 = self
            .unstored
            .keys()
            .map(|&unit| self.units.range(unit))
            .map(|range| range.end - range.start)
            .sum();
        whole + (self.next - self.units.range(self.unit).start)
    }
}

const AFTER_HEAD: &str = "after the head";
