//! REST calls over TLS, with certificates made for the test and Python's TLS as the client.

use std::fs;
use std::path::PathBuf;

use lakefeed_kit::{Process, kafka, python, run};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::motor::lakefeed;
use crate::scene::{PATIENCE, stop};

/// Makes a call and prints its status, its body and the version of TLS, or what went wrong.
const CALL: &str = r#"
import sys, json, ssl, http.client
address, roots, own, newest = sys.argv[1:]
context = ssl.create_default_context(cafile=roots or None)
if own:
    context.load_cert_chain(own)
if newest:
    context.maximum_version = ssl.TLSVersion[newest]
host, port = address.rsplit(":", 1)
try:
    connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
    connection.request("GET", "/connectors")
    version = connection.sock.version()
    answer = connection.getresponse()
    print(json.dumps([answer.status, json.loads(answer.read()), version]))
except (OSError, http.client.HTTPException) as error:
    print(json.dumps([0, type(error).__name__ + " " + str(error)]))
"#;

/// Certificates in files of a folder.
struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// `ca.pem`, and signed by it `server.pem` and `client.pem`, each with its private key.
    fn new() -> Self {
        let made = Self { dir: TempDir::new().expect("temporary folder") };
        let (mut ca, ca_key) = (params("ca", &[]), KeyPair::generate().expect("a key"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = ca.self_signed(&ca_key).expect("a certificate");
        made.place("ca.pem", &certificate.pem());
        let issuer = Issuer::new(ca, ca_key);
        for (name, usage) in [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)] {
            let (mut own, key) = (params(name, &["127.0.0.1", "localhost"]), KeyPair::generate().expect("a key"));
            own.extended_key_usages = vec![usage];
            let certificate = own.signed_by(&key, &issuer).expect("a certificate");
            made.place(&format!("{name}.pem"), &format!("{}{}", key.serialize_pem(), certificate.pem()));
        }
        made
    }

    fn place(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// A worker with one listener over TLS.
    fn worker(&self, keys: &str) -> Process {
        let home = self.dir.path().display();
        let text = format!(
            "bootstrap.servers={}\nlisteners=https://127.0.0.1:0\noffset.storage.file.filename={home}/offsets\nstate.dir={home}/state\n{keys}",
            kafka().bootstrap
        );
        self.place("worker.properties", &text);
        // Another one has been here before.
        let _ = fs::remove_file(self.path("log"));
        Process::spawn(&mut lakefeed(&["connect", &self.text("worker.properties")]), self.path("log"))
    }

    fn call(&self, address: &str, roots: &str, own: &str, newest: &str) -> (u64, Value) {
        let path = |name: &str| if name.is_empty() { String::new() } else { self.text(name) };
        let said: Value = serde_json::from_str(&python(CALL, &[address, &path(roots), &path(own), newest])).expect("JSON");
        (said[0].as_u64().expect("a status"), if said[2].is_string() { said[2].clone() } else { said[1].clone() })
    }
}

fn params(of: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    params.distinguished_name.push(DnType::CommonName, format!("Lakefeed test {of}"));
    params
}

fn address(worker: &mut Process) -> String {
    let line = worker.wait_for_log("REST calls are answered at https://", PATIENCE);
    line.split("https://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address").to_owned()
}

#[test]
fn calls_go_over_tls_to_those_who_trust_the_certificate() {
    let made = Certificates::new();
    let mut worker = made.worker(&format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", made.text("server.pem")));
    let address = address(&mut worker);
    assert_eq!(made.call(&address, "ca.pem", "", ""), (200, json!("TLSv1.3")));
    assert_eq!(made.call(&address, "ca.pem", "", "TLSv1_2"), (200, json!("TLSv1.2")));
    let (status, said) = made.call(&address, "", "", "");
    assert!(status == 0 && said.as_str().is_some_and(|said| said.contains("CERTIFICATE_VERIFY_FAILED")), "{said}");
    // Who speaks no TLS gets no answer, and holds up nobody.
    let plain = lakefeed_kit::http(&address, "GET", "/connectors", &[], None, PATIENCE);
    assert!(plain.is_err() || plain.as_ref().is_ok_and(|answer| answer.status != 200), "{plain:?}");
    let silent = std::net::TcpStream::connect(&address).expect("a connection");
    assert_eq!(made.call(&address, "ca.pem", "", "").0, 200);
    drop(silent);
    stop(&mut worker);
}

#[test]
fn clients_show_a_certificate_where_one_is_required() {
    let made = Certificates::new();
    // As text in the worker's file, lines with \n, as Kafka takes it.
    let server = fs::read_to_string(made.path("server.pem")).expect("read");
    let (key, chain) = server.split_at(server.find("-----BEGIN CERTIFICATE").expect("a certificate"));
    let escaped = |text: &str| text.replace("\r\n", "\n").replace('\n', "\\n");
    let keys = format!(
        "listeners.https.ssl.keystore.type=PEM\nlisteners.https.ssl.keystore.certificate.chain={}\nlisteners.https.ssl.keystore.key={}\n\
         listeners.https.ssl.truststore.type=PEM\nlisteners.https.ssl.truststore.location={}\nlisteners.https.ssl.client.auth=",
        escaped(chain),
        escaped(key),
        made.text("ca.pem")
    );
    let mut worker = made.worker(&format!("{keys}required\nlisteners.https.ssl.enabled.protocols=TLSv1.2\n"));
    let required = address(&mut worker);
    assert_eq!(made.call(&required, "ca.pem", "client.pem", ""), (200, json!("TLSv1.2")));
    assert_eq!(made.call(&required, "ca.pem", "", "").0, 0);
    // A certificate that is not for clients.
    assert_eq!(made.call(&required, "ca.pem", "server.pem", "").0, 0);
    stop(&mut worker);
    let mut worker = made.worker(&format!("{keys}requested\n"));
    let requested = address(&mut worker);
    assert_eq!(made.call(&requested, "ca.pem", "client.pem", "").0, 200);
    assert_eq!(made.call(&requested, "ca.pem", "", "").0, 200);
    stop(&mut worker);
    assert!(!worker.log().contains("PRIVATE KEY"), "{worker}");
}

#[test]
fn what_is_no_certificate_or_key_is_named_with_its_file() {
    let made = Certificates::new();
    let server = fs::read_to_string(made.path("server.pem")).expect("read");
    let (key, chain) = server.split_at(server.find("-----BEGIN CERTIFICATE").expect("a certificate"));
    let other = KeyPair::generate().expect("a key").serialize_pem();
    made.place("no-key.pem", chain);
    made.place("no-chain.pem", key);
    made.place("other-key.pem", &format!("{other}{chain}"));
    made.place("encrypted.pem", &format!("{}{chain}", key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")));
    made.place("broken.pem", &server.replace("BEGIN CERTIFICATE", "BEGIN CERTIFICAT"));
    for (file, said) in [
        ("nothing-there.pem", "can't be read"),
        ("no-key.pem", "no private key in PEM is there"),
        ("no-chain.pem", "no certificate in PEM is there"),
        ("other-key.pem", "the private key does not go with the first certificate"),
        ("encrypted.pem", "the private key is encrypted"),
        ("broken.pem", "no certificate in PEM is there"),
    ] {
        let mut worker = made.worker(&format!("ssl.keystore.location={}\n", made.text(file)));
        assert_eq!(worker.wait(PATIENCE).code(), Some(1), "{worker}");
        let log = worker.log();
        assert!(log.contains(&format!("ssl.keystore.location = '{}': {said}", made.text(file))), "{log}");
        let body = key.lines().nth(1).expect("a line of the key");
        assert!(!log.contains(body), "a key is never shown: {log}");
    }
    made.place("jks.properties", "bootstrap.servers=b:1\nlisteners=https://:8443\nssl.keystore.location=a.jks\nssl.keystore.type=JKS\n");
    let said = run(&mut lakefeed(&["check", &made.text("jks.properties")]), PATIENCE).code(1).stdout;
    assert!(said.contains("line 4: ssl.keystore.type = 'JKS': expected PEM; make a PEM file of it: keytool"), "{said}");
}
