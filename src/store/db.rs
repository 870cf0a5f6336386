//! The state database: SQLite with one writing thread that commits in groups, and a small pool of readers.
//!
//! A write answers its caller only after the fsync of the commit that holds it. Whatever waits is committed together, each
//! write in its own savepoint, so that one that fails undoes itself only. A commit that fails is never tried again: what is on
//! disk is then unknown, so every further write is refused until a restart has recovered the database.
//!
//! SQLite opens by path, so this is the one place where the file system is reached past cap-std: the path leads through
//! `/proc/self/fd/` of the held state directory, so the database is the one in that directory and in no other.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cap_std::fs::{Dir, File};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::roots::create_private;
use super::writer::{Message, Task, Writer};
use super::{Roots, StoreError};

const FILE: &str = "fusebox.db";
const LOCK: &str = "lock";
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(50);
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that bring one module's tables from one form to the next. Applied once, in the order of the list, and recorded
/// with a digest: an applied migration is never changed, a new one is added.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Unique name, for example `tlog-1`.
    pub name: &'static str,
    /// SQL statements.
    pub sql: &'static str,
}

/// An open transaction of the writing thread. Dereferences to the connection, so that what reads takes `&Connection` and
/// serves both inside and outside a write.
pub struct Tx<'a>(pub(super) &'a Connection);

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

/// Called around every commit, on the writing thread. The release log signs its checkpoint here, once a batch.
///
/// A write that fails alone is undone without a call here: what a batch holds is read from `tx`, never remembered by writes.
pub trait CommitHook: Send {
    /// Inside the transaction, after the last write of the batch. An error rolls the whole batch back.
    fn before_commit(&mut self, tx: &Tx<'_>) -> Result<(), StoreError>;
    /// After the commit is durable, before any caller is answered. After an error nobody is told that its write was kept, and every
    /// further write is refused until a restart.
    fn after_commit(&mut self) -> Result<(), StoreError>;
    /// After a batch was rolled back: whatever the hook remembered of it must be forgotten.
    fn after_rollback(&mut self);
}

/// Handle to the database. Clones share it; the last one to go waits for the writing thread to end.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    /// `None` only while dropping.
    queue: Option<Sender<Message>>,
    writer: Option<JoinHandle<()>>,
    readers: Readers,
    poisoned: Arc<AtomicBool>,
}

/// A handle that does not keep the database open: for threads that serve it.
#[derive(Clone)]
pub struct WeakDb(std::sync::Weak<Inner>);

impl WeakDb {
    /// The database, while someone holds it.
    pub fn upgrade(&self) -> Option<Db> {
        self.0.upgrade().map(Db)
    }
}

impl Db {
    /// A handle that does not keep it open.
    pub fn downgrade(&self) -> WeakDb {
        WeakDb(Arc::downgrade(&self.0))
    }

    /// Opens the database in `roots`, making it where absent, and applies `migrations` (after the store's own).
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process has it open, [`StoreError::Version`] where another version made it.
    pub fn open(roots: &Roots, migrations: &[Migration], readers: usize) -> Result<Self, StoreError> {
        let lock = lock(roots.state())?;
        match create_private(roots.state(), FILE) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e.into()),
            _ => {}
        }
        // SQLite resolves the link while it opens; the descriptor need not outlive that.
        let path = PathBuf::from(format!("/proc/self/fd/{}", roots.state().as_raw_fd())).join(FILE);
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let own = Migration { name: "store-1", sql: include_str!("schema.sql") };
        migrate(&mut connection, std::iter::once(&own).chain(migrations))?;
        // Of an earlier run, with pages that this one may have been asked to forget.
        truncate_wal(&connection)?;
        let pool = (0..readers.clamp(1, 64)).map(|_| connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)).collect::<Result<Vec<_>, _>>()?;

        let poisoned = Arc::new(AtomicBool::new(false));
        let (queue, jobs) = std::sync::mpsc::channel();
        let writer = Writer::new(connection, jobs, Arc::clone(&poisoned), lock)?;
        let writer = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())?;
        let readers = Readers { idle: Mutex::new(pool), freed: Condvar::new() };
        Ok(Self(Arc::new(Inner { queue: Some(queue), writer: Some(writer), readers, poisoned })))
    }

    /// Installs the hook, in place of any earlier one, for every write submitted after this call.
    pub fn install_hook(&self, hook: Box<dyn CommitHook>) -> Result<(), StoreError> {
        self.send(Message::Hook(hook))
    }

    /// Runs `f` in a savepoint of the next group commit and answers after it is durable. `f` runs on the writing thread: it
    /// must not wait for anything, least of all for another write.
    ///
    /// A caller that stops waiting does not stop the write.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.send(Message::Write(Task::boxed(f, move |result| drop(answer.send(result)))))?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// [`Db::write`] for threads that are not asynchronous.
    pub fn write_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = sync_channel(1);
        self.send(Message::Write(Task::boxed(f, move |result| drop(answer.send(result)))))?;
        answered.recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs `f` on a read-only connection, in one snapshot of what was committed.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let db = self.clone();
        let run = tokio::task::spawn_blocking(move || db.read_blocking(f));
        run.await.unwrap_or_else(|_| Err(StoreError::Fault.into()))
    }

    /// [`Db::read`] for threads that are not asynchronous.
    pub fn read_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: FnOnce(&Connection) -> Result<T, E>,
    {
        let lease = self.0.readers.lease();
        let connection = lease.0.as_ref().ok_or(StoreError::Closed)?;
        connection.execute_batch("BEGIN").map_err(StoreError::from)?;
        f(connection)
    }

    /// Copies everything committed into the database file and empties the write-ahead log, so that pages overwritten or
    /// deleted (`secure_delete` zeroes them) stand in no file of the store. Waits up to ten seconds for readers.
    pub fn truncate_wal_blocking(&self) -> Result<(), StoreError> {
        let (answer, answered): (SyncSender<Result<(), StoreError>>, _) = sync_channel(1);
        self.send(Message::Truncate(answer))?;
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Whether a commit failed, so that writes are refused until a restart.
    pub fn poisoned(&self) -> bool {
        self.0.poisoned.load(Ordering::SeqCst)
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        if self.poisoned() {
            return Err(StoreError::Poisoned);
        }
        self.0.queue.as_ref().and_then(|q| q.send(message).ok()).ok_or(StoreError::Closed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            // What was submitted is still written; then the thread ends and lets go of the lock.
            let _ = writer.join();
        }
    }
}

