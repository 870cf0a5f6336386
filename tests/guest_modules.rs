//! The modules that `cargo xtask guests` built are what the other tests take them for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code, on built files"
)]

use std::path::PathBuf;

/// Name of the custom section in which a module carries its interface.
const INTERFACE: &[u8] = b"component-type";

fn module(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("FUSEBOX_GUESTS").expect("FUSEBOX_GUESTS is not set; remedy: `cargo xtask test`");
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; remedy: `cargo xtask guests`", path.display()))
}

fn carries_interface(bytes: &[u8]) -> bool {
    bytes.windows(INTERFACE.len()).any(|window| window == INTERFACE)
}

#[test]
fn examples_carry_their_interface_and_no_path_of_the_builder() {
    for name in ["credit-default-rate", "credit-scorecard", "flights-delay-by-wind", "tenancy-check"] {
        let bytes = module(name);
        assert!(bytes.starts_with(b"\0asm\x01\0\0\0"), "{name} is no core module");
        assert!(carries_interface(&bytes), "{name} carries no interface");
        let tree = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!bytes.windows(tree.len()).any(|window| window == tree), "{name} holds the path it was built at");
    }
}

#[test]
fn the_bare_module_carries_none() {
    let bytes = module("bare");
    assert!(bytes.starts_with(b"\0asm\x01\0\0\0"));
    assert!(!carries_interface(&bytes));
}
