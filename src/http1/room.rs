//! How much is read at once.

use bytes::BytesMut;

/// Room for one read of a body.
const LEAST: usize = 8 * 1024;
const MOST: usize = 256 * 1024;

/// How much room a body's next read gets: more while reads fill it, less while they do not.
#[derive(Debug, Clone, Copy)]
pub struct ReadRoom(usize);

impl Default for ReadRoom {
    fn default() -> Self {
        Self(LEAST)
    }
}

impl ReadRoom {
    /// Makes room in `buffer`.
    pub fn make(self, buffer: &mut BytesMut) {
        if buffer.capacity() - buffer.len() < LEAST {
            buffer.reserve(self.0);
        }
    }

    /// Learns from a read of `count` bytes.
    pub fn filled(&mut self, count: usize) {
        if count >= self.0 {
            self.0 = (self.0 * 2).min(MOST);
        } else if count < self.0 / 4 {
            // Small pieces, each of which may be held for long by who takes them, must not hold much more than themselves.
            self.0 = (self.0 / 2).max(LEAST);
        }
    }
}
