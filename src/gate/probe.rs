//! What a neighbour-replay probe says of the models that wait for review: for checkers, beside each model's evidence.
//!
//! The gate alone opens what the runs brought. On the evidence stands no unit's pseudonym and no place in any order: influences are
//! sorted.

use std::collections::BTreeSet;

use protocol::model::{Layer, Model, Node};
use protocol::neighbour::Measured;
use serde::{Deserialize, Serialize};

use super::checks::Check;
use super::decide::{Decision, Outcome, OutputKind, RawOutput, canonical};
use crate::policy::ActivePolicy;
use crate::sdc::{DecidedModel, Influences, JUMP_MIN, LARGEST_MIN, PROBED_MIN, Probed, Size, influences};
use crate::store::StoreError;

/// The rule's name, in checks and evidence.
const RULE: &str = "model.influence";
/// Articles it answers to.
const CLAUSES: [&str; 3] = ["Q35", "C26", "X55"];

/// How a unit came to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picked {
    /// At random, all units alike.
    Random,
    /// For its many rows, or its distance from the others.
    Extreme,
}

/// One run without one unit.
pub struct ProbeRun {
    /// How the unit came to be probed.
    pub drawn: Picked,
    /// What the unit is among the others.
    pub unit: Measured,
    /// What the module handed in, or why it ended, in closed words.
    pub outcome: Result<RawOutput, String>,
}

/// The run with every unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// It gave the job's commitment again.
    Same,
    /// It did not: the module or a worker does not repeat itself, and no influence means anything.
    Differs,
    /// It did not finish, in closed words.
    Failed(String),
}

/// A probe as it was carried out.
pub struct Probe {
    /// Units of the view.
    pub units: u64,
    /// Units that were to be drawn at random.
    pub drawn: u64,
    /// Units that were to be probed besides, for what they are.
    pub extreme: u64,
    /// The run with every unit.
    pub baseline: Baseline,
    /// Runs, in the order in which they were made.
    pub runs: Vec<ProbeRun>,
    /// Why there are fewer runs than there were to be, in closed words.
    pub cut: Option<String>,
}

/// What reviewers are shown. Numbers that are not whole are decimal texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeEvidence {
    /// What was found, if anything was.
    pub findings: Vec<Finding>,
    /// What the probe is and what it can find, in English.
    pub about_en: String,
    /// The same in Chinese.
    pub about_zh: String,
    /// Units of the view.
    pub units: u64,
    /// Units drawn at random and probed.
    pub random: u64,
    /// Units probed besides, for their rows or their distance.
    pub extreme: u64,
    /// Units that were to be probed, both together.
    pub wanted: u64,
    /// Why fewer were.
    pub cut: Option<String>,
    /// Probability that a single unit on which a module depends alone is among those drawn: `random` / `units`.
    pub detection_probability: String,
    /// The run with every unit.
    pub baseline: Baseline,
    /// Runs that did not finish without their unit.
    pub failed: u64,
    /// Why, in closed words, each once.
    pub failures: BTreeSet<String>,
    /// Runs after which the model has other features or another form.
    pub reshaped: u64,
    /// Largest ratio between neighbouring influences in the upper half.
    pub jump: String,
    /// The influence above it.
    pub above: String,
    /// Influences, largest first.
    pub influences: Vec<InfluenceShown>,
    /// What the probed units do to each parameter.
    pub parameters: Vec<ParameterShown>,
}

/// One thing that a reviewer has to explain before approving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// Articles it answers to.
    pub clauses: Vec<String>,
    /// `outlier`, `reshaped`, `failed`, `not_repeatable` or `not_judged`.
    pub cause: String,
    /// What was found.
    pub value: String,
    /// What is the threshold.
    pub threshold: String,
    /// What it means, in English.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
}

/// Influence of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfluenceShown {
    /// In scales ([`crate::sdc`]).
    pub influence: String,
    /// How the unit came to be probed.
    pub drawn: Picked,
}

/// What the probed units do to one parameter, in steps of the last digit released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterShown {
    /// What it multiplies, `column` or `column=label`, else its place in the artefact.
    pub name: String,
    /// Median influence.
    pub median_steps: String,
    /// Largest influence.
    pub largest_steps: String,
    /// Steps that one unit could move it by without a finding.
    pub hidden_steps: String,
}

