use std::path::Path;
use std::time::Duration;

use chatnet::NetConfig;
use chatproto::conn::Limits;
use clap::Parser as _;

use super::*;
use crate::cli::Cli;

const EXAMPLE: &str = include_str!("../../chatserver.example.toml");

fn args(args: &[&str]) -> RunArgs {
    Cli::try_parse_from([&["chatserver"], args].concat()).expect("legal arguments").run
}

fn of(text: &str) -> Result<Settings, String> {
    parse(Path::new("test.toml"), text).map_err(|failure| failure.to_string())
}

fn refusal(text: &str) -> String {
    of(text).expect_err("it is refused")
}

#[test]
fn budgets_are_so_many_in_a_time() {
    let read = |value: &str| {
        let settings = toml::from_str::<Settings>(&format!("[budgets]\nsay = \"{value}\""));
        settings.map(|settings| settings.budgets.say.0).map_err(|error| error.message().to_owned())
    };
    let rate = |times, seconds| Ok(hub::Rate { times, per: std::time::Duration::from_secs(seconds) });
    assert_eq!(read("300 / 10 s"), rate(300, 10));
    assert_eq!(read("1/24 h"), rate(1, 86_400));
    assert_eq!(read("unlimited"), Ok(hub::Rate::UNLIMITED));
    for wrong in [
        "",
        "300",
        "0 / 10 s",
        "-1 / 10 s",
        "+5 / 10 s",
        "5 / 10",
        "5 / 1 ms",
        "5 / 2 d",
        "1000001 / 1 s",
        "5 / 1 s / 1 s",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.contains("300 / 10 s"), "{wrong}: {error}");
    }
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let keys = |text: &str| -> BTreeSet<String> {
        let table: toml::Table = text.parse().expect("TOML");
        let section = |(key, value): (&String, &toml::Value)| match value.as_table() {
            Some(section) => section.keys().map(|name| format!("{key}.{name}")).collect(),
            None => Vec::from([key.clone()]),
        };
        table.iter().flat_map(section).collect()
    };
    let defaults = Settings::default();
    assert_eq!(of(EXAMPLE), Ok(defaults.clone()));
    assert_eq!(keys(EXAMPLE), keys(&toml::to_string(&defaults).expect("printable")));
}

#[test]
fn the_example_says_what_needs_a_restart() {
    for key in AT_START_ONLY.iter().filter(|key| !["store", "accounts", "relay"].contains(key)) {
        let name = key.rsplit('.').next().expect("a name");
        let (before, _) = EXAMPLE.split_once(&format!("\n{name} = ")).expect("every key is there");
        // The comment of a group stands above its first key.
        let comment: Vec<&str> = before.lines().rev().take_while(|line| !line.is_empty()).collect();
        assert!(comment.iter().any(|line| line.contains("At start.")), "{key}: {comment:?}");
    }
}

#[test]
fn the_defaults_are_those_of_the_machines() {
    let settings = Settings::default();
    let empty = || Note::new("").expect("a note");
    let hub = settings.hub(ServerId([0; 16]), empty(), empty()).expect("settings");
    assert_eq!(format!("{hub:?}"), format!("{:?}", hub_defaults()));
    assert_eq!(hub.limits, Limits::default());
    assert_eq!(settings.network(), NetConfig::default());
    assert_eq!(format!("{:?}", settings.store()), format!("{:?}", StoreConfig::default()));
}

#[test]
fn what_is_printed_sets_the_same_again() {
    let text = "metrics = \"[::1]:9464\"\ndurability = \"os\"\n[hub]\noffer_timeout = \"90 s\"\npage_bytes = 20000\n\
                [store]\nmax_file_bytes = \"3 GiB\"\n";
    let settings = of(text).expect("legal");
    assert_eq!(settings.hub.offer_timeout.0, Duration::from_secs(90));
    assert_eq!(settings.store().max_file_bytes, Some(3 << 30));
    let printed = toml::to_string(&settings).expect("printable");
    assert!(printed.contains("page_bytes = \"20000 B\""), "{printed}");
    assert_eq!(of(&printed), Ok(settings));
}

