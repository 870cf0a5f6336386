//! A small stack makes an instance cheap to begin.

fn main() {
    println!("cargo::rustc-link-arg-cdylib=-zstack-size=16384");
}
