//! The writing thread: drains its queue, runs each write in its own savepoint, commits once, answers.
//!
//! What comes while a batch runs joins it, for a sync costs more than a write. The write-ahead log is copied into the database (two syncs
//! more) not within a commit, as SQLite would do by itself, but when nobody has written for a moment, or the log is long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use cap_std::fs::File;
use rusqlite::Connection;

use super::StoreError;
use super::db::{CommitHook, Tx, guarded, truncate_wal};

/// Most writes in one commit.
const BATCH_MAX: usize = 256;
/// Pages of the write-ahead log after which it is copied between two commits: 64 MiB.
const WAL_PAGES_MAX: i32 = 16_384;
/// So long without a write, and it is copied.
const IDLE: Duration = Duration::from_millis(100);

/// What the writing thread is asked for.
pub(super) enum Message {
    /// A write.
    Write(Box<dyn Job>),
    /// A hook for the commits to come.
    Hook(Box<dyn CommitHook>),
    /// Empty the write-ahead log.
    Truncate(SyncSender<Result<(), StoreError>>),
}

/// One write, its types forgotten.
pub(super) trait Job: Send {
    /// Runs it; whether it is to be kept.
    fn run(&mut self, tx: &Tx<'_>) -> bool;
    /// Tells the caller. `batch` is the fate of what was to be kept.
    fn answer(self: Box<Self>, batch: Result<(), StoreError>);
}

/// A closure, then its result, and whom to tell.
pub(super) struct Task<T, E, F, A> {
    closure: Option<F>,
    result: Option<Result<T, E>>,
    tell: A,
}

impl<T, E, F, A> Task<T, E, F, A>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    A: FnOnce(Result<T, E>) + Send + 'static,
{
    pub(super) fn boxed(closure: F, tell: A) -> Box<dyn Job> {
        Box::new(Self { closure: Some(closure), result: None, tell })
    }
}

impl<T, E, F, A> Job for Task<T, E, F, A>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnOnce(&Tx<'_>) -> Result<T, E> + Send,
    A: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> bool {
        let result = self.closure.take().and_then(|closure| guarded(|| closure(tx)));
        let result = result.unwrap_or_else(|| Err(StoreError::Fault.into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, batch: Result<(), StoreError>) {
        let Self { result, tell, .. } = *self;
        tell(match (batch, result) {
            (_, Some(Err(own))) => Err(own),
            (Err(fate), _) => Err(fate.into()),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(StoreError::Fault.into()),
        });
    }
}

/// What became of a batch.
enum Fate {
    Kept,
    /// Rolled back; the cause, for the log.
    Undone(String),
    /// The commit failed.
    Unknown,
}

/// The thread's own state. The lock on the data directory lives as long as its connection.
pub(super) struct Writer {
    connection: Connection,
    queue: Receiver<Message>,
    hook: Option<Box<dyn CommitHook>>,
    poisoned: Arc<AtomicBool>,
    /// Pages of the write-ahead log, as the last commit left it.
    wal_pages: Arc<AtomicI32>,
    /// How many of them there were when it was last copied.
    wal_copied: i32,
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        queue: Receiver<Message>,
        poisoned: Arc<AtomicBool>,
        lock: File,
    ) -> Result<Self, StoreError> {
        let wal_pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&wal_pages);
        // In place of SQLite's own hook, which copies.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(pages, Ordering::SeqCst);
            Ok(())
        }))?;
        Ok(Self { connection, queue, hook: None, poisoned, wal_pages, wal_copied: 0, _lock: lock })
    }

    /// Serves the queue until every handle is gone.
    pub(super) fn run(mut self) {
        let mut carried = None;
        while let Some(message) = carried.take().or_else(|| self.wait()) {
            match message {
                Message::Write(first) => {
                    carried = self.commit(first);
                    if self.uncopied() >= WAL_PAGES_MAX {
                        self.copy_wal();
                    }
                }
                Message::Hook(hook) => self.hook = Some(hook),
                Message::Truncate(answer) => {
                    let _ = answer.send(self.refuse_poisoned().and_then(|()| truncate_wal(&self.connection)));
                    self.wal_copied = self.wal_pages.load(Ordering::SeqCst);
                }
            }
        }
    }

    /// The next message; `None` when no handle is left.
    fn wait(&mut self) -> Option<Message> {
        if self.uncopied() > 0 {
            match self.queue.recv_timeout(IDLE) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.copy_wal(),
            }
        }
        self.queue.recv().ok()
    }

    /// Pages of the write-ahead log that came since it was copied.
    fn uncopied(&mut self) -> i32 {
        let pages = self.wal_pages.load(Ordering::SeqCst);
        if pages < self.wal_copied {
            // All of it had been copied, and a commit began it anew.
            self.wal_copied = 0;
        }
        pages - self.wal_copied
    }

    /// Copies the write-ahead log into the database, as far as no reader needs it.
    fn copy_wal(&mut self) {
        if self.refuse_poisoned().is_err() {
            return;
        }
        self.wal_copied = self.wal_pages.load(Ordering::SeqCst);
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            // After a sync that failed a second one may say that all is well.
            if error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC) {
                self.poison(&format!("copying the write-ahead log failed: {error}"));
            } else {
                tracing::error!(%error, "the write-ahead log could not be copied; nothing is lost, it grows");
            }
        }
    }

    fn refuse_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::SeqCst) { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    /// Commits `first` with what comes meanwhile; the message that came and is no write.
    fn commit(&mut self, first: Box<dyn Job>) -> Option<Message> {
        let (mut batch, mut carried) = (vec![first], None);
        let fate = match self.refuse_poisoned() {
            Ok(()) => self.transact(&mut batch, &mut carried),
            Err(_) => Fate::Unknown,
        };
        for job in batch {
            let told = guarded(|| {
                job.answer(match &fate {
                    Fate::Kept => Ok(()),
                    Fate::Undone(cause) => Err(StoreError::Batch(cause.clone())),
                    Fate::Unknown => Err(StoreError::Poisoned),
                });
            });
            if told.is_none() {
                tracing::error!("a caller could not be told of its write");
            }
        }
        carried
    }

    fn transact(&mut self, batch: &mut Vec<Box<dyn Job>>, carried: &mut Option<Message>) -> Fate {
        match self.run_batch(batch, carried) {
            Ok(0) => self.undo(None),
            Ok(_) => match step(&self.connection, "COMMIT") {
                Ok(()) => {
                    // What is on disk is sound, what the hook believes or remembers is not.
                    match guarded(|| self.hook.as_mut().map_or(Ok(()), |hook| hook.after_commit())) {
                        Some(Ok(())) => Fate::Kept,
                        failed => {
                            let cause = failed.and_then(Result::err).map_or_else(|| "a fault".to_owned(), |e| e.log_text());
                            self.poison(&format!("the hook after a commit failed: {cause}"));
                            Fate::Unknown
                        }
                    }
                }
                Err(error) => {
                    self.poison(&format!("commit failed: {error}"));
                    let _ = self.undo(None);
                    Fate::Unknown
                }
            },
            Err(error) => self.undo(Some(error.log_text())),
        }
    }

    /// Runs every write in its savepoint, those too that come meanwhile, then the hook; how many are to be kept.
    fn run_batch(&mut self, batch: &mut Vec<Box<dyn Job>>, carried: &mut Option<Message>) -> Result<usize, StoreError> {
        let connection = &self.connection;
        let step = |sql| step(connection, sql);
        step("BEGIN IMMEDIATE")?;
        let tx = Tx(connection);
        let (mut kept, mut at) = (0, 0);
        while let Some(job) = batch.get_mut(at) {
            step("SAVEPOINT job")?;
            let keep = job.run(&tx);
            if connection.is_autocommit() {
                // A full disk or a failed read makes SQLite roll back by itself.
                return Err(StoreError::Malformed("the transaction ended within a write"));
            }
            if keep {
                kept += 1;
            } else {
                step("ROLLBACK TO job")?;
            }
            step("RELEASE job")?;
            at += 1;
            if at == batch.len() && at < BATCH_MAX {
                match self.queue.try_recv() {
                    Ok(Message::Write(job)) => batch.push(job),
                    other => *carried = other.ok(),
                }
            }
        }
        if let (Some(hook), true) = (&mut self.hook, kept > 0) {
            guarded(|| hook.before_commit(&tx)).unwrap_or(Err(StoreError::Fault))?;
        }
        Ok(kept)
    }

    /// Rolls back. `cause` is `None` where no write was to be kept, so that nobody needs to be told.
    fn undo(&mut self, cause: Option<String>) -> Fate {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            self.poison(&format!("rollback failed: {error}"));
        }
        if guarded(|| self.hook.iter_mut().for_each(|hook| hook.after_rollback())).is_none() {
            self.poison("the hook after a rollback failed");
        }
        match cause {
            None => Fate::Kept,
            Some(cause) => {
                tracing::error!(cause, "a batch of writes was rolled back");
                Fate::Undone(cause)
            }
        }
    }

    fn poison(&self, cause: &str) {
        self.poisoned.store(true, Ordering::SeqCst);
        tracing::error!(cause, "the store refuses writes until it is restarted");
    }
}

fn step(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
