//! Modules that `cargo xtask guests` built, block by block: what one block does is nothing to another.

use super::*;
use crate::compile::{compile, tests::guest};
use protocol::fold::{Integers, Octets};
use protocol::memfd::sealed;
use protocol::message::{GuestOpening, World};

/// Fuel in which every module here ends that ends at all.
const FUEL: u64 = 20_000_000;

fn start(name: &str) -> (FoldStart, OwnedFd) {
    let compiled = compile(&guest(name)).unwrap();
    assert_eq!((compiled.manifest.world(), compiled.imports), (World::Fold, Vec::new()));
    let start = FoldStart { manifest: compiled.manifest.fold.unwrap(), fuel: FUEL, memory_bytes_max: 16 << 20 };
    (start, sealed("code", &compiled.code).unwrap())
}

/// Blocks of one unit with one row each, one column.
fn people(values: &[i64]) -> BlockBatch {
    let ones = vec![1; values.len()];
    BlockBatch { blocks: ones.clone(), units: ones, values: Integers(values.to_vec()), missing: Octets(Vec::new()) }
}

/// A guest in a thread, spoken to as a process is.
struct Guest {
    server: Channel,
    engine: Option<Channel>,
    worker: std::thread::JoinHandle<Result<(), FrameError>>,
}

fn spawn(opening: &GuestOpening, code: &OwnedFd) -> Guest {
    let (mut server, socket) = Channel::pair().unwrap();
    let worker = std::thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || crate::guest::converse(&mut Channel::new(socket), |_| Ok(Confined::for_tests())))
        .unwrap();
    let engine = match opening {
        GuestOpening::Map(_) => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            server.send(opening, &[code.as_fd(), theirs.as_fd()]).unwrap();
            Some(Channel::plain(ours))
        }
        _ => {
            server.send(opening, &[code.as_fd()]).unwrap();
            None
        }
    };
    Guest { server, engine, worker }
}

fn mapper((start, code): &(FoldStart, OwnedFd)) -> Guest {
    spawn(&GuestOpening::Map(start.clone()), code)
}

impl Guest {
    fn map(&mut self, state: &[f64], batch: BlockBatch) -> Vec<Contribution> {
        let engine = self.engine.as_mut().unwrap();
        engine.send(&MapRequest::State(Floats(state.to_vec())), &[]).unwrap();
        engine.send(&MapRequest::Blocks(batch), &[]).unwrap();
        engine.receive::<MapReply>().unwrap().0.0
    }

    fn update(&mut self, round: u32, state: &[f64], noised: &[f64]) -> Option<Vec<f64>> {
        let request = UpdateRequest { round, state: Floats(state.to_vec()), noised: Floats(noised.to_vec()) };
        self.server.send(&request, &[]).unwrap();
        self.server.receive::<UpdateReply>().unwrap().0.0.map(|floats| floats.0)
    }
}

fn dense(values: [f64; 4]) -> Contribution {
    Contribution::Dense(Floats(values.to_vec()))
}

#[test]
fn each_block_is_mapped_and_answered_in_order() {
    let mut guest = mapper(&start("fold-misbehaves"));
    let batch = BlockBatch {
        blocks: vec![1, 0, 2],
        units: vec![2, 1, 3],
        values: Integers(vec![10, 20, 1, 2, 3, 4]),
        missing: Octets(vec![0, 1, 0, 0, 1, 0]),
    };
    assert_eq!(guest.map(&[0.0; 4], batch), [dense([1.0, 10.0, 0.0, 0.0]), dense([0.0; 4]), dense([2.0, 7.0, 0.0, 0.0])]);
    assert_eq!(guest.map(&[0.0; 4], people(&[])), []);
    // The next state holds from then on.
    assert_eq!(guest.map(&[18.0, -1.0, 0.0, 0.0], people(&[5])), [Contribution::Sparse(Indexes(vec![2]), Floats(vec![0.5]))]);
    assert_eq!(guest.map(&[19.0, -1.0, 0.0, 0.0], people(&[5])), [Contribution::Sparse(Indexes(vec![0, 3]), Floats(vec![5.0, 7.0]))]);
    drop(guest.engine.take());
    assert!(matches!(guest.worker.join().unwrap(), Err(FrameError::Closed)));
}

