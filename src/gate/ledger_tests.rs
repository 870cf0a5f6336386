use std::num::NonZeroU64;
use std::sync::{Arc, Barrier};

use proptest::prelude::*;
use protocol::fold::{Blocks, Clip, Norm};
use protocol::seal::SealKey;

use super::*;
use crate::clock::SystemClock;
use crate::dp::{Calibration, MechanismKind};
use crate::policy::{Authz, Caller, Role, resource};
use crate::store::Db;
use crate::store::testing::TempDir;

const TABLES: &[crate::store::Migration] = &[crate::tlog::journal::MIGRATION, crate::gate::LEDGER];

#[derive(Clone)]
struct Book {
    db: Db,
    journal: Journal,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn epsilon(text: &str) -> Epsilon {
    Epsilon::parse(text).unwrap()
}

fn budget(text: &str) -> Budget {
    Budget::new(epsilon(text), 6).unwrap()
}

fn cost(mechanism: MechanismKind, text: &str) -> Cost {
    let clip = Clip { dimension: 1, norm: Norm::L1, bound: 1, scale: 0 };
    Calibration::new(mechanism, epsilon(text), 6, 1, clip, Blocks::PerUnit).unwrap().cost()
}

fn told(error: DecideError) -> (&'static str, Option<String>) {
    match error {
        DecideError::Refused(r) => (r.rule().id, r.threshold_text().map(str::to_owned)),
        DecideError::Store(e) => panic!("{}", e.log_text()),
    }
}

impl Book {
    fn open(temp: &TempDir) -> Self {
        let journal = Journal::new(SealKey::from_bytes(&[1; 32]), NonZeroU64::new(60).unwrap(), Arc::new(SystemClock));
        Self { db: Db::open(&temp.roots(), TABLES, 2).unwrap(), journal }
    }
    fn set(&self, namespace: &str, budget: Budget) {
        let caller = Caller::for_tests("city-one", "city", Role::Authority);
        let permit =
            Authz::new().unwrap().authorize::<actions::BudgetSet>(&caller, resource::Budget { namespace: name(namespace) }).unwrap();
        let journal = self.journal.clone();
        let now = Timestamp::from_unix_s(1);
        self.db.write_blocking(move |tx| set_budget(tx, &journal, permit, &budget, "test", now)).unwrap();
    }
    fn reserve_as(&self, job: JobId, agreement: &str, own: Option<Budget>, cost: Cost) -> Result<Spend, DecideError> {
        let (journal, agreement) = (self.journal.clone(), agreement.parse().unwrap());
        self.db.write_blocking(move |tx| {
            let readers = ["bank".parse().unwrap(), "bureau".parse().unwrap()];
            let namespace = name("person");
            let wanted = Reservation { job: &job, namespace: &namespace, agreement: &agreement, budget: own, cost, readers: &readers };
            reserve(tx, &journal, &wanted, Timestamp::from_unix_s(2))
        })
    }
    fn reserve(&self, agreement: &str, own: Option<Budget>, cost: Cost) -> Result<Spend, DecideError> {
        self.reserve_as(JobId::random().unwrap(), agreement, own, cost)
    }
    fn settle(&self, spend: Spend) -> u64 {
        let journal = self.journal.clone();
        self.db.write_blocking(move |tx| settle(tx, &journal, spend)).unwrap()
    }
    fn leaves(&self, kind: LeafKind) -> usize {
        self.db
            .read_blocking(|c| -> Result<_, StoreError> {
                let mut statement = c.prepare("SELECT bytes FROM log_leaf")?;
                let rows: Vec<Vec<u8>> = statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
                Ok(rows.iter().filter(|b| crate::tlog::Leaf::parse(b).unwrap().kind == kind).count())
            })
            .unwrap()
    }
    fn spent(&self) -> Spent {
        self.db.read_blocking(|c| spent_on(c, &name("person"))).unwrap()
    }
    fn remaining(&self) -> Remaining {
        self.db.read_blocking(|c| remaining_on(c, &name("person"))).unwrap().unwrap()
    }
}

#[test]
fn nothing_may_be_spent_without_both_budgets() {
    let temp = TempDir::create();
    let book = Book::open(&temp);
    let one = cost(MechanismKind::Gaussian, "1");
    assert_eq!(told(book.reserve("a", Some(budget("9")), one).unwrap_err()).0, "privacy.no_budget");
    book.set("firm", budget("9"));
    assert_eq!(told(book.reserve("a", Some(budget("9")), one).unwrap_err()).0, "privacy.no_budget");
    book.set("person", budget("9"));
    assert_eq!(told(book.reserve("a", None, one).unwrap_err()).0, "privacy.no_budget");
    assert_eq!(told(book.reserve("a", Some(budget("0")), one).unwrap_err()).0, "privacy.budget");
    assert_eq!(told(book.reserve("a", Some(budget("9")), Cost { rho: Rho::ZERO, epsilon: None }).unwrap_err()).0, "privacy.invalid");
    let spend = book.reserve("a", Some(budget("9")), one).unwrap();
    assert_eq!((*spend.cost(), book.leaves(LeafKind::Reservation), book.leaves(LeafKind::Budget)), (one, 1, 2));
    assert_eq!((book.spent().folds, book.spent().released), (1, 0));
    let job = spend.job().clone();
    let leaf = book.settle(spend);
    let besides = |job: JobId| book.db.read_blocking(move |c| released_besides(c, &name("person"), &job)).unwrap();
    assert_eq!((besides(job).folds, besides(JobId::random().unwrap()).releases), (0, 1));
    assert!(leaf > 0 && book.spent().released == 1 && book.leaves(LeafKind::Spend) == 1);
}

#[test]
fn the_strictest_budget_counts() {
    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("2"));
    // The agreement's 1, then another's, until the namespace's 2 are gone: concentrated losses add up slower than ε does.
    let half = cost(MechanismKind::Gaussian, "1");
    drop(book.reserve("a", Some(budget("1")), half).unwrap());
    let (rule, threshold) = told(book.reserve("a", Some(budget("1")), half).unwrap_err());
    assert_eq!(rule, "privacy.budget");
    assert!(threshold.unwrap().starts_with("agreement: gaussian epsilon 0"), "the agreement's");
    let mut others = 0;
    while book.reserve(&format!("b{others}"), Some(budget("1")), half).is_ok() {
        others += 1;
    }
    assert!((1..5).contains(&others), "{others}");
    let threshold = told(book.reserve("c", Some(budget("1")), half).unwrap_err()).1.unwrap();
    assert!(threshold.starts_with("namespace: "), "{threshold}");
}

