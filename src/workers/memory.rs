//! The memory that all workers at work may have together, and who gets it next.
//!
//! A worker's share is its role's whole cap, for an escaped worker uses all that it may. Shares are given in the order in which they
//! were asked for, so that a large one is not passed over for ever. Whoever needs several workers at a time takes all their shares
//! in one step: nobody who waits holds anything, and whoever holds ends within the wall time of its workers, so that the first in
//! line always comes on and nothing locks up. Children that wait for work have read nothing and hold next to nothing: they are
//! bounded in number, not counted here.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::limits::Limits;
use protocol::message::WorkerRole;

use super::process::{KillSwitch, WorkerError};

/// Least memory of an engine, however small the machine.
pub const ENGINE_MEMORY_BYTES_MIN: u64 = 1 << 30;
/// Calls (uploads, compilations, replays) that wait for memory at one time; a job's wait is not bounded, for nobody hangs on it.
pub const CALLS_WAITING_MAX: usize = 2;
/// Longest wait of a call.
const CALL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a wait looks whether it was stopped.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who waits for a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A job: waits its turn, until it is stopped.
    Job,
    /// A call that someone holds open: waits a moment, if few do.
    Call,
}

/// Memory of a worker by role, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    engine: u64,
}

/// Memory of the guests of one job: a fold has one that maps blocks and one that updates.
fn guests() -> u64 {
    2 * Limits::STANDARD.memory_bytes_max(WorkerRole::Guest)
}

impl Caps {
    /// What the smallest budget has to hold: the workers of any one job or call.
    pub fn least() -> u64 {
        let l = &Limits::STANDARD;
        let job = ENGINE_MEMORY_BYTES_MIN.saturating_add(guests());
        job.max(l.memory_bytes_max(WorkerRole::Ingest)).max(l.memory_bytes_max(WorkerRole::Compile))
    }

    /// The caps under a budget of `bytes` for all, where `jobs` may be at work at once: an engine gets what lets all of them in,
    /// but no less than [`ENGINE_MEMORY_BYTES_MIN`]; then some wait.
    pub fn within(bytes: u64, jobs: u32) -> Self {
        let l = &Limits::STANDARD;
        let each = bytes / u64::from(jobs.max(1));
        let left = each.saturating_sub(guests());
        Self { engine: left.clamp(ENGINE_MEMORY_BYTES_MIN, l.memory_bytes_max(WorkerRole::Engine)) }
    }

    /// Memory of a worker in `role`.
    pub fn of(&self, role: WorkerRole) -> u64 {
        match role {
            WorkerRole::Engine => self.engine,
            other => Limits::STANDARD.memory_bytes_max(other),
        }
    }
}

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: u64,
    call_wait: Duration,
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Debug)]
struct Line {
    free: u64,
    next: u64,
    waiting: VecDeque<(u64, Patience)>,
}

