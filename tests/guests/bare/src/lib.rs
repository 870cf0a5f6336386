//! A core module that was built without the guest SDK: it exports a function and names no world.

/// Adds one.
#[unsafe(no_mangle)]
pub extern "C" fn add_one(value: i32) -> i32 {
    value.wrapping_add(1)
}
