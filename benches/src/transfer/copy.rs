//! The floor of a transfer: a file is read, goes through TLS over loopback, and is written; no list, no resume, nobody
//! checks anything. One thread at each end, with blocking sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::Failure;

/// Bytes moved at once: a few records.
const PIECE: usize = 256 * 1024;

/// Bytes that one end's TLS session may hold.
const TLS_BUFFER: usize = 512 * 1024;

/// Time in which a socket must get on.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(60);

const NAME: &str = "localhost";

/// What a copy took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    pub(super) time: Duration,
    /// CPU time of both ends.
    pub(super) cpu: Duration,
}

/// Copies a file over TLS 1.3 with the cipher that both programs here agree on as well.
///
/// # Errors
/// Says what failed.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Copied, Failure> {
    let what = "copy the file over a bare link";
    let (server, client) = configs().map_err(|error| Failure::new(what, error))?;
    let mut source = File::open(from).map_err(Failure::io(what))?;
    let mut target = File::create(to).map_err(Failure::io(what))?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::io(what))?;
    let addr = listener.local_addr().map_err(Failure::io(what))?;
    let (begin, cpu) = (Instant::now(), process_time());
    let sender = thread::spawn(move || -> Result<(), Failure> {
        let (stream, _) = listener.accept().map_err(Failure::io(what))?;
        let mut tls = ServerConnection::new(Arc::new(server)).map_err(|error| Failure::new(what, error))?;
        tls.set_buffer_limit(Some(TLS_BUFFER));
        let mut link = StreamOwned::new(tls, bounded(stream)?);
        pass(&mut source, &mut link)?;
        link.conn.send_close_notify();
        link.flush().map_err(Failure::io(what))
    });
    let stream = bounded(TcpStream::connect(addr).map_err(Failure::io(what))?)?;
    let name = ServerName::try_from(NAME).map_err(|error| Failure::new(what, error))?;
    let tls = ClientConnection::new(Arc::new(client), name).map_err(|error| Failure::new(what, error))?;
    let mut link = StreamOwned::new(tls, stream);
    pass(&mut link, &mut target)?;
    sender.join().map_err(|_| Failure::new(what, "the sending thread has died"))??;
    target.sync_all().map_err(Failure::io(what))?;
    Ok(Copied { time: begin.elapsed(), cpu: process_time().saturating_sub(cpu) })
}

/// The end of a link that asks; and the one that serves.
pub(super) type Receiving = StreamOwned<ClientConnection, TcpStream>;
pub(super) type Serving = StreamOwned<ServerConnection, TcpStream>;

/// A link that stands, with the handshake behind it; the other end of it is served on a thread.
///
/// # Errors
/// Says what failed.
pub(super) fn link(
    serve: impl FnOnce(Serving) -> Result<(), Failure> + Send + 'static,
) -> Result<(Receiving, JoinHandle<Result<(), Failure>>), Failure> {
    let what = "set up a bare link";
    let (server, client) = configs().map_err(|error| Failure::new(what, error))?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::io(what))?;
    let addr = listener.local_addr().map_err(Failure::io(what))?;
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(Failure::io(what))?;
        let mut tls = ServerConnection::new(Arc::new(server)).map_err(|error| Failure::new(what, error))?;
        tls.set_buffer_limit(Some(TLS_BUFFER));
        let mut link = StreamOwned::new(tls, bounded(stream)?);
        link.write_all(&READY).and_then(|()| link.flush()).map_err(Failure::io(what))?;
        serve(link)
    });
    let stream = bounded(TcpStream::connect(addr).map_err(Failure::io(what))?)?;
    let name = ServerName::try_from(NAME).map_err(|error| Failure::new(what, error))?;
    let tls = ClientConnection::new(Arc::new(client), name).map_err(|error| Failure::new(what, error))?;
    let mut link = StreamOwned::new(tls, stream);
    link.read_exact(&mut [0; READY.len()]).map_err(Failure::io(what))?;
    Ok((link, serving))
}

/// What the serving end says first.
const READY: [u8; 1] = [1];

/// CPU time of one BLAKE3 pass over a file, read a MiB at a time, by one thread.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn hash_time(path: &Path) -> Result<Duration, Failure> {
    let what = "hash the file";
    let mut file = File::open(path).map_err(Failure::io(what))?;
    let mut piece = vec![0; super::MIB];
    let mut hasher = blake3::Hasher::new();
    let before = process_time();
    loop {
        let count = file.read(&mut piece).map_err(Failure::io(what))?;
        if count == 0 {
            break;
        }
        hasher.update(piece.get(..count).unwrap_or_default());
    }
    std::hint::black_box(hasher.finalize());
    Ok(process_time().saturating_sub(before))
}

fn bounded(stream: TcpStream) -> Result<TcpStream, Failure> {
    let what = "set up a bare link";
    stream.set_nodelay(true).map_err(Failure::io(what))?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT)).map_err(Failure::io(what))?;
    stream.set_write_timeout(Some(SOCKET_TIMEOUT)).map_err(Failure::io(what))?;
    Ok(stream)
}

fn pass(from: &mut impl Read, to: &mut impl Write) -> Result<(), Failure> {
    let what = "copy the file over a bare link";
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).map_err(Failure::io(what))?;
        if count == 0 {
            return to.flush().map_err(Failure::io(what));
        }
        to.write_all(piece.get(..count).unwrap_or_default()).map_err(Failure::io(what))?;
    }
}

/// Both ends, with a certificate made for this copy.
fn configs() -> Result<(ServerConfig, ClientConfig), Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
    let certificate: CertificateDer<'static> = certificate.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

/// CPU time of this process, which has nothing else to do meanwhile.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_copy_is_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        let content = (0..3 * PIECE + 7).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>();
        std::fs::write(&from, &content).unwrap();
        copy(&from, &to).unwrap();
        assert!(std::fs::read(&to).unwrap() == content);
    }
}
