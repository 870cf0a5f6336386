//! A compiler for guests: rustup's target where it can be had, else Debian's newest compiler with a standard library for
//! wasm built once from its sources.

use crate::cache::{self, Cache};
use crate::run;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What guests are compiled to.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// Where the compiler of this machine keeps its own libraries.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// The oldest compiler the packages build with (`rust-version`).
const OLDEST_MINOR: u32 = 95;
/// `rustup` or `debian`: take this one and no other.
const CHOICE: &str = "FUSEBOX_GUEST_TOOLCHAIN";

/// The compiler guests are built with.
pub enum Toolchain {
    /// The compiler on the path has the target.
    Own,
    /// This compiler, unpacked in the cache.
    Unpacked(PathBuf),
}

impl Toolchain {
    /// Makes `cargo` use this compiler.
    pub fn apply(&self, cargo: &mut Command) {
        if let Self::Unpacked(rustc) = self {
            cargo.env("RUSTC", rustc);
        }
    }

    /// What it is, in a word for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own => "rustup",
            Self::Unpacked(_) => "debian",
        }
    }
}

/// Finds or makes the compiler. The caller holds no lock; this takes `toolchain.lock`.
pub fn prepare(cache: &Cache) -> Result<Toolchain> {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let (rustup, debian) = match choice.as_str() {
        "" => (true, true),
        "rustup" => (true, false),
        "debian" => (false, true),
        other => bail!("{CHOICE} is `{other}`; remedy: set it to `rustup` or `debian`, or leave it out"),
    };
    let _lock = cache.lock("toolchain")?;
    if rustup && (target_installed()? || (add_target() && target_installed()?)) {
        return Ok(Toolchain::Own);
    }
    if debian {
        return unpacked(cache).map(Toolchain::Unpacked).with_context(|| {
            format!("no compiler for guests; remedy: `rustup target add {TARGET}`, or run on Debian with the package source of `rustc-web`")
        });
    }
    bail!("the target {TARGET} is not installed and rustup could not add it; remedy: `rustup target add {TARGET}`, or unset {CHOICE}")
}

fn sysroot() -> Result<PathBuf> {
    let text = run::output(Command::new("rustc").args(["--print", "sysroot"]), "finding the compiler", "install Rust with rustup")?;
    Ok(PathBuf::from(text.trim()))
}

fn target_installed() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn add_target() -> bool {
    run::works("rustup", &["target", "add", TARGET], Duration::from_secs(60))
}

/// The wrapper of the unpacked compiler; made if it is missing.
fn unpacked(cache: &Cache) -> Result<PathBuf> {
    let version = candidate()?;
    let at = cache.path("toolchain").join(format!("rustc-web-{}", version.replace(['+', '~', ':'], "_")));
    let wrapper = at.join("rustc-wasm");
    if wrapper.is_file() {
        return Ok(wrapper);
    }
    eprintln!("xtask: making a compiler for guests from rustc-web {version} (once; about 140 MB and two minutes)");
    let work = cache.fresh("toolchain.new")?;
    download_and_unpack(&work)?;
    write_wrapper(&work)?;
    build_std(&work)?;
    cache::remove(&work.join("usr/src"))?;
    cache::remove(&work.join("stub"))?;
    cache::place(&work, &at)?;
    Ok(wrapper)
}

/// The version of `rustc-web` that would be installed. Only asks the network when the package lists have none.
fn candidate() -> Result<String> {
    let read = || -> Result<Option<String>> {
        let mut command = Command::new("apt-cache");
        let policy =
            run::output(command.args(["policy", "rustc-web"]).env("LC_ALL", "C"), "looking up rustc-web", "this needs Debian's apt")?;
        Ok(parse_candidate(&policy))
    };
    let mut found = read()?;
    if !found.as_deref().is_some_and(new_enough) {
        run::check(Command::new("apt-get").args(["update", "-qq"]), "reading Debian's package lists", "run as root: `apt-get update`")?;
        found = read()?;
    }
    match found {
        Some(version) if new_enough(&version) => Ok(version),
        Some(version) => bail!("rustc-web {version} is older than 1.{OLDEST_MINOR}; remedy: enable the distribution's security updates"),
        None => bail!("no package rustc-web; remedy: enable the distribution's security updates, or `rustup target add {TARGET}`"),
    }
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.split(['.', '+', '-', '~']).map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next().flatten(), parts.next().flatten());
    major == Some(1) && minor.is_some_and(|minor| minor >= OLDEST_MINOR)
}

/// The package names behind a line `Depends: a (= 1), b | c` that start with `prefix`.
fn dependency(show: &str, prefix: &str) -> Option<String> {
    let line = show.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let mut names = line.split([',', '|']).filter_map(|entry| entry.split_whitespace().next());
    names.find(|name| name.starts_with(prefix)).map(str::to_owned)
}