/// A budget of ε = 2 pays five pure folds of 0.4 by their ε, and more than fifty of 0.04 by their ρ; after a Gaussian one only ρ counts, and what pure
/// folds spent beyond it leaves nothing to a Gaussian one.
#[test]
fn either_ledger_pays() {
    let all = |folds: &mut u32, book: &Book, cost| {
        while book.reserve("a", Some(budget("9")), cost).is_ok() {
            *folds += 1;
        }
    };
    let (mut large, mut small, mut mixed) = (0, 0, 1);
    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("2"));
    all(&mut large, &book, cost(MechanismKind::Laplace, "0.4"));
    assert_eq!((large, book.spent().epsilon, book.spent().gaussian_folds), (5, epsilon("2"), 0));
    assert!(book.spent().rho > budget("2").rho && book.remaining().gaussian == Epsilon::ZERO);
    assert_eq!(told(book.reserve("a", Some(budget("9")), cost(MechanismKind::Gaussian, "0.01")).unwrap_err()).0, "privacy.budget");

    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("2"));
    all(&mut small, &book, cost(MechanismKind::Laplace, "0.04"));
    assert!(small > 60 && book.spent().epsilon > epsilon("2") && book.spent().rho <= budget("2").rho, "{small}");

    // Sums are larger than any budget: many small folds are paid by their ρ, and counted on.
    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("1000"));
    let sql = "INSERT INTO privacy_spend (job, namespace, agreement, rho, epsilon, state, leaf, at) VALUES ('j', 'person', 'z', 50, ?1, 'reserved', 0, 0)";
    let sum = Epsilon::from_units(Epsilon::ASKED_MAX.units() * 2).unwrap();
    book.db.write_blocking(move |tx| -> Result<_, StoreError> { Ok(tx.execute(sql, [sum.to_column()])?) }).unwrap();
    drop(book.reserve("a", Some(budget("9")), cost(MechanismKind::Laplace, "0.4")).unwrap());
    assert!(book.spent().epsilon > sum && book.remaining().epsilon == Epsilon::ZERO);

    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("2"));
    drop(book.reserve("a", Some(budget("9")), cost(MechanismKind::Gaussian, "1.9")).unwrap());
    all(&mut mixed, &book, cost(MechanismKind::Laplace, "0.4"));
    assert!(mixed == 1 && book.remaining().laplace < epsilon("0.4") && book.remaining().epsilon == Epsilon::ZERO);
}

