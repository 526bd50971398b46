//! One JSON object a line.

use serde::Serialize;

use crate::notice::Notice;

/// The line without its end; `None` for what is for people only.
pub(super) fn line(notice: &Notice, reference: Option<&str>) -> Option<String> {
    if !notice.is_event() {
        return None;
    }
    // All keys are strings and no value fails, so there is always a line.
    serde_json::to_string(&Line { notice, reference }).ok()
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    notice: &'a Notice,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Code;

    #[test]
    fn an_answer_carries_the_reference_of_its_command() {
        let error = Notice::error(Code::NoList, "a \u{1b}[0m\nb");
        assert_eq!(
            line(&error, Some("x\"y")).unwrap(),
            r#"{"event":"error","code":"no_list","message":"a \u001b[0m\nb","ref":"x\"y"}"#
        );
        assert_eq!(line(&Notice::Rooms { rooms: vec![] }, None).unwrap(), r#"{"event":"rooms","rooms":[]}"#);
    }

    #[test]
    fn remarks_for_people_are_no_events() {
        assert_eq!(line(&Notice::Info("hello".into()), Some("x")), None);
        assert_eq!(line(&Notice::Help, Some("x")), None);
    }
}
