//! Privacy budgets, and what is told of a fold before anything is spent.

use serde_json::{Value, json};

use crate::papers;
use crate::server::Server;

const BUDGET: &str = "/v1/namespaces/firm/budget";

fn server() -> Server {
    let server = Server::with_everyone(|_, _| {});
    server.toml("PUT", "/v1/policies/floor", server.token("authority"), papers::POLICY);
    server.toml("POST", "/v1/datasets", server.token("provider"), papers::TAX);
    server.toml("POST", "/v1/datasets", server.token("operator"), papers::LOANS);
    server.toml("POST", "/v1/plans", server.token("operator"), papers::PLAN);
    server
}

fn set(server: &Server, body: &Value) -> Value {
    let answer = server.call("PUT", BUDGET, server.token("authority"), Some(body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_budget_is_set_with_a_reason_seen_by_operators_and_logged() {
    let server = server();
    let none = server.call("GET", BUDGET, server.token("operator"), None).json();
    assert_eq!((&none["budget"], &none["remaining"], &none["spent"]["folds"]), (&Value::Null, &Value::Null, &json!(0)));
    for (body, rule) in [
        (json!({ "epsilon": "3" }), "request.malformed"),
        (json!({ "epsilon": "3", "reason": " " }), "request.malformed"),
        (json!({ "epsilon": 3, "reason": "r" }), "request.malformed"),
        (json!({ "epsilon": "-3", "reason": "r" }), "request.malformed"),
        (json!({ "epsilon": "1001", "reason": "r" }), "privacy.invalid"),
        (json!({ "epsilon": "1000001", "reason": "r" }), "request.malformed"),
        (json!({ "epsilon": "3", "delta_exponent": 2, "reason": "r" }), "privacy.invalid"),
    ] {
        let answer = server.call("PUT", BUDGET, server.token("authority"), Some(&body));
        assert_eq!((answer.status, answer.rule().as_str()), (422, rule), "{body}");
    }
    let raised = set(&server, &json!({ "epsilon": "3", "reason": "first year" }));
    assert_eq!((&raised["budget"]["budget"]["epsilon"], &raised["budget"]["budget"]["delta_exponent"]), (&json!("3"), &json!(6)));
    assert_eq!((&raised["budget"]["set_by"], &raised["remaining"]["epsilon"]), (&json!("city"), &json!("3")), "{raised}");
    let lowered = set(&server, &json!({ "epsilon": "0.5", "reason": "too much" }));
    assert_eq!(lowered["remaining"]["epsilon"], "0.5");
    assert_eq!(server.call("GET", BUDGET, server.token("operator"), None).json(), lowered);
    let leaves: Vec<Value> = server.leaves().into_iter().filter(|l| l["event"] == "budget.set").collect();
    let told: Vec<_> = leaves.iter().map(|l| (&l["budget"]["epsilon"], &l["before"]["epsilon"], &l["reason"])).collect();
    assert_eq!(told, [(&json!("3"), &Value::Null, &json!("first year")), (&json!("0.5"), &json!("3"), &json!("too much"))]);
}

#[test]
fn a_preview_tells_cost_and_error_before_anything_is_spent() {
    let server = server();
    let token = server.token("operator");
    let ask = |fold: Value, more: Value| {
        let mut body = json!({ "plan": "credit", "fold": fold });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.call("POST", "/v1/private/preview", token, Some(&body))
    };
    let fold = |map: Value, mechanism: &str| json!({ "map": map, "mechanism": mechanism, "epsilon": "0.5" });
    let count = || fold(json!({ "count": {} }), "laplace");
    // Without a budget it is told, and not covered.
    let told = ask(count(), json!({})).json();
    assert_eq!((&told["covered"], &told["namespace"], &told["error_of"]), (&json!(false), &Value::Null, &json!("coordinate")));
    assert_eq!((&told["cost"]["epsilon"], &told["cost"]["rho"], &told["epsilon"]), (&json!("0.5"), &json!("0.125"), &json!("0.5")));
    // Discrete Laplace noise of scale 2: standard deviation 2.80, 96% within 6.
    let error = &told["expected_error"];
    assert!((error["rmse"].as_f64().unwrap() - 2.799).abs() < 0.01 && error["half_width_95"] == 6.0, "{error}");
    set(&server, &json!({ "epsilon": "9", "reason": "test" }));
    let told = ask(count(), json!({ "target_error": { "rmse": 1.0 } })).json();
    assert_eq!((&told["namespace"]["epsilon"], &told["agreement"], &told["covered"]), (&json!("9"), &Value::Null, &json!(false)));
    let needed: f64 = told["plan"]["epsilon"].as_str().unwrap().parse().unwrap();
    assert!((1.3..1.4).contains(&needed) && told["plan"]["blocks"].is_null(), "{needed}");
    // A mean over the declared rows, and over more.
    let mean = || fold(json!({ "mean": { "column": "overdue" } }), "gaussian");
    let few = ask(mean(), json!({})).json();
    let many = ask(mean(), json!({ "units": 1000 })).json();
    assert_eq!((&few["error_of"], &few["cost"]["epsilon"]), (&json!("mean"), &Value::Null));
    let ratio = few["expected_error"]["rmse"].as_f64().unwrap() / many["expected_error"]["rmse"].as_f64().unwrap();
    assert!((ratio - 100.0).abs() < 1e-6, "{ratio}");
    // A module with shared blocks: how many blocks, for a declared number of units.
    let clip = json!({ "norm": "l2", "bound": "36.5", "scale": 1 });
    let mut module = fold(json!({ "module": { "clip": clip, "fuel": 1000 } }), "gaussian");
    module["blocks"] = json!({ "shared": { "count": 50 } });
    assert_eq!(ask(module.clone(), json!({})).json()["error"]["subject"], "dimension");
    let told = ask(module.clone(), json!({ "dimension": 1, "units": 48_842, "target_error": { "rmse": 0.4 } })).json();
    let blocks = told["plan"]["blocks"]["blocks"].as_u64().unwrap();
    assert_eq!((&told["error_of"], &told["plan"]["blocks"]["units_per_block"]), (&json!("block_mean"), &json!(48_842 / blocks)));
    let none = ask(module, json!({ "dimension": 1, "units": 100, "target_error": { "rmse": 0.4 } })).json();
    assert!(none["plan"]["blocks"].is_null() && none["plan"]["epsilon"].is_string(), "{none}");
    // Nothing was spent by all that.
    assert_eq!(server.call("GET", BUDGET, token, None).json()["spent"]["folds"], 0);
    for (fold, rule) in [
        (fold(json!({ "sum": { "column": "salary" } }), "laplace"), "privacy.invalid"),
        (json!({ "map": { "count": {} }, "mechanism": "laplace", "epsilon": "0" }), "privacy.invalid"),
        (json!({ "map": { "count": {} }, "mechanism": "uniform", "epsilon": "1" }), "request.malformed"),
    ] {
        let answer = ask(fold.clone(), json!({}));
        assert_eq!((answer.status, answer.rule().as_str()), (422, rule), "{fold}: {}", answer.text());
    }
}
