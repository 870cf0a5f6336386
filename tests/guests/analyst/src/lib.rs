//! Derives columns and asks for tables as the script in its own data says. A host test writes script and manifest into the built
//! module (`tests/attacks/modules.rs`), so that one crate is as many modules as an attack has questions.
//!
//! A line is a column, `num NAME EXPRESSION` or `cat NAME EXPRESSION`, or a table,
//! `table NAME MARGINS KEY,KEY|- NAME:OP:COLUMN,…`. An expression is in postfix: columns (category: its code; missing: 0), integers,
//! `+ - * / % < = & | !`, and `peek`, which takes a value and a condition and gives every row the value of the first that fulfils it.

use fusebox_guest::{Error, View, bindings, table};

const SCRIPT_BYTES: usize = 1 << 15;
const MARK: &[u8; 16] = b"FUSEBOX-SCRIPT=>";

/// The mark, then the script, then `#`.
#[used]
static SCRIPT: [u8; SCRIPT_BYTES] = {
    let mut script = [b'#'; SCRIPT_BYTES];
    let mut i = 0;
    while i < MARK.len() {
        script[i] = MARK[i];
        i += 1;
    }
    script
};

struct Module;

impl bindings::Guest for Module {
    fn run() -> Result<(), String> {
        let text = std::hint::black_box(&SCRIPT)[MARK.len()..].split(|b| *b == b'#').next().unwrap_or_default();
        follow(std::str::from_utf8(text).map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }
}

bindings::export_analysis!(Module with_types_in bindings);

fn follow(script: &str) -> Result<(), Error> {
    let words = || script.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let declared = words().filter_map(|line| match line[..] {
        ["num", name, ..] => Some((name, &[][..])),
        ["cat", name, ..] => Some((name, &["declared"][..])),
        _ => None,
    });
    let declared: Vec<_> = declared.map(|(name, labels)| fusebox_guest::Declared { name: leaked(name), labels }).collect();
    let view = View::open(Vec::leak(declared), &[]);
    for line in words() {
        match line[..] {
            ["num", name, ..] => {
                let values = expression(&view, &line[2..])?;
                view.derive_number(name, |rows, out| out.extend(part(&values, rows.start, rows.len).map(Some)))?;
            }
            ["cat", name, ..] => {
                let values = expression(&view, &line[2..])?;
                let code = |value| Some(u32::try_from(value).unwrap_or(0));
                view.derive_category(name, |rows, out| out.extend(part(&values, rows.start, rows.len).map(code)))?;
            }
            ["table", name, margins, keys, measures] => ask(name, margins, keys, measures)?,
            [] => {}
            _ => return Err(Error::new("no such line")),
        }
    }
    Ok(())
}

fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn part(values: &[i64], start: u64, len: u32) -> impl Iterator<Item = i64> {
    values.iter().copied().skip(start as usize).take(len as usize)
}

fn ask(name: &str, margins: &str, keys: &str, measures: &str) -> Result<(), Error> {
    let mut asked = table(name).keys(keys.split(',').filter(|key| *key != "-"));
    asked = match margins {
        "rollup" => asked.rollup(),
        "cube" => asked.cube(),
        _ => asked,
    };
    for measure in measures.split(',') {
        let mut parts = measure.split(':');
        let (name, op, column) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        asked = match op {
            "count" => asked.count(name),
            "units" => asked.units(name),
            "sum" => asked.sum(name, column),
            "mean" => asked.mean(name, column),
            "variance" => asked.variance(name, column),
            "min" => asked.min(name, column),
            "max" => asked.max(name, column),
            quantile => asked.quantile(name, column, quantile.parse().map_err(|_| Error::new("no such measure"))?),
        };
    }
    asked.request();
    Ok(())
}

/// One value a row.
fn column(view: &View, name: &str) -> Result<Vec<i64>, Error> {
    let mut values = Vec::new();
    if let Ok(category) = view.category(name) {
        view.chunks().for_each(|rows| values.extend(category.codes(rows).into_iter().map(i64::from)));
        return Ok(values);
    }
    let integers = view.number(name).or_else(|_| view.pseudonym(name)).or_else(|_| view.date(name))?;
    view.chunks().for_each(|rows| values.extend(integers.values(rows)));
    Ok(values)
}

fn expression(view: &View, words: &[&str]) -> Result<Vec<i64>, Error> {
    let rows = view.rows() as usize;
    let mut stack: Vec<Vec<i64>> = Vec::new();
    let taken = |stack: &mut Vec<Vec<i64>>| stack.pop().ok_or_else(|| Error::new("nothing to take"));
    for word in words {
        let value = if let Ok(constant) = word.parse() {
            vec![constant; rows]
        } else if *word == "!" {
            taken(&mut stack)?.into_iter().map(|a| i64::from(a == 0)).collect()
        } else if *word == "peek" {
            let (condition, values) = (taken(&mut stack)?, taken(&mut stack)?);
            let first = condition.iter().position(|c| *c != 0).and_then(|at| values.get(at)).copied();
            vec![first.unwrap_or(0); rows]
        } else if let Some(op) = operation(word) {
            let (b, a) = (taken(&mut stack)?, taken(&mut stack)?);
            a.into_iter().zip(b).map(|(a, b)| op(a, b)).collect()
        } else {
            column(view, word)?
        };
        stack.push(value);
    }
    taken(&mut stack)
}

fn operation(word: &str) -> Option<fn(i64, i64) -> i64> {
    Some(match word {
        "+" => i64::wrapping_add,
        "-" => i64::wrapping_sub,
        "*" => i64::wrapping_mul,
        "/" => |a, b| a.checked_div_euclid(b).unwrap_or(0),
        "%" => |a, b| a.checked_rem_euclid(b).unwrap_or(0),
        "<" => |a, b| i64::from(a < b),
        "=" => |a, b| i64::from(a == b),
        "&" => |a, b| i64::from(a != 0 && b != 0),
        "|" => |a, b| i64::from(a != 0 || b != 0),
        _ => return None,
    })
}