#[test]
fn what_ends_a_block_ends_no_other() {
    let code = start("fold-misbehaves");
    let mut guest = mapper(&code);
    let values: Vec<i64> = (1..=9).collect();
    for deed in 1..=17 {
        let answers = guest.map(&[f64::from(deed), 5.0, 0.0, 0.0], people(&values));
        for (who, answer) in values.iter().zip(answers) {
            let expected = match (who, deed) {
                (5, 1) => dense([1e308; 4]),
                (5, 3) => dense([-0.0; 4]),
                (5, _) => Contribution::Nothing,
                _ => dense([1.0, *who as f64, 0.0, 0.0]),
            };
            assert_eq!(answer, expected, "deed {deed}, person {who}");
        }
        // And to everybody.
        if !matches!(deed, 1 | 3) {
            let answers = guest.map(&[f64::from(deed), -1.0, 0.0, 0.0], people(&[1, 2]));
            assert_eq!(answers, [Contribution::Nothing, Contribution::Nothing], "deed {deed}");
        }
    }
    assert_eq!(guest.map(&[0.0; 4], people(&[5])), [dense([1.0, 5.0, 0.0, 0.0])]);
}

#[test]
fn nothing_of_a_block_is_seen_in_another() {
    let mut guest = mapper(&start("fold-misbehaves"));
    for _ in 0..3 {
        let answers = guest.map(&[20.0, -1.0, 0.0, 0.0], people(&[7; 20]));
        assert_eq!(answers, vec![dense([1.0, 0.0, 0.0, 0.0]); 20], "a mark of an earlier block was found");
        // A sum across blocks would grow.
        let answers = guest.map(&[21.0, -1.0, 0.0, 0.0], people(&[7; 20]));
        assert_eq!(answers, vec![dense([7.0, 0.0, 0.0, 0.0]); 20]);
    }
}

#[test]
fn a_block_has_its_own_fuel_and_memory() {
    let (mut start, code) = start("fold-misbehaves");
    start.fuel = 0;
    let mut guest = mapper(&(start.clone(), code.try_clone().unwrap()));
    assert_eq!(guest.map(&[0.0; 4], people(&[1])), [Contribution::Nothing]);
    // Enough for one block and not for two.
    let needed = (1..).map(|i| i * 100).find(|fuel| {
        let start = FoldStart { fuel: *fuel, ..start.clone() };
        mapper(&(start, code.try_clone().unwrap())).map(&[0.0; 4], people(&[1])) != [Contribution::Nothing]
    });
    println!("fuel of one block: {needed:?}");
    start.fuel = needed.unwrap();
    let answers = mapper(&(start.clone(), code.try_clone().unwrap())).map(&[0.0; 4], people(&[3; 50]));
    assert_eq!(answers, vec![dense([1.0, 3.0, 0.0, 0.0]); 50]);
    // 4 MiB are asked for where a mark is looked for.
    let of = |memory_bytes_max| {
        let start = FoldStart { fuel: FUEL, memory_bytes_max, ..start.clone() };
        mapper(&(start, code.try_clone().unwrap())).map(&[20.0, -1.0, 0.0, 0.0], people(&[1; 3]))
    };
    assert_eq!(of(4 << 20), vec![Contribution::Nothing; 3]);
    assert_eq!(of(5 << 20), vec![dense([1.0, 0.0, 0.0, 0.0]); 3]);
    assert_eq!(of(0), vec![Contribution::Nothing; 3]);
}

#[test]
fn an_update_is_a_fresh_instance_too() {
    let (start, code) = start("fold-misbehaves");
    let mut guest = spawn(&GuestOpening::Update(start), &code);
    assert_eq!(guest.update(3, &[0.0, 9.0, 0.0, 0.0], &[2.5, 0.0, 0.0, 0.0]), Some(vec![0.0, 9.0, 3.0, 2.5]));
    for deed in 30..=33 {
        assert_eq!(guest.update(0, &[f64::from(deed); 4], &[0.0; 4]), None, "deed {deed}");
    }
    for _ in 0..3 {
        assert_eq!(guest.update(0, &[34.0; 4], &[0.0; 4]), Some(vec![0.0; 4]));
    }
    drop(guest.server);
    assert!(matches!(guest.worker.join().unwrap(), Err(FrameError::Closed)));
}

#[test]
fn a_batch_that_is_none_ends_the_process() {
    let code = start("fold-misbehaves");
    let good = people(&[1, 2]);
    let batches = [
        BlockBatch { blocks: vec![1], ..good.clone() },
        BlockBatch { blocks: vec![3], ..good.clone() },
        BlockBatch { units: vec![1, 2], ..good.clone() },
        BlockBatch { units: vec![1, u32::MAX], ..good.clone() },
        BlockBatch { missing: Octets(vec![0]), ..good.clone() },
        BlockBatch { values: Integers(vec![1, 2, 3]), ..good },
    ];
    for batch in batches {
        let mut guest = mapper(&code);
        let engine = guest.engine.as_mut().unwrap();
        engine.send(&MapRequest::State(Floats(vec![0.0; 4])), &[]).unwrap();
        engine.send(&MapRequest::Blocks(batch), &[]).unwrap();
        assert!(matches!(engine.receive::<MapReply>(), Err(FrameError::Closed)));
        assert!(guest.worker.join().unwrap().is_err());
    }
    // No state of the declared length, code of another world.
    let mut guest = mapper(&code);
    guest.engine.as_mut().unwrap().send(&MapRequest::Blocks(people(&[1])), &[]).unwrap();
    assert!(guest.worker.join().unwrap().is_err());
    let analysis = sealed("code", &compile(&guest_bytes()).unwrap().code).unwrap();
    assert!(mapper(&(code.0, analysis)).worker.join().unwrap().is_err());
}

