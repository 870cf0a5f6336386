//! Work shared between a fixed number of threads. Results come in order, so the number of threads shows nowhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::message::EngineFailure;

/// `run(0..jobs)` on up to `threads` threads, the caller's included; with one thread or job none is started.
///
/// # Errors
/// The failure of the lowest job; [`EngineFailure::Internal`] where a thread could not be started or panicked.
pub(super) fn parallel<R: Send>(
    threads: usize,
    jobs: usize,
    run: impl Fn(usize) -> Result<R, EngineFailure> + Sync,
) -> Result<Vec<R>, EngineFailure> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return done;
            }
            done.push((job, run(job)));
        }
    };
    let mut done = std::thread::scope(|scope| -> Result<Vec<_>, EngineFailure> {
        let mut others = Vec::new();
        for _ in 1..threads.clamp(1, 64).min(jobs.max(1)) {
            others.push(std::thread::Builder::new().spawn_scoped(scope, work).map_err(|_| EngineFailure::Internal)?);
        }
        let mut done = work();
        for other in others {
            done.extend(other.join().map_err(|_| EngineFailure::Internal)?);
        }
        Ok(done)
    })?;
    done.sort_unstable_by_key(|(job, _)| *job);
    done.into_iter().map(|(_, result)| result).collect()
}
