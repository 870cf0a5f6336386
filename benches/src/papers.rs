//! What the world of a bench is made of: two datasets of a bureau, a plan over both, an operator's papers.

use crate::data;
use anyhow::{Result, ensure};

/// Who owns the data.
pub const PROVIDER: &str = "bureau";
/// Who runs jobs.
pub const OPERATOR: &str = "opco";
/// Plan and agreement.
pub const ID: &str = "bench";
/// What for.
pub const PURPOSE: &str = "measuring";

const HEAD: &str = r#"
provider = "bureau"
origin = "public"
public_kind = "government"
source = "bench"
update_frequency = "once"
security_level = "general"
personal_information = false
sharing = { class = "conditional" }
opening = { class = "conditional" }
"#;

const STANDARD_POLICY: &str = include_str!("../../policies/release/standard.toml");

/// The standard policy with the smallest time quantum and as many jobs as it takes.
pub fn policy() -> Result<String> {
    let policy = STANDARD_POLICY.replace("time_quantum_seconds = 300", "time_quantum_seconds = 60");
    let policy = policy.replace("jobs_per_day_max = 200", "jobs_per_day_max = 100000");
    ensure!(policy.contains("= 60\n") && policy.contains("= 100000\n"), "the standard policy is another one");
    Ok(policy)
}

fn category(name: &str, labels: u64, linkage: &str) -> String {
    let domain: Vec<String> = (0..labels).map(|label| format!("\"{label:02}\"")).collect();
    let domain = domain.join(", ");
    format!(
        "[[columns]]\nname = \"{name}\"\ntitle = \"{name}\"\nrole = \"category\"\ntype = \"category\"\ndomain = [{domain}]\n{linkage}nullable = false\n"
    )
}

const KEY: &str = "linkage = \"opaque\"\n";

/// The large dataset.
pub fn readings(rows: u64) -> String {
    let meter = r#"[[columns]]
name = "meter"
title = "meter"
role = "direct_identifier"
type = "text"
bytes_max = 8
linkage = "opaque"
namespace = "meter"
nullable = false
"#;
    let value = format!(
        "[[columns]]\nname = \"value\"\ntitle = \"value\"\nrole = \"measure\"\ntype = \"number\"\nresolution = \"1\"\nmin = \"{}\"\nmax = \"{}\"\nnullable = false\n",
        data::VALUE_MIN,
        data::VALUE_MAX
    );
    let columns = [meter, &category("site", data::SITES, KEY), &category("region", data::REGIONS, ""), &value].concat();
    format!("id = \"readings\"\ntitle = \"readings\"\ndeclared_rows = {rows}\n{HEAD}{columns}")
}

/// The small one.
pub fn sites() -> String {
    let columns = [category("site", data::SITES, KEY), category("class", data::CLASSES, "")].concat();
    format!("id = \"sites\"\ntitle = \"sites\"\ndeclared_rows = {}\nunique = [\"site\"]\n{HEAD}{columns}", data::SITES)
}

/// The plan.
pub const PLAN: &str = r#"
id = "bench"
title = "bench"
unit = "readings.meter"
namespace = "meter"
[[members]]
alias = "readings"
dataset = "readings"
[[members]]
alias = "sites"
dataset = "sites"
[[joins]]
member = "sites"
kind = "inner"
on = [["readings.site", "site"]]
[[outputs]]
name = "region"
from = "readings.region"
transform = "keep"
[[outputs]]
name = "class"
from = "sites.class"
transform = "keep"
[[outputs]]
name = "value"
from = "readings.value"
transform = "keep"
"#;

/// The authority's authorisation.
pub const AUTHORISATION: &str = r#"
id = "bench"
operator = "opco"
scope = "bench"
datasets = ["readings", "sites"]
term = { from = "2020-01-01", until = "2099-12-31" }
"#;

/// The operator's application.
pub const APPLICATION: &str = r#"
id = "bench"
operator = "opco"
purposes = ["measuring"]
legal_basis = "bench"
scope = "bench"
method = "bench"
use_case = "bench"
commitments = { true = true, compliant = true, secure = true }
[columns]
readings = ["meter", "site", "region", "value"]
sites = ["site", "class"]
"#;

/// The agreement.
pub const AGREEMENT: &str = r#"
id = "bench"
operator = "opco"
authorisation = "bench"
application = "bench"
plan = "bench"
purposes = ["measuring"]
recipients = ["opco"]
doors = ["table"]
term = { from = "2020-01-01", until = "2099-12-31" }
budgets = { jobs_max = 100000 }
safeguards = "bench"
disposal = "bench"
[columns]
readings = ["meter", "site", "region", "value"]
sites = ["site", "class"]
"#;
