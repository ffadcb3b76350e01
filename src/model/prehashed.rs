//! Hands a hash through to a table whose keys are hashes already: hashing them again would gain nothing.

use std::hash::Hasher;

/// For keys that are one `u64`, drawn by a hasher that nobody outside can foresee.
#[derive(Debug, Default, Clone, Copy)]
pub struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}
