//! TLS of listeners with `https`: the keys `ssl.*`, in PEM.

use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lakefeed_core::{Error, Result};
use lakefeed_runtime::RestSsl;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// What new connections are greeted with.
///
/// # Errors
/// `Config`: a file can't be read or is not what its key says.
pub(crate) fn acceptor(ssl: RestSsl<'_>) -> Result<TlsAcceptor> {
    let provider = Arc::new(default_provider());
    let enabled = ssl.get("enabled.protocols").unwrap_or("TLSv1.3,TLSv1.2");
    let versions: Vec<&SupportedProtocolVersion> = [("TLSv1.3", &TLS13), ("TLSv1.2", &TLS12)]
        .into_iter()
        .filter(|(name, _)| enabled.split(',').any(|enabled| enabled.trim() == *name))
        .map(|(_, version)| version)
        .collect();
    let identity = Pem::read(ssl, "keystore", "certificate.chain")?;
    let chain = identity.certificates()?;
    let key = match ssl.get("keystore.key") {
        Some(text) => Pem { key: ssl.key("keystore.key"), file: None, text: text.as_bytes().to_vec() }.private_key()?,
        None => identity.private_key()?,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|e| Error::config(format!("{}: TLS can't be set up with these", ssl.key("enabled.protocols"))).with_source(e))?;
    let builder = match ssl.get("client.auth") {
        Some(auth @ ("required" | "requested")) => builder.with_client_cert_verifier(verifier(ssl, auth == "requested", provider)?),
        _ => builder.with_no_client_auth(),
    };
    let unfit = |e| Error::config(format!("{}: the private key does not go with the first certificate", identity.place())).with_source(e);
    let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Who checks the certificates of clients.
fn verifier(ssl: RestSsl<'_>, optional: bool, provider: Arc<rustls::crypto::CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    let trusted = Pem::read(ssl, "truststore", "certificates")?;
    let mut roots = RootCertStore::empty();
    for certificate in trusted.certificates()? {
        roots.add(certificate).map_err(|e| Error::config(format!("{}: a certificate can't be used", trusted.place())).with_source(e))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    let built = builder.build();
    built.map_err(|e| Error::config(format!("{}: clients can't be checked by these certificates", trusted.place())).with_source(e))
}

/// PEM text, of a file or of a key itself.
struct Pem {
    key: String,
    file: Option<String>,
    text: Vec<u8>,
}

impl Pem {
    /// The text that `ssl.STORE.location` or `ssl.STORE.INLINE` gives.
    fn read(ssl: RestSsl<'_>, store: &str, inline: &str) -> Result<Self> {
        let inline = format!("{store}.{inline}");
        if let Some(text) = ssl.get(&inline) {
            return Ok(Self { key: ssl.key(&inline), file: None, text: text.as_bytes().to_vec() });
        }
        let name = format!("{store}.location");
        let (key, file) = (ssl.key(&name), ssl.get(&name).unwrap_or_default().to_owned());
        let text = std::fs::read(&file).map_err(|e| Error::config(format!("{key} = '{file}': can't be read")).with_source(e))?;
        Ok(Self { key, file: Some(file), text })
    }

    /// The key, and the file, but nothing of what they hold.
    fn place(&self) -> String {
        self.file.as_ref().map_or_else(|| self.key.clone(), |file| format!("{} = '{file}'", self.key))
    }

    // The parser's errors are not shown: they repeat what they have read.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(&self.text).collect::<Result<_, _>>().unwrap_or_default();
        if found.is_empty() {
            return Err(Error::config(format!(
                "{}: no certificate in PEM is there; expected -----BEGIN CERTIFICATE-----, the server's or client authority's first",
                self.place()
            )));
        }
        Ok(found)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|_| {
            let encrypted = self.text.windows(9).any(|word| word == b"ENCRYPTED");
            let said = if encrypted {
                "the private key is encrypted, which is not supported; decrypt it (openssl pkcs8 -in KEY -out PLAIN) and guard the file by its rights"
            } else {
                "no private key in PEM is there; expected -----BEGIN PRIVATE KEY-----"
            };
            Error::config(format!("{}: {said}", self.place()))
        })
    }
}

/// A connection, with TLS or without. The greeting is done by whoever reads first, so that a slow client holds up no other.
pub(crate) enum Stream {
    Plain(TcpStream),
    Greeting(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn new(stream: TcpStream, tls: Option<&TlsAcceptor>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => Self::Greeting(Box::new(tls.accept(stream))),
        }
    }

    /// Gets the greeting done.
    fn poll_greeted(&mut self, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        if let Self::Greeting(greeting) = self {
            let greeted = ready!(Pin::new(&mut **greeting).poll(context));
            let stream = greeted.inspect_err(|error| tracing::debug!(target: "lakefeed", %error, "A client could not agree on TLS"))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }

    /// What goes through, once the greeting is done.
    fn done(&mut self) -> IoResult<Pin<&mut dyn Both>> {
        match self {
            Self::Plain(stream) => Ok(Pin::new(stream as &mut dyn Both)),
            Self::Tls(stream) => Ok(Pin::new(&mut **stream as &mut dyn Both)),
            Self::Greeting(_) => Err(IoError::from(ErrorKind::NotConnected)),
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        ready!(self.poll_greeted(context))?;
        self.done()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
        ready!(self.poll_greeted(context))?;
        self.done()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        // Before the greeting nothing has been written.
        self.done().map_or(Poll::Ready(Ok(())), |stream| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.done().map_or(Poll::Ready(Ok(())), |stream| stream.poll_shutdown(context))
    }
}
