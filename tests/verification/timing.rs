//! Whoever is not known cannot be told from whoever gets `no`: by bytes, by headers, by time.

use std::time::Instant;

use serde_json::Value;
use ureq::http::Request;

use crate::world::{World, sign};

const PAIRS: u64 = 100;

/// Status, headers and body with what names this one call left out.
fn shape(world: &World, n: u64) -> String {
    let question = world.question(&sign(&world.issuer, &world.token(n))).to_string();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = Request::builder()
        .method("POST")
        .uri(format!("{}/v1/verifications", world.operator.url))
        .header("authorization", format!("Bearer {}", world.operator.token))
        .header("content-type", "application/json");
    let mut response = agent.run(request.body(question.as_bytes()).unwrap()).unwrap();
    let headers: Vec<String> = response
        .headers()
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let body = response.body_mut().read_to_string().unwrap();
    let parsed: Value = serde_json::from_str(&body).unwrap();
    let leaf = format!("\"leaf\":{}", parsed["leaf"]);
    // The number of the leaf may be a digit longer; the white space behind makes up for it.
    let rest = body.replace(parsed["id"].as_str().unwrap(), "ID").replace(&leaf, "LEAF");
    format!("{} {headers:?} {} {}", response.status(), body.len(), rest.trim_end())
}

/// Probability that a random latency of `a` is above one of `b`, ties halved: 0.5 where they cannot be told apart (Mann and Whitney).
fn auc(a: &[f64], b: &[f64]) -> f64 {
    let wins: f64 = a
        .iter()
        .flat_map(|x| {
            b.iter().map(move |y| {
                if x > y {
                    1.0
                } else if x < y {
                    0.0
                } else {
                    0.5
                }
            })
        })
        .sum();
    wins / (a.len() * b.len()) as f64
}

#[test]
fn an_unknown_subject_cannot_be_told_from_a_no() {
    // Known people whose answer is the first label; a spinning one is answered so too.
    let people: Vec<(u64, u64, u64)> = (0..PAIRS + 1).map(|n| (n, 0, 4 * n)).chain([(5000, 1, 0)]).collect();
    let world = World::start(&people);
    let known = shape(&world, PAIRS);
    assert_eq!(known, shape(&world, 90_000));
    assert_eq!(known, shape(&world, 5000));
    assert!(known.contains("\"answer\":\"none\"") && known.starts_with("200"), "{known}");
    let time = |n: u64| {
        let question = world.question(&sign(&world.issuer, &world.token(n)));
        let started = Instant::now();
        let answer = world.operator.post("/v1/verifications", &question);
        let took = started.elapsed().as_secs_f64() * 1000.0;
        assert_eq!(answer.good()["answer"], "none");
        took
    };
    let (mut there, mut not_there) = (Vec::new(), Vec::new());
    for n in 0..PAIRS {
        // By turns, so that a machine that grows slower does so for both.
        if n % 2 == 0 {
            there.push(time(n));
            not_there.push(time(10_000 + n));
        } else {
            not_there.push(time(10_000 + n));
            there.push(time(n));
        }
    }
    let area = auc(&there, &not_there);
    // Standard deviation of the area where there is no difference.
    let n = PAIRS as f64;
    let sigma = ((2.0 * n + 1.0) / (12.0 * n * n)).sqrt();
    let median = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    println!(
        "{PAIRS} pairs: area {area:.3} (chance 0.5, sigma {sigma:.3}); median known {:.1} ms, unknown {:.1} ms",
        median(&there),
        median(&not_there)
    );
    assert!((area - 0.5).abs() < 3.5 * sigma, "latency tells who is known: area {area}, sigma {sigma}");
}
