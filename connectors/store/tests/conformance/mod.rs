//! What every store owes, checked through its public door. Each case gets an empty store.

use bytes::Bytes;
use lakefeed_core::ErrorKind;
use lakefeed_store::{ObjectInfo, Put, Store, upload_is_gone};
use tokio::task::JoinSet;

const MIB: usize = 1 << 20;

/// Runs every case. `open` makes an empty store of a name that nothing else uses.
pub(crate) async fn run(open: impl Fn(&str) -> Store) {
    create_then_exists(open("create")).await;
    one_of_many_creates(open("race")).await;
    listing(open("list")).await;
    keys_are_taken_as_they_are(open("keys")).await;
    bad_keys_are_refused(open("bad-keys")).await;
    ranges(open("ranges")).await;
    parts_are_joined_in_order(open("parts")).await;
    an_upload_that_loses_leaves_nothing(open("loses")).await;
    an_aborted_upload_leaves_nothing(open("abort")).await;
    an_upload_that_is_gone_says_so(open("gone")).await;
    an_abandoned_upload_is_found_and_ended(open("abandoned")).await;
    an_upload_that_another_ends_does_not_go_on(open("others")).await;
    empty_objects(open("empty")).await;
    probing(open("probe")).await;
}

fn bytes(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

async fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.expect("list").into_iter().map(|o| o.key).collect()
}

async fn create_then_exists(store: Store) {
    assert_eq!(store.head("t/a.parquet").await.expect("head"), None);
    assert_eq!(keys(&store, "").await, [""; 0]);
    let created = store.put_if_absent("t/a.parquet", vec![Bytes::from_static(b"fir"), Bytes::from_static(b"st")], &[]).await;
    assert_eq!(created.expect("put"), Put::Created);
    assert_eq!(store.put_if_absent("t/a.parquet", bytes("second"), &[]).await.expect("put"), Put::Exists);
    assert_eq!(store.get("t/a.parquet").await.expect("get"), "first");
    assert_eq!(store.head("t/a.parquet").await.expect("head").expect("is there").size, 5);
    store.delete("t/a.parquet").await.expect("delete");
    store.delete("t/a.parquet").await.expect("delete again");
    assert_eq!(store.head("t/a.parquet").await.expect("head"), None);
    assert_eq!(store.get("t/a.parquet").await.expect_err("get").kind(), ErrorKind::Fatal);
    assert_eq!(store.put_if_absent("t/a.parquet", bytes("third"), &[]).await.expect("put"), Put::Created);
}

/// Ten writers of one key, some in one request and some in parts: one wins, and the object is whole and the winner's.
async fn one_of_many_creates(store: Store) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let mut writers = JoinSet::new();
        for writer in 0..10 {
            let (store, key, text) = (store.clone(), key.clone(), format!("writer {writer} ").repeat(1000));
            writers.spawn(async move {
                let put = if writer % 2 == 0 {
                    store.put_if_absent(&key, bytes(&text), &[]).await.expect("put")
                } else {
                    let upload = store.begin(&key, &[]).await.expect("begin");
                    let part = store.upload_part(&upload, 1, bytes(&text)).await.expect("part");
                    store.complete_if_absent(upload, vec![part]).await.expect("complete")
                };
                (put, text)
            });
        }
        let created: Vec<_> = writers.join_all().await.into_iter().filter(|(put, _)| *put == Put::Created).collect();
        assert_eq!(created.len(), 1, "round {round}");
        assert_eq!(store.get(&key).await.expect("get"), created[0].1);
    }
}

async fn listing(store: Store) {
    // More than the 1000 objects of one page of S3.
    let mut expected: Vec<String> = (0..1100).map(|i| format!("t/e={}/t+0+{i}", i % 3)).collect();
    expected.extend(["t/e".into(), "t/e=1x/a".into(), "u".into()]);
    let mut writers = JoinSet::new();
    for key in expected.clone() {
        let store = store.clone();
        writers.spawn(async move { store.put_if_absent(&key, bytes("x"), &[]).await.expect("put") });
        if writers.len() >= 16 {
            writers.join_next().await;
        }
    }
    writers.join_all().await;

    expected.sort_unstable();
    assert_eq!(keys(&store, "").await, expected);
    let of = |prefix: &str| expected.iter().filter(|k| k.starts_with(prefix)).cloned().collect::<Vec<_>>();
    for prefix in ["t/", "t/e", "t/e=1", "t/e=1/", "t/e=1/t+0+10", "t/e=9/", "t/e=1/t+0+1/", "nothing", "u"] {
        assert_eq!(keys(&store, prefix).await, of(prefix), "prefix {prefix}");
    }
    let after = store.list_after("t/e=1/", Some("t/e=1/t+0+500")).await.expect("list");
    let rest: Vec<_> = of("t/e=1/").into_iter().filter(|k| k.as_str() > "t/e=1/t+0+500").collect();
    assert_eq!(after.iter().map(|o| &o.key).collect::<Vec<_>>(), rest.iter().collect::<Vec<_>>());
    assert_eq!(store.list_after("u", None).await.expect("list"), [ObjectInfo { key: "u".into(), size: 1 }]);
}

