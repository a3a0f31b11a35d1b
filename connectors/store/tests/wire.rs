//! What goes over the wire, and what becomes of answers that a healthy server does not give: a server that answers by a script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakefeed_core::{Error, ErrorKind};
use lakefeed_store::{Proxy, Put, Role, S3Settings, Secret, Sse, Store, StoreConfig};

/// Answers one request after another; the last answer is given for ever. It ends with the process.
struct Scripted {
    endpoint: String,
    /// Request lines and headers, as they came.
    requests: Arc<Mutex<Vec<String>>>,
}

const OK: &str = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n";
const EXISTS: &str = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
/// Says nothing and keeps the connection.
const SILENCE: &str = "";

fn xml(status: &str, code: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>a reason</Message></Error>");
    format!("HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl Scripted {
    fn start(script: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Vec<String> = script.iter().map(|answer| (*answer).to_owned()).collect();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let request = read_request(&stream);
                let mut seen = seen.lock().expect("no panic");
                let answer = &script[seen.len().min(script.len() - 1)];
                seen.push(request);
                if answer == SILENCE {
                    silent.push(stream);
                } else {
                    // One request for each connection: the script needs no keep-alive.
                    let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                    (&stream).write_all(answer.as_bytes()).expect("write");
                }
            }
        });
        Self { endpoint, requests }
    }

    fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some(self.endpoint.clone()),
            access_key_id: Some("id".into()),
            secret_access_key: Some(Secret::new("secret")),
            part_retries: 2,
            retry_backoff_ms: 1,
            attempt_timeout_ms: 5_000,
            ..S3Settings::default()
        }
    }

    fn store(&self) -> Store {
        self.store_with(self.settings())
    }

    fn store_with(&self, s3: S3Settings) -> Store {
        Store::open(&StoreConfig::s3("b", "p", s3)).expect("open")
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// Reads a request with its body; returns its first lines in small letters.
fn read_request(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return head.to_owned();
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

async fn put(store: &Store) -> Result<Put, Error> {
    store.put_if_absent("k.parquet", vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")], &[("first-offset", "7".into())]).await
}

fn has(request: &str, header: &str) -> bool {
    request.lines().any(|line| line.starts_with(header))
}

#[tokio::test]
async fn a_put_is_conditional_and_carries_what_was_asked_for() {
    let server = Scripted::start(&[OK]);
    assert_eq!(put(&server.store()).await.expect("put"), Put::Created);
    let settings = S3Settings {
        tags: vec![("team".into(), "a&b".into()), ("x".into(), String::new())],
        acl: Some("bucket-owner-full-control".into()),
        sse: Some(Sse::Kms { key: Some("the-key".into()) }),
        send_checksums: true,
        ..server.settings()
    };
    put(&server.store_with(settings)).await.expect("put");
    let [plain, special] = &server.requests()[..] else { panic!("expected two requests, found {:?}", server.requests()) };

    for line in ["put /b/p/k.parquet", "if-none-match: *", "content-type: application/vnd.apache.parquet", "x-amz-meta-first-offset: 7"] {
        assert!(has(plain, line), "no {line} in {plain}");
    }
    // Many stores of other makers refuse checksums and chunked bodies.
    for header in ["x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer", "transfer-encoding", "x-amz-server-side", "x-amz-acl"] {
        assert!(!has(plain, header), "{header} in {plain}");
    }
    for line in [
        "x-amz-tagging: team=a%26b&x=",
        "x-amz-acl: bucket-owner-full-control",
        "x-amz-server-side-encryption: aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id: the-key",
        "x-amz-checksum-crc32: ",
    ] {
        assert!(has(special, line), "no {line} in {special}");
    }
}

#[tokio::test]
async fn a_customers_key_goes_with_reading_and_writing() {
    let server = Scripted::start(&[OK]);
    // 32 bytes of zero, and their MD5.
    let key = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let store = server.store_with(S3Settings { sse: Some(Sse::Customer { key }), ..server.settings() });
    put(&store).await.expect("put");
    store.head("k").await.expect("head");
    store.get("k").await.expect("get");
    for request in server.requests() {
        assert!(has(&request, "x-amz-server-side-encryption-customer-algorithm: aes256"), "{request}");
        assert!(has(&request, "x-amz-server-side-encryption-customer-key-md5: clyps3koasfgi/jorb3ouq=="), "{request}");
    }
    let short = S3Settings { sse: Some(Sse::Customer { key: Secret::new("c2hvcnQ=") }), ..server.settings() };
    assert_eq!(Store::open(&StoreConfig::s3("b", "", short)).expect_err("a short key").kind(), ErrorKind::Config);
}

/// The environment of a process can't be changed safely while threads run: the test runs itself again in an empty one.
#[tokio::test]
async fn missing_credentials_are_named() {
    const NAME: &str = "missing_credentials_are_named";
    if std::env::var_os("LAKEFEED_EMPTY_ENVIRONMENT").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().expect("a test is a program"));
        again.args(["--exact", NAME, "--nocapture"]).env_clear().env("LAKEFEED_EMPTY_ENVIRONMENT", "1");
        let output = again.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").output().expect("run");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
        return;
    }
    let server = Scripted::start(&[OK]);
    let store = server.store_with(S3Settings { access_key_id: None, secret_access_key: None, ..server.settings() });
    let error = store.probe().await.expect_err("probe");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("no credentials; set aws.access.key.id and aws.secret.access.key"), "{error:?}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn passing_trouble_is_overcome() {
    let slow_down = xml("503 Slow Down", "SlowDown");
    let server = Scripted::start(&[&slow_down, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", OK]);
    assert_eq!(put(&server.store()).await.expect("put"), Put::Created);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn trouble_that_stays_is_left_to_the_caller() {
    let slow_down = xml("503 Slow Down", "SlowDown");
    let server = Scripted::start(&[&slow_down]);
    let error = put(&server.store()).await.expect_err("put");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert_eq!(error.chain(), format!("PutObject s3://b/p/k.parquet at {} failed: HTTP 503 SlowDown: S3 says 'a reason'", server.endpoint));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_conflict_is_tried_again_until_it_is_decided() {
    let conflict = xml("409 Conflict", "ConditionalRequestConflict");
    assert_eq!(put(&Scripted::start(&[&conflict, OK]).store()).await.expect("put"), Put::Created);
    assert_eq!(put(&Scripted::start(&[&conflict, &conflict, EXISTS]).store()).await.expect("put"), Put::Exists);
    let error = put(&Scripted::start(&[&conflict]).store()).await.expect_err("put");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
}

#[tokio::test]
async fn a_lost_upload_is_written_again_unless_the_object_is_there() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let begun = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{begun}", begun.len());
    let (conflict, no_upload) = (xml("409 Conflict", "ConditionalRequestConflict"), xml("404 Not Found", "NoSuchUpload"));
    // CreateMultipartUpload, UploadPart, CompleteMultipartUpload, perhaps AbortMultipartUpload, HeadObject.
    for (script, expected) in [
        (vec![&begun[..], OK, EXISTS, OK], Ok(Put::Exists)),
        (vec![&begun, OK, &no_upload, OK], Ok(Put::Exists)),
        (vec![&begun, OK, &no_upload, NOT_FOUND], Err(ErrorKind::Retry)),
        (vec![&begun, OK, &conflict, OK, OK], Ok(Put::Exists)),
        (vec![&begun, OK, &conflict, OK, NOT_FOUND], Err(ErrorKind::Retry)),
        // S3 begins to answer before it knows the outcome: an error in an answer of status 200.
        (vec![&begun, OK, &xml("200 OK", "InternalError")], Err(ErrorKind::Retry)),
    ] {
        let server = Scripted::start(&script);
        let store = server.store();
        let upload = store.begin("k", &[]).await.expect("begin");
        let part = store.upload_part(&upload, 1, Vec::new()).await.expect("part");
        let put = store.complete_if_absent(upload, vec![part]).await;
        assert_eq!(put.map_err(|error| error.kind()), expected, "{script:?}");
        let requests = server.requests();
        assert!(requests[2].starts_with("post ") && has(&requests[2], "if-none-match: *"), "{}", requests[2]);
    }
}

#[tokio::test]
async fn silence_ends_within_the_limit() {
    let server = Scripted::start(&[SILENCE]);
    let store = server.store_with(S3Settings { attempt_timeout_ms: 200, ..server.settings() });
    let start = Instant::now();
    let error = put(&store).await.expect_err("put");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    assert!(error.to_string().contains("does not answer in time"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(server.requests().len(), 3);
}

/// Slow, but it arrives: 8 KB have a second more than an empty request.
#[tokio::test]
async fn a_large_body_has_more_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let endpoint = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            read_request(&stream);
            std::thread::sleep(Duration::from_millis(600));
            // The client may have given up.
            let _ = (&stream).write_all(OK.as_bytes());
        }
    });
    let s3 = S3Settings { endpoint: Some(endpoint), part_retries: 0, attempt_timeout_ms: 200, ..Scripted::start(&[OK]).settings() };
    let store = Store::open(&StoreConfig::s3("b", "p", s3)).expect("open");
    let large = store.put_if_absent("k", vec![Bytes::from(vec![b'x'; 8_000])], &[]).await;
    assert_eq!(large.expect("put"), Put::Created);
    let small = store.put_if_absent("k", vec![Bytes::from_static(b"x")], &[]).await;
    assert_eq!(small.expect_err("too slow").kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_passing_trouble() {
    let server = Scripted::start(&["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew"]);
    let error = server.store().get("k").await.expect_err("get");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    let server = Scripted::start(&["HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<html>hi</html>\n"]);
    let error = server.store().list("").await.expect_err("list");
    assert!(error.to_string().contains("s3://b/p/"), "{error}");
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused() {
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let listing = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{listing}", listing.len());
    let error = Scripted::start(&[&listing, OK, OK]).store().probe().await.expect_err("probe");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("ignores If-None-Match"), "{error}");
    Scripted::start(&[&listing, OK, EXISTS]).store().probe().await.expect("the first probe");
    Scripted::start(&[&listing, EXISTS]).store().probe().await.expect("a later probe");
    let denied = xml("403 Forbidden", "AccessDenied");
    let error = Scripted::start(&[&listing, &denied]).store().probe().await.expect_err("probe");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("the credentials need the right s3:PutObject on bucket 'b'"), "{error}");
}

#[tokio::test]
async fn a_listing_of_one_page_is_whole_and_a_longer_one_is_not_followed() {
    let page = |truncated: bool| {
        let keys = ["p/t/b", "p/t/a"].map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).concat();
        let body = format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{keys}</ListBucketResult>");
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let whole = Scripted::start(&[&page(false)]);
    // Directory buckets of S3 list in another order.
    assert_eq!(whole.store().list_if_few("t/").await.expect("listed"), Some(vec!["t/a".to_owned(), "t/b".to_owned()]));
    let more = Scripted::start(&[&page(true)]);
    assert_eq!(more.store().list_if_few("t/").await.expect("listed"), None);
    assert_eq!(more.requests.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn a_proxy_is_asked_with_its_password() {
    let proxy = Scripted::start(&[OK]);
    let credentials = Some(("alice".into(), Secret::new("wonderland")));
    let settings = S3Settings {
        // Nobody listens there.
        endpoint: Some("http://127.0.0.1:9".into()),
        proxy: Some(Proxy { url: proxy.endpoint.clone(), credentials }),
        ..proxy.settings()
    };
    assert_eq!(put(&proxy.store_with(settings)).await.expect("put"), Put::Created);
    let requests = proxy.requests();
    let [request] = &requests[..] else { panic!("expected one request, found {requests:?}") };
    assert!(has(request, "put http://127.0.0.1:9/b/p/k.parquet"), "{request}");
    // alice:wonderland, in small letters as all of the request.
    assert!(has(request, "proxy-authorization: basic ywxpy2u6d29uzgvybgfuza=="), "{request}");
}

#[tokio::test]
async fn a_role_is_assumed_by_the_credentials_that_are_there() {
    let session = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                   <AccessKeyId>ROLEKEY</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>ROLETOKEN</SessionToken>\
                   <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let assumed = format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{session}", session.len());
    let server = Scripted::start(&[&assumed, OK]);
    let role =
        Role { arn: "arn:aws:iam::123456789012:role/lake".into(), session_name: "nightly".into(), external_id: Some(Secret::new("x")) };
    assert_eq!(put(&server.store_with(S3Settings { role: Some(role), ..server.settings() })).await.expect("put"), Put::Created);
    let requests = server.requests();
    let [sts, s3] = &requests[..] else { panic!("expected two requests, found {requests:?}") };
    assert!(has(sts, "post / ") && sts.contains("credential=id/"), "{sts}");
    assert!(has(s3, "put /b/p/k.parquet") && s3.contains("credential=rolekey/") && has(s3, "x-amz-security-token: roletoken"), "{s3}");
}
