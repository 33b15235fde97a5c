//! A script, and how it is run against a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::outcomes::{self, Line};
use super::server::Server;
use super::suites::{Platform, Suite};
use crate::environment::{self, Environment};
use crate::workspace::Workspace;

/// A script whose environment is ready.
#[derive(Debug)]
pub(super) struct Script {
    /// What runs it.
    program: PathBuf,
    path: PathBuf,
    /// The Rust program that prints what it hears.
    listen: PathBuf,
    /// The browser that it drives, and the documents whose code it runs there.
    browser: Option<(PathBuf, PathBuf)>,
    /// The folder that the packages are in.
    packages: PathBuf,
}

/// What becomes of a suite on this machine.
#[derive(Debug)]
pub(super) enum Found {
    Ready(Script),
    /// There is no browser or no Java, for this reason. CI goes without them.
    LeftOut(String),
    /// Something else is missing.
    Missing(String),
}

impl Script {
    /// Makes the environment of a suite; `install` allows to install system packages for it. A
    /// browser and Java are large ones, installed only where `all` suites are asked for.
    pub(super) fn of(
        workspace: &Workspace,
        suite: &Suite,
        install: bool,
        all: bool,
    ) -> anyhow::Result<Found> {
        let scripts = workspace.root().join("conformance");
        let packages = scripts.join(suite.packages);
        let browser = match suite.platform {
            Platform::Chromium => match environment::browser(install && all) {
                Ok(browser) => Some((browser, workspace.root().join("docs"))),
                Err(why) => return Ok(Found::LeftOut(why)),
            },
            Platform::Java => match environment::java(install && all) {
                Ok(()) => None,
                Err(why) => return Ok(Found::LeftOut(why)),
            },
            Platform::Python | Platform::Node => None,
        };
        let environment = match suite.platform {
            Platform::Python => {
                let requirements = packages.join("requirements.txt");
                environment::python(workspace, suite.packages, &requirements, install)?
            }
            Platform::Node | Platform::Chromium => {
                let manifest = packages.join("package.json");
                environment::npm(workspace, suite.packages, &manifest, install)?
            }
            Platform::Java => {
                let manifest = packages.join("pom.xml");
                environment::maven(workspace, suite.packages, &manifest)?
            }
        };
        let (program, folder) = match environment {
            Environment::Ready { program, folder } => (program, folder),
            Environment::Missing(why) => return Ok(Found::Missing(why)),
        };
        let path = match suite.platform {
            Platform::Python | Platform::Java => scripts.join(suite.script),
            Platform::Node | Platform::Chromium => {
                bring_modules(&scripts, suite, &folder)?;
                folder.join(suite.script)
            }
        };
        Ok(Found::Ready(Self {
            program,
            path,
            listen: workspace.target().join("debug/examples/listen"),
            browser,
            packages: folder,
        }))
    }

    /// The script with what it needs to know, in `folder`; it writes to the file `results`.
    pub(super) fn command(
        &self,
        server: &Server,
        folder: &Path,
        results: &Path,
        phases: &[&str],
    ) -> Command {
        let mut command = server.client(&self.program);
        command
            .arg(&self.path)
            .arg("--state")
            .arg(folder.join("state.json"))
            .arg("--results")
            .arg(results)
            .env("CAVANSITE_LISTEN", &self.listen)
            .env("CAVANSITE_JARS", self.packages.join(environment::JARS))
            .current_dir(folder);
        if let Some((browser, documents)) = &self.browser {
            command.arg("--browser").arg(browser);
            command.arg("--documents").arg(documents);
        }
        command.args(phases);
        command
    }

    /// Runs some phases and reads what they found.
    pub(super) fn tell(
        &self,
        server: &Server,
        folder: &Path,
        phases: &[&str],
    ) -> anyhow::Result<Vec<Line>> {
        let results = folder.join(format!("{}.jsonl", phases.join("-")));
        let status = self.command(server, folder, &results, phases).status()?;
        anyhow::ensure!(
            status.success(),
            "{} broke off: {status}",
            self.path.display()
        );
        let text = std::fs::read_to_string(&results)?;
        outcomes::read(&text)
    }

    /// Its file, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Node looks for packages beside a script, so the suite's modules, and those that all share, are
/// copied to where its packages are.
fn bring_modules(scripts: &Path, suite: &Suite, environment: &Path) -> anyhow::Result<()> {
    let folder = Path::new(suite.script).parent();
    for below in [Path::new(""), folder.context("the script's folder")?] {
        std::fs::create_dir_all(environment.join(below))?;
        for entry in std::fs::read_dir(scripts.join(below))? {
            let file = entry?.path();
            if let (Some("mjs"), Some(name)) = (
                file.extension().and_then(|extension| extension.to_str()),
                file.file_name(),
            ) {
                std::fs::copy(&file, environment.join(below).join(name))?;
            }
        }
    }
    Ok(())
}
