//! Python, npm and Maven environments inside the target folder, with pinned versions.
//!
//! An environment is made once and kept until its list of packages changes. Nothing of the
//! system is touched unless installing was asked for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::process;
use crate::workspace::Workspace;

/// Written last, with what the environment was made from; without it there is no environment.
const MARK: &str = "made-from";

/// Where the JARs of a Maven environment are in its folder.
pub(crate) const JARS: &str = "jars";

/// What fetches JARs, pinned as they are.
const COPY_JARS: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// The Java that the scripts are written in.
const JAVA_RELEASE: &str = "17";

/// The names under which systems have Chromium.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// An environment, or the reason why this machine cannot have it.
#[derive(Debug)]
pub(crate) enum Environment {
    /// The program that runs scripts in it, and the folder it is in.
    Ready { program: PathBuf, folder: PathBuf },
    /// It cannot be made here.
    Missing(String),
}

/// A Python environment with the packages of this requirements file.
pub(crate) fn python(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
    install: bool,
) -> anyhow::Result<Environment> {
    let folder = workspace.target().join("environments").join(name);
    let program = folder.join("bin/python");
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| requirements.display().to_string())?;
    if is_made_from(&folder, &wanted) && runs(Command::new(&program).arg("--version")) {
        return Ok(Environment::Ready { program, folder });
    }
    let python_exists =
        process::exists("python3") || (install && apt_install(&["python3", "python3-venv"]));
    if !python_exists {
        return Ok(Environment::Missing("python3 is not installed".into()));
    }
    let made = make_venv(&folder)?
        || (install && apt_install(&["python3-venv", "python3-pip"]) && make_venv(&folder)?);
    if !made {
        return Ok(Environment::Missing(
            "python3 has no environments with pip (Debian: python3-venv, python3-pip)".into(),
        ));
    }
    if !pip_install(&folder, requirements) {
        return Ok(Environment::Missing(
            "pip could not install the packages (its output is above)".into(),
        ));
    }
    std::fs::write(folder.join(MARK), wanted)?;
    Ok(Environment::Ready { program, folder })
}

/// A folder with the npm packages of this package.json and its lock file.
pub(crate) fn npm(
    workspace: &Workspace,
    name: &str,
    manifest: &Path,
    install: bool,
) -> anyhow::Result<Environment> {
    let folder = workspace.target().join("environments").join(name);
    let lock = manifest.with_file_name("package-lock.json");
    let wanted = std::fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
    let program = PathBuf::from("node");
    let node_exists = (process::exists("node") && process::exists("npm"))
        || (install && apt_install(&["nodejs", "npm"]));
    if !node_exists {
        return Ok(Environment::Missing("node or npm is not installed".into()));
    }
    if is_made_from(&folder, &wanted) {
        return Ok(Environment::Ready { program, folder });
    }
    clear(&folder)?;
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(manifest, folder.join("package.json"))?;
    std::fs::copy(&lock, folder.join("package-lock.json"))?;
    let mut command = Command::new("npm");
    command
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(["--no-update-notifier", "--loglevel=error"])
        .current_dir(&folder);
    if !runs_aloud(&mut command) {
        return Ok(Environment::Missing(
            "npm could not install the packages (its output is above)".into(),
        ));
    }
    std::fs::write(folder.join(MARK), wanted)?;
    Ok(Environment::Ready { program, folder })
}

/// Whether there is a JDK that is new enough, and Maven; or the reason why not.
pub(crate) fn java(install: bool) -> Result<(), String> {
    let complete = || {
        let new_enough = ["--release", JAVA_RELEASE, "-version"];
        process::exists("mvn") && runs(Command::new("javac").args(new_enough))
    };
    if complete() || (install && apt_install(&["default-jdk-headless", "maven"]) && complete()) {
        return Ok(());
    }
    Err(format!(
        "no Java {JAVA_RELEASE} with Maven is installed (Debian: default-jdk-headless, maven)"
    ))
}

/// A folder with the JARs of this pom.xml's dependencies, for a shell script that starts Java.
pub(crate) fn maven(
    workspace: &Workspace,
    name: &str,
    manifest: &Path,
) -> anyhow::Result<Environment> {
    let folder = workspace.target().join("environments").join(name);
    let wanted = std::fs::read_to_string(manifest)?;
    if !is_made_from(&folder, &wanted) {
        clear(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new("mvn");
        command
            .args(["--batch-mode", "--quiet", "-Dstyle.color=never", "--file"])
            .arg(manifest)
            .args([COPY_JARS, "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", folder.join(JARS).display()));
        if !runs_aloud(&mut command) {
            return Ok(Environment::Missing(
                "Maven could not fetch the packages (its output is above)".into(),
            ));
        }
        std::fs::write(folder.join(MARK), wanted)?;
    }
    let program = PathBuf::from("sh");
    Ok(Environment::Ready { program, folder })
}

/// Chromium, and what its trust in a local CA is set with; or the reason why there is none.
pub(crate) fn browser(install: bool) -> Result<PathBuf, String> {
    let found = || BROWSERS.iter().find_map(|name| on_path(name));
    let complete = || found().filter(|_| on_path("certutil").is_some());
    if complete().is_none() && install {
        apt_install(&["chromium", "libnss3-tools"]);
    }
    let browser = found().ok_or("no Chromium is installed (Debian: chromium)")?;
    on_path("certutil").ok_or("certutil is not installed (Debian: libnss3-tools)")?;
    Ok(browser)
}

/// Where a program of that name is.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|place| place.is_file())
}

fn is_made_from(folder: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(folder.join(MARK)).is_ok_and(|found| found == wanted)
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Makes an empty environment that a pip serves, by whatever this Python has: `venv` without a pip
/// of its own, which would take longer than most packages, `venv` with, or the older virtualenv.
fn make_venv(folder: &Path) -> anyhow::Result<bool> {
    let ways: [&[&str]; 3] = [
        &["-m", "venv", "--without-pip"],
        &["-m", "venv"],
        &["-m", "virtualenv"],
    ];
    for way in ways {
        clear(folder)?;
        if runs(Command::new("python3").args(way).arg(folder)) && pip(folder).is_some() {
            return Ok(true);
        }
    }
    clear(folder)?;
    Ok(false)
}

/// The pip of an environment: the system's, which can serve it from 22.3 on, or else its own.
fn pip(folder: &Path) -> Option<Command> {
    let inside = folder.join("bin/python");
    let system = || {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "--python"]).arg(&inside);
        command
    };
    let own = || {
        let mut command = Command::new(&inside);
        command.args(["-m", "pip"]);
        command
    };
    if runs(system().arg("--version")) {
        return Some(system());
    }
    runs(own().arg("--version")).then(own)
}

/// Installs packages. Modules are compiled when they are first used: most never are.
fn pip_install(folder: &Path, requirements: &Path) -> bool {
    let Some(mut command) = pip(folder) else {
        return false;
    };
    command
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-compile", "--requirement"])
        .arg(requirements);
    runs_aloud(&mut command)
}

/// Installs Debian packages; `false` where there is no apt-get or it may not be used.
fn apt_install(packages: &[&str]) -> bool {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(["-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]);
        runs_aloud(command.args(["-q", "-y"]).args(arguments))
    };
    println!("installing {}", packages.join(", "));
    let install = [&["install", "--no-install-recommends"], packages].concat();
    apt(&["update"]) && apt(&install)
}

/// Runs without a word; whether it succeeded.
fn runs(command: &mut Command) -> bool {
    runs_aloud(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Runs with its output shown; whether it succeeded.
fn runs_aloud(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
