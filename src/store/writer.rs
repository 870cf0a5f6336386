//! The writing thread: drains its queue, runs each write in its own savepoint, commits once, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use cap_std::fs::File;
use rusqlite::Connection;

use super::StoreError;
use super::db::{CommitHook, Tx, guarded, truncate_wal};

/// Most writes in one commit.
const BATCH_MAX: usize = 256;

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
    _lock: File,
}

impl Writer {
    pub(super) fn new(connection: Connection, queue: Receiver<Message>, poisoned: Arc<AtomicBool>, lock: File) -> Self {
        Self { connection, queue, hook: None, poisoned, _lock: lock }
    }

    /// Serves the queue until every handle is gone.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        while let Ok(first) = self.queue.recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Write(job) => {
                        batch.push(job);
                        if batch.len() < BATCH_MAX {
                            next = self.queue.try_recv().ok();
                        }
                    }
                    Message::Hook(hook) => {
                        self.commit(&mut batch);
                        self.hook = Some(hook);
                    }
                    Message::Truncate(answer) => {
                        self.commit(&mut batch);
                        let _ = answer.send(self.refuse_poisoned().and_then(|()| truncate_wal(&self.connection)));
                    }
                }
            }
            self.commit(&mut batch);
        }
    }

    fn refuse_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::SeqCst) { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        if batch.is_empty() {
            return;
        }
        let fate = match self.refuse_poisoned() {
            Ok(()) => self.transact(batch),
            Err(_) => Fate::Unknown,
        };
        for job in batch.drain(..) {
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
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Fate {
        match self.run_batch(batch) {
            Ok(0) => self.undo(None),
            Ok(_) => match self.connection.execute_batch("COMMIT") {
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

    /// Runs every write in its savepoint, then the hook; how many are to be kept.
    fn run_batch(&mut self, batch: &mut [Box<dyn Job>]) -> Result<usize, StoreError> {
        let connection = &self.connection;
        let step = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(|_| ());
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let tx = Tx(connection);
        let mut kept = 0;
        for job in batch {
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
