//! Where the workspace lies and how cargo is started in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace that this tool was built from, as cargo describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo for the workspace around this crate.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .other_options(["--locked".to_owned()])
            .exec()
            .context("cargo metadata")?;
        Ok(Self { metadata })
    }

    /// The folder with the workspace's Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The folder that cargo builds into; everything else that is made goes there too.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Packages, dependencies and licences.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// A program of the release build.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target().join("release").join(name)
    }

    /// Builds for development, with the dependencies that the tests have built already.
    ///
    /// A package that is built alone gets them with fewer features, and so once more: cargo unites
    /// the features of all packages that it is asked for, and those that only tests want where an
    /// example is among what it builds.
    pub(crate) fn build_as_for_tests(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.cargo(&["build", "--locked", "--quiet", "--workspace"]);
        command.arg("--example=listen").args(arguments);
        anyhow::ensure!(command.status()?.success(), "it does not build");
        Ok(())
    }

    /// cargo with these arguments, in the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.root());
        // `cargo run` set these for this tool; to a build they would be a changed environment.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let of_a_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
            if of_a_package.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command
    }
}
