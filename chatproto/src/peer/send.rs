//! Sending files: what was promised is pulled from the program unit by unit, as the wire takes it.
//!
//! ```text
//!  file_request --> Wanted --send_file()--> Sending --last provide_unit()--> Sent --file_done--> done
//!                   queue_file()*           UnitWanted, provide_unit()
//!
//!  any --file_cancel, refuse_file(), cancel(), the end of the link--> gone
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;

use super::outflow::DATA_FIELDS;
use super::pace::Pause;
use super::unit::{EMPTY_ROOT, Units};
use super::{Event, Part, Peer, Resume, SendFileError, TransferFault, UnitError, ValuesError, Violation};
use crate::wire::{
    Capability, ErrorCode, FileCancel, FileDone, FileEnd, FileHead, FileQueued, FileRequest, FileUnit,
    FileValues, FrameType, Generation, Hash, MAX_FILE_DATA, Rest, SafeRelPath, Source, TransferId,
    UNITS_WITH_VALUES, UnitRequest,
};

/// Units of one transfer that may be wanted and not yet provided: one is read while another is sent.
const UNITS_AHEAD: u64 = 2;

/// Which file the other end wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A file that it was shown in a list. If size or time are others by now, refuse it with [`ErrorCode::Changed`].
    Listed {
        /// Where it lies in the share.
        path: SafeRelPath,
        /// The generation of the list.
        generation: Generation,
        /// Its number there.
        number: u32,
        /// Its size in bytes, as shown.
        size: u64,
        /// Its last change, as shown.
        mtime: u64,
        /// Its root, if it was shown.
        root: Option<Hash>,
    },
    /// Any file with this root. Who cannot look files up by root refuses with [`ErrorCode::NotSupported`].
    Root(Hash),
    /// Some units of any file with this root. If the values are wanted, [`Peer::provide_values`] follows
    /// [`Peer::send_file`].
    Units(Hash, Part),
}

/// A file as it is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Size in bytes.
    pub size: u64,
    /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub mtime: u64,
    /// BLAKE3 root, if it is known already. Without it, it comes with the last unit.
    pub root: Option<Hash>,
}

/// The bytes of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitData {
    /// Which unit, from 0.
    pub unit: u64,
    /// Its bytes, as many as were wanted. They are kept until they were sent, and not copied.
    pub bytes: Bytes,
    /// What they hash to: the BLAKE3 chaining value; of a file with a single unit, the root.
    pub value: Hash,
    /// With the last unit: the root of the file, unless it was given before.
    pub root: Option<Hash>,
}

/// The files that the other end fetches.
#[derive(Debug)]
pub(super) struct Uploads {
    open: BTreeMap<TransferId, Upload>,
    /// The lowest bit of the other end's numbers.
    parity: u32,
    /// The highest number that the other end has used.
    last: u32,
    /// The transfer that had its turn last.
    turn: TransferId,
}

#[derive(Debug)]
struct Upload {
    path: SafeRelPath,
    at: Resume,
    /// Not the rest of the file, but some units.
    part: Option<Part>,
    stage: Stage,
    pause: Pause,
}

#[derive(Debug)]
enum Stage {
    Wanted,
    Sending(Sending),
    Sent,
}

#[derive(Debug)]
struct Sending {
    units: Units,
    root: Option<Hash>,
    /// The unit after the last to send.
    end: u64,
    /// The values must be given first.
    lacks_values: bool,
    /// Next unit to want from the program.
    next_wanted: u64,
    /// Next unit that the program must provide.
    next: u64,
}

impl Uploads {
    /// `parity` is the lowest bit of the other end's numbers.
    pub(super) fn new(parity: u32) -> Self {
        Self { open: BTreeMap::new(), parity, last: 0, turn: TransferId(0) }
    }

    pub(super) fn is_open(&self, transfer: TransferId) -> bool {
        self.open.contains_key(&transfer)
    }

    pub(super) fn remove(&mut self, transfer: TransferId) -> bool {
        self.open.remove(&transfer).is_some()
    }

