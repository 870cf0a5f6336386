//! The `analyst` guest with a script of its own: a module for every question.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::module;

const MARK: &[u8] = b"FUSEBOX-SCRIPT=>";
const SCRIPT_BYTES: usize = (1 << 15) - 16;

/// A script in the making: derived columns and tables.
#[derive(Clone, Default)]
pub struct Script {
    lines: String,
    derived: Vec<String>,
    tables: Vec<String>,
}

impl Script {
    /// Derives a category of the labels `no` and `yes`.
    pub fn flag(mut self, name: &str, expression: &str) -> Self {
        self.derived.push(format!(r#"{{"name":"{name}","type":"category","labels":["no","yes"]}}"#));
        writeln!(self.lines, "cat {name} {expression}").unwrap();
        self
    }

    /// Derives a whole number.
    pub fn number(mut self, name: &str, (min, max): (i64, i64), expression: &str) -> Self {
        self.derived.push(format!(r#"{{"name":"{name}","type":"number","scale":0,"min":{min},"max":{max}}}"#));
        writeln!(self.lines, "num {name} {expression}").unwrap();
        self
    }

    /// Asks for a table: keys by commas or `-`, measures `name:op:column` by commas.
    pub fn table(mut self, name: &str, keys: &str, measures: &str) -> Self {
        let names: Vec<String> = measures.split(',').map(|m| format!("\"{}\"", m.split(':').next().unwrap_or_default())).collect();
        self.tables.push(format!(r#"{{"name":"{name}","measures":[{}]}}"#, names.join(",")));
        writeln!(self.lines, "table {name} none {keys} {measures}").unwrap();
        self
    }

    /// The module: the script written over its place, the manifest appended. Each has another version, so that none is known already.
    pub fn module(&self) -> Vec<u8> {
        static VERSION: AtomicUsize = AtomicUsize::new(0);
        let mut bytes = module("analyst");
        let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the analyst has a place for a script") + MARK.len();
        assert!(self.lines.len() <= SCRIPT_BYTES && bytes[at..at + SCRIPT_BYTES].iter().all(|b| *b == b'#'));
        bytes[at..at + self.lines.len()].copy_from_slice(self.lines.as_bytes());
        let manifest = format!(
            r#"{{"name":"analyst","version":"{}","derived":[{}],"tables":[{}]}}"#,
            VERSION.fetch_add(1, Ordering::Relaxed),
            self.derived.join(","),
            self.tables.join(",")
        );
        let name = b"fusebox.manifest";
        let content = [&[name.len() as u8][..], name, manifest.as_bytes()].concat();
        bytes.push(0);
        leb(content.len(), &mut bytes);
        bytes.extend(content);
        bytes
    }
}

fn leb(mut value: usize, out: &mut Vec<u8>) {
    while value > 127 {
        out.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}
