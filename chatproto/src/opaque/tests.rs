use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
// By name: proptest has an `RngCore` of another generation.
use super::{CryptoRng, RngCore};

/// A reproducible stand-in for the system's randomness.
struct Seeded(u64);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, out);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

const CHANNEL: &[u8] = b"tls exporter of this connection";
const USER: &str = "alice";
const PASSWORD: &str = "correct horse battery staple";

fn quick() -> Stretch {
    Stretch::new(Stretch::MEMORY_KIB_MIN, 1, 1).unwrap()
}

fn password(typed: &str) -> Password {
    Password::new(typed).unwrap()
}

/// A server with one account, and one login at a time.
struct World {
    rng: Seeded,
    setup: ServerSetup,
    record: Record,
}

impl World {
    fn new() -> Self {
        let mut rng = Seeded(7);
        let setup = ServerSetup::generate(&mut rng).with_decoy_stretch(quick());
        let record = register(&setup, USER, password(PASSWORD), quick(), &mut rng).unwrap();
        Self { rng, setup, record }
    }

    fn request(&mut self, typed: &str) -> (ClientLogin, Vec<u8>) {
        ClientLogin::start(password(typed), &mut self.rng).unwrap()
    }

    fn answer(&mut self, request: &[u8]) -> Result<(ServerLogin, Vec<u8>), LoginRequestError> {
        ServerLogin::start(&self.setup, Some(&self.record), USER, request, CHANNEL, &mut self.rng)
    }

    /// A login up to the server's answer.
    fn answered(&mut self, typed: &str) -> (ClientLogin, ServerLogin, Vec<u8>) {
        let (client, request) = self.request(typed);
        let (server, response) = self.answer(&request).unwrap();
        (client, server, response)
    }

    fn refuses(
        &mut self,
        client: ClientLogin,
        response: &[u8],
        user: &str,
        channel: &[u8],
    ) -> ClientLoginError {
        client.finish(response, user, channel, &mut self.rng).expect_err("a login that must fail")
    }

    fn log_in(&mut self, typed: &str) -> Result<(SessionKey, SessionKey), ClientLoginError> {
        let (client, server, response) = self.answered(typed);
        let (finalization, clients) = client.finish(&response, USER, CHANNEL, &mut self.rng)?;
        Ok((clients, server.finish(&finalization).expect("the client found the server right")))
    }
}

#[test]
fn the_right_password_gives_both_ends_one_fresh_key() {
    let mut world = World::new();
    let (client, server) = world.log_in(PASSWORD).unwrap();
    assert_eq!(client.as_bytes(), server.as_bytes());
    let (again, _) = world.log_in(PASSWORD).unwrap();
    assert_ne!(client.as_bytes(), again.as_bytes());
}

#[test]
fn messages_and_stored_forms_have_their_documented_lengths() {
    let mut world = World::new();
    let (client, request) = world.request(PASSWORD);
    let (_, response) = world.answer(&request).unwrap();
    let (finalization, _) = client.finish(&response, USER, CHANNEL, &mut world.rng).unwrap();
    assert_eq!(
        (request.len(), response.len(), finalization.len()),
        (REQUEST_LEN, RESPONSE_LEN, FINALIZATION_LEN)
    );
    assert_eq!(world.setup.to_bytes().len(), SETUP_LEN);
    assert_eq!(world.record.to_bytes().len(), RECORD_LEN);
    let (_, request) = ClientRegistration::start(password(PASSWORD), &mut world.rng).unwrap();
    let response = answer_registration(&world.setup, USER, &request).unwrap();
    assert_eq!((request.len(), response.len()), (REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN));
    assert!(MECHANISM.len() <= 32 && MECHANISM.is_ascii());
}

#[test]
fn a_wrong_password_is_found_out_by_the_client_already() {
    let mut world = World::new();
    assert_eq!(world.log_in("correct horse battery stable").unwrap_err(), ClientLoginError::Refused);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let mut world = World::new();
    let (client, request) = world.request(PASSWORD);
    let (server, response) =
        ServerLogin::start(&world.setup, None, "nobody", &request, CHANNEL, &mut world.rng).unwrap();
    assert_eq!(response.len(), RESPONSE_LEN);
    assert_eq!(response[..STRETCH_LEN], quick().to_bytes());
    assert_eq!(world.refuses(client, &response, "nobody", CHANNEL), ClientLoginError::Refused);
    assert_eq!(server.finish(&[0; FINALIZATION_LEN]).unwrap_err(), LoginRejected);
}