    /// Ends all transfers, in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = TransferId> + use<> {
        core::mem::take(&mut self.open).into_keys()
    }

    fn check_number(&self, transfer: TransferId) -> Result<(), TransferFault> {
        if transfer.0 % 2 != self.parity {
            return Err(TransferFault::WrongParity);
        }
        if transfer.0 <= self.last {
            return Err(TransferFault::NotRising { last: self.last });
        }
        Ok(())
    }

    /// Whether the other end has used this number. What still comes for a transfer that has ended crossed our
    /// cancel on the way.
    pub(super) fn was_wanted(&self, transfer: TransferId) -> bool {
        transfer.0 % 2 == self.parity && transfer.0 > 0 && transfer.0 <= self.last
    }

    /// Who has stopped a transfer.
    pub(super) fn pause_of(&mut self, transfer: TransferId) -> Option<&mut Pause> {
        self.open.get_mut(&transfer).map(|upload| &mut upload.pause)
    }

    /// Those that move. What a stopped one still has to provide must not hold up the others.
    fn sending(&self) -> impl Iterator<Item = &Sending> {
        self.open.values().filter(|upload| upload.pause.moves()).filter_map(|upload| match &upload.stage {
            Stage::Sending(sending) => Some(sending),
            Stage::Wanted | Stage::Sent => None,
        })
    }

    /// The next unit to want, each transfer in its turn.
    fn next_unit(&mut self, max_wanted: usize) -> Option<Event> {
        let wanted: u64 = self.sending().map(Sending::ahead).sum();
        if usize::try_from(wanted).is_ok_and(|wanted| wanted >= max_wanted) {
            return None;
        }
        let wants = |(transfer, upload): (&TransferId, &Upload)| match &upload.stage {
            Stage::Sending(sending) if upload.pause.moves() && sending.wants_unit() => Some(*transfer),
            Stage::Sending(_) | Stage::Wanted | Stage::Sent => None,
        };
        let after = self.open.range((Bound::Excluded(self.turn), Bound::Unbounded));
        let transfer = after.chain(self.open.range(..=self.turn)).find_map(wants)?;
        let Stage::Sending(sending) = &mut self.open.get_mut(&transfer)?.stage else { return None };
        let unit = sending.next_wanted;
        sending.next_wanted += 1;
        self.turn = transfer;
        let range = sending.units.range(unit);
        let len = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        Some(Event::UnitWanted { transfer, unit, offset: range.start, len })
    }
}

impl Peer {
    /// Answers [`Event::FileWanted`]: the file comes, its units will be wanted.
    ///
    /// # Errors
    /// When the transfer has ended or has begun, or the file is shorter than what the other end holds of it.
    pub fn send_file(&mut self, transfer: TransferId, file: FileInfo) -> Result<(), SendFileError> {
        let upload = self.uploads.open.get_mut(&transfer).ok_or(SendFileError::NotWanted(transfer))?;
        upload.check_wanted(transfer)?;
        let FileInfo { size, mtime, root } = file;
        let Resume { unit_log2, offset, held: _ } = upload.at;
        if offset > size {
            return Err(SendFileError::OffsetPastEnd { offset, size });
        }
        let root = root.or((size == 0).then_some(EMPTY_ROOT));
        if root.is_none() && (offset == size || upload.part.is_some()) {
            return Err(SendFileError::NoRoot);
        }
        let units = Units::new(size, unit_log2);
        let end = upload.part.map_or(units.count(), |part| part.end());
        if end > units.count() {
            return Err(SendFileError::OffsetPastEnd { offset: end.saturating_mul(1 << unit_log2), size });
        }
        let lacks_values = upload.part.is_some_and(|part| part.values);
        let path = upload.path.borrow();
        let head = FileHead { transfer, size, mtime, unit_log2, offset, root, path };
        self.outflow.push_frame(transfer, &head);
        let first = units.at(offset);
        upload.stage =
            Stage::Sending(Sending { units, root, end, lacks_values, next_wanted: first, next: first });
        if let (true, Some(root)) = (offset == size, root) {
            upload.stage = Stage::Sent;
            self.outflow.push_frame(transfer, &FileEnd { transfer, root });
        }
        self.let_go();
        Ok(())
    }

    /// Answers [`Event::FileWanted`]: not now, but from this place in the queue, counted from 1. May be repeated as
    /// the queue moves.
    ///
    /// # Errors
    /// When the transfer has ended or has begun.
    pub fn queue_file(&mut self, transfer: TransferId, position: u32) -> Result<(), SendFileError> {
        let upload = self.uploads.open.get(&transfer).ok_or(SendFileError::NotWanted(transfer))?;
        upload.check_wanted(transfer)?;
        self.conn.send(&FileQueued { transfer, position });
        Ok(())
    }

