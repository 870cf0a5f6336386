//! Whose job is next. Operators share the runners fairly: first who has fewest jobs at work, then who was served least recently,
//! then the oldest job. So an operator with nothing at work waits, however much others have queued, for the jobs at work and for at
//! most one job of each other operator.

use rusqlite::{Connection, OptionalExtension};

use crate::id::{JobId, OrgId};
use crate::store::{StoreError, Tx};

/// The queued job that is next, among operators with fewer than `per_org` at work.
///
/// # Errors
/// What the store says.
pub(super) fn next(connection: &Connection, per_org: u32) -> Result<Option<JobId>, StoreError> {
    let sql = "SELECT j.id FROM job AS j
               LEFT JOIN (SELECT org, count(*) AS n FROM job WHERE state = 'running' AND settles_at IS NULL GROUP BY org) AS w ON w.org = j.org
               LEFT JOIN operator_turn AS t ON t.org = j.org
               WHERE j.state = 'queued' AND coalesce(w.n, 0) < ?1
               ORDER BY coalesce(w.n, 0), coalesce(t.turn, 0), j.created_at, j.rowid LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([per_org], |r| r.get(0)).optional()?)
}

/// Records that `org` had its turn.
///
/// # Errors
/// What the store says.
pub(super) fn served(tx: &Tx<'_>, org: &OrgId) -> Result<(), StoreError> {
    let sql = "INSERT INTO operator_turn (org, turn) VALUES (?1, (SELECT coalesce(max(turn), 0) + 1 FROM operator_turn))
               ON CONFLICT (org) DO UPDATE SET turn = excluded.turn";
    tx.prepare_cached(sql)?.execute([org])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TempDir;
    use crate::store::{MasterKey, Store};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque};

    const ORGS: u8 = 4;

    #[derive(Debug, Clone)]
    enum Step {
        Submit(u8),
        Take,
        /// The n-th of those at work ends.
        End(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // The first operator floods.
        let submit = prop_oneof![3 => Just(0u8), 2 => 0..ORGS].prop_map(Step::Submit);
        proptest::collection::vec(prop_oneof![4 => submit, 3 => Just(Step::Take), 3 => any::<usize>().prop_map(Step::End)], 1..150)
    }

    fn org(n: u8) -> OrgId {
        format!("operator-{n}").parse().unwrap()
    }

    /// The same rule over plain lists.
    #[derive(Default)]
    struct Model {
        queued: BTreeMap<u8, VecDeque<(u64, JobId)>>,
        at_work: Vec<(u8, JobId)>,
        turns: BTreeMap<u8, u64>,
    }

    impl Model {
        fn working(&self, org: u8) -> usize {
            self.at_work.iter().filter(|(o, _)| *o == org).count()
        }
        fn next(&self, per_org: usize) -> Option<(u8, JobId)> {
            let waiting = self.queued.iter().filter(|(org, _)| self.working(**org) < per_org);
            let first = waiting.filter_map(|(org, jobs)| jobs.front().map(|(at, id)| (*org, *at, id.clone())));
            let turn = |org: &u8| self.turns.get(org).copied().unwrap_or(0);
            first.min_by_key(|(org, at, _)| (self.working(*org), turn(org), *at)).map(|(org, _, id)| (org, id))
        }
    }

    /// Runs `steps` against the database and the model; who was taken while others waited with nothing at work.
    fn play(tx: &Tx<'_>, steps: &[Step], runners: usize, per_org: u32) {
        let mut model = Model::default();
        // For each operator that waits with nothing at work: how often each other one was served meanwhile.
        let mut passed_over: BTreeMap<u8, BTreeMap<u8, u32>> = BTreeMap::new();
        let set = |id: &JobId, state: &str| tx.execute("UPDATE job SET state = ?2 WHERE id = ?1", [id.as_str(), state]).unwrap();
        for (now, step) in (1u64..).zip(steps) {
            match step {
                Step::Submit(n) => {
                    let id = JobId::random().unwrap();
                    let sql = "INSERT INTO job (id, org, principal, state, synthetic, spec, spec_digest, request_digest, created_at)
                               VALUES (?1, ?2, 'p', 'queued', 0, '', '', '', ?3)";
                    tx.execute(sql, rusqlite::params![id, org(*n), now]).unwrap();
                    model.queued.entry(*n).or_default().push_back((now, id));
                    if model.working(*n) == 0 {
                        passed_over.entry(*n).or_default();
                    }
                }
                Step::Take if model.at_work.len() < runners => {
                    let expected = model.next(per_org as usize);
                    assert_eq!(next(tx, per_org).unwrap(), expected.as_ref().map(|(_, id)| id.clone()));
                    let Some((n, id)) = expected else { continue };
                    set(&id, "running");
                    served(tx, &org(n)).unwrap();
                    model.queued.get_mut(&n).unwrap().pop_front();
                    let turn = model.turns.values().max().copied().unwrap_or(0) + 1;
                    model.turns.insert(n, turn);
                    model.at_work.push((n, id));
                    passed_over.remove(&n);
                    for (waiting, others) in &mut passed_over {
                        let times = others.entry(n).or_default();
                        *times += 1;
                        assert!(*times <= 1, "operator {n} was served {times} times while {waiting} waited with nothing at work");
                    }
                }
                Step::Take => {}
                Step::End(n) => {
                    if !model.at_work.is_empty() {
                        let (n, id) = model.at_work.swap_remove(n % model.at_work.len());
                        set(&id, "done");
                        if model.working(n) == 0 && model.queued.get(&n).is_some_and(|q| !q.is_empty()) {
                            passed_over.entry(n).or_default();
                        }
                    }
                }
            }
        }
    }

    fn store(dir: &TempDir) -> Store {
        let key = MasterKey::parse(&"5a".repeat(32)).unwrap();
        Store::open(&dir.roots(), std::sync::Arc::new(key), &[super::super::MIGRATION, super::super::TURNS, super::super::SETTLES], 1)
            .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
        #[test]
        fn the_queue_is_the_model_and_nobody_is_passed_over_twice(steps in steps(), runners in 1usize..4, per_org in 1u32..4) {
            let dir = TempDir::create();
            store(&dir).db.write_blocking(move |tx| -> Result<(), StoreError> {
                play(tx, &steps, runners, per_org);
                Ok(())
            }).unwrap();
        }
    }

    #[test]
    fn sixty_queued_jobs_of_one_delay_another_by_what_is_at_work_only() {
        let dir = TempDir::create();
        store(&dir)
            .db
            .write_blocking(|tx| -> Result<(), StoreError> {
                // One runner: when it is free again, it is the other's turn, though sixty came before.
                let steps: Vec<Step> = (0..60).map(|_| Step::Submit(0)).chain([Step::Take, Step::Submit(1), Step::End(0)]).collect();
                play(tx, &steps, 1, 1);
                let first: String = tx.query_row("SELECT org FROM job WHERE id = ?1", [next(tx, 1)?.unwrap()], |r| r.get(0)).unwrap();
                assert_eq!(first, "operator-1");
                Ok(())
            })
            .unwrap();
    }
}
