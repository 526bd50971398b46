//! Who the other side is: pins hold, refusals can be read, and both ends agree on what they have.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use bytes::Bytes;

use super::common::{Rig, identity, tls};
use chatnet::{
    ClientTls, CloseReason, ConnToken, Fingerprint, Identity, IdentityError, LinkKey, NetConfig, Security,
    ServerTls,
};

#[test]
fn both_ends_agree_on_certificate_and_channel() {
    let identity = identity();
    let mut rig = Rig::new(NetConfig::default());
    let server = Security::TlsServer(ServerTls::new(&identity).unwrap());
    let pinned = Security::TlsClient(ClientTls::pinned(identity.fingerprint()).unwrap());
    let trusting = Security::TlsClient(ClientTls::trust_first().unwrap());
    let mut bindings = Vec::new();
    for client in [pinned, trusting] {
        let (client, server) = rig.pair(server.clone(), client);
        let (client, server) = (rig.end(client).tls.clone().unwrap(), rig.end(server).tls.clone().unwrap());
        let peer = client.peer.unwrap();
        assert_eq!((peer.fingerprint, peer.link_key), (identity.fingerprint(), identity.link_key()));
        assert_eq!(server.peer, None, "nobody asked the client for a certificate");
        assert_eq!(client.channel_binding, server.channel_binding);
        assert_eq!(client.key_exchange, "X25519MLKEM768");
        bindings.push(client.channel_binding);
    }
    assert_ne!(bindings[0], bindings[1], "each connection has its own binding");
}

#[test]
fn renewed_certificate_is_for_those_who_come_from_then_on() {
    let (old, renewed) = (identity(), identity_of_another());
    let mut rig = Rig::new(NetConfig::default());
    let server = |identity| Security::TlsServer(ServerTls::new(identity).unwrap());
    let client =
        |identity: &Identity| Security::TlsClient(ClientTls::pinned(identity.fingerprint()).unwrap());
    let (listener, addr) = rig.net.listen("127.0.0.1:0".parse().unwrap(), server(&old)).unwrap();
    let first = rig.dial(addr, client(&old));
    rig.run_until("the first is connected", |rig| rig.end(first).connected && rig.accepted.len() == 1);
    assert!(rig.net.set_security(listener, server(&renewed)));
    let second = rig.dial(addr, client(&renewed));
    let third = rig.dial(addr, client(&old));
    rig.run_until("the others know", |rig| rig.end(second).connected && rig.closed(third));
    assert!(!rig.closed(first), "who was there stays");
    rig.net.close_listener(listener);
    assert!(!rig.net.set_security(listener, server(&old)), "there is no such listener");
}

#[test]
fn wrong_pin_is_refused_in_words() {
    let (identity, other) = (identity(), identity_of_another());
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = fail(
        &mut rig,
        Security::TlsServer(ServerTls::new(&identity).unwrap()),
        Security::TlsClient(ClientTls::pinned(other.fingerprint()).unwrap()),
    );
    assert_eq!(
        rig.reason(client),
        format!("the server's certificate is {}, expected {}", identity.fingerprint(), other.fingerprint())
    );
    assert!(matches!(rig.end(server).closed, Some(CloseReason::RefusedByPeer(_))), "{}", rig.reason(server));
    assert!(!rig.end(client).connected && !rig.end(server).connected);
}

#[test]
fn peers_learn_each_others_link_keys() {
    let (alice, bob) = (identity(), identity_of_another());
    let mut rig = Rig::new(NetConfig::default());
    let listen = Security::TlsServer(ServerTls::for_peers(&bob).unwrap());
    let dial = ClientTls::to_peer(&alice, [LinkKey::from_bytes([7; 32]), bob.link_key()]).unwrap();
    let (client, server) = rig.pair(listen, Security::TlsClient(dial));
    let (at_alice, at_bob) = (rig.end(client).tls.clone().unwrap(), rig.end(server).tls.clone().unwrap());
    assert_eq!(at_alice.peer.unwrap().link_key, bob.link_key());
    assert_eq!(at_bob.peer.unwrap().link_key, alice.link_key());
    assert_eq!(at_alice.channel_binding, at_bob.channel_binding);
}

#[test]
fn wrong_link_key_is_refused_in_words() {
    let (alice, bob) = (identity(), identity_of_another());
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = fail(
        &mut rig,
        Security::TlsServer(ServerTls::for_peers(&bob).unwrap()),
        Security::TlsClient(ClientTls::to_peer(&alice, [alice.link_key()]).unwrap()),
    );
    assert_eq!(
        rig.reason(client),
        format!("the peer's link key is {}, which is not the expected one", bob.link_key())
    );
    assert!(matches!(rig.end(server).closed, Some(CloseReason::RefusedByPeer(_))), "{}", rig.reason(server));
}