struct Readers {
    idle: Mutex<Vec<Connection>>,
    freed: Condvar,
}

impl Readers {
    fn lease(&self) -> Lease<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self.freed.wait_while(idle, |c| c.is_empty()).unwrap_or_else(PoisonError::into_inner);
        Lease(idle.pop(), self)
    }
}

/// A reader on loan; goes back when dropped, its snapshot ended.
struct Lease<'a>(Option<Connection>, &'a Readers);

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a reader could not end its snapshot");
            }
            self.1.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            self.1.freed.notify_one();
        }
    }
}

/// Runs code that is not ours to trust with the thread: a panic becomes `None`.
pub(super) fn guarded<T>(f: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

/// Holds the data directory for this process; let go when the file is closed, also by a crash.
fn lock(state: &Dir) -> Result<File, StoreError> {
    let file = match create_private(state, LOCK) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => state.open(LOCK)?,
        other => other?,
    };
    // A process that is just ending, or a handle of our own that a thread lets go of, is waited for.
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_WAIT),
            other => return other.map(|()| file).map_err(|e| StoreError::Io(e.into())),
        }
    }
    Err(StoreError::InUse)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Else a statement that compares with a parameter is compiled anew at each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Sorts and temporary tables in memory: no file of SQLite's own lies outside the state directory.
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;")?;
    if mode.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if journal != "wal" {
            return Err(StoreError::Malformed("the database cannot be put into write-ahead mode"));
        }
        // The cache holds a whole batch (KiB): what does not fit is written to the log page by page before its commit.
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768;")?;
    } else {
        connection.execute_batch("PRAGMA query_only = ON;")?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

fn migrate<'m>(connection: &mut Connection, list: impl Iterator<Item = &'m Migration>) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch("CREATE TABLE IF NOT EXISTS migration (name TEXT NOT NULL PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID")?;
    let mut known: i64 = 0;
    for migration in list {
        let digest = ring::digest::digest(&ring::digest::SHA256, migration.sql.as_bytes());
        let applied: Option<Vec<u8>> =
            tx.query_row("SELECT digest FROM migration WHERE name = ?1", [migration.name], |row| row.get(0)).optional()?;
        match applied {
            Some(applied) if applied == digest.as_ref() => {}
            Some(_) => return Err(StoreError::Version(format!("migration {} was changed", migration.name))),
            None => {
                tx.execute_batch(migration.sql)?;
                tx.execute("INSERT INTO migration VALUES (?1, ?2)", (migration.name, digest.as_ref()))?;
            }
        }
        known += 1;
    }
    let applied: i64 = tx.query_row("SELECT count(*) FROM migration", [], |row| row.get(0))?;
    if applied != known {
        return Err(StoreError::Version(format!("{applied} migrations are applied, {known} are known")));
    }
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    Ok(())
}

pub(super) fn truncate_wal(connection: &Connection) -> Result<(), StoreError> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(StoreError::Batch("a reader held the write-ahead log".into())) }
}

#[cfg(test)]
mod tests;
