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
#[derive(Debug, Args)]
pub struct Private {
    #[command(flatten)]
    pays: Pays,
    #[command(subcommand)]
    command: PrivateCommand,
}

/// On what a fold runs, and who pays for it.
#[derive(Debug, Args)]
struct Pays {
    /// The plan.
    #[arg(long, global = true)]
    plan: Option<String>,
    /// The agreement that is to pay.
    #[arg(long, global = true)]
    agreement: Option<String>,
    /// The purpose, one of the agreement's.
    #[arg(long, global = true)]
    purpose: Option<String>,
    /// Who is to get it, one of the agreement's recipients; without it one's own organisation.
    #[arg(long, global = true)]
    recipient: Option<String>,
    /// Digest of the module, where one computes the contributions: for `file`.
    #[arg(long, global = true)]
    module: Option<String>,
}

/// What is done at the private door.
#[derive(Debug, Subcommand)]
enum PrivateCommand {
    /// What a fold costs, what its answer is worth, and whether the budgets cover it. Spends nothing and looks at no data.
    Preview(Preview),
    /// Shows the preview, spends, and waits for the answer.
    #[command(flatten)]
    Run(Fold),
}

/// `private preview`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").args(["rmse", "half_width"])))]
struct Preview {
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
enum Fold {
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
struct Bounded {
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
struct Loss {
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
enum Mechanism {
    /// Discrete Gaussian, at the policy's δ.
    Gaussian,
    /// Discrete Laplace, pure.
    Laplace,
}

impl Fold {
    /// The fold as the server takes it.
    fn document(&self, context: &Context) -> Result<Value, CliError> {
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
pub fn private(context: &Context, Private { pays, command }: &Private) -> Result<Answer, CliError> {
    match command {
        PrivateCommand::Preview(asked) => preview(context, pays, asked),
        PrivateCommand::Run(fold) => run(context, pays, &fold.document(context)?),
    }
}

fn needed<'a>(name: &str, value: Option<&'a String>) -> Result<&'a String, CliError> {
    value.ok_or_else(|| CliError::failed(format!("`--{name}` is missing"), format!("say `--{name} …`")))
}

/// What the answer will be worth is shown before anything is spent.
fn run(context: &Context, pays: &Pays, fold: &Value) -> Result<Answer, CliError> {
    let client = context.client()?;
    let (plan, agreement) = (needed("plan", pays.plan.as_ref())?, needed("agreement", pays.agreement.as_ref())?);
    let purpose = needed("purpose", pays.purpose.as_ref())?;
    if pays.module.is_none() {
        let body = json!({ "plan": plan, "agreement": agreement, "fold": fold });
        let told = client.post("/v1/private/preview", &body)?;
        if !context.json {
            eprintln!("{}", expected(&told));
        }
    }
    let mut body = given([
        ("plan", json!(plan)),
        ("agreement", json!(agreement)),
        ("purpose", json!(purpose)),
        ("recipient", json!(pays.recipient)),
        ("module", json!(pays.module)),
    ]);
    body.insert("private".to_owned(), fold.clone());
    let job = client.post("/v1/jobs", &Value::Object(body))?;
    let job = super::jobs::watch(&client, &super::jobs::id_of(&job)?, context.json)?;
    let Some(release) = job.pointer("/releases/0").and_then(Value::as_str).filter(|_| job.get("state") == Some(&json!("done"))) else {
        return super::jobs::ended(job);
    };
    let released = client.get(&format!("/v1/releases/{release}/artefact"))?;
    let part = |path: &str| released.pointer(path).map(|v| serde_json::to_string_pretty(v).unwrap_or_default()).unwrap_or_default();
    let lines = [
        ("epsilon", "/artefact/certificate/epsilon"),
        ("at delta 10^-", "/artefact/certificate/delta_exponent"),
        ("rho", "/artefact/certificate/rho"),
        ("unit", "/artefact/certificate/unit"),
        ("rounds", "/artefact/certificate/rounds"),
        ("bound of a contribution", "/artefact/certificate/bound"),
        ("noise: standard deviation", "/artefact/certificate/noise_standard_deviation"),
        ("noise: 95% within", "/artefact/certificate/half_width_95"),
    ];
    let text = format!("{}\n{}\nrelease: {release}", part("/artefact/answer"), self::told(&released, &lines));
    Ok(Answer::text(released, text))
}

fn preview(context: &Context, pays: &Pays, asked: &Preview) -> Result<Answer, CliError> {
    let target = match (asked.rmse, asked.half_width) {
        (Some(error), _) => json!({ "rmse": error }),
        (_, Some(error)) => json!({ "half_width_95": error }),
        _ => Value::Null,
    };
    let body = given([
        ("plan", json!(needed("plan", pays.plan.as_ref())?)),
        ("fold", asked.fold.document(context)?),
        ("agreement", json!(pays.agreement)),
        ("units", json!(asked.units)),
        ("dimension", json!(asked.dimension)),
        ("target_error", target),
    ]);
    let answer = context.client()?.post("/v1/private/preview", &Value::Object(body))?;
    let text = expected(&answer);
    Ok(Answer::text(answer, text))
}

fn expected(answer: &Value) -> String {
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
    told(answer, &lines)
}

/// One line for each of these fields that is there.
fn told(answer: &Value, lines: &[(&str, &str)]) -> String {
    let found = lines.iter().filter_map(|(name, path)| Some((*name, answer.pointer(path).filter(|v| !v.is_null())?)));
    found.map(|(name, value)| format!("{name}: {}", plain(value))).collect::<Vec<_>>().join("\n")
}
