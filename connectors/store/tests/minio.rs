//! The S3 store against a real MinIO, which the test kit starts.

mod conformance;

use std::time::{Duration, Instant};

use bytes::Bytes;
use lakefeed_core::ErrorKind;
use lakefeed_kit::{Minio, minio};
use lakefeed_store::{Put, S3Settings, Secret, Sse, Store, StoreConfig};

fn settings(minio: &Minio) -> S3Settings {
    S3Settings {
        endpoint: Some(minio.endpoint.clone()),
        region: Some(minio.region.clone()),
        access_key_id: Some(minio.access_key.clone()),
        secret_access_key: Some(Secret::new(&minio.secret_key)),
        ..S3Settings::default()
    }
}

fn open(bucket: &str, prefix: &str, s3: S3Settings) -> Store {
    Store::open(&StoreConfig::s3(bucket, prefix, s3)).expect("open")
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_the_s3_store() {
    let minio = minio();
    let bucket = minio.bucket();
    conformance::run(|name| open(&bucket, &format!("deep/er/{name}"), settings(minio))).await;
}

#[tokio::test]
async fn metadata_comes_back_with_the_object() {
    let minio = minio();
    let bucket = minio.bucket();
    let store = open(&bucket, "", settings(minio));
    let metadata = [("first-offset", "12".to_owned()), ("last-offset", "9223372036854775807".into()), ("writer", "a b;c=\"d\"".into())];
    store.put_if_absent("put.parquet", vec![Bytes::from_static(b"x")], &metadata).await.expect("put");
    let upload = store.begin("parts.parquet", &metadata).await.expect("begin");
    let part = store.upload_part(&upload, 1, vec![Bytes::from_static(b"x")]).await.expect("part");
    assert_eq!(store.complete_if_absent(upload, vec![part]).await.expect("complete"), Put::Created);
    for key in ["put.parquet", "parts.parquet"] {
        let found = store.head(key).await.expect("head").expect("is there");
        let expected = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!((found.size, found.metadata), (1, expected), "{key}");
    }
}

/// An answer was lost: the caller finds its own metadata.
#[tokio::test]
async fn completing_twice_finds_the_own_object() {
    let minio = minio();
    let bucket = minio.bucket();
    let store = open(&bucket, "", settings(minio));
    let upload = store.begin("a", &[("writer", "w1".into())]).await.expect("begin");
    let part = store.upload_part(&upload, 1, vec![Bytes::from_static(b"x")]).await.expect("part");
    assert_eq!(store.complete_if_absent(upload.clone(), vec![part.clone()]).await.expect("complete"), Put::Created);
    assert_eq!(store.complete_if_absent(upload, vec![part]).await.expect("complete"), Put::Exists);
    assert_eq!(store.head("a").await.expect("head").expect("is there").metadata["writer"], "w1");
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let minio = minio();
    let store = open("no-such-bucket", "lake", settings(minio));
    let writing = store.put_if_absent("a", Vec::new(), &[]).await.expect_err("put");
    let listing = store.list("").await.expect_err("list");
    for error in [store.probe().await.expect_err("probe"), store.probe_read().await.expect_err("probe"), writing, listing] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        let expected = format!("bucket 'no-such-bucket' does not exist at {}; create it or correct s3.bucket.name", minio.endpoint);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn credentials_that_do_not_do_are_a_matter_of_settings() {
    let minio = minio();
    let bucket = minio.bucket();
    let unknown = S3Settings { access_key_id: Some("nobody".into()), ..settings(minio) };
    let wrong = S3Settings { secret_access_key: Some(Secret::new("guessed-s3cret")), ..settings(minio) };
    for (s3, code) in [(unknown, "InvalidAccessKeyId"), (wrong, "SignatureDoesNotMatch")] {
        let store = open(&bucket, "", s3);
        let writing = store.put_if_absent("a", Vec::new(), &[]).await.expect_err("put");
        for error in [store.probe().await.expect_err("probe"), writing] {
            assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
            assert!(error.to_string().contains(code) && error.to_string().contains("check aws.access.key.id"), "{error}");
            assert!(!error.chain().contains("s3cret"), "{}", error.chain());
        }
        // A HEAD is answered without a body, so without a code.
        let error = store.head("a").await.expect_err("head");
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_known_quickly() {
    // The port was free a moment ago and nobody was told of it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let minio = minio();
    let endpoint = format!("http://127.0.0.1:{port}");
    let store = open("b", "", S3Settings { endpoint: Some(endpoint.clone()), ..settings(minio) });
    let start = Instant::now();
    let error = store.probe().await.expect_err("probe");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains(&format!("can't reach {endpoint}; check the address")), "{error}");
    assert!(error.chain().contains("onnection refused"), "{}", error.chain());
}

#[tokio::test]
async fn tags_checksums_and_encryption_are_accepted() {
    let minio = minio();
    let bucket = minio.bucket();
    let s3 = S3Settings { tags: vec![("team".into(), "a b/c+d".into())], send_checksums: true, ..settings(minio) };
    let store = open(&bucket, "", s3);
    assert_eq!(store.put_if_absent("a", vec![Bytes::from_static(b"x")], &[]).await.expect("put"), Put::Created);
    let upload = store.begin("b", &[]).await.expect("begin");
    let part = store.upload_part(&upload, 1, vec![Bytes::from_static(b"y")]).await.expect("part");
    assert_eq!(store.complete_if_absent(upload, vec![part]).await.expect("complete"), Put::Created);
    assert_eq!(store.get("b").await.expect("get"), "y");

    // This server has no keys to encrypt with: what matters is that the wish is passed on, and what is said of it.
    let store = open(&bucket, "", S3Settings { sse: Some(Sse::Aes256), ..settings(minio) });
    let error = store.put_if_absent("c", vec![Bytes::from_static(b"x")], &[]).await.expect_err("no KMS");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

/// What the documentation of `Store::list_uploads` says of MinIO: if this fails, MinIO has learned it, and the documentation can go.
#[tokio::test]
async fn minio_lists_an_upload_by_its_whole_key_only() {
    let minio = minio();
    let store = open(&minio.bucket(), "", settings(minio));
    let upload = store.begin("t/k=1/a.parquet", &[]).await.expect("begin");
    assert_eq!(store.list_uploads("t/k=1/a.parquet").await.expect("list").len(), 1);
    for prefix in ["t/", "t/k=1/", "t/k=1/a"] {
        assert_eq!(store.list_uploads(prefix).await.expect("list"), [], "{prefix}");
    }
    store.abort(upload).await.expect("abort");
}