fn guest_bytes() -> Vec<u8> {
    guest("credit-default-rate")
}

#[test]
fn answers_are_one_contribution_or_none() {
    let dense = |values: Vec<f64>| Contribution::Dense(Floats(values));
    assert_eq!(checked(2, vec![], vec![1.0, 2.0]), dense(vec![1.0, 2.0]));
    assert_eq!(checked(6, vec![1, 5], vec![1.0, 2.0]), Contribution::Sparse(Indexes(vec![1, 5]), Floats(vec![1.0, 2.0])));
    // Where pairs would be longer than all values.
    assert_eq!(checked(3, vec![0, 2], vec![1.0, 2.0]), dense(vec![1.0, 0.0, 2.0]));
    let wrong: [(Vec<u32>, Vec<f64>); 9] = [
        (vec![], vec![]),
        (vec![], vec![1.0; 5]),
        (vec![], vec![1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN]),
        (vec![6], vec![1.0]),
        (vec![u32::MAX], vec![1.0]),
        (vec![1, 1], vec![1.0, 1.0]),
        (vec![2, 1], vec![1.0, 1.0]),
        (vec![1], vec![]),
        (vec![1], vec![f64::INFINITY]),
    ];
    for (coordinates, values) in wrong {
        assert_eq!(checked(6, coordinates.clone(), values.clone()), Contribution::Nothing, "{coordinates:?} {values:?}");
    }
}

/// The longest answers of one block fit a frame with room to spare, whatever the module chose.
#[test]
fn an_answer_is_never_longer_than_the_dense_one() {
    for dimension in [1u32, 2, 3, 10, 1000, 100_000] {
        for count in [1, dimension / 2, dimension - dimension / 3, dimension].into_iter().filter(|n| *n > 0) {
            let answer = checked(dimension, (0..count).collect(), vec![1.0; count as usize]);
            let bytes = postcard::to_stdvec(&answer).unwrap().len();
            assert!(bytes <= 8 * dimension as usize + 16, "{dimension} {count}: {bytes}");
        }
    }
}

/// Blocks a second of the smallest module: what a block costs besides its own arithmetic.
#[test]
fn blocks_a_second() {
    let (start, code) = start("bench-fold");
    let mut guest = mapper(&(start, code));
    let values: Vec<i64> = (0..5_000).collect();
    let _warm = guest.map(&[0.0], people(&values));
    let began = std::time::Instant::now();
    let rounds = 4;
    for _ in 0..rounds {
        let answers = guest.map(&[0.0], people(&values));
        assert!(answers.iter().zip(&values).all(|(a, v)| *a == Contribution::Dense(Floats(vec![*v as f64]))));
    }
    let blocks = rounds * values.len();
    println!("{:.0} blocks a second", blocks as f64 / began.elapsed().as_secs_f64());
}

/// Columns one after another, one block a row.
fn columns(columns: &[Vec<Option<i64>>]) -> BlockBatch {
    let rows = columns[0].len();
    // Block by block, within a block column by column.
    let cells = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row]));
    let (values, missing) = cells.map(|cell| (cell.unwrap_or(0), u8::from(cell.is_none()))).unzip();
    BlockBatch { blocks: vec![1; rows], units: vec![1; rows], values: Integers(values), missing: Octets(missing) }
}

const PERSONS: &str = "\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K
28, ?, 338409, Masters, 14, Married-civ-spouse, ?, Wife, Black, Female, 0, 1902, 60, ?, >50K
71, Self-emp-inc, 1, HS-grad, 9, Widowed, Sales, Unmarried, Other, Male, 99999, 0, 99, Yugoslavia, >50K
";