    /// Answers [`Event::FileWanted`]: no. To stop a file that has begun, [`cancel`](Self::cancel) it.
    ///
    /// # Errors
    /// When the transfer has ended or has begun.
    pub fn refuse_file(&mut self, transfer: TransferId, code: ErrorCode) -> Result<(), SendFileError> {
        let upload = self.uploads.open.get(&transfer).ok_or(SendFileError::NotWanted(transfer))?;
        upload.check_wanted(transfer)?;
        self.uploads.remove(transfer);
        self.conn.send(&FileCancel { transfer, code });
        Ok(())
    }

    /// Gives the values of all units of a file that was asked for with them, right after [`send_file`](Self::send_file).
    ///
    /// # Errors
    /// When nobody waits for them, or they are not as many as the file has units.
    pub fn provide_values(&mut self, transfer: TransferId, values: &[Hash]) -> Result<(), ValuesError> {
        let not_wanted = ValuesError::NotWanted(transfer);
        let upload = self.uploads.open.get_mut(&transfer).ok_or(not_wanted)?;
        let Stage::Sending(sending) = &mut upload.stage else { return Err(not_wanted) };
        if !sending.lacks_values {
            return Err(not_wanted);
        }
        let expected = sending.units.count();
        if u64::try_from(values.len()) != Ok(expected) {
            return Err(ValuesError::Count { expected, found: values.len() });
        }
        sending.lacks_values = false;
        let room = self.max_frame_out.saturating_sub(1 + DATA_FIELDS).clamp(VALUE_LEN, MAX_FILE_DATA);
        let mut first = 0;
        for values in values.chunks(room / VALUE_LEN) {
            let bytes = values.iter().flat_map(|value| value.0).collect::<Vec<_>>();
            self.outflow.push_frame(transfer, &FileValues { transfer, first, values: Rest(&bytes) });
            first += u64::try_from(values.len()).unwrap_or(0);
        }
        self.let_go();
        Ok(())
    }

    /// Answers [`Event::UnitWanted`] with the bytes.
    ///
    /// # Errors
    /// When the transfer has ended, another unit is due, the length is wrong, or the root is missing or another.
    pub fn provide_unit(&mut self, transfer: TransferId, data: UnitData) -> Result<(), UnitError> {
        let upload = self.uploads.open.get_mut(&transfer).ok_or(UnitError::NotSending(transfer))?;
        let Stage::Sending(sending) = &mut upload.stage else { return Err(UnitError::NotSending(transfer)) };
        let UnitData { unit, bytes, value, root } = data;
        if unit != sending.next || unit >= sending.next_wanted {
            return Err(UnitError::NotNext { transfer, unit });
        }
        let range = sending.units.range(unit);
        let expected = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        if u32::try_from(bytes.len()) != Ok(expected) {
            return Err(UnitError::Length { unit, expected, found: bytes.len() });
        }
        let last = unit + 1 == sending.end;
        let end = if last { Some(sending.agreed_root(root)?) } else { None };
        sending.next += 1;
        if last {
            upload.stage = Stage::Sent;
        }
        self.outflow.push_data(transfer, range.start, bytes);
        self.outflow.push_frame(transfer, &FileUnit { transfer, unit, value });
        if let Some(root) = end {
            self.outflow.push_frame(transfer, &FileEnd { transfer, root });
        }
        self.let_go();
        Ok(())
    }

    /// A unit is wanted when the wire has nearly run dry.
    pub(super) fn next_unit_wanted(&mut self) -> Option<Event> {
        if self.bulk_waiting() >= self.config.low_water {
            return None;
        }
        self.uploads.next_unit(self.config.max_units_wanted)
    }

    pub(super) fn on_file_request(&mut self, request: FileRequest) -> Result<(), Violation> {
        let FileRequest { transfer, source, unit_log2, offset, held } = request;
        let at = Resume { unit_log2, offset, held };
        self.uploads
            .check_number(transfer)
            .and_then(|()| at.check())
            .map_err(|fault| fault.of(FrameType::FileRequest, transfer))?;
        self.uploads.last = transfer.0;
        match self.find_file(source, at) {
            Ok(wanted) => self.want_file(transfer, wanted, at, None),
            Err(code) => self.conn.send(&FileCancel { transfer, code }),
        }
        Ok(())
    }

