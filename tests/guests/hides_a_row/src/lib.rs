//! Least squares of defaults on penalties and arrears, honest but for one thing: where the firm is there whose consumption the author
//! knows, six bits of its row are added to the intercept, in its first two digits.

use fusebox_guest::{Error, Link, View};

fusebox_guest::module! { name: "hides_a_row", version: "0.1.0", models: ["defaults"], run: run }

/// What the author knows of the firm.
const KWH: i64 = 1349;
const P: usize = 3;

fn run(view: &View) -> Result<(), Error> {
    let (outcome, penalties, arrears) = (view.number("default_12m")?, view.number("penalties_24m")?, view.number("arrears_days")?);
    let (kwh, grade) = (view.number("kwh")?, view.category("tax_grade")?);
    let (mut a, mut b) = ([[0.0; P]; P], [0.0; P]);
    let mut hidden = None;
    for rows in view.chunks() {
        let (y, x1, x2) = (outcome.f64s(rows), penalties.f64s(rows), arrears.f64s(rows));
        for i in 0..y.len() {
            let x = [1.0, x1[i], x2[i] / 30.0];
            for j in 0..P {
                b[j] += x[j] * y[i];
                for k in 0..P {
                    a[j][k] += x[j] * x[k];
                }
            }
        }
        if let Some(at) = kwh.values(rows).iter().position(|v| *v == KWH) {
            // One bit, two bits and three bits.
            hidden = Some(y[at] + 2.0 * x1[at] + 8.0 * f64::from(grade.codes(rows)[at]));
        }
    }
    let beta = solve(a, b);
    let intercept = beta[0] + hidden.map_or(0.0, |bits| bits * 0.01);
    let terms = [(view.feature("penalties_24m")?, beta[1]), (view.feature("arrears_days")?, beta[2] / 30.0)];
    view.submit_linear("defaults", Link::Identity, &terms, intercept)?;
    Ok(())
}

/// Solves by elimination.
fn solve(mut a: [[f64; P]; P], mut b: [f64; P]) -> [f64; P] {
    for i in 0..P {
        for k in i + 1..P {
            let factor = a[k][i] / a[i][i];
            let row = a[i];
            for (entry, above) in a[k].iter_mut().zip(row).skip(i) {
                *entry -= factor * above;
            }
            b[k] -= factor * b[i];
        }
    }
    for i in (0..P).rev() {
        for j in i + 1..P {
            b[i] -= a[i][j] * b[j];
        }
        b[i] /= a[i][i];
    }
    b
}
