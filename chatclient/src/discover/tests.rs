use std::net::IpAddr;

use mdns_sd::{ResolvedService, ServiceEvent, ServiceInfo};

use super::{BTreeMap, MAX_ADDRESSES, MAX_NAME, MAX_SERVERS, SERVICE, servers, take};
use crate::cli::Server;

const PRINT: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn announced(instance: &str, name: &str, addresses: &str, print: &str) -> ResolvedService {
    let properties = [("name", name), ("fingerprint", print)];
    let info = ServiceInfo::new(SERVICE, instance, "host.local.", addresses, 4848, &properties[..]);
    info.expect("an announcement").as_resolved_service()
}

#[test]
fn the_uri_is_what_server_takes_and_carries_the_fingerprint() {
    let found = servers(&announced("lab", "lab", "192.0.2.7,2001:db8::7", PRINT));
    assert_eq!(found.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["lab", "lab"]);
    for server in &found {
        let parsed: Server = server.uri.parse().expect("a server");
        assert_eq!(parsed.fingerprint.expect("a pin").to_string(), PRINT);
        assert_eq!(parsed.addr.port, 4848);
    }
}

#[test]
fn what_is_no_fingerprint_is_not_shown_as_one() {
    let found = servers(&announced("lab", "lab", "192.0.2.7", "sha256:trust-me"));
    assert_eq!((found[0].fingerprint.as_deref(), found[0].uri.as_str()), (None, "chat://192.0.2.7:4848/"));
}

#[test]
fn names_are_cut_and_escaped() {
    let found = servers(&announced("lab", "a\u{1b}[31m\u{202e}b", "192.0.2.7", PRINT));
    assert!(found[0].name.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{}", found[0].name);
    let found = servers(&announced("lab", &"x".repeat(200), "192.0.2.7", PRINT));
    assert_eq!(found[0].name.len(), MAX_NAME);
}

#[test]
fn addresses_that_lead_nowhere_are_left_out_and_the_others_are_few() {
    let found = servers(&announced("lab", "lab", "127.0.0.1,::1,fe80::1,0.0.0.0,224.0.0.1", PRINT));
    assert_eq!(found, []);
    let many = (1..=40).map(|last| format!("192.0.2.{last}")).collect::<Vec<_>>().join(",");
    assert_eq!(servers(&announced("lab", "lab", &many, PRINT)).len(), MAX_ADDRESSES);
}

#[test]
fn a_flood_of_servers_is_bounded_and_a_goodbye_takes_one_away() {
    let mut found = BTreeMap::new();
    for number in 0..2 * MAX_SERVERS {
        let service = announced(&format!("lab{number}"), "lab", "192.0.2.7", PRINT);
        take(&mut found, ServiceEvent::ServiceResolved(Box::new(service)));
    }
    assert_eq!(found.len(), MAX_SERVERS);
    let (name, address) = found.keys().next().cloned().expect("a server");
    assert_eq!(address, "192.0.2.7".parse::<IpAddr>().expect("an address"));
    take(&mut found, ServiceEvent::ServiceRemoved(SERVICE.to_owned(), name));
    assert_eq!(found.len(), MAX_SERVERS - 1);
}