#[test]
fn a_stranger_gets_the_same_oprf_answer_each_time_as_a_user_would() {
    let mut world = World::new();
    let (_, request) = world.request(PASSWORD);
    let evaluation = |record: Option<&Record>, user, rng: &mut Seeded| {
        let (_, response) = ServerLogin::start(&world.setup, record, user, &request, CHANNEL, rng).unwrap();
        response[STRETCH_LEN..STRETCH_LEN + 32].to_vec()
    };
    let stranger = evaluation(None, "nobody", &mut world.rng);
    assert_eq!(stranger, evaluation(None, "nobody", &mut world.rng));
    let known = evaluation(Some(&world.record), USER, &mut world.rng);
    assert_eq!(known, evaluation(Some(&world.record), USER, &mut world.rng));
    assert_ne!(stranger, known);
}

#[test]
fn a_relay_between_two_channels_fails_on_the_client() {
    let mut world = World::new();
    let (client, _, response) = world.answered(PASSWORD);
    assert_eq!(world.refuses(client, &response, USER, b"the relay's own channel"), ClientLoginError::Refused);
}

#[test]
fn a_proof_for_another_login_fails_on_the_server() {
    let mut world = World::new();
    let (client, _, response) = world.answered(PASSWORD);
    let (_, other, _) = world.answered(PASSWORD);
    let (finalization, _) = client.finish(&response, USER, CHANNEL, &mut world.rng).unwrap();
    assert_eq!(other.finish(&finalization).unwrap_err(), LoginRejected);
}

#[test]
fn a_server_without_the_setup_cannot_use_a_stolen_record() {
    let mut world = World::new();
    world.setup = ServerSetup::generate(&mut Seeded(99));
    assert_eq!(world.log_in(PASSWORD).unwrap_err(), ClientLoginError::Refused);
}

#[test]
fn a_record_serves_only_the_user_it_was_made_for() {
    let mut world = World::new();
    let (client, request) = world.request(PASSWORD);
    let (_, response) =
        ServerLogin::start(&world.setup, Some(&world.record), "bob", &request, CHANNEL, &mut world.rng)
            .unwrap();
    assert_eq!(world.refuses(client, &response, "bob", CHANNEL), ClientLoginError::Refused);
}

#[test]
fn a_user_and_a_channel_do_not_run_into_each_other() {
    let mut world = World::new();
    let (client, request) = world.request(PASSWORD);
    let (_, response) =
        ServerLogin::start(&world.setup, Some(&world.record), USER, &request, b"xyz", &mut world.rng)
            .unwrap();
    assert_eq!(world.refuses(client, &response, "alicex", b"yz"), ClientLoginError::Refused);
}

#[test]
fn our_own_request_reflected_is_refused() {
    let mut world = World::new();
    let (client, request) = world.request(PASSWORD);
    let (_, mut response) = world.answer(&request).unwrap();
    response[STRETCH_LEN..STRETCH_LEN + 32].copy_from_slice(&request[..32]);
    assert_eq!(world.refuses(client, &response, USER, CHANNEL), ClientLoginError::Refused);
}

#[test]
fn a_stretch_that_was_lowered_on_the_way_fails() {
    let mut world = World::new();
    world.record = register(&world.setup, USER, password(PASSWORD), Stretch::LIGHT, &mut world.rng).unwrap();
    let (client, _, mut response) = world.answered(PASSWORD);
    response[..STRETCH_LEN].copy_from_slice(&quick().to_bytes());
    assert_eq!(world.refuses(client, &response, USER, CHANNEL), ClientLoginError::Refused);
}

#[test]
fn a_hostile_stretch_costs_the_client_nothing() {
    let mut world = World::new();
    let cases = [
        ([0xff, 0xff, 0xff, 0xff, 1, 1], StretchOutOfRange::Memory { memory_kib: u32::MAX }),
        ([0, 0, 0, 0, 1, 1], StretchOutOfRange::Memory { memory_kib: 0 }),
        ([0, 0, 4, 0, 0, 1], StretchOutOfRange::Passes { passes: 0 }),
        ([0, 0, 4, 0, 255, 1], StretchOutOfRange::Passes { passes: 255 }),
        ([0, 0, 4, 0, 1, 0], StretchOutOfRange::Lanes { lanes: 0 }),
        ([0, 0, 4, 0, 1, 9], StretchOutOfRange::Lanes { lanes: 9 }),
        ([0, 4, 0, 0, 16, 1], StretchOutOfRange::Work { work_kib: 4 << 20 }),
    ];
    for (parameters, reason) in cases {
        let (client, _, mut response) = world.answered(PASSWORD);
        response[..STRETCH_LEN].copy_from_slice(&parameters);
        assert_eq!(world.refuses(client, &response, USER, CHANNEL), ClientLoginError::Stretch(reason));
    }
}