/// What the refusal and the preview name as still possible is possible, and hardly more is.
#[test]
fn what_remains_may_be_asked() {
    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("1.5"));
    drop(book.reserve("a", Some(budget("9")), cost(MechanismKind::Gaussian, "0.7")).unwrap());
    for mechanism in [MechanismKind::Gaussian, MechanismKind::Laplace] {
        let left = book.remaining();
        let most = if mechanism == MechanismKind::Gaussian { left.gaussian } else { left.laplace };
        let more = most.checked_add(epsilon("0.000001")).unwrap();
        let denied = book.reserve("a", Some(budget("9")), cost(mechanism, &more.to_string()));
        assert_eq!(told(denied.unwrap_err()).0, "privacy.budget");
        let temp = TempDir::create();
        let book = Book::open(&temp);
        book.set("person", budget("1.5"));
        drop(book.reserve("a", Some(budget("9")), cost(MechanismKind::Gaussian, "0.7")).unwrap());
        drop(book.reserve("a", Some(budget("9")), cost(mechanism, &most.to_string())).unwrap());
    }
}

#[test]
fn a_job_reserves_once_and_nothing_is_given_back() {
    let temp = TempDir::create();
    let book = Book::open(&temp);
    book.set("person", budget("9"));
    let one = cost(MechanismKind::Gaussian, "0.5");
    let job = JobId::random().unwrap();
    let spend = book.reserve_as(job.clone(), "a", Some(budget("9")), one).unwrap();
    assert_eq!(told(book.reserve_as(job.clone(), "a", Some(budget("9")), one).unwrap_err()).0, "request.conflict");
    let before = book.spent();
    book.settle(spend);
    for sql in [
        "DELETE FROM privacy_spend",
        "UPDATE privacy_spend SET rho = 1",
        "UPDATE privacy_spend SET epsilon = NULL",
        "UPDATE privacy_spend SET namespace = 'other'",
        "UPDATE privacy_spend SET job = 'other'",
        "UPDATE privacy_spend SET state = 'reserved', spent_leaf = NULL",
    ] {
        let done = book.db.write_blocking(move |tx| -> Result<(), StoreError> { Ok(tx.execute_batch(sql)?) });
        assert!(done.is_err(), "{sql}");
    }
    assert_eq!((book.spent().rho, book.spent().folds), (before.rho, 1));
    // A lower budget takes nothing back either, and leaves nothing.
    book.set("person", budget("0.1"));
    assert_eq!((book.spent().rho, book.remaining().rho, book.remaining().gaussian), (before.rho, Rho::ZERO, Epsilon::ZERO));
}

/// 64 spenders at one moment and a budget for exactly k: k succeed, with k leaves, whoever they are.
#[test]
fn a_race_cannot_overspend() {
    const SPENDERS: usize = 64;
    for k in [1usize, 7, 40] {
        let temp = TempDir::create();
        let book = Book::open(&temp);
        let one = cost(MechanismKind::Gaussian, "0.2");
        // Exactly k: ρ is set past the rounding of an ε.
        let exact = Budget { epsilon: epsilon("9"), rho: one.rho.checked_mul(k as u32).unwrap(), delta_exponent: 6 };
        book.set("person", exact);
        let barrier = Arc::new(Barrier::new(SPENDERS));
        let threads: Vec<_> = (0..SPENDERS)
            .map(|i| {
                let (book, barrier) = (book.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    // Two agreements, so that it is the namespace's budget that counts.
                    book.reserve(if i % 2 == 0 { "a" } else { "b" }, Some(budget("99")), one).is_ok()
                })
            })
            .collect();
        let succeeded = threads.into_iter().map(|t| t.join().unwrap()).filter(|ok| *ok).count();
        assert_eq!((succeeded, book.leaves(LeafKind::Reservation)), (k, k));
        assert_eq!((book.spent().rho, book.remaining().rho), (exact.rho, Rho::ZERO));
    }
}

