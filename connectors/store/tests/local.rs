//! The directory store.

mod conformance;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use lakefeed_core::ErrorKind;
use lakefeed_store::{Put, Store, StoreConfig};

fn open(root: &Path) -> Store {
    Store::open(&StoreConfig::local(root)).expect("open")
}

/// Every file and link below a folder, the store's own included.
fn files(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).expect("read") {
        let path = entry.expect("entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path.display().to_string()) }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_the_directory_store() {
    let dir = tempfile::tempdir().expect("a folder");
    conformance::run(|name| open(&dir.path().join("deep/er").join(name))).await;
    let temporary: Vec<_> = files(dir.path()).into_iter().filter(|name| name.contains(".lakefeed-")).collect();
    assert_eq!(temporary, [""; 0], "temporary files are left");
}

#[tokio::test]
async fn an_upload_that_is_dropped_removes_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let upload = store.begin("a/b", &[]).await.expect("begin");
    assert_eq!(files(dir.path()).len(), 1);
    drop(upload);
    assert_eq!(files(dir.path()), [""; 0]);
}

#[tokio::test]
async fn files_that_were_there_are_objects_and_are_never_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("t")).expect("folder");
    fs::write(dir.path().join("t/a"), "old").expect("write");
    let store = open(dir.path());
    assert_eq!(store.put_if_absent("t/a", vec![Bytes::from_static(b"new")], &[]).await.expect("put"), Put::Exists);
    assert_eq!(store.get("t/a").await.expect("get"), "old");
    // A link that leads nowhere holds the name as well.
    symlink("nowhere", dir.path().join("t/l")).expect("link");
    assert_eq!(store.put_if_absent("t/l", Vec::new(), &[]).await.expect("put"), Put::Exists);
    assert_eq!(store.list("").await.expect("list").len(), 1);
}

#[tokio::test]
async fn metadata_stays_with_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    assert!(
        store.keeps_metadata("t/u").await.expect("a file is tried"),
        "the file system of {} has extended attributes",
        dir.path().display()
    );
    let pairs = [("first-offset", "12".to_owned()), ("writer", "a b;c=\"d\"".to_owned())];
    assert_eq!(store.put_if_absent("t/a", vec![Bytes::from_static(b"x")], &pairs).await.expect("put"), Put::Created);
    assert_eq!(store.put_if_absent("t/a", Vec::new(), &[("writer", "other".to_owned())]).await.expect("put"), Put::Exists);
    fs::rename(dir.path().join("t/a"), dir.path().join("t/b")).expect("renamed");
    let found = store.head("t/b").await.expect("head").expect("is there");
    let expected = pairs.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    assert_eq!((found.size, found.metadata), (1, expected));
    fs::write(dir.path().join("t/c"), "").expect("written");
    assert!(store.head("t/c").await.expect("head").expect("is there").metadata.is_empty());
    assert_eq!(store.list("").await.expect("list").len(), 2, "the try leaves nothing");
}

#[tokio::test]
async fn links_are_followed_but_not_in_circles() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    fs::write(other.path().join("x"), "12").expect("write");
    symlink(other.path(), dir.path().join("p")).expect("link");
    symlink(dir.path(), other.path().join("circle")).expect("link");
    symlink("self", dir.path().join("self")).expect("link");
    symlink(".", dir.path().join("here")).expect("link");
    let store = open(dir.path());
    let keys: Vec<_> = store.list("").await.expect("list").into_iter().map(|o| (o.key, o.size)).collect();
    assert!(keys.contains(&("p/x".into(), 2)), "{keys:?}");
    assert!(keys.len() < 10, "{keys:?}");
}

#[tokio::test]
async fn a_file_in_the_place_of_a_folder_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    store.put_if_absent("a", Vec::new(), &[]).await.expect("put");
    store.put_if_absent("d/e", Vec::new(), &[]).await.expect("put");
    for key in ["a/b", "d"] {
        let error = store.put_if_absent(key, Vec::new(), &[]).await.expect_err(key);
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains("a file and a directory want the same name"), "{error}");
    }
    assert_eq!(store.head("d").await.expect("head"), None);
    assert_eq!(store.head("a/b").await.expect("head"), None);
    assert_eq!(files(dir.path()).len(), 2, "temporary files are left");
}

#[tokio::test]
async fn a_directory_that_can_not_be_used_is_named_with_the_cause() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("file"), "").expect("write");
    let error = open(&dir.path().join("file/lake")).probe().await.expect_err("below a file");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("file/lake can't be used: it is, or lies below, a file"), "{error}");
    // Nobody, not even root, may make a folder there.
    let error = open(Path::new("/proc/lake")).probe().await.expect_err("in /proc");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("/proc/lake can't be used"), "{error}");
    let error = open(&dir.path().join("missing")).probe_read().await.expect_err("no such directory");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("it does not exist"), "{error}");
    assert_eq!(open(&dir.path().join("missing")).list("").await.expect("list"), []);
}
