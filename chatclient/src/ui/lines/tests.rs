use std::cell::RefCell;

use super::*;
use crate::command::{Command, CommandError, Request};

/// What a script becomes; `chunk` is how many bytes come at a time.
fn inputs(format: Format, script: &[u8], chunk: usize) -> Vec<Input> {
    let seen = RefCell::new(Vec::new());
    read_all(format, io::BufReader::with_capacity(chunk, script), &|input| {
        seen.borrow_mut().push(input);
        true
    });
    seen.into_inner()
}

fn request(line: &str, command: Command, reference: Option<&str>) -> Input {
    Input::Request(Request { command, line: line.to_owned(), reference: reference.map(str::to_owned) })
}

fn say(text: &str) -> Input {
    request(text, Command::Say { text: chatproto::wire::Text::new(text).unwrap() }, None)
}

#[test]
fn lines_become_inputs_however_they_arrive() {
    let script = b"hello\r\n\n/rooms\n\xff\xfe\nok \xc3\n/nope\nno newline at the end";
    let expected = [
        say("hello"),
        request("/rooms", Command::Rooms, None),
        malformed(InputError::NotUtf8 { line: 4, byte: 1 }, None),
        malformed(InputError::NotUtf8 { line: 5, byte: 4 }, None),
        malformed(CommandError::Unknown("/nope".into()).into(), None),
        say("no newline at the end"),
        Input::End,
    ];
    for chunk in [1, 2, 7, 4096] {
        assert_eq!(inputs(Format::Text, script, chunk), expected, "in chunks of {chunk}");
    }
    assert_eq!(inputs(Format::Text, b"", 1), [Input::End]);
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_the_next_one_counts() {
    let longest = format!("/{}", "x".repeat(MAX_LINE_BYTES - 1));
    let script = format!("{longest}\n{longest}y\nhello\n{longest}yyyyyyyyyyy");
    let unknown = malformed(CommandError::Unknown(longest).into(), None);
    for chunk in [1000, 1 << 20] {
        assert_eq!(
            inputs(Format::Text, script.as_bytes(), chunk),
            [
                unknown.clone(),
                malformed(InputError::TooLong { line: 2 }, None),
                say("hello"),
                malformed(InputError::TooLong { line: 4 }, None),
                Input::End,
            ],
            "in chunks of {chunk}"
        );
    }
}

#[test]
fn json_lines_carry_their_reference() {
    let script = br#"
{"cmd":"/get 3","ref":"x"}
  {"ref":"y","cmd":"hello"}
{"cmd":"/rooms"}
/peers
{not json
{"cmd":"/nope","ref":"z"}
{"cmd":3,"ref":"three"}
{"command":"/rooms","ref":"typo"}
{"cmd":" ","ref":"blank"}
{"cmd":"a\nb"}
"#;
    let inputs = inputs(Format::Json, script, 64);
    let hello = chatproto::wire::Text::new("hello").unwrap();
    let get = Command::Get { peer: None, files: crate::command::Picks::These(vec![3]) };
    assert_eq!(
        inputs[..4],
        [
            request("/get 3", get, Some("x")),
            request("hello", Command::Say { text: hello }, Some("y")),
            request("/rooms", Command::Rooms, None),
            request("/peers", Command::Peers, None),
        ]
    );
    let wrong: Vec<_> = inputs[4..]
        .iter()
        .map(|input| match input {
            Input::Malformed { error, reference } => (error.to_string(), reference.as_deref()),
            Input::Request(_) | Input::NewPassword(_) | Input::End | Input::Interrupt => {
                (format!("{input:?}"), None)
            }
        })
        .collect();
    let json = r#"not a JSON command like {"cmd":"/get 3","ref":"x"}: "#;
    for ((message, reference), (start, expected)) in wrong.iter().zip([
        (format!("{json}key must be a string"), None),
        ("there is no command \"/nope\"".to_owned(), Some("z")),
        (format!("{json}invalid type: integer `3`, expected a string"), Some("three")),
        (format!("{json}unknown field `command`"), Some("typo")),
        (format!("{json}cmd is empty"), Some("blank")),
        ("the text cannot be sent".to_owned(), None),
        ("End".to_owned(), None),
    ]) {
        assert!(message.starts_with(&start), "{message} should start with {start}");
        assert_eq!(*reference, expected, "{message}");
    }
    assert_eq!(wrong.len(), 7);
}

#[test]
fn braces_are_text_unless_json_was_asked_for() {
    assert_eq!(inputs(Format::Text, b"{\"cmd\":\"/quit\"}", 64), [say("{\"cmd\":\"/quit\"}"), Input::End]);
}

#[test]
fn reading_stops_when_nobody_wants_more() {
    let seen = RefCell::new(0);
    read_all(Format::Text, io::BufReader::new(&b"a\nb\nc\n"[..]), &|_| {
        *seen.borrow_mut() += 1;
        *seen.borrow() < 2
    });
    assert_eq!(seen.into_inner(), 2);
}

#[test]
fn input_that_fails_is_told_and_ends() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let seen = RefCell::new(Vec::new());
    read_all(Format::Text, io::BufReader::new(Broken), &|input| {
        seen.borrow_mut().push(input);
        true
    });
    assert_eq!(seen.into_inner(), [malformed(InputError::Failed("unplugged".into()), None), Input::End]);
}