#[test]
fn every_stretch_at_its_bounds_can_be_computed() {
    use opaque_ke::generic_array::{GenericArray, typenum::U64};
    use opaque_ke::ksf::Ksf as _;

    let input = GenericArray::<u8, U64>::default();
    let smallest = Stretch::new(Stretch::MEMORY_KIB_MIN, Stretch::PASSES_MAX, Stretch::LANES_MAX).unwrap();
    let one_lane = Stretch::new(Stretch::MEMORY_KIB_MIN, Stretch::PASSES_MAX, 1).unwrap();
    assert_ne!(smallest.hash(input).unwrap(), one_lane.hash(input).unwrap());
    assert_eq!(Stretch::STANDARD, Stretch::new(19_456, 2, 1).unwrap());
    assert_eq!(Stretch::LIGHT, Stretch::new(1_024, 3, 1).unwrap());
    assert_eq!(Stretch::default(), Stretch::STANDARD);
}

#[test]
fn the_stretch_is_argon2id_as_its_own_crate_computes_it() {
    use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
    use opaque_ke::generic_array::{GenericArray, typenum::U64};
    use opaque_ke::ksf::Ksf as _;

    let input = *GenericArray::<u8, U64>::from_slice(&[9; 64]);
    let params = Params::new(1_024, 3, 1, None).unwrap();
    let reference = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash(input).unwrap();
    assert_eq!(Stretch::LIGHT.hash(input).unwrap(), reference);
}

#[test]
fn messages_of_another_length_are_malformed() {
    let mut world = World::new();
    let (_, request) = world.request(PASSWORD);
    for len in [0, 1, REQUEST_LEN - 1] {
        assert_eq!(world.answer(&request[..len]).unwrap_err(), LoginRequestError::Malformed);
    }
    let longer = [&request[..], &[0]].concat();
    assert_eq!(world.answer(&longer).unwrap_err(), LoginRequestError::Malformed);
    for len in [0, STRETCH_LEN, RESPONSE_LEN - 1, RESPONSE_LEN + 1] {
        let (client, _, mut response) = world.answered(PASSWORD);
        response.resize(len, 0);
        assert_eq!(world.refuses(client, &response, USER, CHANNEL), ClientLoginError::Malformed);
    }
    for len in [0, FINALIZATION_LEN - 1, FINALIZATION_LEN + 1] {
        let (client, server, response) = world.answered(PASSWORD);
        let (mut finalization, _) = client.finish(&response, USER, CHANNEL, &mut world.rng).unwrap();
        finalization.resize(len, 0);
        assert_eq!(server.finish(&finalization).unwrap_err(), LoginRejected);
    }
}

#[test]
fn names_and_bindings_beyond_their_limits_are_refused_on_both_sides() {
    let mut world = World::new();
    let long = "x".repeat(USER_LEN_MAX + 1);
    let binding = [0; CHANNEL_BINDING_LEN_MAX + 1];
    let (_, request) = world.request(PASSWORD);
    for (user, channel, error) in [
        ("", CHANNEL, ScopeError::User { len: 0 }),
        (&*long, CHANNEL, ScopeError::User { len: 256 }),
        (USER, &binding[..], ScopeError::ChannelBinding { len: 1025 }),
    ] {
        let started = ServerLogin::start(&world.setup, None, user, &request, channel, &mut world.rng);
        assert_eq!(started.unwrap_err(), LoginRequestError::Scope(error));
        let (client, _, response) = world.answered(PASSWORD);
        assert_eq!(world.refuses(client, &response, user, channel), ClientLoginError::Scope(error));
    }
    let registered = register(&world.setup, &long, password(PASSWORD), quick(), &mut world.rng);
    assert_eq!(registered.unwrap_err(), RegistrationError::Scope(ScopeError::User { len: 256 }));
}

#[test]
fn stored_forms_come_back_and_still_work() {
    let mut world = World::new();
    world.record = Record::from_bytes(&world.record.to_bytes()).unwrap();
    world.setup = ServerSetup::from_bytes(&world.setup.to_bytes()).unwrap();
    assert_eq!(world.record.stretch(), quick());
    world.log_in(PASSWORD).unwrap();
}

#[test]
fn stored_forms_of_another_version_or_length_say_so() {
    let world = World::new();
    let mut record = world.record.to_bytes();
    let mut setup = world.setup.to_bytes().to_vec();
    for bytes in [&record[..RECORD_LEN - 1], &record[..1]] {
        let error = StoredError::Length { len: bytes.len(), expected: RECORD_LEN };
        assert_eq!(Record::from_bytes(bytes).unwrap_err(), error);
    }
    assert_eq!(Record::from_bytes(&[]).unwrap_err(), StoredError::Length { len: 0, expected: RECORD_LEN });
    assert_eq!(
        ServerSetup::from_bytes(&setup[..9]).unwrap_err(),
        StoredError::Length { len: 9, expected: SETUP_LEN }
    );
    record[5] = 0;
    assert_eq!(
        Record::from_bytes(&record).unwrap_err(),
        StoredError::Stretch(StretchOutOfRange::Passes { passes: 0 })
    );
    record[0] = 2;
    setup[0] = 0;
    assert_eq!(Record::from_bytes(&record).unwrap_err(), StoredError::Version { version: 2 });
    assert_eq!(ServerSetup::from_bytes(&setup).unwrap_err(), StoredError::Version { version: 0 });
    let mut damaged = world.record.to_bytes();
    damaged[1 + STRETCH_LEN..1 + STRETCH_LEN + 32].fill(0xff);
    assert_eq!(Record::from_bytes(&damaged).unwrap_err(), StoredError::Damaged);
}

