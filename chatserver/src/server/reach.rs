//! Tests of whether a client can be reached: one connection to where the hub says, and to nowhere else. The TLS handshake
//! proves which device answers; nothing is said on the connection.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use chatnet::{ClientTls, CloseReason, ConnToken, ConnectOptions, Identity, Net, Security, TlsInfo};
use chatproto::hub::{ConnId, Hub};
use chatproto::wire::{ErrorCode, LinkKey, RequestId};

/// Time for one test.
const TEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Tests under way at once, over all clients. Answers those who would have the server busy with dialling.
const MAX_TESTS: usize = 32;

/// Tests under way.
#[derive(Debug)]
pub(super) struct Tests {
    identity: Identity,
    open: HashMap<ConnToken, Test>,
}

#[derive(Debug)]
struct Test {
    conn: ConnId,
    request: RequestId,
    address: SocketAddr,
}

impl Tests {
    /// `identity` is what the server shows to the peer's end.
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, open: HashMap::new() }
    }

    pub(super) fn is_test(&self, token: ConnToken) -> bool {
        self.open.contains_key(&token)
    }

    pub(super) fn begin(
        &mut self,
        net: &mut Net,
        hub: &mut Hub,
        conn: ConnId,
        request: RequestId,
        address: SocketAddr,
        link_key: LinkKey,
    ) {
        if self.open.len() >= MAX_TESTS {
            return hub.reached(conn, request, address, Some(ErrorCode::Busy));
        }
        let expected = chatnet::LinkKey::from_bytes(link_key.0);
        let started =
            ClientTls::to_peer(&self.identity, [expected]).map_err(io::Error::other).and_then(|tls| {
                net.connect(
                    address,
                    ConnectOptions { security: Security::TlsClient(tls), timeout: TEST_TIMEOUT },
                )
            });
        match started {
            Ok(token) => drop(self.open.insert(token, Test { conn, request, address })),
            Err(_) => hub.reached(conn, request, address, Some(ErrorCode::NoRoute)),
        }
    }

    /// Somebody answers, with the right key unless TLS has refused it.
    pub(super) fn connected(
        &mut self,
        net: &mut Net,
        hub: &mut Hub,
        token: ConnToken,
        tls: Option<&TlsInfo>,
    ) {
        net.close(token);
        if let Some(test) = self.open.remove(&token) {
            let is_proved = tls.is_some_and(|tls| tls.peer.is_some());
            let code = (!is_proved).then_some(ErrorCode::WrongKey);
            hub.reached(test.conn, test.request, test.address, code);
        }
    }

    pub(super) fn failed(&mut self, hub: &mut Hub, token: ConnToken, reason: &CloseReason) {
        if let Some(test) = self.open.remove(&token) {
            hub.reached(test.conn, test.request, test.address, Some(code(reason)));
        }
    }
}

/// What the client is told of a failed test.
fn code(reason: &CloseReason) -> ErrorCode {
    match reason {
        CloseReason::ConnectTimeout => ErrorCode::DialTimeout,
        CloseReason::ConnectFailed(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ErrorCode::DialRefused
        }
        CloseReason::ConnectFailed(_) => ErrorCode::NoRoute,
        CloseReason::WrongLinkKey { .. }
        | CloseReason::WrongFingerprint { .. }
        | CloseReason::BadCertificate(_)
        | CloseReason::HandshakeCut
        | CloseReason::HandshakeTimeout
        | CloseReason::NotTls
        | CloseReason::RefusedByPeer(_)
        | CloseReason::Tls(_) => ErrorCode::WrongKey,
        CloseReason::Local | CloseReason::Finished | CloseReason::Truncated | CloseReason::Lost(_) => {
            ErrorCode::LinkBroken
        }
    }
}