impl Decision {
    /// Adds what a probe found to the evidence of every model that waits. The same check stands with each, whatever was found: the
    /// operator sees checks.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn probed(&mut self, probe: &Probe, policy: &ActivePolicy) -> Result<(), StoreError> {
        let digits = policy.rules().model.significant_digits;
        for (at, model) in self.models.iter().enumerate() {
            let Some(decided) = self.outputs.iter_mut().filter(|o| o.kind == OutputKind::Model).nth(at) else { continue };
            if decided.outcome != Outcome::Hold {
                continue;
            }
            let told = evidence(probe, (model, &features(&decided.artefact)?), at, digits);
            let mut evidence: serde_json::Value = serde_json::from_slice(&decided.evidence).map_err(|_| StoreError::Fault)?;
            let fields = evidence.as_object_mut().ok_or(StoreError::Fault)?;
            fields.insert("probe".to_owned(), serde_json::to_value(told).map_err(|_| StoreError::Fault)?);
            decided.evidence = canonical(&evidence)?;
            decided.checks.push(check(probe));
        }
        Ok(())
    }
}

/// What a model reads, as the artefact under review spells it: a column, or `column=label` of a level that enough units have.
fn features(artefact: &[u8]) -> Result<Vec<String>, StoreError> {
    Ok(match serde_json::from_slice(artefact).map_err(|_| StoreError::Malformed("artefact"))? {
        DecidedModel::Linear(linear) => linear.terms.into_iter().map(|term| term.feature).collect(),
        DecidedModel::Trees(trees) => trees.features,
        DecidedModel::Network(network) => network.features,
    })
}

/// A name for each parameter, in the order of [`Model::parameters`]: of a linear model what it multiplies, of others their place in the
/// artefact, counted from 0 as there.
fn names(model: &Model, features: &[String]) -> Vec<String> {
    match model {
        Model::Linear(_) => features.iter().cloned().chain(["(intercept)".to_owned()]).collect(),
        Model::Trees(trees) => {
            // The threshold of a level is no parameter: it is always the same.
            let of_level = |feature: u32| trees.features.get(feature as usize).is_some_and(|f| f.level.is_some());
            let level = |node: &Node| matches!(node, Node::Split { feature, .. } if of_level(*feature));
            let nodes = trees.trees.iter().enumerate().flat_map(|(t, tree)| tree.iter().enumerate().map(move |(n, node)| (t, n, node)));
            let own = nodes.filter(|(.., node)| !level(node)).map(|(t, n, _)| format!("tree {t}, node {n}"));
            own.chain(["(base)".to_owned()]).collect()
        }
        Model::Network(network) => network.layers.iter().enumerate().flat_map(of_layer).collect(),
    }
}

/// Names of a layer's weights, output by output one an input, then of its biases.
fn of_layer((l, layer): (usize, &Layer)) -> Vec<String> {
    let (outputs, weights) = (layer.biases.len(), layer.weights.len());
    let inputs = weights.checked_div(outputs).unwrap_or(0).max(1);
    let weights = (0..weights).map(|w| format!("layer {l}, output {}, input {}", w / inputs, w % inputs));
    weights.chain((0..outputs).map(|o| format!("layer {l}, output {o}, bias"))).collect()
}

/// What the probe says of the model at place `at` of the job's.
fn evidence(probe: &Probe, (model, features): (&Model, &[String]), at: usize, digits: u8) -> ProbeEvidence {
    let (mut probed, mut drawn, mut failed, mut reshaped) = (Vec::new(), Vec::new(), 0, 0);
    let mut failures = BTreeSet::new();
    for run in &probe.runs {
        match &run.outcome {
            Ok(raw) => match raw.models().get(at).filter(|without| without.same_form(model)) {
                Some(without) => {
                    drawn.push(run.drawn);
                    probed.push(Probed { size: size(&run.unit), parameters: without.parameters() });
                }
                None => reshaped += 1,
            },
            Err(why) => {
                failed += 1;
                failures.insert(why.clone());
            }
        }
    }
    let found = influences(&model.parameters(), digits, &probed);
    let count = |which: Picked| probe.runs.iter().filter(|run| run.drawn == which).count() as u64;
    let (random, extreme) = (count(Picked::Random), count(Picked::Extreme));
    let mut shown: Vec<(f64, Picked)> = found.units.iter().copied().zip(drawn).collect();
    shown.sort_by(|a, b| b.0.total_cmp(&a.0));
    let detection = format!("{:.4}", random as f64 / probe.units.max(1) as f64);
    ProbeEvidence {
        findings: findings(probe, &found, failed, reshaped),
        about_en: about_en(probe, random, extreme, &detection),
        about_zh: about_zh(probe, random, extreme, &detection),
        units: probe.units,
        random,
        extreme,
        wanted: probe.drawn + probe.extreme,
        cut: probe.cut.clone(),
        detection_probability: detection,
        baseline: probe.baseline.clone(),
        failed,
        failures,
        reshaped,
        jump: decimal(found.jump),
        above: decimal(found.above),
        influences: shown.into_iter().map(|(value, drawn)| InfluenceShown { influence: decimal(value), drawn }).collect(),
        parameters: names(model, features)
            .into_iter()
            .zip(&found.parameters)
            .map(|(name, p)| ParameterShown {
                name,
                median_steps: decimal(p.median_steps),
                largest_steps: decimal(p.largest_steps),
                hidden_steps: decimal(p.jump_steps),
            })
            .collect(),
    }
}

