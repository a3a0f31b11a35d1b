//! The files of a folder: which, in what order, whose, and where they go.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use lakefeed_core::{Error, Result};

use crate::config::{Cleanup, Input, SortBy, SourceConfig};
use crate::position::Identity;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    pub(crate) path: PathBuf,
    /// Its path below the folder, with `/`; for most its name.
    pub(crate) name: String,
    pub(crate) identity: Identity,
}

/// The files to read now, in order.
pub(crate) fn list(config: &SourceConfig, now_ms: i64) -> Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    match &config.input {
        Input::File(path) => {
            let identity = identity_of(path).map_err(|e| {
                let message = format!("input.file = '{}': there is no such file, or it can't be read", path.display());
                Error::config(message).with_source(e)
            })?;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            files.push(FoundFile { path: path.clone(), name, identity });
        }
        Input::Folder(folder) => collect(config, folder, "", &mut files).map_err(|e| {
            let message = format!("input.path = '{}': there is no such folder, or it can't be read", folder.display());
            Error::config(message).with_source(e)
        })?,
    }
    files.retain(|file| now_ms.saturating_sub(file.identity.modified_ms) >= config.minimum_age_ms || config.minimum_age_ms == 0);
    files.sort_by(|a, b| {
        let by = config.sort.iter().map(|(by, descending)| {
            let order = match by {
                SortBy::Name => a.name.cmp(&b.name),
                SortBy::Length => a.identity.length.cmp(&b.identity.length),
                SortBy::LastModified => a.identity.modified_ms.cmp(&b.identity.modified_ms),
            };
            if *descending { order.reverse() } else { order }
        });
        by.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| a.name.cmp(&b.name))
    });
    Ok(files)
}

fn collect(config: &SourceConfig, folder: &Path, below: &str, files: &mut Vec<FoundFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, own_name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A file may be gone by now: another process moved it.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            if config.recursive && !is_output(config, &path) {
                collect(config, &path, &format!("{below}{own_name}/"), files)?;
            }
        } else if metadata.is_file() && config.pattern.is_match(&own_name) {
            files.push(FoundFile { path, name: format!("{below}{own_name}"), identity: identity(&metadata) });
        }
    }
    Ok(())
}

/// Whether a folder is one that files are moved to.
fn is_output(config: &SourceConfig, path: &Path) -> bool {
    let finished = if let Cleanup::Move(folder) = &config.cleanup { Some(folder) } else { None };
    let same = |folder: &PathBuf| folder == path || fs::canonicalize(folder).is_ok_and(|f| fs::canonicalize(path).is_ok_and(|p| p == f));
    finished.into_iter().chain(&config.error_path).any(same)
}

pub(crate) fn identity_of(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "this is a folder"));
    }
    Ok(identity(&metadata))
}

fn identity(metadata: &fs::Metadata) -> Identity {
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Identity { length: metadata.len(), modified_ms: modified.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)) }
}

/// The task that reads a file: the Adler-32 sum of its name modulo the number of tasks, as SpoolDirCsvSourceConnector shares them.
pub(crate) fn task_of(name: &str, tasks: u32) -> u32 {
    let (a, b) = name.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    (b << 16 | a) % tasks.max(1)
}

/// Moves a file into a folder, which is made if need be. A file that is there already stays: the new one gets a number.
pub(crate) fn move_into(path: &Path, name: &str, folder: &Path) -> Result<PathBuf> {
    let fault = |e: io::Error| {
        let message = format!("can't move {} to {}; check that the folder can be written to", path.display(), folder.display());
        Error::fatal(message).with_source(e)
    };
    let wanted = folder.join(name);
    fs::create_dir_all(wanted.parent().unwrap_or(folder)).map_err(fault)?;
    let mut target = wanted.clone();
    let mut number = 0_u32;
    while target.exists() {
        number += 1;
        let mut numbered = wanted.clone().into_os_string();
        numbered.push(format!(".{number}"));
        target = PathBuf::from(numbered);
    }
    match fs::rename(path, &target) {
        Err(e) if e.kind() == ErrorKind::CrossesDevices => copy_and_remove(path, &target).map_err(fault)?,
        other => other.map_err(fault)?,
    }
    Ok(target)
}

/// A move to another file system. The copy has its name only when it is complete.
fn copy_and_remove(path: &Path, target: &Path) -> io::Result<()> {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    fs::copy(path, &part)?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, target)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_by_the_adler_sum_of_their_name() {
        // Adler-32 of "Wikipedia" is 0x11E60398 (RFC 1950 defines the sum).
        assert_eq!(task_of("Wikipedia", u32::MAX), 0x11e6_0398);
        assert_eq!(task_of("anything", 1), 0);
        assert_eq!(task_of("anything", 0), 0);
    }

    #[test]
    fn a_moved_file_replaces_none() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let finished = dir.path().join("finished");
        for text in ["1", "2", "3"] {
            let path = dir.path().join("a.csv");
            fs::write(&path, text).expect("written");
            move_into(&path, "sub/a.csv", &finished).expect("moved");
            assert!(!path.exists());
        }
        let read = |name: &str| fs::read_to_string(finished.join("sub").join(name)).expect("there");
        assert_eq!([read("a.csv"), read("a.csv.1"), read("a.csv.2")], ["1", "2", "3"]);
    }
}
