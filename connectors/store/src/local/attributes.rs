//! Metadata of an object as extended attributes of its file: `user.NAME`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind as IoKind};
use std::path::Path;

use xattr::FileExt;

/// The part of the names that users may choose (xattr(7)).
const USER: &str = "user.";

/// Sets attributes; false if the file system has none.
pub(super) fn write(file: &File, metadata: &[(String, String)]) -> io::Result<bool> {
    let set = |(name, value): &(String, String)| file.set_xattr(format!("{USER}{name}"), value.as_bytes());
    match metadata.iter().try_for_each(set) {
        Err(error) if error.kind() == IoKind::Unsupported => Ok(false),
        done => done.map(|()| true),
    }
}

/// The attributes that are text; none where the file system has none.
pub(super) fn read(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let names = match xattr::list(path) {
        Err(error) if error.kind() == IoKind::Unsupported => return Ok(BTreeMap::new()),
        listed => listed?,
    };
    let mut found = BTreeMap::new();
    for name in names {
        let Some(plain) = name.to_str().and_then(|name| name.strip_prefix(USER)) else { continue };
        if let Some(value) = xattr::get(path, &name)?.and_then(|value| String::from_utf8(value).ok()) {
            found.insert(plain.to_owned(), value);
        }
    }
    Ok(found)
}