fn size(unit: &Measured) -> Size {
    Size { rows: unit.rows as f64, mean: unit.mean_permille as f64 / 1000.0, largest: unit.largest_permille as f64 / 1000.0 }
}

fn decimal(value: f64) -> String {
    format!("{value:.2}")
}

fn about_en(probe: &Probe, random: u64, extreme: u64, detection: &str) -> String {
    format!(
        "{} units; the module ran again without each of {random} units drawn at random and {extreme} extreme ones (most rows, farthest from \
         the mean). If the model depends on a single hidden unit, that unit is among those drawn at random with probability {detection}; \
         the extreme ones come on top.",
        probe.units
    )
}

fn about_zh(probe: &Probe, random: u64, extreme: u64, detection: &str) -> String {
    format!(
        "共 {} 个单元；分别去除随机抽取的 {random} 个单元和 {extreme} 个极端单元(记录最多或偏离均值最远)后重新运行模块。若模型依赖某一隐藏单元，\
         该单元被随机抽中的概率为 {detection}；极端单元另计。",
        probe.units
    )
}

fn findings(probe: &Probe, found: &Influences, failed: u64, reshaped: u64) -> Vec<Finding> {
    let threshold = format!("ratio {JUMP_MIN} to an influence of {LARGEST_MIN}");
    let finding = |cause: &str, value: String, threshold: &str, en: &str, zh: &str| Finding {
        rule: RULE.to_owned(),
        clauses: CLAUSES.map(str::to_owned).to_vec(),
        cause: cause.to_owned(),
        value,
        threshold: threshold.to_owned(),
        en: en.to_owned(),
        zh: zh.to_owned(),
    };
    let mut all = Vec::new();
    if found.outlier == Some(true) {
        let value = format!("ratio {} to an influence of {}", decimal(found.jump), decimal(found.above));
        let en = "leaving out one unit, or a few, moves the model as no other unit does: its values may stand in the parameters";
        all.push(finding("outlier", value, &threshold, en, "去除个别单元对模型的影响远大于其他单元：其数值可能被写入参数"));
    }
    if reshaped > 0 {
        let en = "without one unit the model has another form: its form may tell of that unit";
        all.push(finding("reshaped", format!("{reshaped} runs"), "0 runs", en, "去除某一单元后模型形式改变：模型形式可能泄露该单元"));
    }
    if failed > 0 {
        let en = "without one unit the module does not finish: that it finished tells of that unit";
        all.push(finding("failed", format!("{failed} runs"), "0 runs", en, "去除某一单元后模块无法完成运行：能否完成可能泄露该单元"));
    }
    if probe.baseline != Baseline::Same {
        let en = "with every unit the run does not give the same output again: influences mean nothing";
        all.push(finding(
            "not_repeatable",
            "another commitment, or none".to_owned(),
            "the same commitment",
            en,
            "全部单元重新运行未得到相同输出：影响值无意义",
        ));
    }
    if found.outlier.is_none() {
        let en = "too few units were probed for a judgement";
        let value = format!("{} units", found.units.len());
        all.push(finding("not_judged", value, &format!("{PROBED_MIN} units"), en, "探测单元过少，无法判断"));
    }
    all
}

/// The same whatever was found, and however many runs there were.
fn check(probe: &Probe) -> Check {
    Check {
        rule: RULE.to_owned(),
        clauses: CLAUSES.map(str::to_owned).to_vec(),
        threshold: format!("{} units left out, one at a time", probe.drawn),
        outcome: "applied, for the reviewers".to_owned(),
        withheld: false,
    }
}

#[cfg(test)]
mod tests;
