//! Tells what it reads in every way it finds: log text, an error's text, a panic's text, a model's coefficients. Which of them ends
//! the run is said by the names of the granted columns.

use fusebox_guest::{Error, Link, View, log, table};

fusebox_guest::module! { name: "leaks", version: "0.1.0", models: ["leaks"], tables: { "leaks": ["rows", "units"] }, run: run }

fn run(view: &View) -> Result<(), Error> {
    let (text, largest) = read(view);
    log(&text);
    let has = |name: &str| view.names().any(|n| n == name);
    if has("then_trap") {
        panic!("{text}");
    }
    if has("then_error") {
        return Err(Error::new(text));
    }
    table("leaks").count("rows").units("units").request();
    if let Some((name, value)) = largest {
        #[allow(clippy::cast_precision_loss)]
        let terms = [(view.feature(&name)?, value as f64)];
        view.submit_linear("leaks", Link::Identity, &terms, 0.0)?;
    }
    Ok(())
}

/// Everything there is to read, and the largest number.
fn read(view: &View) -> (String, Option<(String, i64)>) {
    let (mut text, mut largest) = (String::new(), None);
    for name in view.names() {
        text.push_str(name);
        if let Ok(category) = view.category(name) {
            text.push_str(&category.labels.join(" "));
        }
        let number = view.number(name);
        let others = [view.date(name), view.hour(name), view.pseudonym(name)];
        for column in number.iter().chain(others.iter().flatten()) {
            for rows in view.chunks() {
                for value in column.read(rows).iter().flatten() {
                    text.push_str(&format!(" {value}"));
                    if number.is_ok() && largest.as_ref().is_none_or(|(_, l)| *l < value) {
                        largest = Some((name.to_owned(), value));
                    }
                }
            }
        }
    }
    (text, largest)
}
