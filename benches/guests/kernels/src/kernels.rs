//! The kernels that are measured, and their data: one source, compiled into the module and into the bench.

/// Rows of the data.
pub const ROWS: usize = 1 << 20;
/// Cells of the histogram.
pub const CELLS: usize = 256;
/// Features of the regression.
pub const FEATURES: usize = 8;

/// What the kernels read.
#[derive(Default)]
pub struct Data {
    /// Stored integers of a measure.
    pub integers: Vec<i64>,
    /// The same as numbers.
    pub numbers: Vec<f64>,
    /// Codes of a category.
    pub codes: Vec<u32>,
    /// Features of each row.
    pub features: Vec<[f64; FEATURES]>,
    /// 0 or 1 for each row.
    pub outcomes: Vec<f64>,
}

/// Well-mixed bits of a row number (splitmix64: Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
pub fn mix(row: u64) -> u64 {
    let z = row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Data {
    /// The same data wherever it is made.
    pub fn make() -> Self {
        let rows = 0..ROWS as u64;
        let integers: Vec<i64> = rows.clone().map(|i| (mix(i) % 1_000_000) as i64).collect();
        let feature = |i: u64, j: usize| (mix(i * 31 + j as u64) % 2001) as f64 / 1000.0 - 1.0;
        Self {
            numbers: integers.iter().map(|v| *v as f64 / 100.0).collect(),
            codes: rows.clone().map(|i| (mix(i) >> 40) as u32 % CELLS as u32).collect(),
            features: rows.clone().map(|i| std::array::from_fn(|j| feature(i, j))).collect(),
            outcomes: rows.map(|i| f64::from(mix(i) >> 60 < 5)).collect(),
            integers,
        }
    }
}

/// Sum of integers.
pub fn sum(data: &Data) -> f64 {
    data.integers.iter().sum::<i64>() as f64
}

/// Population variance in two passes, eight accumulators each.
pub fn variance(data: &Data) -> f64 {
    let n = data.numbers.len() as f64;
    let mean = eight(&data.numbers, |x| x) / n;
    eight(&data.numbers, |x| (x - mean) * (x - mean)) / n
}

fn eight(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for chunk in chunks {
        for j in 0..8 {
            sums[j] += term(chunk[j]);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| term(*x)).sum::<f64>()
}

/// Rows of each code; told as a checksum.
pub fn histogram(data: &Data) -> f64 {
    let mut counts = [0u64; CELLS];
    for code in &data.codes {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    counts.iter().zip(1u64..).map(|(count, i)| count * i).sum::<u64>() as f64
}

/// Gradient of the logistic loss at fixed weights; told as its sum. `f64::exp` is what an author would call: the C library's on
/// the machine, the one compiled into the module in the guest.
pub fn logistic_gradient(data: &Data) -> f64 {
    let weights: [f64; FEATURES] = std::array::from_fn(|j| 0.25 - 0.0625 * j as f64);
    let mut gradient = [0.0f64; FEATURES];
    for (x, y) in data.features.iter().zip(&data.outcomes) {
        let score: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
        let error = 1.0 / (1.0 + (-score).exp()) - y;
        for (g, x) in gradient.iter_mut().zip(x) {
            *g += error * x;
        }
    }
    gradient.iter().sum()
}
