//! What is asked, and what becomes of each answer, against a server that answers as it is told; and a real registry.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use lakefeed_core::ErrorKind;
use lakefeed_kit::{registry, unique};
use lakefeed_registry::{Registry, RegistrySettings};

/// A server with answers by path; the requests it got come out of `requests`.
struct Server {
    url: String,
    requests: Receiver<String>,
}

/// `answers`: path, status, body. Any other path is a 404 without a body.
fn serve(answers: &'static [(&str, u16, &str)]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, requests) = sync_channel(100);
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(&stream, answers, &sender)));
    Server { url, requests }
}

fn answer(mut stream: &TcpStream, answers: &[(&str, u16, &str)], requests: &SyncSender<String>) {
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).expect("a line") > 0 {}
    let length =
        head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    lines.read_exact(&mut body).expect("the body");
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, text) = answers.iter().find(|(known, ..)| *known == path).map_or((404, ""), |(_, status, text)| (*status, *text));
    // The client may have gone.
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
    let _ = requests.send(format!("{head}{}", String::from_utf8_lossy(&body)));
}

fn open(pairs: &[(&str, &str)]) -> Registry {
    let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    Registry::new(&RegistrySettings::read("value.converter.", get).expect("settings")).expect("a client")
}

fn in_runtime<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    work()
}