/// Memory that a worker may use. Given back when dropped: after its worker was reaped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        Self::with(bytes_max, CALL_WAIT_MAX)
    }

    fn with(bytes_max: u64, call_wait: Duration) -> Self {
        let line = Line { free: bytes_max, next: 0, waiting: VecDeque::new() };
        Self(Arc::new(Inner { bytes_max, call_wait, line: Mutex::new(line), moved: Condvar::new() }))
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call that asked now would be turned away without a wait.
    pub fn is_crowded(&self) -> bool {
        self.line().is_crowded()
    }

    /// Shares of these sizes in one step, once all who asked before have theirs. Blocks.
    ///
    /// # Errors
    /// [`WorkerError::Cancelled`] once `switch` is thrown; [`WorkerError::Busy`] for a call that came when
    /// [`CALLS_WAITING_MAX`] waited, or waited too long.
    pub fn take<const N: usize>(&self, sizes: [u64; N], patience: Patience, switch: &KillSwitch) -> Result<[Share; N], WorkerError> {
        let bytes = sizes.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        if bytes > self.0.bytes_max {
            return Err(WorkerError::Busy);
        }
        let until = Instant::now() + self.0.call_wait;
        let mut line = self.line();
        if patience == Patience::Call && line.is_crowded() {
            return Err(WorkerError::Busy);
        }
        let ticket = line.next;
        line.next += 1;
        line.waiting.push_back((ticket, patience));
        let outcome = loop {
            if line.free >= bytes && line.waiting.front().is_some_and(|(first, _)| *first == ticket) {
                line.free -= bytes;
                break Ok(());
            }
            if switch.is_thrown() {
                break Err(WorkerError::Cancelled);
            }
            if patience == Patience::Call && Instant::now() >= until {
                break Err(WorkerError::Busy);
            }
            line = self.0.moved.wait_timeout(line, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        };
        line.waiting.retain(|(n, _)| *n != ticket);
        drop(line);
        // Whoever is first now may have been waiting for this one only.
        self.0.moved.notify_all();
        outcome.map(|()| sizes.map(|bytes| Share { budget: self.clone(), bytes }))
    }

    /// What is not given out, and how many wait.
    #[cfg(test)]
    fn state(&self) -> (u64, usize) {
        let line = self.line();
        (line.free, line.waiting.len())
    }
}

impl Line {
    fn is_crowded(&self) -> bool {
        self.waiting.iter().filter(|(_, patience)| *patience == Patience::Call).count() >= CALLS_WAITING_MAX
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut line = self.budget.line();
        line.free = line.free.saturating_add(self.bytes);
        drop(line);
        self.budget.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const GIB: u64 = 1 << 30;

    #[test]
    fn sixty_four_threads_never_have_more_than_there_is_and_all_come_on() {
        let budget = Budget::new(10 * GIB);
        let (used, most, turns) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..64u64 {
                let (budget, used, most, turns) = (&budget, &used, &most, &turns);
                scope.spawn(move || {
                    let switch = KillSwitch::default();
                    for turn in 0..20 {
                        // Pairs, as a job takes them, and single ones; some as large as all there is.
                        let sizes = [1 + (thread * 31 + turn * 17) % 6, (thread + turn) % 5].map(|n| n * GIB);
                        let held = budget.take(sizes, Patience::Job, &switch).unwrap();
                        let sum = sizes.iter().sum::<u64>();
                        let now = used.fetch_add(sum, Ordering::SeqCst) + sum;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(50));
                        used.fetch_sub(sum, Ordering::SeqCst);
                        drop(held);
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(turns.load(Ordering::SeqCst), 64 * 20);
        assert!((5 * GIB..=10 * GIB).contains(&most.load(Ordering::SeqCst)), "{}", most.load(Ordering::SeqCst));
        assert_eq!(budget.state(), (10 * GIB, 0));
    }

    fn waiting(budget: &Budget, count: usize) {
        while budget.state().1 != count {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_large_share_is_not_passed_over() {
        let budget = Budget::new(4 * GIB);
        let switch = KillSwitch::default();
        let [small] = budget.take([GIB], Patience::Job, &switch).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _held = budget.take([4 * GIB], Patience::Job, &switch).unwrap();
                order.lock().unwrap().push("large");
            });
            waiting(&budget, 1);
            // There is room for it, yet it came later.
            scope.spawn(|| {
                let _held = budget.take([GIB], Patience::Job, &switch).unwrap();
                order.lock().unwrap().push("small");
            });
            waiting(&budget, 2);
            assert_eq!(budget.state(), (3 * GIB, 2));
            drop(small);
        });
        assert_eq!(*order.lock().unwrap(), ["large", "small"]);
        assert_eq!(budget.state(), (4 * GIB, 0));
    }

    #[test]
    fn a_thrown_switch_ends_a_wait_and_lets_the_next_on() {
        let budget = Budget::new(2 * GIB);
        let (switch, other) = (KillSwitch::default(), KillSwitch::default());
        let [held] = budget.take([GIB], Patience::Job, &other).unwrap();
        std::thread::scope(|scope| {
            let stopped = scope.spawn(|| budget.take([2 * GIB], Patience::Job, &switch).map(drop));
            waiting(&budget, 1);
            let next = scope.spawn(|| budget.take([GIB], Patience::Job, &other).map(drop));
            waiting(&budget, 2);
            switch.throw();
            assert!(matches!(stopped.join().unwrap(), Err(WorkerError::Cancelled)));
            next.join().unwrap().unwrap();
        });
        drop(held);
        assert_eq!(budget.state(), (2 * GIB, 0));
    }

    #[test]
    fn a_call_waits_in_a_short_line_only() {
        let wait = Duration::from_millis(1500);
        let budget = Budget::with(GIB, wait);
        let (switch, stop) = (KillSwitch::default(), KillSwitch::default());
        let [held] = budget.take([GIB], Patience::Job, &switch).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..CALLS_WAITING_MAX).map(|_| scope.spawn(|| budget.take([GIB], Patience::Call, &stop).map(drop))).collect();
            waiting(&budget, CALLS_WAITING_MAX);
            assert!(budget.is_crowded());
            let started = Instant::now();
            assert!(matches!(budget.take([1], Patience::Call, &switch), Err(WorkerError::Busy)));
            assert!(started.elapsed() < Duration::from_secs(1));
            stop.throw();
            for waiter in waiters {
                assert!(matches!(waiter.join().unwrap(), Err(WorkerError::Cancelled)));
            }
            assert!(!budget.is_crowded());
            // Alone in line it waits, but not for ever.
            assert!(matches!(budget.take([GIB], Patience::Call, &switch), Err(WorkerError::Busy)));
            assert!(started.elapsed() >= wait);
        });
        drop(held);
        assert!(budget.take([GIB], Patience::Call, &switch).is_ok());
        assert!(matches!(budget.take([GIB + 1], Patience::Job, &switch), Err(WorkerError::Busy)));
    }

    #[test]
    fn caps_let_all_jobs_in_where_they_can_and_one_always() {
        let guest = guests();
        for gib in [4u64, 6, 8, 16, 24, 64, 256] {
            for jobs in [1u32, 2, 4, 16, 64] {
                let (bytes, caps) = (gib * GIB, Caps::within(gib * GIB, jobs));
                let job = caps.of(WorkerRole::Engine) + guest;
                assert!(job <= bytes, "{gib} GiB, {jobs} jobs: {job}");
                assert!(job * u64::from(jobs) <= bytes || caps.of(WorkerRole::Engine) == ENGINE_MEMORY_BYTES_MIN);
                assert!(caps.of(WorkerRole::Engine) <= Limits::STANDARD.engine_memory_bytes_max);
                assert!(caps.of(WorkerRole::Ingest).max(caps.of(WorkerRole::Compile)) <= bytes);
            }
        }
        assert!(Caps::least() <= 4 * GIB);
        assert_eq!(Caps::within(256 * GIB, 1).of(WorkerRole::Engine), Limits::STANDARD.engine_memory_bytes_max);
    }
}
