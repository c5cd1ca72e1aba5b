//! Threads that wait for parts of a run's work, nearer at hand than a pool's: between two steps of a network there are
//! microseconds, and waking a thread that sleeps takes tens of them.
//!
//! One thread has work at a time and publishes it as a *turn* of some parts. It takes parts itself until there are none
//! left, so that a turn ends even if nobody helps. Who helps watches for the next turn for a while, and then sleeps.

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How often a thread looks for a turn before it sleeps: some hundreds of microseconds.
const LOOKS: usize = 1 << 12;

/// The most parts of a turn.
const MOST_PARTS: usize = u16::MAX as usize;

/// What is done with each part of a turn.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// The threads that help, and the turn that they help with.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// The turn's number, its parts, and the part that is next: 32, 16 and 16 bits. In one number, so that whoever takes
    /// a part takes it of the turn that it has seen.
    state: AtomicU64,
    /// The `Work` of the turn, which lives until all parts are done.
    work: AtomicPtr<()>,
    /// The parts of the turn that are done.
    done: AtomicUsize,
    /// What the first part that panicked did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether somebody uses the crew.
    is_taken: AtomicBool,
    /// Whether the threads are to end.
    is_over: AtomicBool,
    asleep: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

/// The right to publish turns, which one has at a time.
#[derive(Debug)]
pub(super) struct Lead<'a>(&'a Crew);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
    }
}

impl Crew {
    /// The right to publish turns, unless somebody has it.
    pub fn lead(&self) -> Option<Lead<'_>> {
        (!self.is_taken.swap(true, Ordering::Acquire)).then_some(Lead(self))
    }

    /// Helps with all turns until [`end`](Crew::end).
    pub fn help(&self) {
        let mut looks = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            if self.take_part() {
                looks = 0;
            } else if looks < LOOKS {
                looks += 1;
                spin_loop();
            } else {
                self.sleep();
                looks = 0;
            }
        }
    }

    /// Lets the threads that help end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Waits for a turn with parts that nobody has taken, or the end.
    fn sleep(&self) {
        let mut bed = lock(&self.bed);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // Whoever publishes a turn from here on sees that somebody sleeps.
        while !self.is_over.load(Ordering::SeqCst) && Turn::of(self.state.load(Ordering::SeqCst)).is_empty() {
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.bed));
            self.bell.notify_all();
        }
    }

    /// Takes the next part of the turn and does it; whether there was one.
    fn take_part(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        let turn = Turn::of(state);
        if turn.is_empty()
            || self.state.compare_exchange(state, state + 1, Ordering::SeqCst, Ordering::Relaxed).is_err()
        {
            return false;
        }
        // SAFETY: the turn was published after its work, which is there until this part is done too.
        let work: Work<'_> = unsafe { *self.work.load(Ordering::SeqCst).cast::<Work<'_>>() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(turn.next))) {
            lock(&self.panic).get_or_insert(panic);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        true
    }
}

impl Lead<'_> {
    /// Calls `work` with every number below `parts`, together with the threads that help.
    ///
    /// # Panics
    /// Where `work` does, after all parts.
    pub fn turn(&self, parts: usize, work: Work<'_>) {
        let crew = self.0;
        for first in (0..parts).step_by(MOST_PARTS) {
            let count = MOST_PARTS.min(parts - first);
            let part = |part: usize| work(first + part);
            let part: Work<'_> = &part;
            crew.work.store(ptr::from_ref(&part).cast_mut().cast(), Ordering::SeqCst);
            crew.done.store(0, Ordering::SeqCst);
            let number = (crew.state.load(Ordering::SeqCst) >> 32).wrapping_add(1);
            crew.state.store(number << 32 | (count as u64) << 16, Ordering::SeqCst);
            crew.wake();
            while crew.take_part() {}
            while crew.done.load(Ordering::SeqCst) < count {
                // What another thread began is not taken back.
                crew.take_part();
                spin_loop();
            }
        }
        if let Some(panic) = lock(&crew.panic).take() {
            resume_unwind(panic);
        }
    }
}

/// A turn as it is seen.
struct Turn {
    parts: usize,
    next: usize,
}

impl Turn {
    fn of(state: u64) -> Turn {
        Turn { parts: (state >> 16) as u16 as usize, next: state as u16 as usize }
    }

    /// Whether all parts are taken.
    fn is_empty(&self) -> bool {
        self.next >= self.parts
    }
}

/// What a mutex guards; nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn with_helpers<R>(count: usize, test: impl FnOnce(&Crew) -> R) -> R {
        let crew = Crew::default();
        thread::scope(|scope| {
            (0..count).for_each(|_| drop(scope.spawn(|| crew.help())));
            let result = catch_unwind(AssertUnwindSafe(|| test(&crew)));
            crew.end();
            result.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[test]
    fn every_part_of_every_turn_is_done_once() {
        for helpers in [0, 1, 3] {
            with_helpers(helpers, |crew| {
                let lead = crew.lead().unwrap();
                for turn in 0..3000 {
                    let parts = turn % 7;
                    let done: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                    lead.turn(parts, &|part| {
                        done[part].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                }
            });
        }
    }

    #[test]
    fn more_parts_than_a_turn_has_are_several_turns() {
        with_helpers(1, |crew| {
            let (parts, sum) = (2 * MOST_PARTS + 5, AtomicUsize::new(0));
            crew.lead().unwrap().turn(parts, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), parts * (parts - 1) / 2);
        });
    }

    #[test]
    fn threads_that_slept_help_again() {
        with_helpers(1, |crew| {
            let lead = crew.lead().unwrap();
            while crew.asleep.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            let caller = thread::current().id();
            // The first part ends only once somebody else has begun the second.
            let begun = AtomicUsize::new(0);
            lead.turn(2, &|_| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            });
            assert_eq!(thread::current().id(), caller);
        });
    }

    #[test]
    fn one_leads_at_a_time() {
        let crew = Crew::default();
        let lead = crew.lead().unwrap();
        assert!(crew.lead().is_none());
        drop(lead);
        assert!(crew.lead().is_some());
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_parts() {
        with_helpers(2, |crew| {
            let lead = crew.lead().unwrap();
            let done = AtomicUsize::new(0);
            let work = |part| {
                assert_ne!(part, 3, "a part that panics");
                done.fetch_add(1, Ordering::SeqCst);
            };
            assert!(catch_unwind(AssertUnwindSafe(|| lead.turn(8, &work))).is_err());
            assert_eq!(done.load(Ordering::SeqCst), 7);
            lead.turn(3, &work);
            assert_eq!(done.into_inner(), 10);
        });
    }
}