#[test]
fn a_schema_is_asked_for_once_with_its_references() {
    let server = serve(&[
        (
            "/schemas/ids/7?deleted=true",
            200,
            r#"{"schema":"{\"type\":\"a.B\"}","references":[{"name":"a.B","subject":"b/c","version":2}]}"#,
        ),
        ("/subjects/b%2Fc/versions/2", 200, r#"{"id":2,"schema":"B","references":[{"name":"D","subject":"d","version":1}]}"#),
        ("/subjects/d/versions/1", 200, r#"{"id":3,"schema":"D"}"#),
        ("/schemas/ids/7/versions", 200, r#"[{"subject":"other-value","version":3},{"subject":"t-value","version":1}]"#),
        ("/schemas/ids/8?deleted=true", 404, r#"{"error_code":40403,"message":"Schema 8 not found"}"#),
    ]);
    in_runtime(|| {
        let info = [("schema.registry.url", &*server.url), ("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "u:p")];
        let mut registry = open(&info);
        for _ in 0..2 {
            let schema = registry.schema(7).expect("an answer").expect("a schema");
            assert_eq!((schema.kind.as_str(), schema.text.as_str()), ("AVRO", r#"{"type":"a.B"}"#));
            assert_eq!((schema.subject_for("t"), schema.subject_for("x")), ("t-value", "other-value"));
            let texts: Vec<(&str, &str)> = schema.references.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(texts, [("D", "D"), ("a.B", "B")], "what a schema needs comes before it");
            assert_eq!(registry.schema(8).expect("an answer"), None);
        }
    });
    let requests: Vec<_> = server.requests.try_iter().collect();
    assert_eq!(requests.len(), 5, "each is asked for once: {requests:#?}");
    assert!(requests.iter().all(|request| request.to_lowercase().contains("authorization: basic dtpw")), "{requests:#?}");
}

#[test]
fn answers_say_what_happens_next() {
    let server = serve(&[
        ("/schemas/ids/1?deleted=true", 500, r#"{"error_code":50001,"message":"store"}"#),
        ("/schemas/ids/2?deleted=true", 401, r#"{"error_code":40101,"message":"who?"}"#),
        ("/schemas/ids/3?deleted=true", 200, "no JSON"),
        ("/schemas/ids/4?deleted=true", 429, ""),
        ("/schemas/ids/6?deleted=true", 200, r#"{"id":6}"#),
        ("/schemas/ids/7?deleted=true", 404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
        ("/schemas/ids/8?deleted=true", 504, "<html>"),
        ("/schemas/ids/9?deleted=true", 403, r#"{"error_code":40301,"message":"no right"}"#),
        ("/subjects/s/versions", 409, r#"{"error_code":409,"message":"not compatible"}"#),
    ]);
    in_runtime(|| {
        let mut registry = open(&[("schema.registry.url", &server.url)]);
        for (id, kind, text) in [
            (1, ErrorKind::Retry, "answers 500 (store)"),
            (2, ErrorKind::Config, "refuses the credentials, 401 (who?)"),
            (3, ErrorKind::Config, "no Schema Registry is at this address"),
            (4, ErrorKind::Retry, "answers 429"),
            (6, ErrorKind::Config, "no Schema Registry is at this address"),
            (7, ErrorKind::Config, "no Schema Registry is at this address: schema id 7 was answered with 404"),
            (8, ErrorKind::Retry, "answers 504"),
            (9, ErrorKind::Config, "refuses the credentials, 403 (no right)"),
            (5, ErrorKind::Config, "no Schema Registry is at this address: schema id 5 was answered with 404"),
        ] {
            let error = registry.schema(id).expect_err(text);
            assert!(error.kind() == kind && error.chain().contains(text), "{error:?}");
        }
        let error = registry.register("s", "AVRO", "{}").expect_err("refused");
        assert!(error.kind() == ErrorKind::Config && error.chain().contains("subject s: 409 (not compatible)"), "{error:?}");
        let mut nobody = open(&[("schema.registry.url", "http://127.0.0.1:1")]);
        assert_eq!(nobody.schema(1).expect_err("nobody is there").kind(), ErrorKind::Retry);
    });
}

#[test]
fn the_next_address_is_asked_when_one_fails() {
    let broken = serve(&[("/schemas/ids/7?deleted=true", 503, "")]);
    let good = serve(&[
        ("/schemas/ids/7?deleted=true", 200, r#"{"schema":"\"int\""}"#),
        ("/schemas/ids/9?deleted=true", 200, r#"{"schema":"\"long\""}"#),
    ]);
    in_runtime(|| {
        let mut registry = open(&[("schema.registry.url", &format!("http://127.0.0.1:1,{},{}", broken.url, good.url))]);
        assert_eq!(registry.schema(7).expect("an answer").expect("a schema").text, "\"int\"");
        assert_eq!(registry.schema(9).expect("an answer").expect("a schema").text, "\"long\"");
    });
    assert_eq!(broken.requests.try_iter().count(), 1, "the address that answered is asked first from then on");
}

#[test]
fn a_real_registry_registers_finds_and_does_not_know() {
    in_runtime(|| {
        let mut client = open(&[("schema.registry.url", &registry().url)]);
        let subject = format!("{}-value", unique("registry"));
        let schema = format!(r#"{{"type":"record","name":"R","doc":"{subject}","fields":[{{"name":"id","type":"int"}}]}}"#);
        let id = client.register(&subject, "AVRO", &schema).expect("registered");
        assert_eq!(client.register(&subject, "AVRO", &schema).expect("registered"), id);
        assert_eq!(client.lookup(&subject, "AVRO", &schema).expect("found"), id);
        let found = client.schema(id).expect("an answer").expect("a schema");
        assert_eq!((found.subject_for("x"), found.kind.as_str()), (subject.as_str(), "AVRO"));
        assert!(found.text.contains("\"name\":\"id\""), "{found:?}");
        let (latest, newest) = client.latest(&subject).expect("an answer").expect("a schema");
        assert_eq!((latest, newest.subjects), (id, vec![subject.clone()]));
        assert_eq!(client.latest(&format!("{subject}-none")).expect("an answer"), None);
        assert_eq!(client.schema(i32::MAX as u32).expect("an answer"), None);
        assert_eq!(client.lookup(&format!("{subject}-none"), "AVRO", &schema).expect_err("unknown").kind(), ErrorKind::Config);
    });
}
