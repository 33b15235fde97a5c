//! Directories in which nothing can be written, be they read-only or full: the server says so in
//! one line, ends with an error, and has touched nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::Bench;
use crate::failures::unclear;
use crate::report::Report;
use crate::server::{Site, Started};

/// What was there before.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Stopped,
    Killed,
}

/// Tries each; tells whether nothing was wrong.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<bool> {
    let mut report = Report::new("refusals", bench.seed);
    let mut cases = 0;
    let read_only = ("POWERCUT_READ_ONLY", "1");
    let full = ("POWERCUT_FAIL", "write:1:28:0");
    for before in [Before::Nothing, Before::Stopped, Before::Killed] {
        for (name, value) in [read_only, full] {
            let folder = bench.dir.join("refusal");
            let site = Site::new(&bench.binary, &folder)?;
            prepare(&site, before).await?;
            let faults = refused(bench, &site, (name, value)).await?;
            report.add(&format!("{before:?}, {name}"), &site.data(), &faults);
            cases += 1;
            std::fs::remove_dir_all(&folder)?;
        }
    }
    Ok(report.close(&format!("{cases} starts")))
}

async fn prepare(site: &Site, before: Before) -> anyhow::Result<()> {
    if let Before::Nothing = before {
        return Ok(());
    }
    let server = site.run().await?;
    site.create_user().await?;
    match before {
        Before::Killed => server.kill(),
        _ => server.stop().await.map(drop),
    }
}

async fn refused(
    bench: &Bench,
    site: &Site,
    (name, value): (&'static str, &str),
) -> anyhow::Result<Vec<String>> {
    let before = contents(&site.disk())?;
    let mut variables = bench.preload(site);
    variables.push((name, value.into()));
    let mut faults = Vec::new();
    match site.start(variables).await? {
        Started::Running(server) => {
            server.kill()?;
            faults.push("it started".to_owned());
        }
        Started::Ended(ended) => faults.extend(unclear(&ended)),
    }
    let after = contents(&site.disk())?;
    let names = before.keys().chain(after.keys());
    let touched: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
    if !touched.is_empty() {
        faults.push(format!("it touched {touched:?}"));
    }
    Ok(faults)
}

/// All files below a folder with their bytes; folders have none.
fn contents(folder: &Path) -> anyhow::Result<BTreeMap<OsString, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.clone().into_os_string();
        if path.is_dir() {
            found.insert(name, None);
            found.extend(contents(&path)?);
        } else {
            found.insert(name, Some(std::fs::read(&path)?));
        }
    }
    Ok(found)
}
