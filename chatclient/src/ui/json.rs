//! One JSON object a line.

use serde::Serialize;

use crate::notice::Notice;

/// The line without its end; `None` for what is for people only.
pub(super) fn line(notice: &Notice, reference: Option<&str>) -> Option<String> {
    if matches!(notice, Notice::Info(_) | Notice::Help) {
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
