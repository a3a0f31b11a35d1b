//! Temporary files: `.lakefeed-<random>.tmp`, in the folder of the object they are to become.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::key::OWN;

const END: &str = ".tmp";

/// A temporary file; removed when dropped. A crash leaves it behind, invisible, until somebody removes it by its age.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
}

impl TempFile {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        loop {
            let path = folder.join(name());
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == IoKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != IoKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file could not be removed");
        }
    }
}

/// A name that no other process and no other call makes: 128 bits from the operating system's random keys.
pub(super) fn name() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{OWN}{:016x}{:016x}{END}", random(), random())
}

/// Whether the last element of a key is a temporary file's name.
pub(super) fn is_temp(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(OWN) && name.ends_with(END))
}

/// When a file was last written to, milliseconds since 1970-01-01 UTC.
pub(super) fn modified_ms(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}
