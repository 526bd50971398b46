//! A queue of which only so many bytes of files may leave now; everything else may.

use bytes::Buf;
use chatproto::conn::SendQueue;

/// What may be written.
#[derive(Debug)]
pub(super) struct Paced<'a> {
    queue: &'a mut SendQueue,
    /// Bytes of files that may still leave.
    files: usize,
}

impl<'a> Paced<'a> {
    pub(super) fn new(queue: &'a mut SendQueue, files: u64) -> Self {
        Self { queue, files: usize::try_from(files).unwrap_or(usize::MAX) }
    }
}

impl Buf for Paced<'_> {
    fn remaining(&self) -> usize {
        let files = self.queue.bulk_len();
        self.queue.len() - files + files.min(self.files)
    }

    fn chunk(&self) -> &[u8] {
        let chunk = self.queue.chunk();
        chunk.get(..self.remaining()).unwrap_or(chunk)
    }

    fn advance(&mut self, count: usize) {
        let before = self.queue.bulk_len();
        self.queue.advance(count);
        // A frame that has begun must be finished; all of it is counted at once then.
        self.files = self.files.saturating_sub(before - self.queue.bulk_len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chatproto::conn::Lane;
    use chatproto::wire::Ping;

    #[test]
    fn files_stop_at_their_bound_between_frames_and_chat_does_not() {
        let mut queue = SendQueue::new();
        for byte in [1_u8, 2, 3] {
            queue.push_bulk(Bytes::from(vec![byte; 5]), Some(Bytes::from(vec![byte; 95])));
        }
        queue.push_frame(Lane::Chat, &Ping { nonce: 1 });
        let chat = queue.len() - queue.bulk_len();
        let mut paced = Paced::new(&mut queue, 120);
        let mut sent = Vec::new();
        while paced.has_remaining() {
            let chunk = paced.chunk().to_vec();
            paced.advance(chunk.len());
            sent.extend(chunk);
        }
        assert_eq!(sent.len(), chat + 200, "the second frame was begun, so it is finished");
        assert_eq!(queue.bulk_len(), 100);
        assert!(!Paced::new(&mut queue, 0).has_remaining());
        queue.push_frame(Lane::Chat, &Ping { nonce: 2 });
        assert_eq!(Paced::new(&mut queue, 0).remaining(), chat);
    }
}
