//! Directories in which nothing can be written, be they read-only or full. Where the server cannot
//! start it says so in one line and ends with an error. On a full disk with data it starts, shows
//! what is there and refuses writes. What was there stays as it was, and nothing is left behind but
//! empty files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::Bench;
use crate::failures::unclear;
use crate::report::Report;
use crate::server::{Site, Started};

/// Nothing can be changed.
const READ_ONLY: (&str, &str) = ("POWERCUT_READ_ONLY", "1");
/// Every write fails for want of space.
const FULL: (&str, &str) = ("POWERCUT_FAIL", "write:1:28:0");

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
    for before in [Before::Nothing, Before::Stopped, Before::Killed] {
        for (name, value) in [READ_ONLY, FULL] {
            let folder = bench.dir.join("refusal");
            let site = Site::new(&bench.binary, &folder)?;
            prepare(&site, before).await?;
            let faults = refused(bench, &site, (name, value), before).await?;
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
    before: Before,
) -> anyhow::Result<Vec<String>> {
    let old = contents(&site.disk())?;
    let mut variables = bench.preload(site);
    variables.push((name, value.into()));
    let mut faults = Vec::new();
    let starts = name == FULL.0 && !matches!(before, Before::Nothing);
    match site.start(variables).await? {
        Started::Running(server) => {
            if !starts {
                faults.push("it started".to_owned());
            }
            if site.create_user().await?.is_some() {
                faults.push("it took a write".to_owned());
            }
            if !site.log()?.contains("full") {
                faults.push("its log does not tell of the full disk".to_owned());
            }
            server.kill()?;
        }
        Started::Ended(ended) if starts => {
            faults.push(format!("it does not start: {}", ended.last_line()));
        }
        Started::Ended(ended) => faults.extend(unclear(&ended)),
    }
    for (file, now) in contents(&site.disk())? {
        let is_new = !old.contains_key(&file);
        let is_empty = now.as_ref().is_none_or(Vec::is_empty);
        if (is_new && !is_empty) || (!is_new && old[&file] != now) {
            faults.push(format!("it touched {}", file.display()));
        }
    }
    let again = site.run().await?;
    if site.create_user().await?.is_none() {
        faults.push("it takes no writes when it may".to_owned());
    }
    again.kill()?;
    Ok(faults)
}

/// All files below a folder with their bytes; folders have none.
fn contents(folder: &Path) -> anyhow::Result<BTreeMap<OsString, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.clone().into_os_string();
        // Shared memory, which every process makes anew, and the log, where writes were tried.
        if matches!(path.extension(), Some(end) if end == "db-shm" || end == "db-wal") {
            continue;
        }
        if path.is_dir() {
            found.insert(name, None);
            found.extend(contents(&path)?);
        } else {
            found.insert(name, Some(std::fs::read(&path)?));
        }
    }
    Ok(found)
}
