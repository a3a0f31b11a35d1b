//! The buffers that answers are read into.

use std::io;
use std::mem;

use arrow_buffer::Buffer;

/// Answers differ a little in size: one buffer should do for all of them.
const STEP_BYTES: usize = 256 << 10;

/// Reads answers, and takes the buffers of those again that nobody holds any more.
///
/// Memory: the answers that records hold (their queues bound them), and two more.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: Vec<Buffer>,
}

impl Answers {
    /// An answer of `len` bytes, which `read` fills. The buffer may be longer.
    pub(crate) fn read(&mut self, len: usize, read: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Buffer> {
        let mut room = self.free(len).unwrap_or_else(|| vec![0; len.next_multiple_of(STEP_BYTES)]);
        read(&mut room[..len])?;
        let answer = Buffer::from_vec(room);
        self.known.push(answer.clone());
        Ok(answer)
    }

    /// A buffer that is long enough and that nobody holds. Of the others that nobody holds one is kept.
    fn free(&mut self, len: usize) -> Option<Vec<u8>> {
        let (mut found, mut kept) = (None, None);
        for buffer in mem::take(&mut self.known) {
            match buffer.into_vec::<u8>() {
                Err(held) => self.known.push(held),
                Ok(free) if free.len() >= len && found.is_none() => found = Some(free),
                Ok(free) => kept = Some(free),
            }
        }
        self.known.extend(kept.map(Buffer::from_vec));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(answers: &mut Answers, len: usize, with: u8) -> Buffer {
        let fill = |room: &mut [u8]| {
            room.fill(with);
            Ok(())
        };
        answers.read(len, fill).expect("read")
    }

    #[test]
    fn what_somebody_holds_is_not_written_to() {
        let mut answers = Answers::default();
        let held = answer(&mut answers, 1000, 1);
        let place = answer(&mut answers, 1000, 2).as_ptr().addr();
        let again = answer(&mut answers, 500, 3);
        assert_eq!((held[999], again[499], again[500], again.as_ptr().addr()), (1, 3, 2, place));
        assert_eq!(answer(&mut answers, 300_000, 4).len(), 2 * STEP_BYTES, "a larger one");
        drop((held, again));
        answer(&mut answers, 300_000, 5);
        assert_eq!(answers.known.len(), 2, "one is kept beside it");
    }

    #[test]
    fn what_is_not_read_whole_is_no_answer() {
        let mut answers = Answers::default();
        assert!(answers.read(10, |_| Err(io::ErrorKind::UnexpectedEof.into())).is_err());
        assert!(answers.known.is_empty());
    }
}
