//! The account frames of the login family: registration, a change of password, devices, the server's next certificate.

use core::net::SocketAddr;

use super::body::body;
use super::{Blob, DeviceId, List, NameRef, NoteRef, RequestId};

/// Most devices that one `device_list` names.
pub const MAX_LISTED_DEVICES: usize = 64;

body! {
    /// Asks for a new account.
    frame RegisterStart RegisterStart<'a> {
        /// The ID that the account is to have.
        user: NameRef<'a>,
        /// The mechanism that it is to log in with.
        mechanism: NoteRef<'a>,
        /// The code of the invitation; empty without one.
        invite: NoteRef<'a>,
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// Hands over the record of the new account.
    frame RegisterFinish RegisterFinish<'a> {
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// Asks to change the password of the own account.
    frame PasswordStart PasswordStart<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// The mechanism that the account logs in with.
        mechanism: NoteRef<'a>,
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// Proves the old password and hands over the new record.
    frame PasswordFinish PasswordFinish<'a> {
        /// The request of the `password_start`.
        request: RequestId,
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// The mechanism's bytes for a registration or a change of password.
    frame AccountReply AccountReply<'a> {
        /// The request; 0 for a registration.
        request: RequestId,
        /// The mechanism's bytes; empty when all is done.
        data: Blob<'a>,
    }
}

body! {
    /// Tells the certificate that the server will show next, under the one that it shows now.
    frame ServerKey ServerKey {
        /// SHA-256 of the DER certificate.
        fingerprint: [u8; 32],
    }
}

body! {
    /// Asks for the devices of the own account.
    frame Devices Devices {
        /// Ties the answer to the request.
        request: RequestId,
        /// A device whose sessions and tickets are to end first.
        revoke: Option<DeviceId>,
    }
}

body! {
    /// A device of the own account.
    part DeviceEntry {
        /// The device.
        device: DeviceId,
        /// First login, in milliseconds since 1970-01-01 UTC.
        first: u64,
        /// Last login, in milliseconds since 1970-01-01 UTC.
        last: u64,
        /// The address of the last login as the server saw it.
        address: SocketAddr,
        /// Whether a session ticket of the device is good.
        ticket: bool,
        /// Whether it is connected now.
        online: bool,
    }
}

body! {
    /// The devices of the own account, the latest login first.
    frame DeviceList DeviceList<'a> {
        /// The request.
        request: RequestId,
        /// The devices.
        devices: List<'a, DeviceEntry, MAX_LISTED_DEVICES>,
    }
}
