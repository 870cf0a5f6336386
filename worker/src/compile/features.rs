//! The features that are off, against the table of hostile cases: each has a module that is refused here and valid where it is on.

#[path = "../../../tests/hostile/cases/mod.rs"]
mod cases;

use std::collections::BTreeSet;

use cases::{Covers, Source};
use wasmparser::{Validator, WasmFeatures};

use super::FEATURES;

fn valid(module: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(module).is_ok()
}

#[test]
fn every_feature_that_is_off_has_a_module_that_needs_it() {
    let off: BTreeSet<String> = WasmFeatures::all().difference(FEATURES).iter_names().map(|(name, _)| name.to_lowercase()).collect();
    let mut covered = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases::all() {
        for covers in case.covers {
            let Covers::Feature(name) = covers else { continue };
            covered.insert((*name).to_owned());
            let Some(feature) = WasmFeatures::from_name(&name.to_uppercase()) else {
                wrong.push(format!("{}: no feature is called `{name}`", case.name));
                continue;
            };
            let module = match case.source {
                Source::Bare(text) | Source::Component(text) => match wat::parse_str(text) {
                    Ok(module) => module,
                    Err(error) => {
                        wrong.push(format!("{}: {error}", case.name));
                        continue;
                    }
                },
                Source::Bytes(bytes) => bytes.to_vec(),
                other => panic!("{}: a feature's module is text or bytes, not {other:?}", case.name),
            };
            if valid(&module, FEATURES) {
                wrong.push(format!("{}: valid without its feature", case.name));
            }
            if let Err(error) = Validator::new_with_features(WasmFeatures::all()).validate_all(&module) {
                wrong.push(format!("{}: not valid with every feature: {error}", case.name));
            }
            if valid(&module, WasmFeatures::all().difference(feature)) {
                wrong.push(format!("{}: valid with every feature but its own", case.name));
            }
        }
    }
    let missing: Vec<_> = off.difference(&covered).collect();
    wrong.extend(missing.iter().map(|name| format!("`{name}` is off and has no case")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
