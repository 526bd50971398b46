use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;

use super::pcp::{address_response, map_request, map_response, nat_pmp_request, nat_pmp_response};
use super::upnp::{Url, content, element, is_whole, location, service};
use super::{Error, Mapped, Protocol, Router, gateway, renewal};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

fn router() -> Router {
    Router { gateway: GATEWAY, local: Ipv4Addr::new(192, 168, 1, 7), port: 40_000, nonce: [7; 12] }
}

fn answer_to(request: &[u8]) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[1] |= 0x80;
    answer[42..44].copy_from_slice(&41_000_u16.to_be_bytes());
    answer[56..60].copy_from_slice(&[203, 0, 113, 9]);
    answer
}

#[test]
fn a_pcp_request_is_as_the_rfc_draws_it() {
    let packet = map_request(&router(), 40_001, Duration::from_secs(3_600));
    assert_eq!(packet[..4], [2, 1, 0, 0]);
    assert_eq!(packet[4..8], 3_600_u32.to_be_bytes());
    assert_eq!(packet[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 7]);
    assert_eq!(packet[24..36], [7; 12]);
    assert_eq!(packet[36..40], [6, 0, 0, 0]);
    assert_eq!(packet[40..44], [0x9c, 0x40, 0x9c, 0x41]);
    assert_eq!(packet[44..60], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
}

#[test]
fn a_pcp_answer_is_ours_only_with_our_nonce_and_port() {
    let answer = answer_to(&map_request(&router(), 0, Duration::from_secs(3_600)));
    let mapped = map_response(&router(), &answer).expect("ours").expect("a yes");
    let external = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 41_000);
    assert_eq!(mapped, Mapped { protocol: Protocol::Pcp, external, lease: Duration::from_secs(3_600) });
    for at in [1, 24, 36, 40] {
        let mut other = answer.clone();
        other[at] ^= 0x10;
        assert!(map_response(&router(), &other).is_none(), "byte {at}");
    }
    let mut refused = answer;
    refused[3] = 8;
    assert!(matches!(map_response(&router(), &refused), Some(Err(Error::Refused(_)))));
}

#[test]
fn a_nat_pmp_gateway_says_no_to_pcp() {
    assert!(matches!(map_response(&router(), &[0, 128, 0, 1, 0, 0, 0, 0]), Some(Err(Error::Refused(_)))));
}

#[test]
fn nat_pmp_is_as_the_rfc_draws_it() {
    let request = nat_pmp_request(40_000, 40_001, Duration::from_secs(3_600));
    assert_eq!(request, [0, 2, 0, 0, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x0e, 0x10]);
    let address =
        address_response(&[0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9]).expect("ours").expect("a yes");
    let answer = [0, 130, 0, 0, 0, 0, 0, 1, 0x9c, 0x40, 0xa0, 0x28, 0, 0, 0x0e, 0x10];
    let mapped = nat_pmp_response(40_000, address, &answer).expect("ours").expect("a yes");
    assert_eq!(mapped.external, SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 41_000));
    assert!(nat_pmp_response(40_001, address, &answer).is_none(), "another port's");
    let refused = [0, 130, 0, 2, 0, 0, 0, 1, 0x9c, 0x40, 0, 0, 0, 0, 0, 0];
    assert!(matches!(nat_pmp_response(40_000, address, &refused), Some(Err(Error::Refused(_)))));
}

#[test]
fn the_gateway_is_that_of_the_default_route_with_the_lowest_metric() {
    let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                  wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                  eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                  tun0\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0\n";
    if cfg!(target_endian = "little") {
        assert_eq!(gateway::of(routes), Some(GATEWAY));
    }
    assert_eq!(gateway::of("Iface\n"), None);
}

#[test]
fn a_description_elsewhere_is_not_fetched() {
    let answer = |place: &str| format!("HTTP/1.1 200 OK\r\nST: x\r\nLocation: {place}\r\n\r\n");
    let place = location(GATEWAY, &answer("http://192.168.1.1:5000/rootDesc.xml"));
    assert_eq!(place, Some(Url { port: 5_000, path: "/rootDesc.xml".to_owned() }));
    for place in [
        "http://192.168.1.2:5000/rootDesc.xml",
        "http://192.168.1.1@192.168.1.2/",
        "http://router.local/",
        "https://192.168.1.1/",
        "file:///etc/passwd",
        "http://192.168.1.1/a b",
        "http://192.168.1.1/\u{7}",
    ] {
        assert_eq!(location(GATEWAY, &answer(place)), None, "{place}");
    }
}

#[test]
fn the_newest_service_is_called_where_it_is_at_the_gateway() {
    let one = |kind: &str, at: &str| {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType><controlURL>{at}</controlURL></service>"
        )
    };
    let base = Url { port: 5_000, path: "/rootDesc.xml".to_owned() };
    let text = format!(
        "<root>{}{}{}</root>",
        one("Layer3Forwarding:1", "/l3f"),
        one("WANIPConnection:1", "/one"),
        one("WANIPConnection:2", "two")
    );
    let found = service(GATEWAY, &base, &text).expect("a service");
    assert_eq!((found.kind.ends_with("WANIPConnection:2"), found.at.path.as_str()), (true, "/two"));
    let elsewhere = one("WANIPConnection:1", "http://192.0.2.1/control");
    assert_eq!(service(GATEWAY, &base, &elsewhere), None);
}

#[test]
fn refusals_are_read_and_answers_end_where_they_say() {
    let refusal = "HTTP/1.1 500 Internal Server Error\r\n\r\n<errorCode>718</errorCode>";
    assert!(matches!(content(refusal), Err(Error::Code(718))));
    assert!(matches!(content("HTTP/1.1 404 Not Found\r\n\r\n"), Err(Error::Code(404))));
    assert_eq!(content("HTTP/1.0 200 OK\r\n\r\n<a>b</a>").expect("content"), "<a>b</a>");
    assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"));
    assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"));
}

#[test]
fn leases_are_renewed_at_half_of_their_life_within_bounds() {
    assert_eq!(renewal(Duration::from_secs(600)), Duration::from_secs(300));
    assert_eq!(renewal(Duration::from_secs(u64::from(u32::MAX))), Duration::from_secs(1_800));
    assert_eq!(renewal(Duration::ZERO), Duration::from_secs(10));
}

proptest! {
    #[test]
    fn nothing_that_a_router_says_does_harm(packet: Vec<u8>) {
        let text = String::from_utf8_lossy(&packet).into_owned();
        let _ = map_response(&router(), &packet);
        let _ = address_response(&packet);
        let _ = nat_pmp_response(40_000, GATEWAY, &packet);
        let _ = location(GATEWAY, &format!("HTTP/1.1 200 OK\r\nLocation: {text}\r\n"));
        let _ = (content(&text), is_whole(&packet), element(&text, "a"), gateway::of(&text));
    }
}
