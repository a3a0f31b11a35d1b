//! Walks a directory as a listing of keys.

use std::fs::{self, DirEntry, Metadata};
use std::path::{Path, PathBuf};

use lakefeed_core::Result;

use super::error::failed;
use super::is_missing;

/// A folder that is yet to be read.
struct Folder {
    path: PathBuf,
    key: String,
    /// The folders (their real paths) in which the links on the way here lie. Mostly none.
    via: Vec<PathBuf>,
}

/// Calls `found` for the files below the folder part of `prefix` whose keys may begin with it. Links are followed, but not in circles.
/// What vanishes during the walk, and names that are not UTF-8, are left out.
pub(super) fn files(root: &Path, prefix: &str, found: &mut dyn FnMut(String, &Metadata)) -> Result<()> {
    let start = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut folders = vec![Folder { path: root.join(start), key: start.to_owned(), via: Vec::new() }];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder.path) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(failed("read", &folder.path, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", &folder.path, error))?;
            let Ok(name) = entry.file_name().into_string() else {
                tracing::debug!(path = %entry.path().display(), "a file whose name is not UTF-8 is left out");
                continue;
            };
            let key = crate::key::join(&folder.key, &name);
            let Some((metadata, via)) = follow(&entry, &folder)? else { continue };
            if metadata.is_file() {
                found(key, &metadata);
            } else if metadata.is_dir() && leads_to(&key, prefix) {
                folders.push(Folder { path: entry.path(), key, via });
            }
        }
    }
    Ok(())
}

/// Whether keys below this folder can begin with `prefix`.
fn leads_to(folder: &str, prefix: &str) -> bool {
    folder.starts_with(prefix) || prefix.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// What an entry is, links followed; `None` for one that is gone, leads nowhere or leads back to a folder that was passed on the way.
fn follow(entry: &DirEntry, folder: &Folder) -> Result<Option<(Metadata, Vec<PathBuf>)>> {
    let path = entry.path();
    let own = match entry.metadata() {
        Ok(own) => own,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(failed("read", &path, error)),
    };
    let mut via = folder.via.clone();
    if !own.is_symlink() {
        return Ok(Some((own, via)));
    }
    let target = fs::metadata(&path).and_then(|target| {
        via.push(fs::canonicalize(&folder.path)?);
        let real = fs::canonicalize(&path)?;
        let circle = target.is_dir() && via.iter().any(|passed| passed.starts_with(&real));
        Ok((!circle).then_some(target))
    });
    match target {
        Ok(target) => Ok(target.map(|target| (target, via))),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a link that can't be followed is left out");
            Ok(None)
        }
    }
}
