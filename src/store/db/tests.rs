use super::*;
use crate::store::testing::TempDir;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

const TABLES: &[Migration] = &[Migration {
    name: "test-1",
    sql: "CREATE TABLE item (n INTEGER PRIMARY KEY) STRICT;
          CREATE TABLE child (n INTEGER REFERENCES item(n) DEFERRABLE INITIALLY DEFERRED) STRICT;",
}];

fn open(temp: &TempDir) -> Db {
    Db::open(&temp.roots(), TABLES, 2).unwrap()
}

fn insert(tx: &Tx<'_>, n: i64) -> Result<(), StoreError> {
    tx.execute("INSERT INTO item VALUES (?1)", [n])?;
    Ok(())
}

fn items(c: &Connection) -> Result<Vec<i64>, StoreError> {
    let mut statement = c.prepare("SELECT n FROM item ORDER BY n")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Counts, and fails when told to.
#[derive(Default)]
struct Hook {
    commits: Arc<AtomicUsize>,
    rollbacks: Arc<AtomicUsize>,
    fail: Arc<AtomicBool>,
    forget: Arc<AtomicBool>,
}

impl CommitHook for Hook {
    fn before_commit(&mut self, _: &Tx<'_>) -> Result<(), StoreError> {
        if self.fail.load(Ordering::SeqCst) { Err(StoreError::Fault) } else { Ok(()) }
    }
    fn after_commit(&mut self) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        if self.forget.load(Ordering::SeqCst) { Err(StoreError::Fault) } else { Ok(()) }
    }
    fn after_rollback(&mut self) {
        self.rollbacks.fetch_add(1, Ordering::SeqCst);
    }
}

/// Holds the writing thread until the barrier opens, so that what comes after waits together.
fn hold(db: &Db) -> Arc<Barrier> {
    let barrier = Arc::new(Barrier::new(2));
    let (db, inside) = (db.clone(), Arc::clone(&barrier));
    let started = Arc::new(Barrier::new(2));
    let begun = Arc::clone(&started);
    std::thread::spawn(move || {
        db.write_blocking(move |_| {
            begun.wait();
            inside.wait();
            Ok::<_, StoreError>(())
        })
    });
    started.wait();
    barrier
}

#[test]
fn a_group_commits_once_and_each_failure_undoes_itself_only() {
    let (temp, hook) = (TempDir::create(), Hook::default());
    let db = open(&temp);
    let commits = Arc::clone(&hook.commits);
    db.install_hook(Box::new(hook)).unwrap();
    let gate = hold(&db);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let results = runtime.block_on(async {
        let writes: Vec<_> = (0..20)
            .map(|n| {
                let db = db.clone();
                let (answer, answered) = tokio::sync::oneshot::channel();
                // Submitted here, in order; awaited below.
                let job = Task::boxed(
                    move |tx: &Tx<'_>| {
                        insert(tx, n)?;
                        match n {
                            3 => Err(StoreError::NoKey),
                            4 => panic!("a fault"),
                            5 => insert(tx, 0),
                            _ => Ok(()),
                        }
                    },
                    move |r| drop(answer.send(r)),
                );
                db.send(Message::Write(job)).unwrap();
                answered
            })
            .collect();
        gate.wait();
        let mut results = Vec::new();
        for write in writes {
            results.push(write.await.unwrap());
        }
        results
    });
    assert!(matches!(results[3], Err(StoreError::NoKey)));
    assert!(matches!(results[4], Err(StoreError::Fault)));
    assert!(matches!(results[5], Err(StoreError::Sqlite(_))));
    let kept: Vec<i64> = (0..20).filter(|n| !(3..=5).contains(n)).collect();
    assert!(kept.iter().all(|n| results[*n as usize].is_ok()));
    assert_eq!(db.read_blocking(items).unwrap(), kept);
    // What came while the held write ran joined it.
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    assert!(!db.poisoned());
}

