//! A directory as an object store.
//!
//! An object is written to a temporary file in its own folder, made durable, and then linked to its name: `link(2)` fails if the name
//! is taken, whoever took it, which `rename(2)` does not. Folders that were made on the way are made durable too. Metadata are extended
//! attributes of the temporary file: they belong to the file and not to its name, so they appear and become durable with it.

mod attributes;
mod error;
mod temp;
mod upload;
mod walk;

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lakefeed_core::{Error, Result};

use crate::{ObjectInfo, ObjectMeta, Part, Put, UploadInfo};
use error::{failed, probe_failed};
use temp::TempFile;
pub(crate) use upload::LocalUpload;

/// See the module.
pub(crate) struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Runs file operations on a thread that may block. They are finished even if the caller is gone.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> Result<T> + Send + 'static) -> Result<T> {
        let root = self.root.clone();
        match tokio::task::spawn_blocking(move || work(&root)).await {
            Ok(result) => result,
            Err(error) => Err(Error::fatal(format!("a file operation in {} broke off", self.root.display())).with_source(error)),
        }
    }

    pub(crate) async fn probe(&self, folder: &str) -> Result<()> {
        let folder = if folder.is_empty() { self.root.clone() } else { self.root.join(folder) };
        self.blocking(move |_| probe(&folder).map_err(|(path, error)| probe_failed(&path, error))).await
    }

    pub(crate) async fn probe_read(&self) -> Result<()> {
        self.blocking(|root| fs::read_dir(root).map(|_| ()).map_err(|error| probe_failed(root, error))).await
    }

    pub(crate) async fn keeps_metadata(&self, folder: &str) -> Result<bool> {
        // A file that never gets a name.
        let path = self.root.join(crate::key::join(folder, "probe"));
        self.blocking(move |_| {
            let mut temp = create_temp(&path)?;
            let pair = ("lakefeed-probe".to_owned(), "1".to_owned());
            let kept = attributes::write(temp.file(), &[pair]).map_err(|error| failed("write", &path, error))?;
            Ok(kept && attributes::read(temp.path()).is_ok_and(|found| found.contains_key("lakefeed-probe")))
        })
        .await
    }

    pub(crate) async fn put_if_absent(&self, key: &str, parts: Vec<Bytes>, metadata: &[(&str, String)]) -> Result<Put> {
        let path = self.root.join(key);
        let metadata: Vec<(String, String)> = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.blocking(move |_| {
            let mut temp = create_temp(&path)?;
            let written = parts.iter().try_for_each(|part| temp.file().write_all(part));
            let written = written.and_then(|()| attributes::write(temp.file(), &metadata).map(drop));
            written.map_err(|error| failed("write", &path, error))?;
            publish(&mut temp, &path)
        })
        .await
    }

    pub(crate) async fn begin(&self, key: &str) -> Result<LocalUpload> {
        let path = self.root.join(key);
        self.blocking(move |_| Ok(LocalUpload::new(create_temp(&path)?))).await
    }

    pub(crate) async fn upload_part(&self, upload: &LocalUpload, number: i32, data: Vec<Bytes>) -> Result<Part> {
        let upload = upload.clone();
        self.blocking(move |_| upload.write(number, &data)).await?;
        Ok(Part { number, etag: String::new(), checksum_crc32: None })
    }

    pub(crate) async fn complete_if_absent(&self, key: &str, upload: LocalUpload, parts: Vec<Part>) -> Result<Put> {
        let path = self.root.join(key);
        self.blocking(move |_| upload.complete(&parts, &path)).await
    }

    pub(crate) async fn abort(&self, upload: LocalUpload) -> Result<()> {
        self.blocking(move |_| upload.abort()).await
    }

    pub(crate) async fn list(&self, prefix: &str, start_after: Option<&str>) -> Result<Vec<ObjectInfo>> {
        let (prefix, start_after) = (prefix.to_owned(), start_after.unwrap_or_default().to_owned());
        self.blocking(move |root| {
            let mut objects = Vec::new();
            walk::files(root, &prefix, &mut |key, metadata| {
                if key.starts_with(&prefix) && key > start_after && !crate::key::is_own(&key) {
                    objects.push(ObjectInfo { key, size: metadata.len() });
                }
            })?;
            objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(objects)
        })
        .await
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let path = self.root.join(key);
        self.blocking(move |_| match fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                let metadata = attributes::read(&path).map_err(|error| failed("read", &path, error))?;
                Ok(Some(ObjectMeta { size: found.len(), metadata }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        })
        .await
    }

    pub(crate) async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let path = self.root.join(key);
        self.blocking(move |_| read(&path, range)).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        self.blocking(move |_| remove(&path)).await
    }

    /// Temporary files in the folder part of `prefix` and below: their names don't tell what they are to become.
    pub(crate) async fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>> {
        let folder = prefix.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        self.blocking(move |root| {
            let mut uploads = Vec::new();
            walk::files(root, &folder, &mut |key, metadata| {
                if temp::is_temp(&key) {
                    let id = key.rsplit('/').next().unwrap_or_default().to_owned();
                    uploads.push(UploadInfo { key, id, initiated_ms: temp::modified_ms(metadata) });
                }
            })?;
            uploads.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(uploads)
        })
        .await
    }

    pub(crate) async fn abort_upload(&self, key: &str, _id: &str) -> Result<()> {
        crate::key::check_prefix(key)?;
        if !temp::is_temp(key) {
            return Err(Error::fatal(format!("'{key}' in {} is not a temporary file of this store", self.root.display())));
        }
        let path = self.root.join(key);
        self.blocking(move |_| remove(&path)).await
    }
}

