//! What went wrong with a file, and what to do.

use std::io::{self, ErrorKind as IoKind};
use std::path::Path;

use lakefeed_core::{Error, ErrorKind};

/// An error of reading, writing or deleting an object.
pub(super) fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    let folder = path.parent().unwrap_or(path).display();
    let path = path.display();
    let (kind, advice) = match error.kind() {
        IoKind::StorageFull => (ErrorKind::Retry, format!("the disk of {folder} is full; free space, writing goes on by itself")),
        IoKind::QuotaExceeded => {
            (ErrorKind::Retry, format!("the disk quota of {folder} is used up; free space, writing goes on by itself"))
        }
        IoKind::PermissionDenied => {
            (ErrorKind::Config, format!("this user needs the right to {verb} in {folder}; grant it or choose another directory"))
        }
        IoKind::ReadOnlyFilesystem => (ErrorKind::Config, format!("{folder} is mounted read-only; remount it or choose another directory")),
        IoKind::Unsupported | IoKind::CrossesDevices => (ErrorKind::Config, no_links(&path)),
        IoKind::NotADirectory | IoKind::IsADirectory => {
            (ErrorKind::Fatal, "a file and a directory want the same name; remove one of them or choose another directory".to_owned())
        }
        IoKind::NotFound if verb == "read" => (ErrorKind::Fatal, "there is no such object".to_owned()),
        // The folder or the temporary file was there a moment ago.
        IoKind::NotFound => (ErrorKind::Retry, format!("{folder} or a temporary file in it was removed by somebody else")),
        IoKind::TimedOut | IoKind::StaleNetworkFileHandle => {
            (ErrorKind::Retry, "the file system does not answer; check its server".to_owned())
        }
        _ => (ErrorKind::Fatal, "check the file system and the limits of this process".to_owned()),
    };
    Error::new(kind, format!("can't {verb} {path}: {advice}")).with_source(error)
}

/// An error of trying a directory out: a person must act on all of them, except for a full disk.
pub(super) fn probe_failed(folder: &Path, error: io::Error) -> Error {
    let folder = folder.display();
    let advice = match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded => {
            return Error::retry(format!("the disk of {folder} is full; free space, writing goes on by itself")).with_source(error);
        }
        IoKind::NotFound => "it does not exist; correct the path".to_owned(),
        IoKind::PermissionDenied => "this user needs the right to make it, read it and write to it".to_owned(),
        IoKind::ReadOnlyFilesystem => "it is mounted read-only".to_owned(),
        IoKind::NotADirectory | IoKind::AlreadyExists => "it is, or lies below, a file; choose another directory".to_owned(),
        IoKind::Unsupported | IoKind::CrossesDevices => no_links(&folder),
        _ => "choose another directory or repair the file system".to_owned(),
    };
    Error::config(format!("the directory {folder} can't be used: {advice}")).with_source(error)
}

fn no_links(path: &impl std::fmt::Display) -> String {
    format!("the file system of {path} has no hard links, by which objects are created only if absent; choose another directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_passing_trouble_and_a_missing_right_is_not() {
        let path = Path::new("/lake/t/a.parquet");
        let full = failed("write", path, IoKind::StorageFull.into());
        assert_eq!(full.kind(), ErrorKind::Retry);
        assert_eq!(full.to_string(), "can't write /lake/t/a.parquet: the disk of /lake/t is full; free space, writing goes on by itself");
        assert_eq!(probe_failed(path, IoKind::StorageFull.into()).kind(), ErrorKind::Retry);
        for kind in [IoKind::PermissionDenied, IoKind::ReadOnlyFilesystem, IoKind::Unsupported] {
            assert_eq!(failed("write", path, kind.into()).kind(), ErrorKind::Config);
            assert_eq!(probe_failed(path, kind.into()).kind(), ErrorKind::Config);
        }
        assert_eq!(failed("write", path, io::Error::other("disk on fire")).kind(), ErrorKind::Fatal);
        assert_eq!(failed("write", path, io::Error::other("disk on fire")).chain().matches("disk on fire").count(), 1);
    }
}