/// A reservation whose process ended counts after the store was opened again; one that was not committed left nothing.
#[test]
fn an_open_reservation_is_a_spend_after_a_crash() {
    let temp = TempDir::create();
    let one = cost(MechanismKind::Laplace, "0.1");
    let job = JobId::random().unwrap();
    {
        let book = Book::open(&temp);
        book.set("person", budget("9"));
        std::mem::forget(book.reserve_as(job.clone(), "a", Some(budget("9")), one).unwrap());
        let (journal, other) = (book.journal.clone(), JobId::random().unwrap());
        let undone = book.db.write_blocking(move |tx| -> Result<(), DecideError> {
            let (namespace, agreement) = (name("person"), "a".parse().unwrap());
            let wanted = Reservation {
                job: &other,
                namespace: &namespace,
                agreement: &agreement,
                budget: Some(budget("9")),
                cost: one,
                readers: &[],
            };
            let _spend = reserve(tx, &journal, &wanted, Timestamp::from_unix_s(3))?;
            Err(Refused::new(&refusal::CONFLICT).into())
        });
        assert_eq!(told(undone.unwrap_err()).0, "request.conflict");
    }
    let book = Book::open(&temp);
    assert_eq!((book.spent().folds, book.spent().released, book.spent().rho), (1, 0, one.rho));
    assert_eq!((book.spent().epsilon, book.leaves(LeafKind::Reservation)), (one.epsilon.unwrap(), 1));
    assert_eq!(told(book.reserve_as(job, "a", Some(budget("9")), one).unwrap_err()).0, "request.conflict");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever is asked in whatever order, budgets raised and lowered between: one of the two rules holds for the largest budget there
    /// was, what is spent never becomes less, and every success has its leaf.
    #[test]
    fn never_beyond_the_budget(
        steps in prop::collection::vec((0..5u8, 1..60u64, any::<bool>(), 0..3u8), 1..25),
    ) {
        let temp = TempDir::create();
        let book = Book::open(&temp);
        let own = budget("3");
        let (mut most, mut before, mut successes) = (Budget { epsilon: Epsilon::ZERO, rho: Rho::ZERO, delta_exponent: 6 }, book.spent(), 0);
        for (kind, tenths, laplace, agreement) in steps {
            let text = format!("{}.{}", tenths / 10, tenths % 10);
            if kind == 0 {
                let set = budget(&text);
                book.set("person", set);
                most = Budget { epsilon: most.epsilon.max(set.epsilon), rho: most.rho.max(set.rho), ..most };
            } else {
                let mechanism = if laplace { MechanismKind::Laplace } else { MechanismKind::Gaussian };
                if let Ok(spend) = book.reserve(&format!("a{agreement}"), Some(own), cost(mechanism, &text)) {
                    successes += 1;
                    if kind == 1 {
                        book.settle(spend);
                    }
                }
            }
            let now = book.spent();
            prop_assert!(now.rho <= most.rho || now.gaussian_folds == 0 && now.epsilon <= most.epsilon);
            prop_assert!(now.rho >= before.rho && now.epsilon >= before.epsilon);
            before = now;
        }
        prop_assert_eq!((before.folds, book.leaves(LeafKind::Reservation)), (successes, successes as usize));
        for agreement in 0..3 {
            let under = book.db.read_blocking(move |c| spent_under(c, &format!("a{agreement}").parse().unwrap())).unwrap();
            prop_assert!(under.rho <= own.rho || under.gaussian_folds == 0 && under.epsilon <= own.epsilon);
        }
    }
}
