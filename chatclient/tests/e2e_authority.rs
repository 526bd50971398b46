//! A server whose certificate an authority has signed: believed for its name and its time, and for nothing else.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// An authority of this test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// The file for `--ca`.
    fn file(&self, scratch: &Scratch, name: &str) -> PathBuf {
        let path = scratch.path(name);
        std::fs::write(&path, self.0.pem()).expect("a file");
        path
    }

    /// A server with a certificate for this name, good until that year.
    fn server(&self, scratch: &Scratch, host: &str, until: i32) -> Server {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.0).expect("a certificate");
        let (certificate, secret) = (scratch.path("chain.pem"), scratch.path("key.pem"));
        std::fs::write(&certificate, signed.pem()).expect("a file");
        std::fs::write(&secret, key.serialize_pem()).expect("a file");
        std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("nobody else's");
        let config = scratch.path("settings.toml");
        let text = format!("certificate = {certificate:?}\ncertificate_key = {secret:?}\n");
        std::fs::write(&config, text).expect("a file");
        let config = config.to_str().expect("a path");
        let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", &["--config", config]);
        server.add_users(&["alice"]);
        server
    }
}

/// The exit code and the message of a client that was refused.
fn refused(options: Options) -> (Option<i32>, String) {
    let (status, events) = options.start().finish();
    let error = events.iter().find(|event| event["event"] == "error").expect("an error");
    (status.code(), error["message"].as_str().expect("a text").to_owned())
}

#[test]
fn an_authority_vouches_for_the_name_and_nobody_needs_a_pin() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let server = authority.server(&scratch, "localhost", 2099);
    let port = server.addr.rsplit(':').next().expect("a port");
    let trusting = Options::bare("alice", &format!("localhost:{port}"), &scratch)
        .arg("--ca")
        .arg(authority.file(&scratch, "ca.pem"));
    Client::ready(trusting.clone().arg("--stay")).quit();
    // Again: an authority's word is asked for each time.
    Client::ready(trusting.clone().arg("--stay")).quit();

    // By another name that leads to the same server.
    let (code, message) = refused(trusting.clone().server(format!("127.0.0.1:{port}")));
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("127.0.0.1") && message.contains("localhost"), "says both names: {message}");

    // An authority that has signed something else.
    let other = Authority::new().file(&scratch, "other.pem");
    let stranger = Options::bare("alice", &format!("localhost:{port}"), &scratch).arg("--ca").arg(other);
    let (code, message) = refused(stranger);
    assert_eq!(code, Some(3), "{message}");
    // Of this name, and not of this key.
    assert!(message.contains("certificate is not acceptable: a signature is wrong"), "{message}");
    server.stop();
}

#[test]
fn a_certificate_whose_time_is_over_is_refused() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let server = authority.server(&scratch, "localhost", 2021);
    let port = server.addr.rsplit(':').next().expect("a port");
    let trusting = Options::bare("alice", &format!("localhost:{port}"), &scratch)
        .arg("--ca")
        .arg(authority.file(&scratch, "ca.pem"));
    let (code, message) = refused(trusting);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("expired"), "{message}");
    server.stop();
}
