//! Privacy budgets, and folds: what one would cost and be worth before it is paid for.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Context;
use super::error::CliError;
use super::output::{Answer, plain};

/// `budget`.
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// A budget, what was spent of it by all operators, and what remains.
    Show {
        /// Kind of identifier: person, firm.
        namespace: String,
    },
    /// Set a budget. What was spent stays spent, and nothing refills it.
    Set {
        /// Kind of identifier: person, firm.
        namespace: String,
        /// Most privacy loss ε of everything, for ever: a decimal.
        #[arg(long)]
        epsilon: String,
        /// δ is 10 to the power of minus this; the release policy's without it.
        #[arg(long)]
        delta_exponent: Option<u8>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// `private`.
#[derive(Debug, Subcommand)]
pub enum PrivateCommand {
    /// What a fold costs, what its answer is worth, and whether the budgets cover it. Spends nothing and looks at no data.
    Preview(Preview),
}

/// `private preview`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").args(["rmse", "half_width"])))]
pub struct Preview {
    /// The plan.
    #[arg(long)]
    plan: String,
    /// The agreement that is to pay.
    #[arg(long)]
    agreement: Option<String>,
    /// Units that are expected; the declared rows without it.
    #[arg(long)]
    units: Option<u64>,
    /// Length of a contribution, where a module computes it.
    #[arg(long)]
    dimension: Option<u32>,
    /// Which ε would bring the root mean square error to this.
    #[arg(long, value_name = "ERROR")]
    rmse: Option<f64>,
    /// Which ε would bring 95% of answers within this.
    #[arg(long, value_name = "ERROR")]
    half_width: Option<f64>,
    #[command(subcommand)]
    fold: Fold,
}

/// A fold on the command line.
#[derive(Debug, Subcommand)]
pub enum Fold {
    /// Rows; units where each takes part with one.
    Count {
        #[command(flatten)]
        loss: Loss,
    },
    /// Sum of a number column.
    Sum {
        #[command(flatten)]
        column: Bounded,
        #[command(flatten)]
        loss: Loss,
    },
    /// Mean of a number column.
    Mean {
        #[command(flatten)]
        column: Bounded,
        #[command(flatten)]
        loss: Loss,
    },
    /// Rows by label, or by bin.
    Histogram {
        /// The column.
        column: String,
        /// Labels of the public domain; those declared without it.
        #[arg(long, value_delimiter = ',')]
        labels: Vec<String>,
        /// Rising cut points of a number, date or hour column.
        #[arg(long, value_delimiter = ',', conflicts_with = "labels", allow_hyphen_values = true)]
        cuts: Vec<String>,
        #[command(flatten)]
        loss: Loss,
    },
    /// Quantiles of a number column, from a noised histogram.
    Quantile {
        #[command(flatten)]
        column: Bounded,
        /// Which, in permille, rising.
        #[arg(long, value_delimiter = ',', default_value = "500")]
        permille: Vec<u16>,
        /// Bins.
        #[arg(long, default_value_t = 128)]
        bins: u32,
        #[command(flatten)]
        loss: Loss,
    },
    /// A fold in a file: JSON, or TOML by its ending.
    File {
        /// The fold.
        file: PathBuf,
    },
}

/// A number column, its values clamped.
#[derive(Debug, Args)]
pub struct Bounded {
    /// The column.
    column: String,
    /// Smallest value; smaller ones count as this. The catalogue's bound without it.
    #[arg(long, allow_hyphen_values = true)]
    min: Option<String>,
    /// Largest value; larger ones count as this. The catalogue's bound without it.
    #[arg(long, allow_hyphen_values = true)]
    max: Option<String>,
}

/// What a fold may cost.
#[derive(Debug, Args)]
pub struct Loss {
    /// Privacy loss ε: a decimal.
    #[arg(long)]
    epsilon: String,
    /// Which noise.
    #[arg(long, value_enum, default_value_t = Mechanism::Gaussian)]
    mechanism: Mechanism,
    /// Rows of one unit that take part.
    #[arg(long, default_value_t = 1)]
    rows_per_unit: u32,
}

/// Which noise.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Mechanism {
    /// Discrete Gaussian, at the policy's δ.
    Gaussian,
    /// Discrete Laplace, pure.
    Laplace,
}

