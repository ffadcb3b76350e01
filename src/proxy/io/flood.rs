//! How many HTTP/2 frames that carry nothing a visitor may send (CVE-2019-9512, -9513, -9515, CVE-2023-44487). The h2 crate limits
//! none of these but resets; the numbers are those of nginx, Envoy and Sozu.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{FrameHead, kind};

/// Frames are counted by windows of this length.
const WINDOW: Duration = Duration::from_secs(10);
/// PING frames in one window, answers to ours included.
const PINGS: u32 = 100;
/// SETTINGS frames in one window, acknowledgements included.
const SETTINGS: u32 = 50;
/// PRIORITY frames in one window.
const PRIORITIES: u32 = 100;
/// WINDOW_UPDATE frames in one window beyond those that were earned.
const WINDOW_UPDATES: u32 = 100;
/// WINDOW_UPDATE frames earned by each DATA frame that we send: one for its stream, one for the connection.
const EARNED: u64 = 2;
/// Frames of types that RFC 9113 does not know, in one window; browsers send PRIORITY_UPDATE (RFC 9218).
const OTHERS: u32 = 1000;
/// RST_STREAM frames on one connection, where they are also more than half of its streams (as in Envoy).
const RESETS: u64 = 500;
/// nginx's rule: of all bytes received at least an eighth is to be payload, after the first MiB.
const OVERHEAD_RATIO: u64 = 8;
const OVERHEAD_FREE: u64 = 1024 * 1024;

/// Which frames were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 9113")]
pub enum FloodKind {
    Ping,
    Settings,
    Priority,
    WindowUpdate,
    Reset,
    /// Types that are not in RFC 9113.
    Unknown,
    /// All of them together: too little payload for so many bytes.
    Overhead,
}

impl FloodKind {
    /// The metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping_flood",
            Self::Settings => "settings_flood",
            Self::Priority => "priority_flood",
            Self::WindowUpdate => "window_update_flood",
            Self::Reset => "reset_flood",
            Self::Unknown => "unknown_flood",
            Self::Overhead => "overhead_flood",
        }
    }
}

impl fmt::Display for FloodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ping => "PING",
            Self::Settings => "SETTINGS",
            Self::Priority => "PRIORITY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Reset => "RST_STREAM",
            Self::Unknown => "unknown",
            Self::Overhead => "empty or small",
        })
    }
}

/// The counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Counts {
    window: Option<Instant>,
    pings: u32,
    settings: u32,
    priorities: u32,
    window_updates: u32,
    others: u32,
    /// WINDOW_UPDATE frames that were earned and not seen yet; an answer is acknowledged when its reader gets to it, not in the
    /// window of time in which it was sent.
    credit: u64,
    resets: u64,
    streams: u64,
    received: u64,
    payload: u64,
}

impl Counts {
    /// A frame went out.
    pub(super) fn sent(&mut self, head: FrameHead) {
        if head.kind == kind::DATA {
            self.credit = self.credit.saturating_add(EARNED);
        }
        if matches!(head.kind, kind::DATA | kind::HEADERS) {
            self.payload = self.payload.saturating_add(u64::from(head.length));
        }
    }

    /// A frame came in; `now` is asked only for frames that count by time. Answers which kind became too many with it.
    pub(super) fn received(
        &mut self,
        head: FrameHead,
        now: impl FnOnce() -> Instant,
    ) -> Option<FloodKind> {
        self.received = self.received.saturating_add(9 + u64::from(head.length));
        match head.kind {
            kind::DATA | kind::HEADERS | kind::CONTINUATION => {
                self.payload = self.payload.saturating_add(u64::from(head.length));
                self.streams += u64::from(head.kind == kind::HEADERS);
            }
            kind::RST_STREAM => {
                self.resets += 1;
                if self.resets > RESETS && self.resets > self.streams / 2 {
                    return Some(FloodKind::Reset);
                }
            }
            // The codec ends the connection for these.
            kind::PUSH_PROMISE | kind::GOAWAY => {}
            kind::WINDOW_UPDATE if self.credit > 0 => self.credit -= 1,
            control => {
                self.enter_window(now());
                if let Some(flood) = self.count(control) {
                    return Some(flood);
                }
            }
        }
        let overhead = self.received / OVERHEAD_RATIO > self.payload.saturating_add(OVERHEAD_FREE);
        overhead.then_some(FloodKind::Overhead)
    }

    fn enter_window(&mut self, now: Instant) {
        if self.window.is_none_or(|begun| now - begun >= WINDOW) {
            self.window = Some(now);
            self.pings = 0;
            self.settings = 0;
            self.priorities = 0;
            self.window_updates = 0;
            self.others = 0;
        }
    }

    fn count(&mut self, control: u8) -> Option<FloodKind> {
        let (count, limit, flood) = match control {
            kind::PING => (&mut self.pings, PINGS, FloodKind::Ping),
            kind::SETTINGS => (&mut self.settings, SETTINGS, FloodKind::Settings),
            kind::PRIORITY => (&mut self.priorities, PRIORITIES, FloodKind::Priority),
            kind::WINDOW_UPDATE => (
                &mut self.window_updates,
                WINDOW_UPDATES,
                FloodKind::WindowUpdate,
            ),
            _ => (&mut self.others, OTHERS, FloodKind::Unknown),
        };
        *count += 1;
        (*count > limit).then_some(flood)
    }
}

#[cfg(test)]
#[path = "flood/tests.rs"]
mod tests;
