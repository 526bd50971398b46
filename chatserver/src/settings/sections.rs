//! The sections of a settings file: the limits that an operator may set, under the names that they have in the code.

use chatnet::NetConfig;
use chatproto::conn::Limits;
use chatproto::hub::{Budgets, Config};
use chatproto::wire::{MAX_FRAME, MIN_FRAME};
use serde::{Deserialize, Serialize};

use super::values::{Bound, Number, Pace, Period, Size, Time};
use crate::server::RelayConfig;
use crate::store::StoreConfig;

/// Makes a section of the fields of `$config` that are named, each with the type that holds its bounds.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident of $config:ty = $default:expr; { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $(pub(super) $field: $type,)*
        }

        impl $name {
            /// Sets them in `config`.
            pub(super) fn apply(&self, config: &mut $config) {
                $(config.$field = self.$field.0;)*
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let config: $config = $default;
                Self { $($field: config.$field.into(),)* }
            }
        }
    };
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

section! {
    /// Who may be here, and how much each may ask for.
    Hub of Config = super::hub_defaults(); {
        max_strangers: Number<usize, 1, 100_000>,
        max_strangers_per_address: Number<usize, 1, 100_000>,
        stranger_grace: Time<{ SECOND / 10 }, HOUR>,
        max_devices: Number<usize, 1, 10_000>,
        max_rooms_joined: Number<usize, 1, 100_000>,
        max_rooms: Number<usize, 1, 10_000_000>,
        max_conversations: Number<usize, 1, 1_000_000>,
        max_room_members: Number<usize, 1, 1_000_000>,
        max_house_notes: Number<usize, 1, 1_000_000>,
        max_bans: Number<usize, 1, 1_000_000>,
        max_appends: Number<u32, 1, 1_000_000>,
        max_append_bytes: Size<usize, { 16 * KIB }, GIB>,
        max_requests: Number<u32, 1, 10_000>,
        max_offers: Number<usize, 1, 10_000>,
        offer_timeout: Time<SECOND, HOUR>,
        ticket_lifetime: Time<SECOND, HOUR>,
        max_meetings: Number<usize, 16, 1_000_000>,
        reach_tests: Number<u32, 0, 1_000>,
        reach_interval: Time<SECOND, { 24 * HOUR }>,
        page_messages: Number<u16, 1, 1_000>,
        catch_up_reads: Number<usize, 1, 64>,
        catch_up_bytes: Size<usize, { 16 * KIB }, { 64 * MIB }>,
        page_bytes: Size<usize, { 16 * KIB }, { 128 * KIB }>,
        recent_bytes: Size<usize, { 16 * KIB }, { 64 * MIB }>,
    }
}

section! {
    /// What one account may ask for in a time.
    Requests of Budgets = Budgets::default(); {
        say: Pace,
        join: Pace,
        create: Pace,
        read: Pace,
        list: Pace,
        moderate: Pace,
        peer: Pace,
        peer_pair: Pace,
    }
}

section! {
    /// One connection: its frames, queues and times.
    Connection of Limits = Limits::default(); {
        max_frame: Size<u32, { MIN_FRAME as u64 }, { MAX_FRAME as u64 }>,
        max_queue: Size<usize, { 64 * KIB }, GIB>,
        max_queue_hard: Size<usize, { 64 * KIB }, GIB>,
        handshake_timeout: Time<SECOND, HOUR>,
        login_timeout: Time<SECOND, HOUR>,
        ping_interval: Time<SECOND, HOUR>,
        idle_timeout: Time<SECOND, HOUR>,
        close_timeout: Time<{ SECOND / 10 }, HOUR>,
        max_frames: Number<u32, 10, 10_000_000>,
        budget_interval: Time<{ SECOND / 10 }, MINUTE>,
    }
}

section! {
    /// Links that pass through this server as ciphertext.
    Relay of RelayConfig = RelayConfig::default(); {
        max_relays: Number<usize, 0, 100_000>,
        max_relays_per_account: Number<usize, 1, 100_000>,
        bytes_per_second: Size<u64, { 4 * KIB }, { 64 * GIB }>,
        max_bytes: Size<u64, { 64 * KIB }, { 1 << 50 }>,
        max_time: Time<SECOND, { 24 * HOUR }>,
        idle_time: Time<SECOND, HOUR>,
    }
}

section! {
    /// The loop: sockets and TLS.
    Network of NetConfig = NetConfig::default(); {
        io_threads: Number<usize, 0, 64>,
        max_in_transit: Size<usize, { 4 * KIB }, { 16 * MIB }>,
        max_connections: Number<usize, 1, 1_000_000>,
        max_handshakes: Number<usize, 1, 100_000>,
        max_handshakes_per_address: Number<usize, 1, 100_000>,
        handshake_grace: Time<{ SECOND / 10 }, HOUR>,
        accepts_per_address: Number<u32, 1, 1_000_000>,
        accept_refill_per_address: Time<1, HOUR>,
        accepts: Number<u32, 1, 1_000_000>,
        accept_refill: Time<1, HOUR>,
        max_accepts_per_turn: Number<usize, 1, 10_000>,
        max_handshake_steps_per_turn: Number<usize, 1, 10_000>,
        read_budget: Size<usize, { 4 * KIB }, { 64 * MIB }>,
        write_budget: Size<usize, { 4 * KIB }, { 64 * MIB }>,
        tls_send_buffer: Size<usize, { 16 * KIB }, { 16 * MIB }>,
        handshake_timeout: Time<SECOND, HOUR>,
        linger_timeout: Time<{ SECOND / 10 }, MINUTE>,
        max_linger_bytes: Size<usize, 0, GIB>,
        accept_retry: Time<{ SECOND / 100 }, MINUTE>,
        max_poll_events: Number<usize, 1, 100_000>,
    }
}

section! {
    /// The message log.
    Log of StoreConfig = StoreConfig::default(); {
        max_queued_writes: Number<usize, 1, 1_000_000>,
        max_queued_reads: Number<usize, 1, 1_000_000>,
        max_file_bytes: Bound<MIB, { 1 << 47 }>,
        keep_time: Period<MINUTE, { 36_500 * 24 * HOUR }>,
        keep_bytes: Bound<{ 16 * MIB }, { 1 << 47 }>,
        keep_audit: Number<u64, 100, 1_000_000_000>,
        ring_messages: Number<usize, 1, 1_000_000>,
        ring_bytes: Size<usize, { 16 * KIB }, GIB>,
        ring_total_bytes: Size<usize, MIB, { 64 * GIB }>,
    }
}