async fn keys_are_taken_as_they_are(store: Store) {
    let mut expected = vec![
        "k/a=b/c+0+0000000001.snappy.parquet".to_owned(),
        "k/%2F%252F%20".into(),
        "k/a b".into(),
        "k/a+b".into(),
        "k/\u{fc}\u{4e2d}\u{1f600}/x".into(),
        "k/q?x&y=z#f;g:h,i@j$k!l'm(n)*[o]~p".into(),
        "k/<x>\"y".into(),
        "k/..a..".into(),
        "k/.hidden".into(),
    ];
    for key in &expected {
        assert_eq!(store.put_if_absent(key, bytes(key), &[]).await.expect(key), Put::Created, "{key}");
        assert_eq!(store.put_if_absent(key, bytes("other"), &[]).await.expect(key), Put::Exists, "{key}");
        assert_eq!(store.get(key).await.expect(key), key.as_bytes());
        assert!(store.head(key).await.expect(key).is_some(), "{key}");
        assert_eq!(&keys(&store, key).await, std::slice::from_ref(key));
    }
    expected.sort_unstable();
    assert_eq!(keys(&store, "k/").await, expected);
    for key in &expected {
        store.delete(key).await.expect(key);
    }
    assert_eq!(keys(&store, "").await, [""; 0]);
}

async fn bad_keys_are_refused(store: Store) {
    for key in ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", "a\0b", ".lakefeed-probe", "a/.lakefeed-x.tmp"] {
        let error = store.put_if_absent(key, bytes("x"), &[]).await.expect_err(key);
        assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
        assert!(store.begin(key, &[]).await.is_err(), "begin {key:?}");
        assert!(store.head(key).await.is_err(), "head {key:?}");
        assert!(store.get(key).await.is_err(), "get {key:?}");
        assert!(store.delete(key).await.is_err(), "delete {key:?}");
    }
    for prefix in ["/", "../", "a/../b", "\0"] {
        assert!(store.list(prefix).await.is_err(), "list {prefix:?}");
        assert!(store.list_uploads(prefix).await.is_err(), "list_uploads {prefix:?}");
    }
    let upload = store.begin("a", &[]).await.expect("begin");
    for number in [-1, 0, 10_001] {
        assert!(store.upload_part(&upload, number, bytes("x")).await.is_err(), "part {number}");
    }
    store.abort(upload).await.expect("abort");
    assert_eq!(keys(&store, "").await, [""; 0]);
}

async fn ranges(store: Store) {
    store.put_if_absent("r", bytes("0123456789"), &[]).await.expect("put");
    for (range, expected) in [(0..10, "0123456789"), (0..1, "0"), (3..7, "3456"), (9..10, "9"), (8..100, "89"), (5..5, ""), (50..50, "")] {
        assert_eq!(store.get_range("r", range.clone()).await.expect("get"), expected, "{range:?}");
    }
    assert_eq!(store.get_range("r", 10..11).await.expect_err("past the end").kind(), ErrorKind::Fatal);
    assert_eq!(store.get_range("nothing", 0..1).await.expect_err("no object").kind(), ErrorKind::Fatal);
}

/// A part that is uploaded twice counts once, with its last content; the order of arrival does not matter.
async fn parts_are_joined_in_order(store: Store) {
    let part = |letter: u8, length| vec![Bytes::from(vec![letter; length])];
    let upload = store.begin("p/object.parquet", &[]).await.expect("begin");
    let third = store.upload_part(&upload, 3, part(b'c', 7)).await.expect("part");
    let old = store.upload_part(&upload, 1, part(b'x', 5 * MIB)).await.expect("part");
    assert_eq!(old.number(), 1);
    let (first, second) =
        tokio::join!(store.upload_part(&upload, 1, part(b'a', 5 * MIB + 1)), store.upload_part(&upload, 2, part(b'b', 5 * MIB)));
    assert_eq!(keys(&store, "").await, [""; 0], "a part is visible");
    assert_eq!(upload.key(), "p/object.parquet");
    let parts = vec![third, second.expect("part"), first.expect("part")];
    assert_eq!(store.complete_if_absent(upload, parts).await.expect("complete"), Put::Created);

    let object = store.get("p/object.parquet").await.expect("get");
    let expected = [vec![b'a'; 5 * MIB + 1], vec![b'b'; 5 * MIB], vec![b'c'; 7]].concat();
    assert!(object == expected, "the object differs: {} bytes, expected {}", object.len(), expected.len());
    assert_eq!(store.get_range("p/object.parquet", 5 * MIB as u64..5 * MIB as u64 + 3).await.expect("get"), "abb");
    assert_eq!(keys(&store, "").await, ["p/object.parquet"]);
    assert_eq!(store.list_uploads("p/object.parquet").await.expect("list"), []);
}

