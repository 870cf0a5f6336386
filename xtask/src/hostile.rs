//! The table of hostile cases, as `tests/hostile` runs it.

#[path = "../../tests/hostile/cases/mod.rs"]
mod cases;

use anyhow::{Result, bail};

/// Prints one case a line: name, class, what must come of it.
pub fn list() {
    for case in cases::all() {
        println!("{:<52} {:<20} {}", case.name, format!("{:?}", case.class), case.expect);
    }
}

/// Whether there is a case of this name.
pub fn known(name: &str) -> Result<()> {
    if cases::all().iter().any(|case| case.name == name) {
        Ok(())
    } else {
        bail!("no case is called `{name}`; remedy: `cargo xtask hostile --list`")
    }
}
