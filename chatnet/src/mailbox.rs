//! How other threads hand values to the loop.

use crossbeam_channel::{Receiver, SendError, Sender, TryRecvError, TrySendError};

use crate::Waker;

/// The loop's end of a bounded queue that other threads fill through a [`MailSender`], which wakes the loop.
///
/// Memory is bounded by the capacity; a sender waits when it is full, the loop never does.
#[derive(Debug)]
pub struct Mailbox<T> {
    receiver: Receiver<T>,
    waker: Waker,
    capacity: usize,
    finished: bool,
}

/// The other threads' end of a [`Mailbox`]. Cheap to clone.
#[derive(Debug)]
pub struct MailSender<T> {
    /// `None` only while it is being dropped.
    sender: Option<Sender<T>>,
    waker: Waker,
}

/// Why a value was not sent; it comes back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError<T> {
    /// The mailbox is full.
    #[error("the mailbox is full")]
    Full(T),
    /// The mailbox is gone, and with it the loop.
    #[error("the mailbox is gone")]
    Gone(T),
}

impl<T> Mailbox<T> {
    /// A mailbox for at most `capacity` (at least one) waiting values.
    #[must_use]
    pub fn new(waker: Waker, capacity: usize) -> (MailSender<T>, Self) {
        let capacity = capacity.max(1);
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        (
            MailSender { sender: Some(sender), waker: waker.clone() },
            Self { receiver, waker, capacity, finished: false },
        )
    }

    /// Takes what is waiting, oldest first, but not more than the capacity: a sender faster than the loop cannot
    /// hold it here. What is left over wakes the loop again. Call it at [`NetEvent::Woken`](crate::NetEvent::Woken).
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        Drain { left: self.capacity, mailbox: self }
    }

    /// Whether a [`drain`](Self::drain) found that all senders are gone and nothing is left. The loop is woken when
    /// the last sender goes.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }
}

impl<T> MailSender<T> {
    /// Sends a value, waiting while the mailbox is full. Not for the loop's own thread.
    ///
    /// # Errors
    /// [`MailError::Gone`] when the mailbox was dropped.
    pub fn send(&self, value: T) -> Result<(), MailError<T>> {
        let Some(sender) = &self.sender else { return Err(MailError::Gone(value)) };
        sender.send(value).map_err(|SendError(value)| MailError::Gone(value))?;
        self.waker.wake();
        Ok(())
    }

    /// Sends a value if there is room.
    ///
    /// # Errors
    /// [`MailError::Full`] when there is none, [`MailError::Gone`] when the mailbox was dropped.
    pub fn try_send(&self, value: T) -> Result<(), MailError<T>> {
        let Some(sender) = &self.sender else { return Err(MailError::Gone(value)) };
        sender.try_send(value).map_err(|error| match error {
            TrySendError::Full(value) => MailError::Full(value),
            TrySendError::Disconnected(value) => MailError::Gone(value),
        })?;
        self.waker.wake();
        Ok(())
    }
}

impl<T> Clone for MailSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: self.waker.clone() }
    }
}

impl<T> Drop for MailSender<T> {
    fn drop(&mut self) {
        // In this order, so that the loop, once awake, sees that the sender is gone.
        self.sender = None;
        self.waker.wake();
    }
}

struct Drain<'a, T> {
    mailbox: &'a mut Mailbox<T>,
    left: usize,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // Only what was taken counts: an empty look must not seem a full one, which wakes the loop.
        let left = self.left.checked_sub(1)?;
        match self.mailbox.receiver.try_recv() {
            Ok(value) => {
                self.left = left;
                Some(value)
            }
            Err(error) => {
                self.mailbox.finished = error == TryRecvError::Disconnected;
                None
            }
        }
    }
}

impl<T> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        if self.left == 0 || !self.mailbox.receiver.is_empty() {
            self.mailbox.waker.wake();
        }
    }
}