fn show(package: &str) -> Result<String> {
    let mut command = Command::new("apt-cache");
    command.args(["show", "--no-all-versions", package]).env("LC_ALL", "C");
    run::output(&mut command, "reading a package's dependencies", "run as root: `apt-get update`")
}

/// Nothing is installed: the packages are fetched by apt, which verifies them against the signed lists, and unpacked.
fn download_and_unpack(work: &Path) -> Result<()> {
    let library = dependency(&show("libstd-rust-web-dev")?, "libstd-rust-web-1.").context("no libstd-rust-web is named")?;
    let llvm = dependency(&show(&library)?, "libllvm").with_context(|| format!("{library} names no libllvm"))?;
    let packages = work.join("packages");
    fs::create_dir_all(&packages)?;
    run::check(
        Command::new("apt-get")
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
            .args(["rustc-web", &library, "libstd-rust-web-dev", &llvm, "rust-web-src"])
            .current_dir(&packages),
        "fetching Debian's compiler",
        "check the network, then run again; `apt-get update` if a version is gone",
    )?;
    for entry in fs::read_dir(&packages)? {
        let package = entry?.path();
        let remedy = "the machine may be out of disk: 900 MB are needed";
        run::check(Command::new("dpkg").arg("-x").arg(&package).arg(work), "unpacking Debian's compiler", remedy)?;
    }
    cache::remove(&packages)
}

/// A script that starts the unpacked compiler with its own libraries, wherever the folder lies; and our linker beside it.
fn write_wrapper(work: &Path) -> Result<()> {
    let wrapper = work.join("rustc-wasm.part");
    let text = "#!/bin/sh\n\
        here=$(dirname \"$(readlink -f \"$0\")\")\n\
        LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu exec \"$here/usr/bin/rustc\" \"$@\"\n";
    fs::write(&wrapper, text)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let linker = sysroot()?.join("lib/rustlib").join(HOST).join("bin/rust-lld");
    if !linker.is_file() {
        bail!("{} is missing; remedy: install Rust with rustup, which brings rust-lld", linker.display());
    }
    let folder = work.join("usr/lib/rustlib").join(HOST).join("bin");
    fs::create_dir_all(&folder)?;
    symlink(linker, folder.join("rust-lld"))?;
    Ok(())
}

/// Builds the standard library for wasm and puts it where the compiler looks. Bitcode is kept, so that guests can be
/// optimised across crates.
fn build_std(work: &Path) -> Result<()> {
    let stub = work.join("stub");
    fs::create_dir_all(stub.join("src"))?;
    fs::write(stub.join("src/lib.rs"), "")?;
    let manifest = "[package]\nname = \"stub\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(stub.join("Cargo.toml"), manifest)?;
    let wrapper = work.join("rustc-wasm.part");
    run::check(
        run::cargo_for_guests()
            .args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET])
            .current_dir(&stub)
            .env("RUSTC", &wrapper)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .env("CARGO_TARGET_DIR", stub.join("target")),
        "building the standard library for wasm",
        "check that crates can be fetched, then run again",
    )?;
    let built = stub.join("target").join(TARGET).join("release/deps");
    let library = work.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&library)?;
    let mut copied = 0_usize;
    for entry in fs::read_dir(&built)? {
        let path = entry?.path();
        let (Some(name), Some("rlib")) = (path.file_name(), path.extension().and_then(|ext| ext.to_str())) else { continue };
        if !name.to_string_lossy().starts_with("libstub") {
            fs::copy(&path, library.join(name))?;
            copied += 1;
        }
    }
    if copied < 10 {
        bail!(
            "the standard library for wasm has {copied} parts only; remedy: another version of rustc-web, or `rustup target add {TARGET}`"
        );
    }
    // Last: the wrapper under its own name says that all before it is whole.
    fs::rename(wrapper, work.join("rustc-wasm"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apt_says() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(parse_candidate("rustc-web:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
        let show = "Package: libstd-rust-web-dev\nDepends: libc6 (>= 2.34), gcc | clang, libstd-rust-web-dev (= 1), libstd-rust-web-1.96 (= 1.96.0+dfsg1-1~deb12u2)\n";
        assert_eq!(dependency(show, "libstd-rust-web-1.").as_deref(), Some("libstd-rust-web-1.96"));
        assert_eq!(dependency(show, "clang").as_deref(), Some("clang"));
        assert_eq!(dependency(show, "libllvm"), None);
    }

    #[test]
    fn an_old_compiler_is_no_candidate() {
        assert!(new_enough("1.96.0+dfsg1-1~deb12u2"));
        assert!(new_enough("1.95.0-1"));
        assert!(!new_enough("1.85.0+dfsg3-1~deb12u3"));
        assert!(!new_enough("one"));
    }
}
