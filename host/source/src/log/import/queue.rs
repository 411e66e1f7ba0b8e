//! Parsed events that wait to be stored, bounded in bytes.

use super::handover::Handover;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// A queue with one sender and one receiver. A mutex and a condition variable, because the bound is in bytes.
pub(super) struct Queue {
    /// Most bytes that wait, unless it is one handover alone.
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Handover>,
    bytes: usize,
    /// Whether nothing will follow.
    ended: bool,
    /// Whether nobody takes anything any more.
    closed: bool,
}

/// The sender; when it is dropped, nothing follows.
pub(super) struct Sender<'q>(&'q Queue);

/// The receiver; when it is dropped, nobody takes anything any more.
pub(super) struct Receiver<'q>(&'q Queue);

impl Queue {
    pub(super) fn new(most: usize) -> Queue {
        Queue { most, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Its two ends.
    pub(super) fn ends(&self) -> (Sender<'_>, Receiver<'_>) {
        (Sender(self), Receiver(self))
    }

    /// No invariant spans a panic here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender<'_> {
    /// Waits for room, then sends. `false` where nobody takes it any more.
    pub(super) fn send(&self, handover: Handover) -> bool {
        let bytes = handover.bytes();
        let mut state = self.0.lock();
        while !state.closed && state.bytes > 0 && state.bytes + bytes > self.0.most {
            state = self.0.wait(state);
        }
        if !state.closed {
            state.bytes += bytes;
            state.waiting.push_back(handover);
            self.0.changed.notify_all();
        }
        !state.closed
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Iterator for Receiver<'_> {
    type Item = Handover;

    fn next(&mut self) -> Option<Handover> {
        let mut state = self.0.lock();
        while state.waiting.is_empty() && !state.ended {
            state = self.0.wait(state);
        }
        let handover = state.waiting.pop_front()?;
        state.bytes -= handover.bytes();
        self.0.changed.notify_all();
        Some(handover)
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: usize) -> Handover {
        let handover = Handover { contents: vec![0; bytes], ..Handover::default() };
        assert_eq!(handover.bytes(), bytes);
        handover
    }

    #[test]
    fn no_more_bytes_wait_than_may() {
        const COUNT: usize = 200;
        let queue = Queue::new(100);
        std::thread::scope(|scope| {
            let (sender, mut receiver) = queue.ends();
            scope.spawn(move || assert!((0..COUNT).all(|_| sender.send(of(30)))));
            for taken in 0..COUNT {
                // As many wait as there is room for.
                let wanted = (COUNT - taken).min(3) * 30;
                loop {
                    let bytes = queue.lock().bytes;
                    assert!(bytes <= 100, "{bytes} bytes wait");
                    if bytes == wanted {
                        break;
                    }
                    std::thread::yield_now();
                }
                assert_eq!(receiver.next().map(|handover| handover.bytes()), Some(30));
            }
            assert!(receiver.next().is_none());
        });
    }

    #[test]
    fn what_is_larger_waits_alone() {
        let queue = Queue::new(100);
        let (sender, mut receiver) = queue.ends();
        assert!(sender.send(of(1000)));
        assert_eq!(receiver.next().map(|handover| handover.bytes()), Some(1000));
        assert!(sender.send(of(1)));
        drop(sender);
        assert!(receiver.next().is_some() && receiver.next().is_none());
    }

    #[test]
    fn nobody_waits_for_a_receiver_that_is_gone() {
        let queue = Queue::new(100);
        std::thread::scope(|scope| {
            let (sender, receiver) = queue.ends();
            let sent = scope.spawn(move || (0..10).take_while(|_| sender.send(of(60))).count());
            drop(receiver);
            assert!(sent.join().unwrap() < 10);
        });
    }
}
