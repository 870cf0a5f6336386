//! Reading the interface's answers.

use serde_json::Value;

use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};

/// The text at a JSON pointer; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a JSON pointer; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list.
pub(super) fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(value, pointer).iter().filter_map(Value::as_str).collect()
}

/// The number or text at a JSON pointer, as text.
pub(super) fn figure(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// A whole number in groups of three digits; other texts as they are.
pub(super) fn grouped(number: &str) -> String {
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return number.to_owned();
    }
    let first = number.len() % 3;
    let digits = number.char_indices().map(|(at, digit)| if at > 0 && at % 3 == first { format!(",{digit}") } else { digit.to_string() });
    digits.collect()
}

/// Whether the value at a JSON pointer is `true`.
pub(super) fn is(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer) == Some(&Value::Bool(true))
}

/// Whether there is anything but `null` at a JSON pointer.
pub(super) fn some(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(|v| !v.is_null())
}

/// The element of a list whose text at `pointer` is `id`.
pub(super) fn find<'a>(all: &'a Value, pointer: &str, id: &str) -> &'a Value {
    list(all, "").iter().find(|v| !id.is_empty() && text(v, pointer) == id).unwrap_or(&Value::Null)
}

/// A time at a JSON pointer, to the minute, in China Standard Time.
pub(super) fn time(value: &Value, pointer: &str) -> String {
    let Ok(at) = text(value, pointer).parse::<Timestamp>() else { return String::new() };
    let local = at.plus_s(CHINA_UTC_OFFSET_S).to_string();
    local.get(..16).map(|minute| minute.replace('T', "\u{a0}")).unwrap_or_default()
}

/// A day at a JSON pointer, of a date or a time.
pub(super) fn day(value: &Value, pointer: &str) -> String {
    let found = time(value, pointer);
    if found.is_empty() { text(value, pointer).to_owned() } else { found.chars().take(10).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_of_the_city_to_the_minute() {
        let value = json!({ "at": "2026-12-31T16:05:59Z", "day": "2026-12-31", "n": 3, "t": "x", "no": null });
        assert_eq!(time(&value, "/at"), "2027-01-01\u{a0}00:05");
        assert_eq!((day(&value, "/at").as_str(), day(&value, "/day").as_str()), ("2027-01-01", "2026-12-31"));
        assert_eq!((figure(&value, "/n"), figure(&value, "/t"), figure(&value, "/no")), ("3".into(), "x".into(), String::new()));
        assert_eq!(["12", "123", "1048576", "12345", "x1", ""].map(grouped), ["12", "123", "1,048,576", "12,345", "x1", ""]);
        assert!(!some(&value, "/no") && !some(&value, "/absent") && some(&value, "/n"));
        assert_eq!(find(&json!([{ "id": "" }, { "id": "a" }]), "/id", ""), &Value::Null);
    }
}
