//! The browser that the console is tested in: Debian's Chromium with its driver, and a font with Chinese characters for screenshots.

use crate::run;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Debian's packages.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-noto-cjk"];
/// Where the font lies once it is installed.
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
const REMEDY: &str = "as root: `apt-get install chromium chromium-driver fonts-noto-cjk`";

/// Whether browser, driver and font are there.
fn there() -> bool {
    let limit = Duration::from_secs(20);
    let works = |program: &str| run::works(program, &["--version"], limit);
    works("chromium") && works("chromedriver") && Path::new(FONT).exists()
}

/// Installs what is missing, with Debian's own tool, which verifies it.
pub fn install() -> Result<()> {
    if there() {
        return Ok(());
    }
    run::check(Command::new("apt-get").args(["update", "-qq"]), "reading Debian's package lists", REMEDY)?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(PACKAGES).env("DEBIAN_FRONTEND", "noninteractive");
    run::check(&mut apt, "installing a browser for the console's tests", REMEDY)?;
    if there() { Ok(()) } else { bail!("the browser for the console's tests does not start; remedy: {REMEDY}") }
}
