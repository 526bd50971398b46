use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn text(said: &str) -> Text {
    Text::new(said).unwrap()
}

fn ls(peer: Option<&str>, path: &str, page: Option<u32>) -> Command {
    Command::Ls { peer: peer.map(name), path: SafeRelPath::new(path).unwrap(), page, inline: false }
}

fn get(peer: Option<&str>, numbers: &[u32]) -> Command {
    let files = Picks::These(numbers.iter().copied().map(u64::from).collect());
    Command::Get { peer: peer.map(name), files }
}

fn decree(action: Action, subject: &str, seconds: u32, reason: &str) -> Command {
    let subject = (!subject.is_empty()).then(|| subject.parse().unwrap());
    Command::Govern(Decree { action, subject, seconds, note: Note::new(reason).unwrap() })
}

fn consent(whom: ConsentWhom, rule: Option<ConsentRule>) -> Command {
    Command::Consent { change: Some((whom, rule)) }
}

#[test]
fn every_command_is_read() {
    let bob = || name("bob");
    let table = [
        ("/join games", Command::Join { room: name("games") }),
        ("  /join\tgames  ", Command::Join { room: name("games") }),
        ("/leave", Command::Leave { room: None }),
        ("/leave games", Command::Leave { room: Some(name("games")) }),
        ("/rooms", Command::Rooms),
        ("/who", Command::Who { room: None }),
        ("/who games", Command::Who { room: Some(name("games")) }),
        ("/msg bob  hi there", Command::Msg { user: bob(), text: text("hi there") }),
        ("/history", Command::History { count: None }),
        ("/history 50", Command::History { count: Some(50) }),
        ("/search two words", Command::Search { words: text("two words") }),
        ("[FILE] bob", Command::File { user: bob() }),
        (" [FILE]  bob ", Command::File { user: bob() }),
        ("/file bob", Command::File { user: bob() }),
        ("/ls", ls(None, "", None)),
        ("/ls .", ls(None, "", None)),
        ("/ls /", ls(None, "", None)),
        ("/ls @bob", ls(Some("bob"), "", None)),
        ("/ls docs/", ls(None, "docs", None)),
        ("/ls my docs/a  b", ls(None, "my docs/a  b", None)),
        ("/ls --page 2", ls(None, "", Some(2))),
        ("/ls @bob my docs --page 3", ls(Some("bob"), "my docs", Some(3))),
        ("/ls x--page 3", ls(None, "x--page 3", None)),
        ("/ls --inline", Command::Ls { peer: None, path: SafeRelPath::root(), page: None, inline: true }),
        (
            "/ls a b --page 2 --inline",
            Command::Ls { peer: None, path: SafeRelPath::new("a b").unwrap(), page: Some(2), inline: true },
        ),
        ("/ls x--inline", ls(None, "x--inline", None)),
        ("/ls x --pages", ls(None, "x --pages", None)),
        ("/get 3", get(None, &[3])),
        ("/get 3 5 2", get(None, &[3, 5, 2])),
        ("/get @bob 2-5 4 9-9", get(Some("bob"), &[2, 3, 4, 5, 9])),
        ("/get 4294967295", get(None, &[u32::MAX])),
        ("/get 4294967294-4294967295", get(None, &[u32::MAX - 1, u32::MAX])),
        ("/peer bob over the link", Command::PeerSay { user: bob(), text: text("over the link") }),
        ("/transfers", Command::Transfers),
        ("/get 2-4,9,3 1", get(None, &[2, 3, 4, 9, 1])),
        ("/get all", Command::Get { peer: None, files: Picks::All }),
        ("/get @bob *", Command::Get { peer: Some(name("bob")), files: Picks::All }),
        ("/cancel 7", Command::Cancel { transfers: Picks::These(vec![7]) }),
        ("/discard 7", Command::Discard { id: 7 }),
        ("/cancel all", Command::Cancel { transfers: Picks::All }),
        ("/pause 1-2,5", Command::Pause { transfers: Picks::These(vec![1, 2, 5]) }),
        ("/resume *", Command::Resume { transfers: Picks::All }),
        ("/retry 3 4", Command::Retry { transfers: Picks::These(vec![3, 4]) }),
        ("/accept 18446744073709551615", Command::Accept { id: u64::MAX }),
        ("/deny 0", Command::Deny { id: 0 }),
        ("/create den", Command::Create { room: name("den"), private: false }),
        ("/create den private", Command::Create { room: name("den"), private: true }),
        ("/topic", Command::Topic),
        ("/topic be kind", order(Action::Topic, None, 0, "be kind")),
        ("/topic -", order(Action::Topic, None, 0, "")),
        ("/slow 30s", order(Action::Slow, None, 30, "")),
        ("/slow 0", order(Action::Slow, None, 0, "")),
        ("/invite bob", order(Action::Invite, Some("bob"), 0, "")),
        ("/kick bob", order(Action::Kick, Some("bob"), 0, "")),
        ("/kick bob too  loud", order(Action::Kick, Some("bob"), 0, "too  loud")),
        ("/mute bob 90", order(Action::Mute, Some("bob"), 90, "")),
        ("/mute bob 15m too loud", order(Action::Mute, Some("bob"), 900, "too loud")),
        ("/unmute bob", order(Action::Unmute, Some("bob"), 0, "")),
        ("/ban bob 2h spam", order(Action::Ban, Some("bob"), 7_200, "spam")),
        ("/ban bob 2h --address", order(Action::BanAddress, Some("bob"), 7_200, "")),
        (
            "/ban bob 2h --address too much spam",
            order(Action::BanAddress, Some("bob"), 7_200, "too much spam"),
        ),
        (
            "/ban bob 2h too much spam --address",
            order(Action::BanAddress, Some("bob"), 7_200, "too much spam"),
        ),
        ("/ban bob 2h the --address option", order(Action::Ban, Some("bob"), 7_200, "the --address option")),
        ("/ban bob 7d", order(Action::Ban, Some("bob"), 604_800, "")),
        ("/ban bob forever spam", order(Action::Ban, Some("bob"), 0, "spam")),
        ("/unban bob", order(Action::Unban, Some("bob"), 0, "")),
        ("/op bob", order(Action::Op, Some("bob"), 0, "")),
        ("/deop bob", order(Action::Deop, Some("bob"), 0, "")),
        ("/owner bob", order(Action::Owner, Some("bob"), 0, "")),
        ("/private", order(Action::Private, None, 0, "")),
        ("/public", order(Action::Public, None, 0, "")),
        ("/remove den", Command::Remove { room: name("den") }),
        ("/bans", Command::Inquire { of_server: false, about: Inquiry::Imposed, count: None }),
        ("/audit", Command::Inquire { of_server: false, about: Inquiry::Audit, count: None }),
        ("/audit 50", Command::Inquire { of_server: false, about: Inquiry::Audit, count: Some(50) }),
        ("/server-bans", Command::Inquire { of_server: true, about: Inquiry::Imposed, count: None }),
        ("/server-audit 200", Command::Inquire { of_server: true, about: Inquiry::Audit, count: Some(200) }),
        ("/server-ban bob 1h spam", decree(Action::Ban, "bob", 3_600, "spam")),
        ("/server-ban 2001:db8::/32 forever", decree(Action::Ban, "2001:db8::/32", 0, "")),
        ("/server-unban @192.0.2.7", decree(Action::Unban, "@192.0.2.7", 0, "")),
        ("/lockdown on", decree(Action::Lockdown, "", 0, "")),
        ("/lockdown hush a flood", decree(Action::Hush, "", 0, "a flood")),
        ("/lockdown off", decree(Action::Unlock, "", 0, "")),
        ("/peers", Command::Peers),
        ("/reach", Command::Reach),
        ("/hangup bob", Command::Hangup { user: bob() }),
        ("/direct bob", Command::Direct { user: bob() }),
        ("/verify bob", Command::Verify { user: bob(), code: None }),
        ("/verify bob 12345 67890-1", Command::Verify { user: bob(), code: Some("12345 67890-1".into()) }),
        ("/trust bob", Command::Trust { user: bob() }),
        ("/consent", Command::Consent { change: None }),
        ("/consent bob always", consent(ConsentWhom::Person(bob()), Some(ConsentRule::Always))),
        ("/consent #games never", consent(ConsentWhom::Room(name("games")), Some(ConsentRule::Never))),
        ("/consent bob ask", consent(ConsentWhom::Person(bob()), Some(ConsentRule::Ask))),
        ("/consent bob default", consent(ConsentWhom::Person(bob()), None)),
        ("/relay", Command::Relay { change: None }),
        ("/relay bob only", Command::Relay { change: Some((Some(bob()), true)) }),
        ("/relay all default", Command::Relay { change: Some((None, false)) }),
        ("/devices", Command::Devices),
        ("/revoke 00AbF", Command::Revoke { device: "00abf".into() }),
        ("/passwd my new password.txt", Command::Passwd { file: "my new password.txt".into() }),
        ("/server", Command::Server),
        ("/help", Command::Help),
        ("/quit", Command::Quit),
    ];
    for (line, command) in &table {
        assert_eq!(parse(line).as_ref(), Ok(&Some(command.clone())), "{line:?}");
    }
    for help in COMMANDS {
        assert!(
            table.iter().any(|(line, _)| line.trim().starts_with(help.word)),
            "{} is not tried",
            help.word
        );
        assert!(help.usage.starts_with(help.word), "{}", help.usage);
    }
}