#[test]
fn registration_from_afar_makes_the_same_kind_of_record() {
    let mut world = World::new();
    let (client, request) = ClientRegistration::start(password("new"), &mut world.rng).unwrap();
    let response = answer_registration(&world.setup, USER, &request).unwrap();
    let upload = client.finish(&response, USER, quick(), &mut world.rng).unwrap().to_bytes();
    world.record = Record::from_bytes(&upload).unwrap();
    world.log_in("new").unwrap();
    assert_eq!(world.log_in(PASSWORD).unwrap_err(), ClientLoginError::Refused);
    assert_eq!(
        answer_registration(&world.setup, USER, &request[1..]).unwrap_err(),
        RegistrationError::Malformed
    );
    let (client, _) = ClientRegistration::start(password("new"), &mut world.rng).unwrap();
    let finished = client.finish(&response[1..], USER, quick(), &mut world.rng);
    assert_eq!(finished.unwrap_err(), RegistrationError::Malformed);
}

#[test]
fn the_same_keys_give_the_same_password_on_every_system() {
    let mut world = World::new();
    world.record =
        register(&world.setup, USER, password("caf\u{e9} \u{1f41d}"), quick(), &mut world.rng).unwrap();
    world.log_in("cafe\u{301}\u{a0}\u{1f41d}").unwrap();
    assert_eq!(world.log_in("cafe \u{1f41d}").unwrap_err(), ClientLoginError::Refused);
}

#[test]
fn passwords_have_bounds() {
    assert_eq!(Password::new("").unwrap_err(), PasswordError::Empty);
    assert_eq!(Password::new(&"x".repeat(1025)).unwrap_err(), PasswordError::TooLong { len: 1025 });
    let mut world = World::new();
    let longest = "\u{1d160}".repeat(256);
    world.record = register(&world.setup, USER, password(&longest), quick(), &mut world.rng).unwrap();
    world.log_in(&longest).unwrap();
}

#[test]
fn debug_shows_no_secret() {
    let mut world = World::new();
    let (client, server, _) = world.answered(PASSWORD);
    let (registration, _) = ClientRegistration::start(password(PASSWORD), &mut world.rng).unwrap();
    let (key, _) = world.log_in(PASSWORD).unwrap();
    let shown =
        format!("{:?} {client:?} {server:?} {registration:?} {key:?} {:?}", password(PASSWORD), world.setup);
    assert_eq!(
        shown,
        "Password(***) ClientLogin(***) ServerLogin(***) ClientRegistration(***) SessionKey(***) ServerSetup(***)"
    );
    assert!(format!("{:?}", world.record).ends_with("***)"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_bit_in_any_message_fails_the_login(
        message in 0..3_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut world = World::new();
        let tamper = |which: usize, bytes: &mut Vec<u8>| {
            if which == message {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        };
        let (client, mut request) = world.request(PASSWORD);
        tamper(0, &mut request);
        let Ok((server, mut response)) = world.answer(&request) else { return Ok(()) };
        tamper(1, &mut response);
        let Ok((mut finalization, _)) = client.finish(&response, USER, CHANNEL, &mut world.rng) else {
            return Ok(());
        };
        prop_assert_eq!(message, 2, "the client must notice what was changed before its own last message");
        tamper(2, &mut finalization);
        prop_assert_eq!(server.finish(&finalization).unwrap_err(), LoginRejected);
    }

    #[test]
    fn garbage_is_answered_with_an_error(
        request in prop::collection::vec(any::<u8>(), REQUEST_LEN),
        mut response in prop::collection::vec(any::<u8>(), RESPONSE_LEN),
        stored in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut world = World::new();
        // Either is refused, or it happens to be two curve points and then nobody can finish.
        if let Ok((server, _)) = world.answer(&request) {
            prop_assert!(server.finish(&request[..FINALIZATION_LEN]).is_err());
        }
        response[..STRETCH_LEN].copy_from_slice(&quick().to_bytes());
        let (client, _) = world.request(PASSWORD);
        prop_assert!(client.finish(&response, USER, CHANNEL, &mut world.rng).is_err());
        let record = Record::from_bytes(&stored);
        prop_assert!(record.is_err() || stored.len() == RECORD_LEN);
    }
}