#[test]
fn refusals_name_file_line_and_what_is_allowed() {
    let cases = [
        ("log = \"info\"\nlisten = \"here\"", "line 2: `listen = \"here\"`", "0.0.0.0:4848"),
        ("colour = 1", "line 1: `colour = 1`", "unknown field `colour`, expected one of `listen`"),
        ("[hub]\nmax_device = 1", "line 2: `max_device = 1`", "`max_devices`"),
        ("[hub]\n\nmax_devices = 0", "line 3: `max_devices = 0`", "a whole number from 1 to 10000"),
        ("[hub]\nmax_devices = -1", "line 2", "a whole number from 1 to 10000"),
        ("[hub]\nmax_devices = \"3\"", "line 2", "a whole number from 1 to 10000"),
        ("[hub]\npage_bytes = \"64 KB\"", "line 2", "from 16 KiB to 128 KiB"),
        ("[hub]\npage_bytes = \"99999999999 GiB\"", "line 2", "from 16 KiB to 128 KiB"),
        ("[network]\nio_threads = 65", "line 2", "a whole number from 0 to 64"),
        ("[network]\nmax_in_transit = \"1 KiB\"", "line 2", "from 4 KiB to 16 MiB"),
        ("[connection]\nidle_timeout = 90", "line 2", "(ms, s, min, h or d), from 1 s to 1 h"),
        ("[connection]\nidle_timeout = \"2 h\"", "line 2", "from 1 s to 1 h"),
        ("[store]\nmax_file_bytes = \"endless\"", "line 2", "\"unlimited\""),
        ("metrics = \"on\"", "line 1", "\"off\""),
        ("durability = \"none\"", "line 1", "expected one of `full`, `os`, `off`"),
        ("log = \"a\"\nlog = \"b\"", "line 2", "duplicate"),
        ("[hub", "line 1: `[hub`", "unclosed"),
    ];
    for (text, place, allowed) in cases {
        let said = refusal(text);
        assert!(said.starts_with("settings file test.toml, "), "{said}");
        assert!(said.contains(place) && said.contains(allowed), "{text:?}: {said}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let cases = [
        ("listen = \"0.0.0.0:1\"\ninsecure_plaintext = true", "insecure-plaintext-anywhere"),
        ("insecure_plaintext_anywhere = true", "needs --insecure-plaintext"),
        ("plaintext_tickets = true", "--plaintext-tickets needs"),
        (
            "listen = \"192.0.2.1:1\"\ninsecure_plaintext = true\ninsecure_plaintext_anywhere = true\n\
             plaintext_tickets = true",
            "could log in with what they read",
        ),
        ("metrics = \"192.0.2.1:9464\"", "--metrics-anywhere"),
        ("[connection]\nmax_queue = \"1 MiB\"", "max_queue_hard"),
        ("[hub]\nmax_requests = 64", "hub.max_requests times hub.page_bytes"),
        ("[hub]\nmax_room_members = 50000", "each of hub.max_room_members"),
        ("[hub]\nmax_conversations = 50000", "each of hub.max_conversations"),
        ("[connection]\nping_interval = \"90 s\"", "idle_timeout"),
        ("log = \"=,=\"", "log: `=,=` is no filter"),
    ];
    for (text, said) in cases {
        let failure = of(text).expect("each value is legal").check().expect_err("together they are not");
        assert!(failure.to_string().contains(said), "{failure}");
    }
    of(EXAMPLE).expect("legal").check().expect("the defaults go together");
}

#[test]
fn flags_go_before_the_file_and_the_file_before_the_defaults() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("chat.toml");
    let text =
        "listen = \"127.0.0.1:1\"\nlog = \"warn\"\ndata = \"there\"\n[hub]\nmax_devices = 3\nmax_rooms = 7\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("text");
    let flags = [
        "--config",
        file,
        "--listen",
        "127.0.0.1:2",
        "--max-devices",
        "5",
        "--metrics",
        "127.0.0.1:0",
        "--io-threads",
        "2",
    ];
    let settings = Settings::resolve(&args(&flags)).expect("legal");
    assert_eq!(settings.listen, "127.0.0.1:2".parse().expect("an address"));
    assert_eq!((settings.hub.max_devices.0, settings.hub.max_rooms.0), (5, 7));
    assert_eq!(settings.network().io_threads, 2);
    assert_eq!((settings.log.as_str(), settings.log_format), ("warn", LogFormat::Text));
    assert_eq!(settings.metrics(), Some("127.0.0.1:0".parse().expect("an address")));
    assert_eq!(data_dir(&args(&flags).data).expect("legal"), Path::new("there"));
    let other = ["--config", file, "--data", "here"];
    assert_eq!(data_dir(&args(&other).data).expect("legal"), Path::new("here"));

    for (flag, value) in [("--max-devices", "0"), ("--metrics", "here"), ("--io-threads", "65")] {
        let failure = Settings::resolve(&args(&[flag, value])).expect_err("not allowed");
        assert!(failure.to_string().starts_with(&format!("{flag}: expected ")), "{failure}");
    }
    let failure = Settings::resolve(&args(&["--config", "/nowhere/chat.toml"])).expect_err("no such file");
    assert!(failure.to_string().starts_with("settings file /nowhere/chat.toml cannot be read"), "{failure}");
}

