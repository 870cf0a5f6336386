//! The neighbour-replay probe through real workers: what reviewers see of a module that hides a row, and of one that does not.

use serde_json::{Value, json};

use crate::support::policy;
use crate::world::{FIRMS, PLAN, Papers, World, changed, uscc};

/// Evidence of the only output of a job, as it is opened for a review; and the output without it, of which an operator sees no more.
fn reviewed(world: &World, (agreement, plan): (&str, &str), module: &str) -> (Value, Value) {
    let mut job = world.job(agreement, module);
    job["plan"] = json!(plan);
    let job = world.run(&job);
    assert_eq!(job["state"], "in_review", "{job}");
    let release = job["releases"][0].as_str().unwrap().to_owned();
    let copy = world.authority().get(&format!("/v1/releases/{release}/evidence")).good();
    (copy["evidence"]["probe"].clone(), world.output(&job))
}

#[test]
fn a_hidden_row_shows_in_the_evidence_and_an_honest_regression_raises_no_alarm() {
    let world = World::start(&[]);
    // Every firm is left out once: what is found does not hang on the draw.
    let all = changed(&policy::small(), "probe_units = 30", &format!("probe_units = {FIRMS}"));
    world.authority().put_toml("/v1/policies/floor", &all).good();
    world.carry(&Papers::new("main"));
    let hostile = world.approved("hides-a-row");
    let began = std::time::Instant::now();
    let (found, seen) = reviewed(&world, ("main", "credit"), &hostile);
    println!("{FIRMS} runs without one firm and one with all: {} ms", began.elapsed().as_millis());
    let findings: Vec<&str> = found["findings"].as_array().unwrap().iter().map(|f| f["cause"].as_str().unwrap()).collect();
    assert_eq!(findings, ["outlier"], "{found}");
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    println!("hides-a-row: ratio {} to an influence of {}", found["jump"], found["above"]);
    assert_eq!((found["random"].as_u64(), found["units"].as_u64(), found["extreme"].as_u64()), (Some(FIRMS), Some(FIRMS), Some(0)));
    assert_eq!(
        (found["detection_probability"].as_str(), found["baseline"].as_str(), &found["cut"]),
        (Some("1.0000"), Some("same"), &Value::Null)
    );
    let influences: Vec<f64> = found["influences"].as_array().unwrap().iter().map(|i| number(&i["influence"])).collect();
    assert!(
        influences.len() as u64 == FIRMS && influences.is_sorted_by(|a, b| a >= b) && influences[0] > 2.5 * influences[1],
        "{influences:?}"
    );

    // The same module where nobody has the consumption that it looks for: an honest regression.
    let capped = changed(&changed(PLAN, r#"id = "credit""#, r#"id = "capped""#), "max = 60000", "max = 1300");
    world.operator().post_toml("/v1/plans", &capped).good();
    world.carry(&Papers::new("capped").agreement(r#"plan = "credit""#, r#"plan = "capped""#));
    let (quiet, seen_quiet) = reviewed(&world, ("capped", "capped"), &hostile);
    println!("nothing to hide: ratio {} to an influence of {}", quiet["jump"], quiet["above"]);
    assert_eq!((&quiet["findings"], quiet["baseline"].as_str()), (&json!([]), Some("same")), "{quiet}");

    // An honest scorecard, in which every grade has more than one firm that defaulted.
    let (scorecard, _) = reviewed(&world, ("main", "credit"), &world.approved("credit-scorecard"));
    assert_eq!((&scorecard["findings"], scorecard["baseline"].as_str()), (&json!([]), Some("same")), "{scorecard}");
    let names: Vec<&str> = scorecard["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"tax_grade=B") && names.last() == Some(&"(intercept)"), "{names:?}");

    // Nothing says which unit it was: no pseudonym, no identifier, no place.
    for evidence in [&found, &quiet] {
        let text = evidence.to_string();
        assert!(!text.contains("\"unit\"") && (0..FIRMS).all(|i| !text.contains(&uscc(i))), "{text}");
        let long = |word: &str| word.len() > 12 && word.bytes().all(|b| b.is_ascii_digit());
        assert!(!text.split(|c: char| !c.is_ascii_digit()).any(long), "as long a number as a pseudonym: {text}");
    }
    // Outside the review copy stands that the rule was applied, the same for both, and no finding.
    let check = |seen: &Value| seen["checks"].as_array().unwrap().iter().find(|c| c["rule"] == "model.influence").cloned().unwrap();
    assert_eq!(check(&seen), check(&seen_quiet));
    assert!(!seen.to_string().contains("outlier"), "{seen}");
}

#[test]
fn a_sample_states_its_chance_and_the_extremes_beside_it() {
    let world = World::start(&[]);
    world.authority().put_toml("/v1/policies/floor", &changed(&policy::small(), "probe_units = 30", "probe_units = 18")).good();
    world.carry(&Papers::new("main"));
    let (found, seen) = reviewed(&world, ("main", "credit"), &world.approved("hides-a-row"));
    let (random, extreme) = (found["random"].as_u64().unwrap(), found["extreme"].as_u64().unwrap());
    assert!(random == 18 && (1..=3).contains(&extreme), "{found}");
    assert_eq!(found["influences"].as_array().unwrap().len() as u64, random + extreme);
    assert_eq!(found["detection_probability"], "0.1000");
    let about = found["about_en"].as_str().unwrap();
    assert!(about.contains("180 units") && about.contains("18 units drawn at random") && about.contains("0.1000"), "{about}");
    assert!(found["about_zh"].as_str().unwrap().contains("180"), "{found}");
    let checks = seen["checks"].as_array().unwrap();
    assert!(checks.iter().any(|c| c["rule"] == "model.influence" && c["threshold"] == "18 units left out, one at a time"), "{seen}");
}