async fn an_upload_that_loses_leaves_nothing(store: Store) {
    let upload = store.begin("l/a", &[]).await.expect("begin");
    let part = store.upload_part(&upload, 1, bytes("late")).await.expect("part");
    assert_eq!(store.put_if_absent("l/a", bytes("early"), &[]).await.expect("put"), Put::Created);
    assert_eq!(store.complete_if_absent(upload, vec![part]).await.expect("complete"), Put::Exists);
    assert_eq!(store.get("l/a").await.expect("get"), "early");
    assert_eq!(store.list_uploads("l/a").await.expect("list"), []);
    assert_eq!(keys(&store, "").await, ["l/a"]);
}

async fn an_aborted_upload_leaves_nothing(store: Store) {
    let upload = store.begin("a/a", &[]).await.expect("begin");
    store.upload_part(&upload, 1, bytes("x")).await.expect("part");
    store.abort(upload.clone()).await.expect("abort");
    assert_eq!(keys(&store, "").await, [""; 0]);
    assert_eq!(store.list_uploads("a/a").await.expect("list"), []);
    store.abort(upload).await.expect("abort again");
    assert_eq!(store.put_if_absent("a/a", bytes("x"), &[]).await.expect("put"), Put::Created);
}

/// The caller writes the object again: nothing is lost, so the kind is Retry.
async fn an_upload_that_is_gone_says_so(store: Store) {
    let upload = store.begin("g/a", &[]).await.expect("begin");
    let part = store.upload_part(&upload, 1, bytes("x")).await.expect("part");
    store.abort(upload.clone()).await.expect("abort");
    for error in [
        store.upload_part(&upload, 2, bytes("y")).await.expect_err("part"),
        store.complete_if_absent(upload, vec![part]).await.expect_err("complete"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        assert!(error.to_string().contains("write the object again from its beginning"), "{error}");
        assert!(upload_is_gone(&error), "{error:?}");
    }
    assert_eq!(keys(&store, "").await, [""; 0]);
}

/// As after a crash between the write and the publication.
async fn an_abandoned_upload_is_found_and_ended(store: Store) {
    let upload = store.begin("c/d/a", &[]).await.expect("begin");
    store.upload_part(&upload, 1, bytes("x")).await.expect("part");
    std::mem::forget(upload);
    assert_eq!(keys(&store, "").await, [""; 0]);
    assert_eq!(store.head("c/d/a").await.expect("head"), None);
    assert_eq!(store.list_uploads("other/").await.expect("list"), []);
    let found = store.list_uploads("c/d/a").await.expect("list");
    let [upload] = &found[..] else { panic!("expected one upload, found {found:?}") };
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert!(now_ms.abs_diff(u128::try_from(upload.initiated_ms).expect("positive")) < 60_000, "{upload:?}");
    store.abort_upload(&upload.key, &upload.id).await.expect("abort");
    store.abort_upload(&upload.key, &upload.id).await.expect("abort again");
    assert_eq!(store.list_uploads("c/d/a").await.expect("list"), []);
}

/// As when an upload is taken for an abandoned one: its owner learns of it, at the latest by the second call, and nothing appears.
async fn an_upload_that_another_ends_does_not_go_on(store: Store) {
    let upload = store.begin("o/a", &[]).await.expect("begin");
    let part = store.upload_part(&upload, 1, bytes("x")).await.expect("part");
    for found in store.list_uploads("o/a").await.expect("list") {
        store.abort_upload(&found.key, &found.id).await.expect("abort");
    }
    let mut error = store.complete_if_absent(upload.clone(), vec![part.clone()]).await.expect_err("complete");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    if !upload_is_gone(&error) {
        error = store.complete_if_absent(upload, vec![part]).await.expect_err("complete again");
    }
    assert!(upload_is_gone(&error), "{error:?}");
    assert_eq!(keys(&store, "").await, [""; 0]);
}

async fn empty_objects(store: Store) {
    assert_eq!(store.put_if_absent("e/put", Vec::new(), &[]).await.expect("put"), Put::Created);
    assert_eq!(store.put_if_absent("e/put", Vec::new(), &[]).await.expect("put"), Put::Exists);
    let upload = store.begin("e/parts", &[]).await.expect("begin");
    assert_eq!(store.complete_if_absent(upload, Vec::new()).await.expect("complete"), Put::Created);
    for key in ["e/put", "e/parts"] {
        assert_eq!(store.get(key).await.expect("get"), "");
        assert_eq!(store.get_range(key, 0..0).await.expect("get"), "");
        assert_eq!(store.head(key).await.expect("head").expect("is there").size, 0);
    }
    let empty = |key: &str| ObjectInfo { key: key.into(), size: 0 };
    assert_eq!(store.list("e/").await.expect("list"), [empty("e/parts"), empty("e/put")]);
}

async fn probing(store: Store) {
    for _ in 0..2 {
        store.probe().await.expect("probe");
        store.probe_folder("some/folder/").await.expect("probe of a folder");
        store.probe_read().await.expect("probe of reading");
    }
    assert_eq!(keys(&store, "").await, [""; 0], "the probe is visible");
    assert!(store.probe_folder("../x").await.is_err());
}