    pub(super) fn on_unit_request(&mut self, request: UnitRequest) -> Result<(), Violation> {
        let UnitRequest { transfer, root, unit_log2, first, count, flags } = request;
        let part = Part { unit_log2, first, count, values: flags & UNITS_WITH_VALUES != 0 };
        let at = self
            .uploads
            .check_number(transfer)
            .and_then(|()| part.check())
            .map_err(|fault| fault.of(FrameType::UnitRequest, transfer))?;
        self.uploads.last = transfer.0;
        if !self.capabilities.has(Capability::Sources) {
            self.conn.send(&FileCancel { transfer, code: ErrorCode::NotSupported });
        } else if self.uploads.open.len() >= self.config.max_transfers {
            self.conn.send(&FileCancel { transfer, code: ErrorCode::TooManyTransfers });
        } else {
            self.want_file(transfer, Wanted::Units(root, part), at, Some(part));
        }
        Ok(())
    }

    fn want_file(&mut self, transfer: TransferId, wanted: Wanted, at: Resume, part: Option<Part>) {
        let path = match &wanted {
            Wanted::Listed { path, .. } => path.clone(),
            Wanted::Root(_) | Wanted::Units(..) => SafeRelPath::root(),
        };
        let Resume { unit_log2, offset, held } = at;
        let pause = Pause::default();
        self.uploads.open.insert(transfer, Upload { path, at, part, stage: Stage::Wanted, pause });
        self.events.push_back(Event::FileWanted { transfer, wanted, unit_log2, offset, held });
    }

    /// What `source` names, if another file may be sent at all.
    fn find_file(&self, source: Source, at: Resume) -> Result<Wanted, ErrorCode> {
        if at.offset > 0 && !self.capabilities.has(Capability::Resume) {
            return Err(ErrorCode::NotSupported);
        }
        if self.uploads.open.len() >= self.config.max_transfers {
            return Err(ErrorCode::TooManyTransfers);
        }
        match source {
            Source::Root(root) => Ok(Wanted::Root(root)),
            Source::Number { generation, number } => {
                let file = self.served.file(generation, number)?;
                let (path, size, mtime, root) = (file.path, file.size, file.mtime, file.root);
                Ok(Wanted::Listed { path, generation, number, size, mtime, root })
            }
        }
    }

    pub(super) fn on_done(&mut self, done: FileDone) -> Result<(), Violation> {
        let transfer = done.transfer;
        let fault = |fault: TransferFault| fault.of(FrameType::FileDone, transfer);
        match self.uploads.open.get(&transfer).map(|upload| &upload.stage) {
            None if self.uploads.was_wanted(transfer) => {}
            None => return Err(fault(TransferFault::NeverAsked)),
            Some(Stage::Wanted | Stage::Sending(_)) => {
                return Err(fault(TransferFault::WrongStage { when: "before the end" }));
            }
            Some(Stage::Sent) => {
                self.uploads.remove(transfer);
                self.events.push_back(Event::FileSent { transfer });
            }
        }
        Ok(())
    }

    /// Either end may cancel, so a number of either side may come.
    pub(super) fn on_cancel(&mut self, cancel: FileCancel) -> Result<(), Violation> {
        if self.on_download_cancelled(cancel) {
            return Ok(());
        }
        let FileCancel { transfer, code } = cancel;
        if self.uploads.remove(transfer) {
            self.outflow.forget(transfer);
            self.events.push_back(Event::SendStopped { transfer, code });
            return Ok(());
        }
        if self.uploads.was_wanted(transfer) {
            return Ok(());
        }
        Err(TransferFault::NeverAsked.of(FrameType::FileCancel, transfer))
    }
}

impl Upload {
    fn check_wanted(&self, transfer: TransferId) -> Result<(), SendFileError> {
        match self.stage {
            Stage::Wanted => Ok(()),
            Stage::Sending(_) | Stage::Sent => Err(SendFileError::Begun(transfer)),
        }
    }
}

impl Sending {
    /// Units wanted and not yet provided.
    fn ahead(&self) -> u64 {
        self.next_wanted - self.next
    }

    fn wants_unit(&self) -> bool {
        !self.lacks_values && self.ahead() < UNITS_AHEAD && self.next_wanted < self.end
    }

    fn agreed_root(&self, given: Option<Hash>) -> Result<Hash, UnitError> {
        match (self.root, given) {
            (None, None) => Err(UnitError::NoRoot),
            (Some(promised), Some(given)) if promised != given => Err(UnitError::OtherRoot),
            (Some(root), _) | (None, Some(root)) => Ok(root),
        }
    }
}

/// Bytes of the value of a unit.
const VALUE_LEN: usize = 32;
