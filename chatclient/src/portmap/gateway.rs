//! The gateway of this machine's default route.

use std::net::Ipv4Addr;

/// Where Linux lists its routes.
const ROUTES: &str = "/proc/net/route";

/// The route has a gateway (`RTF_GATEWAY`).
const HAS_GATEWAY: u32 = 2;

/// The gateway, or why there is none, in words.
pub(super) fn default() -> Result<Ipv4Addr, String> {
    let routes = std::fs::read_to_string(ROUTES).map_err(|error| {
        format!("the router is not known ({ROUTES}: {error}); name it: --map-port ADDRESS")
    })?;
    of(&routes).ok_or_else(|| {
        "this machine has no default route by IPv4, so there is no router to ask; name one: --map-port ADDRESS".to_owned()
    })
}

/// The gateway of the default route with the lowest metric.
pub(super) fn of(routes: &str) -> Option<Ipv4Addr> {
    let defaults = routes.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut hex = |at| fields.nth(at).and_then(|field| u32::from_str_radix(field, 16).ok());
        let (destination, gateway, flags) = (hex(0)?, hex(0)?, hex(0)?);
        // Between flags and mask: references, uses, and the metric, which is decimal.
        let metric = fields.nth(2)?.parse::<u32>().ok()?;
        let mask = fields.next().and_then(|field| u32::from_str_radix(field, 16).ok())?;
        let is_default = destination == 0 && mask == 0 && flags & HAS_GATEWAY != 0;
        // It is printed as the number that lies in memory.
        is_default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    defaults.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}