impl Fold {
    /// The fold as the server takes it.
    pub fn document(&self, context: &Context) -> Result<Value, CliError> {
        let bounded = |b: &Bounded| given([("column", json!(b.column)), ("min", json!(b.min)), ("max", json!(b.max))]);
        let listed = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
        let (map, loss) = match self {
            Self::Count { loss } => (json!({ "count": {} }), loss),
            Self::Sum { column, loss } => (json!({ "sum": bounded(column) }), loss),
            Self::Mean { column, loss } => (json!({ "mean": bounded(column) }), loss),
            Self::Histogram { column, labels, cuts, loss } => {
                let fold = given([("column", json!(column)), ("labels", listed(labels)), ("cuts", listed(cuts))]);
                (json!({ "histogram": fold }), loss)
            }
            Self::Quantile { column, permille, bins, loss } => {
                let mut fold = bounded(column);
                fold.extend([("permille".to_owned(), json!(permille)), ("bins".to_owned(), json!(bins))]);
                (json!({ "quantile": fold }), loss)
            }
            Self::File { file } => return from_file(context, file),
        };
        let mechanism = match loss.mechanism {
            Mechanism::Gaussian => "gaussian",
            Mechanism::Laplace => "laplace",
        };
        Ok(json!({ "map": map, "mechanism": mechanism, "epsilon": loss.epsilon, "rows_per_unit_max": loss.rows_per_unit }))
    }
}

/// An object of what is there.
fn given<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn from_file(context: &Context, file: &std::path::Path) -> Result<Value, CliError> {
    let text = context.files.read_text(file)?;
    let wrong = |what: String| CliError::failed(what, "compare it with the interface description: the schema `FoldDocument`");
    if file.extension().is_some_and(|ending| ending == "toml") {
        return toml::from_str(&text).map_err(|e| wrong(e.message().to_owned()));
    }
    serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
}

/// `budget …`.
pub fn budget(context: &Context, command: &BudgetCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    let answer = match command {
        BudgetCommand::Show { namespace } => client.get(&format!("/v1/namespaces/{namespace}/budget"))?,
        BudgetCommand::Set { namespace, epsilon, delta_exponent, reason } => {
            let mut body = given([("epsilon", json!(epsilon)), ("reason", json!(reason))]);
            body.extend(delta_exponent.map(|k| ("delta_exponent".to_owned(), json!(k))));
            client.put(&format!("/v1/namespaces/{namespace}/budget"), &Value::Object(body))?
        }
    };
    let lines = [
        ("namespace", "/namespace"),
        ("budget", "/budget/budget/epsilon"),
        ("delta exponent", "/budget/budget/delta_exponent"),
        ("rho of it", "/budget/budget/rho"),
        ("rho spent", "/spent/rho"),
        ("pure epsilon spent", "/spent/epsilon"),
        ("folds", "/spent/folds"),
        ("left for one gaussian fold", "/remaining/gaussian"),
        ("left for one laplace fold", "/remaining/laplace"),
    ];
    let text = told(&answer, &lines);
    Ok(Answer::text(answer, text))
}

/// `private …`.
pub fn private(context: &Context, command: PrivateCommand) -> Result<Answer, CliError> {
    match command {
        PrivateCommand::Preview(preview) => self::preview(context, &preview),
    }
}

fn preview(context: &Context, asked: &Preview) -> Result<Answer, CliError> {
    let target = match (asked.rmse, asked.half_width) {
        (Some(error), _) => json!({ "rmse": error }),
        (_, Some(error)) => json!({ "half_width_95": error }),
        _ => Value::Null,
    };
    let body = given([
        ("plan", json!(asked.plan)),
        ("fold", asked.fold.document(context)?),
        ("agreement", json!(asked.agreement)),
        ("units", json!(asked.units)),
        ("dimension", json!(asked.dimension)),
        ("target_error", target),
    ]);
    let answer = context.client()?.post("/v1/private/preview", &Value::Object(body))?;
    let lines = [
        ("epsilon", "/epsilon"),
        ("at delta 10^-", "/delta_exponent"),
        ("rho", "/cost/rho"),
        ("pure epsilon", "/cost/epsilon"),
        ("error of", "/error_of"),
        ("root mean square error", "/expected_error/rmse"),
        ("95% within", "/expected_error/half_width_95"),
        ("covered by every budget", "/covered"),
        ("most epsilon of one job", "/epsilon_per_job_max"),
        ("namespace: left, gaussian", "/namespace/gaussian"),
        ("namespace: left, laplace", "/namespace/laplace"),
        ("agreement: left, gaussian", "/agreement/gaussian"),
        ("agreement: left, laplace", "/agreement/laplace"),
        ("epsilon for the target", "/plan/epsilon"),
        ("blocks for the target", "/plan/blocks/blocks"),
        ("units in a block", "/plan/blocks/units_per_block"),
    ];
    let text = told(&answer, &lines);
    Ok(Answer::text(answer, text))
}

/// One line for each of these fields that is there.
fn told(answer: &Value, lines: &[(&str, &str)]) -> String {
    let found = lines.iter().filter_map(|(name, path)| Some((*name, answer.pointer(path).filter(|v| !v.is_null())?)));
    found.map(|(name, value)| format!("{name}: {}", plain(value))).collect::<Vec<_>>().join("\n")
}
