//! Declares a label with a control character in it.

use fusebox_guest::bindings;

const MANIFEST: &str =
    r#"{"name":"control_label","version":"1","derived":[{"name":"band","type":"category","labels":["ok","bad\u0007"]}]}"#;

#[used]
#[cfg_attr(target_arch = "wasm32", unsafe(link_section = "fusebox.manifest"))]
static SECTION: [u8; MANIFEST.len()] = fusebox_guest::bytes(MANIFEST);

struct Module;

impl bindings::Guest for Module {
    fn run() -> Result<(), String> {
        Ok(())
    }
}

bindings::export_analysis!(Module with_types_in bindings);
