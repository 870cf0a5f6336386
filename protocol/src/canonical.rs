//! Canonical JSON: one spelling of a document, for digests and commitments.
//!
//! As RFC 8785 (no white space, keys sorted by UTF-16 code units, minimal escapes), but numbers are integers of 64 bits, written
//! exactly; a floating-point number is an error, for its spelling would depend on who wrote it. Sorting is done here, so the
//! bytes do not depend on how `serde_json` keeps its maps.

use serde::Serialize;
use serde_json::Value;

/// Why a document has no canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number that is no integer of 64 bits.
    #[error("a number is no integer of 64 bits")]
    Number,
    /// Not a document (a map whose keys are no strings).
    #[error("the value is no document")]
    Shape,
}

/// The canonical bytes of `value`.
///
/// # Errors
/// A number that is no integer of 64 bits, or a map whose keys are no strings.
pub fn to_canonical_json(value: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|_| CanonicalError::Shape)?;
    let mut out = Vec::new();
    write(&value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) => {
            // `serde_json` turns NaN and the infinities into null before this; every finite float ends here.
            if n.as_i64().is_none() && n.as_u64().is_none() {
                return Err(CanonicalError::Number);
            }
            out.extend_from_slice(n.to_string().as_bytes());
        }
        Value::String(s) => write_text(s, out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_text(key, out)?;
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    serde_json::to_writer(out, text).map_err(|_| CanonicalError::Shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_spelling() {
        let a = json!({"b": 1, "a": [true, null, -7, u64::MAX], "\u{fb33}": "x", "\u{1f600}": "\u{8}\n\"\\/中\u{1}"});
        // Key order as in RFC 8785, 3.2.3: U+1F600 sorts before U+FB33 by UTF-16.
        let text = "{\"a\":[true,null,-7,18446744073709551615],\"b\":1,\"\u{1f600}\":\"\\b\\n\\\"\\\\/中\\u0001\",\"\u{fb33}\":\"x\"}";
        assert_eq!(String::from_utf8(to_canonical_json(&a).unwrap()).unwrap(), text);
        let again: Value = serde_json::from_str(text).unwrap();
        assert_eq!(to_canonical_json(&again).unwrap(), text.as_bytes());
    }

    #[test]
    fn floats_have_none() {
        assert_eq!(to_canonical_json(&json!({"x": [1.0]})), Err(CanonicalError::Number));
        assert_eq!(to_canonical_json(&std::collections::BTreeMap::from([((1, 2), 3)])), Err(CanonicalError::Shape));
    }
}
