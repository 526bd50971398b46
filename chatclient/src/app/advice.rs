//! What a user can do about it when peers do not get through.

use chatproto::reach::{By, Tried, Verdict};
use chatproto::wire::{ErrorCode, Way};

/// After `/reach` at this port.
pub(super) fn on_test(code: ErrorCode, port: u16, maps: bool) -> String {
    let is_silent = [ErrorCode::DialTimeout, ErrorCode::NoRoute].contains(&code);
    if is_silent && maps {
        format!(
            "let TCP port {port} in at the firewall, and see above what the router made of --map-port; until then peers \
             come by the other ways"
        )
    } else if is_silent {
        format!(
            "let TCP port {port} in at the firewall and have the router forward it here (--map-port asks the router; \
             --peer-listen 0.0.0.0:PORT keeps the same port); until then peers come by the other ways"
        )
    } else if code == ErrorCode::DialRefused {
        format!(
            "a firewall refuses TCP port {port}, or the router does not forward it here; --map-port asks the router"
        )
    } else if code == ErrorCode::WrongKey {
        "the router forwards that port to another machine: choose another one with --peer-listen 0.0.0.0:PORT"
            .to_owned()
    } else {
        String::new()
    }
}

/// After all ways to a peer have failed.
pub(super) fn on_verdict(verdict: &Verdict) -> String {
    let failed = |by: By| {
        let is_dial = |tried: &&Tried| matches!(tried.way, Way::Direct | Way::Reverse);
        let silent =
            [ErrorCode::DialTimeout, ErrorCode::DialRefused, ErrorCode::NoRoute, ErrorCode::NoPeerPort];
        verdict.tried.iter().filter(is_dial).any(|tried| tried.by == by && silent.contains(&tried.code))
    };
    let relay = verdict.tried.iter().find(|tried| tried.way == Way::Relay).map(|tried| tried.code);
    let mut advice = Vec::new();
    // `Us` dialled the other one's port.
    if failed(By::Us) || failed(By::Them) {
        advice.push("one of you must let peers in: --map-port, or a port of --peer-listen opened at firewall and router");
    }
    match relay {
        Some(ErrorCode::NoRelay) => {
            advice.push("the server's operator may allow relays ([relay] max_relays)")
        }
        Some(ErrorCode::RelayBusy) => advice.push("try again when the relay has less to do"),
        Some(ErrorCode::Declined) => advice.push("whoever runs with --relay never may leave that out"),
        _ => {}
    }
    if verdict.code == ErrorCode::WrongKey {
        advice.push("somebody else answers at that address: check which machine has the port");
    }
    advice.join("; or ")
}

/// A message, and the advice, if there is any.
pub(super) fn with(message: String, advice: &str) -> String {
    if advice.is_empty() { message } else { format!("{message}. What helps: {advice}") }
}

#[cfg(test)]
mod tests {
    use super::{on_test, on_verdict, with};
    use chatproto::reach::{By, Tried, Verdict};
    use chatproto::wire::{ErrorCode, Way};

    fn verdict(code: ErrorCode, tried: &[(Way, By, ErrorCode)]) -> Verdict {
        let tried = tried.iter().map(|&(way, by, code)| Tried { way, by, code }).collect();
        Verdict { code, tried }
    }

    #[test]
    fn two_closed_ports_without_a_relay_have_two_remedies() {
        let tried = [
            (Way::Direct, By::Us, ErrorCode::DialTimeout),
            (Way::Reverse, By::Them, ErrorCode::DialTimeout),
            (Way::Relay, By::Us, ErrorCode::NoRelay),
        ];
        let advice = on_verdict(&verdict(ErrorCode::DialTimeout, &tried));
        assert!(advice.contains("--map-port") && advice.contains("max_relays"), "{advice}");
    }

    #[test]
    fn what_nobody_can_help_has_no_advice() {
        let advice = on_verdict(&verdict(ErrorCode::Expired, &[]));
        assert_eq!(with("it expired".to_owned(), &advice), "it expired");
    }

    #[test]
    fn the_self_test_names_the_port_and_does_not_advise_what_is_done_already() {
        assert!(on_test(ErrorCode::DialTimeout, 4_900, false).contains("TCP port 4900"));
        assert!(on_test(ErrorCode::DialTimeout, 4_900, false).contains("--map-port asks"));
        assert!(!on_test(ErrorCode::DialTimeout, 4_900, true).contains("--map-port asks"));
    }
}
