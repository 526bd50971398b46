use super::*;

const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The settings of these arguments, with a password file and a state directory.
fn settings(arguments: &[&str]) -> Result<Settings, String> {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let file = file.to_str().unwrap();
    let start = ["chatclient", "--user", "alice", "--password-file", file, "--state", "state"];
    let arguments = start.iter().chain(arguments);
    let args = Args::try_parse_from(arguments).map_err(|error| error.to_string())?;
    args.into_settings().map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_safe() {
    let settings = settings(&["--server", "host"]).unwrap();
    assert_eq!(settings.server.to_string(), "host:4848");
    assert_eq!(settings.plaintext, Plaintext::Off);
    assert_eq!(settings.accept, AcceptPolicy::Ask);
    assert_eq!(settings.peer_listen, Some("0.0.0.0:0".parse().unwrap()));
    assert_eq!(settings.share, None);
    assert_eq!(settings.downloads, PathBuf::from("downloads"));
    assert_eq!(settings.fingerprint, None);
    assert!(!settings.trust_first && !settings.stay);
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn an_invite_and_the_argument_must_name_the_same_certificate() {
    let invite = format!("chat://host/?fp=sha256:{HEX}");
    let expected = HEX.parse().unwrap();
    assert_eq!(settings(&["--server", &invite]).unwrap().fingerprint, Some(expected));
    assert_eq!(settings(&["--server", &invite, "--fingerprint", HEX]).unwrap().fingerprint, Some(expected));
    let other = "f".repeat(64);
    assert_eq!(
        settings(&["--server", &invite, "--fingerprint", &other]).unwrap_err(),
        "--fingerprint and the invite name different certificates"
    );
    assert_eq!(
        settings(&["--server", &invite, "--insecure-plaintext"]).unwrap_err(),
        "the invite names a certificate, which --insecure-plaintext never sees"
    );
}

#[test]
fn plaintext_takes_one_flag_for_loopback_and_two_for_the_world() {
    let plaintext = |flags: &[&str]| {
        settings(&[&["--server", "host"], flags].concat()).map(|settings| settings.plaintext)
    };
    assert_eq!(plaintext(&["--insecure-plaintext"]), Ok(Plaintext::Loopback));
    assert_eq!(
        plaintext(&["--insecure-plaintext", "--insecure-plaintext-anywhere"]),
        Ok(Plaintext::Anywhere)
    );
    assert!(plaintext(&["--insecure-plaintext-anywhere"]).unwrap_err().contains("--insecure-plaintext"));
    assert!(
        plaintext(&["--insecure-plaintext", "--trust-first"]).unwrap_err().contains("cannot be used with")
    );
}

#[test]
fn peers_connect_to_an_address_or_not_at_all() {
    let listen =
        |value| settings(&["--server", "host", "--peer-listen", value]).map(|settings| settings.peer_listen);
    assert_eq!(listen("none"), Ok(None));
    assert_eq!(listen("[::]:4900"), Ok(Some("[::]:4900".parse().unwrap())));
    assert!(listen("127.0.0.1:80").unwrap_err().contains("port 80 is below 1024"));
    assert!(listen("4900").unwrap_err().contains("write an address with a port"));
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (arguments, part) in [
        (vec![], "--server"),
        (vec!["--server", "host:0"], "\"0\" is no port from 1 to 65535"),
        (vec!["--server", "host", "--accept", "maybe"], "[possible values: ask, all, none]"),
        (vec!["--server", "host", "--fingerprint", "sha256:12"], "has 64 hex digits, this one has 2"),
        (vec!["--server", "host", "--password-file", "/nowhere/at/all"], "cannot be used multiple times"),
    ] {
        let error = settings(&arguments).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let name = Args::try_parse_from(["chatclient", "--server", "host", "--user", "a b"]).unwrap_err();
    assert!(name.to_string().contains("forbidden character"), "{name}");
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory as _;
    Args::command().debug_assert();
}