#[test]
fn peer_without_a_certificate_is_refused() {
    let bob = identity();
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = fail(
        &mut rig,
        Security::TlsServer(ServerTls::for_peers(&bob).unwrap()),
        Security::TlsClient(ClientTls::pinned(bob.fingerprint()).unwrap()),
    );
    assert!(matches!(rig.end(server).closed, Some(CloseReason::BadCertificate(_))), "{}", rig.reason(server));
    assert!(!rig.end(server).connected);
    // In TLS 1.3 the client was done before the server could judge.
    assert!(matches!(rig.end(client).closed, Some(CloseReason::RefusedByPeer(_))), "{}", rig.reason(client));
}

#[test]
fn link_key_outlives_the_certificate_that_carries_it() {
    let first = identity();
    let key = rcgen::KeyPair::from_pem(parts(&first).1).unwrap();
    let params = rcgen::CertificateParams::new(vec!["elsewhere".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let second = Identity::from_pem(&format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    assert_eq!(first.link_key(), second.link_key());
    assert_ne!(first.fingerprint(), second.fingerprint());
}

#[test]
fn plaintext_at_a_tls_port_is_named_and_answered_with_an_alert() {
    let mut rig = Rig::new(NetConfig::default());
    let addr = rig.listen(tls().0);
    let mut stranger = TcpStream::connect(addr).unwrap();
    stranger.write_all(&[0, 0, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    rig.run_until("it is refused", |rig| rig.accepted.first().is_some_and(|token| rig.closed(*token)));
    assert_eq!(rig.reason(rig.accepted[0]), "the other side does not speak TLS");
    stranger.set_read_timeout(Some(super::common::PATIENCE)).unwrap();
    let mut record = [0; 5];
    stranger.read_exact(&mut record).unwrap();
    assert_eq!(record[0], 0x15, "a TLS alert record: {record:?}");
}

#[test]
fn port_for_both_tells_plaintext_from_tls_by_the_first_byte() {
    // Room for both ends of one handshake: whoever has been told apart must have left it.
    let mut rig = Rig::new(NetConfig { max_handshakes: 2, ..NetConfig::default() });
    let identity = identity();
    let addr = rig.listen(Security::TlsOrPlain(ServerTls::new(&identity).unwrap()));
    rig.echo = true;
    let frame = [0, 0, 0, 5, 1, 2, 3, 4, 5];
    for round in 0..2 {
        let mut plain = TcpStream::connect(addr).unwrap();
        plain.set_read_timeout(Some(super::common::PATIENCE)).unwrap();
        plain.write_all(&frame).unwrap();
        plain.shutdown(Shutdown::Write).unwrap();
        rig.run_until("the plain one has ended", |rig| {
            rig.accepted.get(2 * round).is_some_and(|token| rig.closed(*token))
        });
        let server = rig.end(rig.accepted[2 * round]);
        assert!(server.connected && server.tls.is_none());
        let mut echoed = Vec::new();
        plain.read_to_end(&mut echoed).unwrap();
        assert_eq!(echoed, frame);

        let pinned = Security::TlsClient(ClientTls::pinned(identity.fingerprint()).unwrap());
        let client = rig.dial(addr, pinned);
        rig.end_mut(client).unsent.push(Bytes::copy_from_slice(&frame));
        rig.run_until("it is echoed", |rig| rig.end(client).received.len() == frame.len());
        assert_eq!(rig.end(client).received, frame);
        assert!(rig.end(rig.accepted[2 * round + 1]).tls.is_some());
    }
    let mut stranger = TcpStream::connect(addr).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    rig.run_until("it is refused", |rig| rig.accepted.get(4).is_some_and(|token| rig.closed(*token)));
    assert_eq!(rig.reason(rig.accepted[4]), "the other side does not speak TLS");
}

#[test]
fn tls_to_a_plaintext_server_that_speaks_first_is_named() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new(NetConfig::default());
    let client = rig.dial(server.local_addr().unwrap(), tls().1);
    server.accept().unwrap().0.write_all(b"220 welcome\r\n").unwrap();
    rig.run_until("it is refused", |rig| rig.closed(client));
    // The stranger's end is gone by now: either its words or its reset came first.
    let reason = rig.reason(client);
    assert!(
        reason == "the other side does not speak TLS" || reason.contains("during the TLS handshake"),
        "{reason}"
    );
}

#[test]
fn tls_to_a_server_that_hangs_up_is_named() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new(NetConfig::default());
    let client = rig.dial(server.local_addr().unwrap(), tls().1);
    drop(server.accept().unwrap());
    rig.run_until("it is noticed", |rig| rig.closed(client));
    assert_eq!(rig.reason(client), "the other side ended the connection during the TLS handshake");
}

#[test]
fn silent_caller_runs_out_of_time() {
    let config = NetConfig { handshake_timeout: Duration::from_millis(50), ..NetConfig::default() };
    let mut rig = Rig::new(config);
    let addr = rig.listen(tls().0);
    let _silent = TcpStream::connect(addr).unwrap();
    rig.run_until("it is closed", |rig| rig.accepted.first().is_some_and(|token| rig.closed(*token)));
    assert_eq!(rig.reason(rig.accepted[0]), "the TLS handshake did not finish in time");
    assert_eq!(rig.net.connections(), 0);
}

#[test]
fn handshake_cut_at_any_byte_is_told_and_cleaned_up() {
    let hello = client_hello();
    for length in [1, 4, 5, 6, hello.len() / 2, hello.len() - 1] {
        let mut rig = Rig::new(NetConfig::default());
        let addr = rig.listen(tls().0);
        let mut caller = TcpStream::connect(addr).unwrap();
        caller.write_all(&hello[..length]).unwrap();
        drop(caller);
        rig.run_until("it is closed", |rig| rig.accepted.first().is_some_and(|token| rig.closed(*token)));
        assert_eq!(
            rig.reason(rig.accepted[0]),
            "the other side ended the connection during the TLS handshake",
            "after {length} bytes"
        );
        rig.run_until("it is gone", |rig| rig.net.connections() == 0);
    }
}

#[test]
fn identity_is_kept_in_one_private_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.pem");
    let made = Identity::load_or_create(&path, ["localhost"]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let read = Identity::load_or_create(&path, ["elsewhere"]).unwrap();
    assert_eq!((made.fingerprint(), made.link_key()), (read.fingerprint(), read.link_key()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    assert!(!format!("{made:?}").contains("PRIVATE"));

    let error = identity().store(&path).unwrap_err();
    assert!(
        matches!(&error, IdentityError::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
    );
    assert_eq!(Identity::load(&path).unwrap().fingerprint(), made.fingerprint(), "it was not overwritten");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Identity::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("(mode 0640); make it 0600"), "{error}");
}

#[test]
fn identity_that_will_not_do_is_refused_in_words() {
    let (one, other) = (identity(), identity_of_another());
    let (certificate, key) = parts(&one);
    let foreign = parts(&other).1;
    let words = |pem: &str| Identity::from_pem(pem).unwrap_err().to_string();
    assert_eq!(words(key), "no usable certificate in the PEM text: there is none");
    assert!(words(certificate).starts_with("no usable private key in the PEM text: "));
    assert_eq!(
        words(&format!("{certificate}{foreign}")),
        "the private key does not belong to the certificate"
    );
    assert!(words("").starts_with("no usable "));
    let error = Identity::generate(["näme"]).unwrap_err().to_string();
    assert!(error.starts_with("cannot make a certificate: "), "{error}");
}

#[test]
fn fingerprint_is_the_digest_of_the_certificate() {
    use sha2::Digest as _;

    let identity = identity();
    let pem = identity.to_pem();
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes());
    let der: rustls::pki_types::CertificateDer<'_> = der.unwrap();
    let digest: [u8; 32] = sha2::Sha256::digest(&der).into();
    assert_eq!(identity.fingerprint(), Fingerprint::from_bytes(digest));
    let key = rcgen::KeyPair::from_pem(parts(&identity).1).unwrap();
    let digest: [u8; 32] = sha2::Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)).into();
    assert_eq!(identity.link_key(), LinkKey::from_bytes(digest));
}

/// The PEM blocks of certificate and key.
fn parts(identity: &Identity) -> (&str, &str) {
    let pem = identity.to_pem();
    pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap())
}

fn identity_of_another() -> Identity {
    Identity::generate(["another.example"]).unwrap()
}

/// Connects two ends that will not like each other, until both are closed.
fn fail(rig: &mut Rig, listen: Security, dial: Security) -> (ConnToken, ConnToken) {
    let addr = rig.listen(listen);
    let client = rig.dial(addr, dial);
    rig.run_until("both are closed", |rig| {
        rig.closed(client) && rig.accepted.first().is_some_and(|server| rig.closed(*server))
    });
    (client, rig.accepted[0])
}

/// The first flight of a client of ours.
fn client_hello() -> Vec<u8> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new(NetConfig::default());
    let client = rig.dial(server.local_addr().unwrap(), tls().1);
    let mut stream = server.accept().unwrap().0;
    for _ in 0..3 {
        rig.turn(std::time::Instant::now() + Duration::from_millis(10));
    }
    rig.net.abort(client);
    rig.turn(std::time::Instant::now());
    let mut hello = Vec::new();
    stream.read_to_end(&mut hello).unwrap();
    assert!(hello.len() > 500);
    hello
}
