//! The transfers that move, each with its bar, right above the line being typed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chatproto::wire::escaped;

use crate::notice::{Direction, Notice, Transfer, TransferState};
use crate::ui::text::units;

/// The rows, in the order of the transfers' numbers.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: BTreeMap<u64, Transfer>,
    drawn_at: Option<Instant>,
}

impl Board {
    /// Takes what a notice tells of a transfer. Says whether it is time to draw the board anew: at once when a row comes
    /// or goes, else a few times a second.
    pub(super) fn take(&mut self, notice: &Notice, now: Instant) -> bool {
        let (Notice::Transfer(transfer) | Notice::Upload(transfer)) = notice else { return false };
        let changed = if transfer.state == TransferState::Active {
            let row = Transfer { message: None, path: None, ..transfer.clone() };
            self.rows.insert(transfer.id, row).is_none()
        } else {
            self.rows.remove(&transfer.id).is_some()
        };
        let is_due = self.drawn_at.is_none_or(|drawn| now.duration_since(drawn) >= INTERVAL);
        let redraw = changed || (is_due && !self.rows.is_empty());
        if redraw {
            self.drawn_at = Some(now);
        }
        redraw
    }

    /// The rows as lines with their ends, none wider than the terminal.
    pub(super) fn draw(&self, columns: usize) -> String {
        let mut lines = self.rows.values().take(MAX_ROWS).map(row).collect::<Vec<_>>();
        let more = self.rows.len().saturating_sub(MAX_ROWS);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        // The last column stays free: some terminals wrap a full line, some do not.
        lines.iter().map(|line| cut(&escaped(line).to_string(), columns.saturating_sub(1)) + "\n").collect()
    }
}

/// `[######------]  45%  12.3 MiB/s  3 s left  docs/notes.txt from bob`
fn row(transfer: &Transfer) -> String {
    let size = transfer.size.unwrap_or(0).max(1);
    let done = u128::from(transfer.bytes.min(size));
    let full = usize::try_from(done * BAR as u128 / u128::from(size)).unwrap_or(BAR);
    let percent = done * 100 / u128::from(size);
    let bar = format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full));
    let speed = transfer.speed.map_or_else(String::new, |speed| format!("{}/s", units::size(speed)));
    let left = transfer.speed.filter(|speed| *speed > 0).map_or_else(String::new, |speed| {
        format!("{} left", units::seconds(size.saturating_sub(transfer.bytes).div_ceil(speed)))
    });
    let slash = if transfer.folder.as_str().is_empty() { "" } else { "/" };
    let name = format!("{}{slash}{}", transfer.folder.as_str(), transfer.name.as_str());
    let way = match transfer.direction {
        Direction::In => "from",
        Direction::Out => "to",
    };
    format!(
        "{:>3} {bar} {percent:>3}% {speed:>12} {left:>12}  {name} {way} {}",
        transfer.id,
        transfer.peer.as_str()
    )
}

/// The beginning of a line that fits. Whatever is not ASCII counts as wide: too short does no harm, too long does.
fn cut(line: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| {
        let width = if c.is_ascii() { 1 } else { 2 };
        let fits = left >= width;
        left = left.saturating_sub(width);
        fits
    };
    line.chars().take_while(fits).collect()
}

/// Characters of a bar.
const BAR: usize = 20;

/// More rows would leave no room to talk.
const MAX_ROWS: usize = 5;

/// The board is drawn so often at most, as long as the same transfers move.
const INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use chatproto::wire::{Name, SafeName, SafeRelPath};

    fn moving(id: u64, bytes: u64) -> Transfer {
        let (peer, name) = (Name::new("bob").unwrap(), SafeName::new("notes.txt").unwrap());
        let folder = SafeRelPath::new("docs").unwrap();
        let transfer = Transfer::new(id, peer, Direction::In, folder, name);
        let (size, speed) = (Some(100 << 20), Some(10 << 20));
        Transfer { state: TransferState::Active, size, speed, bytes, ..transfer }
    }

    #[test]
    fn a_row_has_a_bar_a_speed_and_the_time_left() {
        let mut board = Board::default();
        assert!(board.take(&Notice::Transfer(moving(7, 45 << 20)), Instant::now()));
        assert_eq!(
            board.draw(100),
            "  7 [#########-----------]  45%   10.0 MiB/s     6 s left  docs/notes.txt from bob\n"
        );
        assert_eq!(board.draw(20), "  7 [#########-----\n");
    }

    #[test]
    fn it_is_drawn_at_once_when_a_row_comes_or_goes_and_seldom_else() {
        let (mut board, start) = (Board::default(), Instant::now());
        let mut take =
            |transfer, millis| board.take(&Notice::Transfer(transfer), start + Duration::from_millis(millis));
        assert!(take(moving(1, 0), 0));
        assert!(!take(moving(1, 1), 100));
        assert!(take(moving(2, 0), 110));
        assert!(take(moving(1, 2), 400));
        assert!(!take(moving(2, 2), 410));
        assert!(take(Transfer { state: TransferState::Done, ..moving(1, 3) }, 420));
        assert!(take(Transfer { state: TransferState::Paused, ..moving(2, 3) }, 430));
        assert!(
            !take(Transfer { state: TransferState::Failed, ..moving(2, 3) }, 440),
            "it was not on the board"
        );
        assert_eq!(board.draw(80), "");
    }

    #[test]
    fn many_transfers_take_few_rows_and_wide_names_do_not_wrap() {
        let mut board = Board::default();
        for id in 0..20 {
            let name = SafeName::new(&"日本".repeat(30)).unwrap();
            board.take(&Notice::Upload(Transfer { name, ..moving(id, 1) }), Instant::now());
        }
        let drawn = board.draw(80);
        assert_eq!(drawn.lines().count(), MAX_ROWS + 1);
        assert!(drawn.ends_with("and 15 more\n"));
        let width = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        assert!(drawn.lines().all(|line| width(line) < 80), "{drawn}");
    }
}
