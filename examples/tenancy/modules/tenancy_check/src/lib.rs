//! Whether an applicant may rent: social insurance paid in at least twelve consecutive months, and no home of one's own. One row a month.

use fusebox_guest::fold::Block;

fusebox_guest::verify! {
    name: "tenancy_check",
    version: "0.1.0",
    columns: { "month": date(), "paid": category["yes", "no"], "owns": category["yes", "no"] },
    answer: yes_no,
    decide: decide,
}

/// Months in a row.
const MONTHS: i64 = 12;
const YES: Option<usize> = Some(0);

fn decide(rows: &Block) -> bool {
    let owns = (0..rows.rows()).any(|row| rows.label(column("owns"), row) == YES);
    let mut paid: Vec<i64> = (0..rows.rows())
        .filter(|row| rows.label(column("paid"), *row) == YES)
        .filter_map(|row| rows.value(column("month"), row).map(month_of))
        .collect();
    paid.sort_unstable();
    paid.dedup();
    let (mut run, mut longest, mut last) = (0, 0, None);
    for month in paid {
        run = if last == Some(month - 1) { run + 1 } else { 1 };
        longest = longest.max(run);
        last = Some(month);
    }
    !owns && longest >= MONTHS
}

/// Months since the year 0 of a day since 1970-01-01. After H. Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days).
fn month_of(day: i64) -> i64 {
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let month = (5 * (day - (365 * year + year / 4 - year / 100)) + 2) / 153;
    // March is the first month of such a year.
    (year + era * 400) * 12 + month
}
