//! RFC 9807, appendix C: the library that this module is made of, with our groups, hash and key exchange, gives the bytes of the
//! RFC, for an account, for one whose identities are named (as ours are), and for an unknown user. The vectors have no
//! stretching; ours is held against Argon2's own crate in the tests beside this file.

use alloc::vec;
use alloc::vec::Vec;

use opaque_ke::ksf::Identity;
use opaque_ke::rand::{CryptoRng, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialRequest, CredentialResponse, Identifiers, Ristretto255,
    ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};

struct Vectors;

impl CipherSuite for Vectors {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Identity;
}

/// Gives out the bytes that the RFC names as random, in the order in which the library asks for them.
struct Script(Vec<u8>);

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Script {}

fn hex(parts: &[&str]) -> Vec<u8> {
    let digits = parts.concat();
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A scalar is drawn as 64 bytes and reduced: one that is there already needs zeros behind it.
fn scalar(digits: &str) -> Vec<u8> {
    [hex(&[digits]), vec![0; 32]].concat()
}

const CONTEXT: &[u8] = b"OPAQUE-POC";
const IDENTIFIER: &[u8] = b"1234";
const PASSWORD: &[u8] = b"CorrectHorseBatteryStaple";

// The inputs that C.1.1 and C.1.2 have in common, and what follows from them whatever the identities are.
const OPRF_SEED: &str = "f433d0227b0b9dd54f7c4422b600e764e47fb503f1f9a0f0a47c6606b054a7fdc65347f1a08f277e22358bbabe26f823fca82c7848\
                         e9a75661f4ec5d5c1989ef";
const ENVELOPE_NONCE: &str = "ac13171b2f17bc2c74997f0fce1e1f35bec6b91fe2e12dbd323d23ba7a38dfec";
const MASKING_NONCE: &str = "38fe59af0df2c79f57b8780278f5ae47355fe1f817119041951c80f612fdfc6d";
const SERVER_PRIVATE_KEY: &str = "47451a85372f8b3537e249d7b54188091fb18edde78094b43e2ba42b5eb89f0d";
const SERVER_PUBLIC_KEY: &str = "b2fe7af9f48cc502d016729d2fe25cdd433f2c4bc904660b2a382c9b79df1a78";
const SERVER_NONCE: &str = "71cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60efb13981e138e3d4a1";
const CLIENT_NONCE: &str = "da7e07376d6d6f034cfa9bb537d11b8c6b4238c334333d1f0aebb380cae6a6cc";
const CLIENT_KEYSHARE_SEED: &str = "82850a697b42a505f5b68fcdafce8c31f0af2b581f063cf1091933541936304b";
const SERVER_KEYSHARE_SEED: &str = "05a4f54206eef1ba2f615bc0aa285cb22f26d1153b5b40a1e85ff80da12f982f";
const BLIND_REGISTRATION: &str = "76cfbfe758db884bebb33582331ba9f159720ca8784a2a070a265d9c2d6abe01";
const BLIND_LOGIN: &str = "6ecc102d2e7a7cf49617aad7bbe188556792d4acd60a1a8a8d2b65d4b0790308";
const REGISTRATION_REQUEST: &str = "5059ff249eb1551b7ce4991f3336205bde44a105a032e747d21bf382e75f7a71";
const EVALUATED: &str = "7408a268083e03abc7097fc05b587834539065e86fb0c7b6342fcf5e01e5b019";
/// The client's public key and the masking key; the envelope nonce and what depends on the identities follow.
const UPLOAD: &str = "76a845464c68a5d2f7e442436bb1424953b17d3e2e289ccbaccafb57ac5c36751ac5844383c7708077dea41cbefe2fa15724f449e535\
                      dd7dd562e66f5ecfb95864eadddec9db5874959905117dad40a4524111849799281fefe3c51fa82785c5";
const KE1_BLINDED: &str = "c4dedb0ba6ed5d965d6f250fbe554cd45cba5dfcce3ce836e4aee778aa3cd44d";
const KE1_KEYSHARE: &str = "6e29bee50701498605b2c085d7b241ca15ba5c32027dd21ba420b94ce60da326";
const EXPORT_KEY: &str = "1ef15b4fa99e8a852412450ab78713aad30d21fa6966c9b8c9fb3262a970dc62950d4dd4ed62598229b1b72794fc0335199d9f7f\
                          cc6eaedde92cc04870e63f16";

/// What depends on the identities.
struct Outputs {
    identities: Identifiers<'static>,
    auth_tag: &'static str,
    ke2: &'static str,
    ke3: &'static str,
    session_key: &'static str,
}

/// A registration and a login, each message compared.
fn reproduce(outputs: &Outputs) {
    let identifiers = outputs.identities;
    let setup = hex(&[OPRF_SEED, SERVER_PRIVATE_KEY, SERVER_PUBLIC_KEY]);
    let setup = ServerSetup::<Vectors>::deserialize(&setup).unwrap();

    let mut rng = Script(scalar(BLIND_REGISTRATION));
    let client = ClientRegistration::<Vectors>::start(&mut rng, PASSWORD).unwrap();
    assert_eq!(client.message.serialize().to_vec(), hex(&[REGISTRATION_REQUEST]));
    let server = ServerRegistration::start(&setup, client.message, IDENTIFIER).unwrap();
    assert_eq!(server.message.serialize().to_vec(), hex(&[EVALUATED, SERVER_PUBLIC_KEY]));
    let parameters = ClientRegistrationFinishParameters { identifiers, ..Default::default() };
    let mut rng = Script(hex(&[ENVELOPE_NONCE]));
    let registered = client.state.finish(&mut rng, PASSWORD, server.message, parameters).unwrap();
    let record = hex(&[UPLOAD, ENVELOPE_NONCE, outputs.auth_tag]);
    assert_eq!(registered.message.serialize().to_vec(), record);
    assert_eq!(registered.export_key.to_vec(), hex(&[EXPORT_KEY]));

    let mut rng = Script([scalar(BLIND_LOGIN), hex(&[CLIENT_KEYSHARE_SEED, CLIENT_NONCE])].concat());
    let client = ClientLogin::<Vectors>::start(&mut rng, PASSWORD).unwrap();
    let ke1 = hex(&[KE1_BLINDED, CLIENT_NONCE, KE1_KEYSHARE]);
    assert_eq!(client.message.serialize().to_vec(), ke1);
    let request = CredentialRequest::<Vectors>::deserialize(&ke1).unwrap();
    // The library draws the masking key of an unknown user whether there is a record or not, so that time tells nothing.
    let random = [vec![0; 64], hex(&[MASKING_NONCE, SERVER_KEYSHARE_SEED, SERVER_NONCE])].concat();
    let parameters = || ServerLoginParameters { context: Some(CONTEXT), identifiers };
    let record = ServerRegistration::<Vectors>::deserialize(&record).unwrap();
    let server =
        ServerLogin::start(&mut Script(random), &setup, Some(record), request, IDENTIFIER, parameters())
            .unwrap();
    let ke2 = server.message.serialize();
    assert_eq!(ke2.to_vec(), hex(&[outputs.ke2]));

    let response = CredentialResponse::<Vectors>::deserialize(&ke2).unwrap();
    let finish = ClientLoginFinishParameters { context: Some(CONTEXT), identifiers, ..Default::default() };
    let finished = client.state.finish(&mut Script(Vec::new()), PASSWORD, response, finish).unwrap();
    assert_eq!(finished.message.serialize().to_vec(), hex(&[outputs.ke3]));
    assert_eq!(finished.session_key.to_vec(), hex(&[outputs.session_key]));
    assert_eq!(finished.export_key.to_vec(), hex(&[EXPORT_KEY]));
    // The client's proof is fixed with KE2: what `finish` is told of the context does not matter any more. We tell it nothing.
    let agreed = server.state.finish(finished.message, ServerLoginParameters::default()).unwrap();
    assert_eq!(agreed.session_key.to_vec(), hex(&[outputs.session_key]));
}

#[test]
fn the_vector_without_identities_is_reproduced() {
    reproduce(&Outputs {
        identities: Identifiers { client: None, server: None },
        auth_tag: "634b0f5b96109c198a8027da51854c35bee90d1e1c781806d07d49b76de6a28b8d9e9b6c93b9f8b64d16dddd9c5bfb5fea48ee8fd2\
                   f75012a8b308605cdd8ba5",
        ke2: "7e308140890bcde30cbcea28b01ea1ecfbd077cff62c4def8efa075aabcbb47138fe59af0df2c79f57b8780278f5ae47355fe1f81711\
              9041951c80f612fdfc6dd6ec60bcdb26dc455ddf3e718f1020490c192d70dfc7e403981179d8073d1146a4f9aa1ced4e4cd984c657eb\
              3b54ced3848326f70331953d91b02535af44d9fedc80188ca46743c52786e0382f95ad85c08f6afcd1ccfbff95e2bdeb015b166c6b20\
              b92f832cc6df01e0b86a7efd92c1c804ff865781fa93f2f20b446c8371b671cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60ef\
              b13981e138e3d4a1c4f62198a9d6fa9170c42c3c71f1971b29eb1d5d0bd733e40816c91f7912cc4a660c48dae03e57aaa38f3d0cffcf\
              c21852ebc8b405d15bd6744945ba1a93438a162b6111699d98a16bb55b7bdddfe0fc5608b23da246e7bd73b47369169c5c90",
        ke3: "4455df4f810ac31a6748835888564b536e6da5d9944dfea9e34defb9575fe5e2661ef61d2ae3929bcf57e53d464113d364365eb7d1a5\
              7b629707ca48da18e442",
        session_key: "42afde6f5aca0cfa5c163763fbad55e73a41db6b41bc87b8e7b62214a8eedc6731fa3cb857d657ab9b3764b89a84e91ebcb478\
                      5166fbb02cedfcbdfda215b96f",
    });
}

#[test]
fn the_vector_with_identities_is_reproduced() {
    reproduce(&Outputs {
        identities: Identifiers { client: Some(b"alice"), server: Some(b"bob") },
        auth_tag: "1ac902dc5589e9a5f0de56ad685ea8486210ef41449cd4d8712828913c5d2b680b2b3af4a26c765cff329bfb66d38ecf1d6cfa9e7a\
                   73c222c6efe0d9520f7d7c",
        ke2: "7e308140890bcde30cbcea28b01ea1ecfbd077cff62c4def8efa075aabcbb47138fe59af0df2c79f57b8780278f5ae47355fe1f81711\
              9041951c80f612fdfc6dd6ec60bcdb26dc455ddf3e718f1020490c192d70dfc7e403981179d8073d1146a4f9aa1ced4e4cd984c657eb\
              3b54ced3848326f70331953d91b02535af44d9fea502150b67fe36795dd8914f164e49f81c7688a38928372134b7dccd50e09f8fed95\
              18b7b2f94835b3c4fe4c8475e7513f20eb97ff0568a39caee3fd6251876f71cd9960ecef2fe0d0f7494986fa3d8b2bb01963537e60ef\
              b13981e138e3d4a1c4f62198a9d6fa9170c42c3c71f1971b29eb1d5d0bd733e40816c91f7912cc4a292371e7809a9031743e943fb3b5\
              6f51de903552fc91fba4e7419029951c3970b2e2f0a9dea218d22e9e4e0000855bb6421aa3610d6fc0f4033a6517030d4341",
        ke3: "7a026de1d6126905736c3f6d92463a08d209833eb793e46d0f7f15b3e0f62c7643763c02bbc6b8d3d15b63250cae98171e9260f1ffa7\
              89750f534ac11a0176d5",
        session_key: "ae7951123ab5befc27e62e63f52cf472d6236cb386c968cc47b7e34f866aa4bc7638356a73cfce92becf39d6a7d32a1861f121\
                      30e824241fe6cab34fbd471a57",
    });
}

#[test]
fn the_vector_of_an_unknown_user_is_reproduced() {
    let oprf_seed = "743fc168d1f826ad43738933e5adb23da6fb95f95a1b069f0daa0522d0a78b617f701fc6aa46d3e7981e70de7765dfcd6b1e13e3369a\
                     582eb8dc456b10aa53b0";
    let server_private_key = "c788585ae8b5ba2942b693b849be0c0426384e41977c18d2e81fbe30fd7c9f06";
    // The key of the record that there is not is part of the setup; its masking key is drawn anew.
    let client_public_key = "84f43f9492e19c22d8bdaa4447cc3d4db1cdb5427a9f852c4707921212c36251";
    let setup = hex(&[oprf_seed, server_private_key, client_public_key]);
    let setup = ServerSetup::<Vectors>::deserialize(&setup).unwrap();
    let ke1 = hex(&[
        "b0a26dcaca2230b8f5e4b1bcab9c84b586140221bb8b2848486874b0be448905",
        "42d4e61ed3f8d64cdd3b9d153343eca15b9b0d5e388232793c6376bd2d9cfd0a",
        "b641d7f20a245a09f1d4dbb6e301661af7f352beb0791d055e48d3645232f77f",
    ]);
    let masking_key = "39ebd51f0e39a07a1c2d2431995b0399bca9996c5d10014d6ebab4453dc10ce5cef38ed3df6e56bfff40c2d8dd4671c2b4cf63c3\
                       d54860f31fe40220d690bb71";
    let random = hex(&[
        masking_key,
        "9c035896a043e70f897d87180c543e7a063b83c1bb728fbd189c619e27b6e5a6",
        "360b0937f47d45f6123a4d8f0d0c0814b6120d840ebb8bc5b4f6b62df07f78c2",
        "1e10f6eeab2a7a420bf09da9b27a4639645622c46358de9cf7ae813055ae2d12",
    ]);
    let identifiers = Identifiers { client: Some(b"alice"), server: Some(b"bob") };
    let parameters = ServerLoginParameters { context: Some(CONTEXT), identifiers };
    let request = CredentialRequest::<Vectors>::deserialize(&ke1).unwrap();
    let server =
        ServerLogin::start(&mut Script(random), &setup, None, request, IDENTIFIER, parameters).unwrap();
    let ke2 = hex(&[
        "928f79ad8df21963e91411b9f55165ba833dea918f441db967cdc09521d229259c035896a043e70f897d87180c543e7a063b83c1bb\
                     728fbd189c619e27b6e5a632b5ab1bff96636144faa4f9f9afaac75dd88ea99cf5175902ae3f3b2195693f165f11929ba510a5978e\
                     64dcdabecbd7ee1e4380ce270e58fea58e6462d92964a1aaef72698bca1c673baeb04cc2bf7de5f3c2f5553464552d3a0f7698a9ca\
                     7f9c5e70c6cb1f706b2f175ab9d04bbd13926e816b6811a50b4aafa9799d5ed7971e10f6eeab2a7a420bf09da9b27a4639645622c4\
                     6358de9cf7ae813055ae2d1298251c5ba55f6b0b2d58d9ff0c88fe4176484be62a96db6e2a8c4d431bd1bf27fe6c1d053760383521\
                     7d42ebf7b2581982732e74892fd28211b31ed33863f0beaf75ba6f59474c0aaf9d78a60a9b2f4cd24d7ab54131b3c8efa192df6b72\
                     db4c",
    ]);
    assert_eq!(server.message.serialize().to_vec(), ke2);
}