#[test]
fn everything_else_is_said() {
    for (line, said) in [
        ("hello", "hello"),
        ("  hello  there ", "hello  there"),
        ("//shrug", "/shrug"),
        ("//", "/"),
        ("///", "//"),
        ("look at [FILE] bob", "look at [FILE] bob"),
        ("[FILE]bob", "[FILE]bob"),
        ("[file] bob", "[file] bob"),
        ("a/b", "a/b"),
        ("{\"cmd\":\"/quit\"}", "{\"cmd\":\"/quit\"}"),
        ("日本語 👨\u{200d}👩\u{200d}👧", "日本語 👨\u{200d}👩\u{200d}👧"),
    ] {
        assert_eq!(parse(line), Ok(Some(Command::Say { text: text(said) })), "{line:?}");
    }
    for blank in ["", " ", "\t", "\r"] {
        assert_eq!(parse(blank), Ok(None), "{blank:?}");
    }
}

#[test]
fn wrong_lines_say_what_is_wrong() {
    let shown = |line: &str| parse(line).expect_err(line).to_string();
    for (line, message) in [
        ("/frobnicate now", r#"there is no command "/frobnicate"; /help shows them all, and //x says /x"#),
        ("/", r#"there is no command "/"; /help shows them all, and //x says /x"#),
        ("/Join x", r#"there is no command "/Join"; /help shows them all, and //x says /x"#),
        ("/\u{1b}[2J", r#"there is no command "/\u{1b}[2J"; /help shows them all, and //x says /x"#),
        ("/join", "/join needs the name of a room: /join ROOM"),
        ("/join a b", r#"/join takes no "b": /join ROOM"#),
        ("/leave a b", r#"/leave takes no "b": /leave [ROOM]"#),
        ("/rooms a", r#"/rooms takes no "a": /rooms"#),
        ("/msg", "/msg needs the name of a person: /msg USER TEXT"),
        ("/msg bob", "/msg needs a text: /msg USER TEXT"),
        ("/msg b@b hi", r#""b@b" is no name: `name` carries the forbidden character U+0040"#),
        ("/history 0", r#""0" is no number of messages from 1 to 10000"#),
        ("/history 10001", r#""10001" is no number of messages from 1 to 10000"#),
        ("/history x", r#""x" is no number of messages from 1 to 10000"#),
        ("/search", "/search needs words to search for: /search WORDS"),
        ("[FILE]", "[FILE] needs the name of a person: [FILE] USER"),
        ("[FILE] bob and more", r#"[FILE] takes no "and": [FILE] USER"#),
        ("/ls @", r#""" is no name: `name` is empty"#),
        ("/ls --page", "/ls needs a number after --page: /ls [@USER] [PATH] [--page N] [--inline]"),
        ("/ls --page 0", r#""0" is no page number"#),
        ("/ls --page 1 2", r#""1 2" is no page number"#),
        ("/get", "/get needs the number of a file: /get [@USER] NUMBER...|all"),
        ("/get @bob", "/get needs the number of a file: /get [@USER] NUMBER...|all"),
        ("/get 0", r#""0" is no file number"#),
        ("/get +1", r#""+1" is no file number"#),
        ("/get 4294967296", r#""4294967296" is no file number"#),
        ("/get 99999999999999999999", r#""99999999999999999999" is no file number"#),
        ("/get -3", r#""" is no file number"#),
        ("/get 1-", r#""" is no file number"#),
        ("/get 5-2", r#"the range "5-2" ends before it starts"#),
        ("/get 1-10001", "at most 10000 numbers can be given at once; `all` means everything"),
        ("/get all 3", r#""all" is no file number"#),
        ("/pause", "/pause needs an id: /pause ID...|all"),
        ("/retry x", r#""x" is no id"#),
        ("/get 1-4294967295", "at most 10000 numbers can be given at once; `all` means everything"),
        ("/peer bob", "/peer needs a text: /peer USER TEXT"),
        ("/cancel", "/cancel needs an id: /cancel ID...|all"),
        ("/cancel x", r#""x" is no id"#),
        ("/accept 18446744073709551616", r#""18446744073709551616" is no id"#),
        ("/deny 1 2", r#"/deny takes no "2": /deny ID"#),
        ("/direct", "/direct needs the name of a person: /direct USER"),
        ("/quit now", r#"/quit takes no "now": /quit"#),
        ("a\tb", "the text cannot be sent: `text` carries the forbidden character U+0009"),
        ("exe\u{202e}gpj", "the text cannot be sent: `text` carries the forbidden character U+202E"),
    ] {
        assert_eq!(shown(line), message, "{line:?}");
    }
    assert!(shown("/ls ../secret").starts_with(r#""../secret" is no path of a list: name 1 of the path"#));
    assert!(shown("/ls //etc").contains("is no path of a list"));
    let long = "x".repeat(4097);
    assert_eq!(shown(&long), "the text cannot be sent: `text` is 4097 bytes long, at most 4096 are allowed");
    let shouted = format!("/join {}", "x".repeat(33));
    assert!(shown(&shouted).ends_with("`name` is 33 bytes long, at most 32 are allowed"));
}

#[test]
fn ten_thousand_files_can_be_asked_for_at_once() {
    let Ok(Some(Command::Get { files: Picks::These(numbers), .. })) = parse("/get 1-10000 500-600") else {
        panic!("not read")
    };
    assert_eq!(numbers.len(), MAX_PICKS);
}

fn order(action: Action, user: Option<&str>, seconds: u32, remark: &str) -> Command {
    let note = Note::new(remark).unwrap();
    Command::Moderate(Order { action, user: user.map(name), seconds, note })
}

#[test]
fn wrong_times_and_orders_say_what_is_wrong() {
    for (line, part) in [
        ("/mute bob", "needs a time"),
        ("/mute bob soon", "\"soon\" is no time, as 90s"),
        ("/mute bob 0", "is no time"),
        ("/mute bob h", "is no time"),
        ("/ban bob 99999999999d", "is no time"),
        ("/slow", "needs a time"),
        ("/slow 2h", "from 1s to 1h"),
        ("/slow forever", "from 1s to 1h"),
        ("/op bob now", "takes no \"now\""),
        ("/kick", "needs the name of a person"),
        ("/create", "needs the name of a room"),
        ("/create den secret", "takes no \"secret\""),
        ("/create den private now", "takes no \"now\""),
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
    let long = format!("/topic {}", "x".repeat(256));
    assert!(matches!(parse(&long), Err(CommandError::Text(_))));
}