/// Links a complete temporary file to its name and makes both durable.
fn publish(temp: &mut TempFile, path: &Path) -> Result<Put> {
    let fault = |error| failed("write", path, error);
    temp.file().sync_all().map_err(fault)?;
    let put = match fs::hard_link(temp.path(), path) {
        Ok(()) => Put::Created,
        Err(error) if error.kind() == IoKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(fault(IoKind::IsADirectory.into())),
            _ => Put::Exists,
        },
        Err(error) => return Err(fault(error)),
    };
    // If the name was taken, too: who reads `Exists` goes by an object that must not vanish.
    sync_folder(path.parent().unwrap_or(path)).map_err(fault)?;
    Ok(put)
}

/// A temporary file in the folder of `path`, which is made if it is missing.
fn create_temp(path: &Path) -> Result<TempFile> {
    let folder = path.parent().unwrap_or(path);
    let temp = create_folders(folder).and_then(|()| TempFile::create(folder));
    temp.map_err(|error| failed("write", path, error))
}

/// Makes a folder and those above it, each entered durably in its parent.
fn create_folders(folder: &Path) -> io::Result<()> {
    // The parent of a relative path's first element is the current directory.
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(folder);
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != IoKind::AlreadyExists => return Err(error),
        Err(_) if !folder.is_dir() => return Err(IoKind::NotADirectory.into()),
        // Somebody else may have made it at this moment, and not yet made it durable.
        Ok(()) | Err(_) => {}
    }
    sync_folder(parent)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn read(path: &Path, range: Option<Range<u64>>) -> Result<Bytes> {
    let fault = |error| failed("read", path, error);
    let mut file = File::open(path).map_err(fault)?;
    let size = file.metadata().map_err(fault)?.len();
    let range = range.unwrap_or(0..size);
    if range.start >= size && !range.is_empty() {
        return Err(Error::fatal(format!("can't read {} from byte {}: it has {size} bytes", path.display(), range.start)));
    }
    let wanted = range.end.min(size).saturating_sub(range.start);
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    file.seek(SeekFrom::Start(range.start)).map_err(fault)?;
    file.take(wanted).read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes.into())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_missing(&error) => Err(failed("delete", path, error)),
        _ => Ok(()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

/// Does once what every object needs: make the folder, write, link, find the name taken, remove.
fn probe(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let at = |error| (folder.to_owned(), error);
    create_folders(folder).map_err(at)?;
    let mut temp = TempFile::create(folder).map_err(at)?;
    temp.file().write_all(b"probe").map_err(at)?;
    let linked = folder.join(temp::name());
    let tried = fs::hard_link(temp.path(), &linked).and_then(|()| match fs::hard_link(temp.path(), &linked) {
        Err(error) if error.kind() == IoKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(IoKind::Unsupported.into()),
    });
    let removed = fs::remove_file(&linked);
    tried.and(removed).map_err(at)
}