#[test]
fn a_hook_that_fails_undoes_the_batch_and_the_next_goes_through() {
    let (temp, hook) = (TempDir::create(), Hook::default());
    let db = open(&temp);
    let (fail, commits, rollbacks) = (Arc::clone(&hook.fail), Arc::clone(&hook.commits), Arc::clone(&hook.rollbacks));
    db.install_hook(Box::new(hook)).unwrap();
    fail.store(true, Ordering::SeqCst);
    assert!(matches!(db.write_blocking(|tx| insert(tx, 1)), Err(StoreError::Batch(_))));
    fail.store(false, Ordering::SeqCst);
    db.write_blocking(|tx| insert(tx, 2)).unwrap();
    assert_eq!(db.read_blocking(items).unwrap(), [2]);
    assert_eq!((commits.load(Ordering::SeqCst), rollbacks.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn what_is_committed_and_not_remembered_is_told_to_nobody() {
    let (temp, hook) = (TempDir::create(), Hook::default());
    let db = open(&temp);
    let forget = Arc::clone(&hook.forget);
    db.install_hook(Box::new(hook)).unwrap();
    db.write_blocking(|tx| insert(tx, 1)).unwrap();
    forget.store(true, Ordering::SeqCst);
    assert!(matches!(db.write_blocking(|tx| insert(tx, 2)), Err(StoreError::Poisoned)));
    assert!(db.poisoned());
    assert!(matches!(db.write_blocking(|tx| insert(tx, 3)), Err(StoreError::Poisoned)));
    drop(db);
    assert_eq!(open(&temp).read_blocking(items).unwrap(), [1, 2], "it was durable, as the next start finds");
}

#[test]
fn a_failed_commit_poisons_until_reopened() {
    let temp = TempDir::create();
    let db = open(&temp);
    db.write_blocking(|tx| insert(tx, 1)).unwrap();
    // A deferred constraint passes its savepoint and fails at the commit.
    let failed = db.write_blocking(|tx| {
        tx.execute("INSERT INTO child VALUES (99)", [])?;
        Ok::<_, StoreError>(())
    });
    assert!(matches!(failed, Err(StoreError::Poisoned)));
    assert!(db.poisoned());
    assert!(matches!(db.write_blocking(|tx| insert(tx, 2)), Err(StoreError::Poisoned)));
    assert!(matches!(db.truncate_wal_blocking(), Err(StoreError::Poisoned)));
    assert_eq!(db.read_blocking(items).unwrap(), [1]);
    drop(db);
    let db = open(&temp);
    db.write_blocking(|tx| insert(tx, 2)).unwrap();
    assert_eq!(db.read_blocking(items).unwrap(), [1, 2]);
}

#[test]
fn readers_see_what_is_committed_and_one_snapshot_each_and_cannot_write() {
    let temp = TempDir::create();
    let db = open(&temp);
    let inner = db.clone();
    db.write_blocking(move |tx| {
        insert(tx, 1)?;
        // Another connection, while the write is open.
        assert_eq!(inner.read_blocking(items)?, [0_i64; 0]);
        assert_eq!(items(tx)?, [1]);
        Ok::<_, StoreError>(())
    })
    .unwrap();
    let writer = db.clone();
    db.read_blocking(|c| {
        assert_eq!(items(c)?, [1]);
        writer.write_blocking(|tx| insert(tx, 2))?;
        assert_eq!(items(c)?, [1], "the snapshot stands still");
        assert!(c.execute("INSERT INTO item VALUES (3)", []).is_err());
        Ok::<_, StoreError>(())
    })
    .unwrap();
    assert_eq!(db.read_blocking(items).unwrap(), [1, 2]);
}

#[test]
fn asynchronous_calls_answer_and_a_caller_that_leaves_does_not_undo() {
    let temp = TempDir::create();
    let db = open(&temp);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
        db.write(|tx| insert(tx, 1)).await.unwrap();
        assert_eq!(db.read(items).await.unwrap(), [1]);
        let mut gone = Box::pin(db.write(|tx| insert(tx, 2)));
        // Polled once, so submitted; then dropped.
        std::future::poll_fn(|cx| {
            let _ = gone.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        drop(gone);
        db.write(|tx| insert(tx, 3)).await.unwrap();
        assert_eq!(db.read(items).await.unwrap(), [1, 2, 3]);
        let panicked = db.read(|_| -> Result<(), StoreError> { panic!("a fault") }).await;
        assert!(matches!(panicked, Err(StoreError::Fault)));
        for _ in 0..5 {
            assert_eq!(db.read(items).await.unwrap().len(), 3, "the reader that met a fault came back");
        }
    });
}

#[test]
fn one_process_at_a_time_and_the_lock_ends_with_the_handle() {
    let temp = TempDir::create();
    let db = open(&temp);
    assert!(matches!(Db::open(&temp.roots(), TABLES, 1), Err(StoreError::InUse)));
    drop(db);
    drop(open(&temp));
}

#[test]
fn migrations_apply_once_and_another_version_is_refused() {
    let temp = TempDir::create();
    drop(open(&temp));
    let two = [TABLES[0], Migration { name: "test-2", sql: "ALTER TABLE item ADD COLUMN note TEXT" }];
    let db = Db::open(&temp.roots(), &two, 1).unwrap();
    let version: i64 = db.read_blocking(|c| Ok::<_, StoreError>(c.query_row("PRAGMA user_version", [], |r| r.get(0))?)).unwrap();
    assert_eq!(version, 3);
    drop(db);
    assert!(matches!(Db::open(&temp.roots(), TABLES, 1), Err(StoreError::Version(_))), "an older program");
    let changed = [TABLES[0], Migration { name: "test-2", sql: "ALTER TABLE item ADD COLUMN other TEXT" }];
    assert!(matches!(Db::open(&temp.roots(), &changed, 1), Err(StoreError::Version(_))), "a changed past");
    let broken = [two[0], two[1], Migration { name: "test-3", sql: "CREATE TABLE a (n); NONSENSE" }];
    assert!(Db::open(&temp.roots(), &broken, 1).is_err());
    drop(Db::open(&temp.roots(), &two, 1).expect("the broken one left nothing behind"));
}

/// SQLite alone would do so after 4 MiB, within a commit.
#[test]
fn the_log_is_copied_when_nobody_writes_and_what_a_reader_needs_stays() {
    let temp = TempDir::create();
    let db = open(&temp);
    let bytes = || std::fs::metadata(temp.path().join("data/state/fusebox.db")).unwrap().len();
    let blob = |name: &'static str| {
        let insert = move |tx: &Tx<'_>| -> Result<(), StoreError> {
            tx.execute("INSERT INTO meta VALUES (?1, zeroblob(1000000))", [name])?;
            Ok(())
        };
        db.write_blocking(insert).unwrap();
    };
    let copied = |least: u64| {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while bytes() < least {
            assert!(std::time::Instant::now() < until, "{} bytes", bytes());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    blob("first");
    copied(1_000_000);
    let count = |c: &Connection| -> Result<i64, StoreError> { Ok(c.query_row("SELECT count(*) FROM meta", [], |row| row.get(0))?) };
    db.read_blocking(|c| {
        let before = count(c)?;
        blob("second");
        std::thread::sleep(Duration::from_millis(300));
        // The reader's snapshot still stands.
        assert_eq!(count(c)?, before);
        Ok::<_, StoreError>(())
    })
    .unwrap();
    blob("third");
    copied(3_000_000);
    assert_eq!(db.read_blocking(count).unwrap(), 3);
}

/// The files are those of the held directory, also through a relative and linked path, and open to nobody else.
#[test]
fn every_file_of_the_database_lies_private_in_the_state_directory() {
    use std::os::unix::fs::PermissionsExt;
    let temp = TempDir::create();
    std::os::unix::fs::symlink(temp.path(), temp.path().join("link")).unwrap();
    let roots = Roots::open(&temp.path().join("link/data"), cap_std::ambient_authority()).unwrap();
    let db = Db::open(&roots, TABLES, 1).unwrap();
    db.write_blocking(|tx| insert(tx, 1)).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(temp.path().join("data/state"))
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().permissions().mode() & 0o777))
        .collect();
    names.sort();
    let expected = ["fusebox.db", "fusebox.db-shm", "fusebox.db-wal", "lock"].map(|n| (n.to_owned(), 0o600));
    assert_eq!(names, expected);
}