/// What a released model is applied with outside is what was summed inside: features and labels have one order.
#[test]
fn the_logistic_folds_contribute_the_gradient() {
    use adult_converter::{CATEGORIES, descent, persons};
    let persons = persons(PERSONS).unwrap();
    let number = |of: fn(&adult_converter::Person<'_>) -> u32| persons.iter().map(|p| Some(i64::from(of(p)))).collect::<Vec<_>>();
    let mut view = vec![
        number(|p| p.age),
        number(|p| p.education_num),
        number(|p| p.capital_gain),
        number(|p| p.capital_loss),
        number(|p| p.hours_per_week),
        persons.iter().map(|p| Some(i64::from(p.rich))).collect(),
    ];
    for (name, dimension) in [("adult-logistic-numeric", 6usize), ("adult-logistic-one-hot", 105)] {
        if dimension > 6 {
            view.extend(CATEGORIES.iter().enumerate().map(|(i, (_, labels))| {
                let place = |label: &str| labels.iter().position(|l| *l == label).and_then(|at| i64::try_from(at).ok());
                persons.iter().map(|p| p.categories[i].and_then(place)).collect()
            }));
        }
        let mut guest = mapper(&start(name));
        let state: Vec<f64> = (0..2 * dimension).map(|i| ((i * 37 % 11) as f64 - 5.0) / 7.0).collect();
        for (person, answer) in persons.iter().zip(guest.map(&state, columns(&view))) {
            let features = if dimension > 6 { person.one_hot() } else { person.numeric() };
            let mut expected = vec![0.0; dimension];
            for ((at, _), slope) in features.iter().zip(descent::gradient(&state[..dimension], &features, person.rich)) {
                expected[*at] = slope;
            }
            let mut found = vec![0.0; dimension];
            match answer {
                Contribution::Dense(Floats(values)) => found = values,
                Contribution::Sparse(Indexes(at), Floats(values)) => at.iter().zip(values).for_each(|(at, v)| found[*at as usize] = v),
                Contribution::Nothing => panic!("{name}: nothing"),
            }
            assert_eq!(found.len(), dimension);
            assert!(found.iter().zip(&expected).all(|(f, e)| (f - e).abs() < 1e-12), "{name}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn the_other_folds_of_the_income_study_say_what_they_are_called() {
    let one = |values: &[f64]| Contribution::Dense(Floats(values.to_vec()));
    let mut histogram = mapper(&start("adult-education-histogram"));
    let answers = histogram.map(&[0.0; 16], columns(&[vec![Some(12), None, Some(0)]]));
    let at = |label| Contribution::Sparse(Indexes(vec![label]), Floats(vec![1.0]));
    assert_eq!(answers, [at(12), Contribution::Nothing, at(0)]);
    let mut mean = mapper(&start("adult-clipped-mean"));
    let answers = mean.map(&[0.0], columns(&[vec![Some(90), Some(17), Some(120), None]]));
    assert_eq!(answers, [one(&[1.0, 1.0]), one(&[-1.0, 1.0]), one(&[1.0, 1.0]), Contribution::Nothing]);
    // One block of five persons, and one of nobody.
    let shared =
        || BlockBatch { blocks: vec![5, 0], units: vec![1; 5], values: Integers(vec![17, 17, 90, 17, 17]), missing: Octets(Vec::new()) };
    let mut blocks = mapper(&start("adult-mean-of-blocks"));
    let mean_age = (4.0 * 17.0 + 90.0) / 5.0;
    assert_eq!(blocks.map(&[0.0, 2.0, 0.0], shared()), [one(&[(mean_age - 53.5) / 36.5]), Contribution::Nothing]);
    assert_eq!(blocks.map(&[1.0, 2.0, 0.0], shared()), [one(&[-1.0]), Contribution::Nothing]);
    let mut bins = mapper(&start("adult-median-of-blocks"));
    assert_eq!(bins.map(&[0.0, 0.0], shared()), [Contribution::Sparse(Indexes(vec![29]), Floats(vec![1.0])), Contribution::Nothing]);
    let mut kmeans = mapper(&start("adult-kmeans"));
    let mut centres = vec![0.9; 12];
    centres[3..6].copy_from_slice(&[0.0, 0.0, 0.0]);
    let answers = kmeans.map(&centres, columns(&[vec![Some(17)], vec![Some(16)], vec![Some(1)]]));
    assert_eq!(answers, [Contribution::Sparse(Indexes(vec![4, 5, 6, 7]), Floats(vec![1.0, -0.5, 0.5, -0.5]))]);
    // Updates: what is released.
    let updated = |name: &str, state: &[f64], noised: &[f64]| {
        let (start, code) = start(name);
        spawn(&GuestOpening::Update(start), &code).update(0, state, noised)
    };
    assert_eq!(updated("adult-clipped-mean", &[0.0], &[-100.0, 200.0]), Some(vec![35.25]));
    assert_eq!(updated("adult-mean-of-blocks", &[0.0, 10.0, 0.0], &[-5.0]), Some(vec![0.0, 10.0, 35.25]));
    let mut noised = vec![0.0; 146];
    (noised[10], noised[40], noised[100]) = (3.0, 5.0, 1.0);
    assert_eq!(updated("adult-median-of-blocks", &[1.0, 0.0], &noised), Some(vec![1.0, 17.0 + 40.5 * 0.5]));
    assert_eq!(updated("adult-education-histogram", &[0.0; 16], &[2.0; 16]), Some(vec![2.0; 16]));
}