#[test]
fn what_is_in_transit_leaves_half_of_the_queue() {
    let transit = |text| of(text).expect("legal").network().max_in_transit;
    assert_eq!(transit(""), 128 * 1024);
    assert_eq!(transit("[connection]\nmax_queue = \"64 KiB\""), 32 * 1024);
    assert_eq!(transit("[network]\nmax_in_transit = \"1 MiB\""), 128 * 1024);
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let failure = Settings::resolve(&args(&["--config", "/dev/zero"])).expect_err("too long");
    assert!(failure.to_string().contains("more than 262144 bytes"), "{failure}");
}

#[test]
fn the_units_commands_are_legal() {
    let unit = include_str!("../../chatserver.service");
    let starts =
        |line: &str| line.strip_prefix("ExecStart")?.split_once('=').map(|(_, line)| line.to_owned());
    let commands: Vec<String> = unit.lines().filter_map(starts).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        Cli::try_parse_from(command.split(' ')).expect("legal arguments");
    }
}

#[test]
fn changes_are_told_apart_by_when_they_take_effect() {
    let before = Settings::default();
    let after = of("listen = \"127.0.0.1:1\"\nlog = \"warn\"\n[hub]\nmax_rooms = 1\npage_bytes = 16384\n\
                    [store]\nmax_queued_reads = 1\n[network]\nhandshake_timeout = \"1 s\"\nio_threads = 2\n")
    .expect("legal");
    let (now, at_start) = before.changes(&after);
    assert_eq!(now.iter().collect::<Vec<_>>(), ["hub.max_rooms", "log", "network.handshake_timeout"]);
    let waiting = ["hub.page_bytes", "listen", "network.io_threads", "store.max_queued_reads"];
    assert_eq!(at_start.iter().collect::<Vec<_>>(), waiting);
    assert_eq!(after.changes(&after), (BTreeSet::new(), BTreeSet::new()));
}

#[test]
fn retention_acts_before_the_file_is_full() {
    let check = |keep: &str| {
        let text = format!("[store]\nmax_file_bytes = \"80 MiB\"\nkeep_bytes = \"{keep}\"");
        of(&text).expect("each is legal").check().map_err(|failure| failure.to_string())
    };
    assert_eq!(check("70 MiB"), Ok(()));
    assert_eq!(check("unlimited"), Ok(()));
    for keep in ["71 MiB", "80 MiB", "1 GiB"] {
        let error = check(keep).expect_err(keep);
        assert!(error.contains("store.keep_bytes must be at most 7/8"), "{error}");
    }
}

#[test]
fn the_relay_s_size_is_that_of_the_start() {
    let hub = |settings: &Settings| {
        let empty = || Note::new("").expect("a note");
        settings.hub(ServerId([0; 16]), empty(), empty()).expect("settings")
    };
    let mut running = hub(&of("[relay]\nmax_relays = 4").expect("legal"));
    assert_eq!(running.max_relays, 4);
    of("[relay]\nmax_relays = 0\n[hub]\nmax_devices = 3").expect("legal").apply(&mut running);
    assert_eq!((running.max_relays, running.max_devices), (4, 3));
}
