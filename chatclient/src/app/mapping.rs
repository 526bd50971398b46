//! The router's port that leads to this client: `--map-port`.
//!
//! The mapped port is announced instead of the own one where it leads to this client as the server sees it.

use super::App;
use crate::notice::Notice;
use crate::portmap::{Mapped, Mapper, Report};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    mapper: Option<Mapper>,
    mapped: Option<Mapped>,
    /// This client's address as the server sees it.
    observed: Option<IpAddr>,
}

impl App {
    /// Begins to map the port for peers, if the user wants that.
    pub(super) fn start_mapping(&mut self) {
        let (Some(gateway), Some(port)) = (self.settings.map_port, self.server.peer_port) else { return };
        match Mapper::start(port, gateway, self.net.waker()) {
            Ok(mapper) => self.mapping.mapper = Some(mapper),
            Err(error) => self.voice.info(format!("no port of the router can be mapped: {error}")),
        }
    }

    /// Takes what the router has said.
    pub(super) fn take_mapping(&mut self) {
        let Some(mapper) = &mut self.mapping.mapper else { return };
        for report in mapper.reports() {
            let notice = match report {
                Report::Mapped(mapped) => {
                    self.mapping.mapped = Some(mapped);
                    let (ip, port) = (mapped.external.ip(), mapped.external.port());
                    let by = mapped.protocol;
                    mapping(
                        mapped,
                        format!(
                            "the router leads port {port} of {ip} to this client, by {by}, until it ends"
                        ),
                    )
                }
                Report::Failed(why) => {
                    self.mapping.mapped = None;
                    let message = format!("{why}; peers are met without it, by the other ways");
                    Notice::PortMapping { mapped: false, address: None, protocol: None, message }
                }
            };
            self.voice.show(&notice, None);
            self.announce_anew();
            self.warn_of_other_address();
        }
    }

    /// The server says under which address it sees this client.
    pub(super) fn on_observed(&mut self, observed: SocketAddr) {
        let observed = observed.ip().to_canonical();
        if self.mapping.observed.replace(observed) != Some(observed) && self.mapping.mapped.is_some() {
            self.announce_anew();
            self.warn_of_other_address();
        }
    }

    /// The port that peers are told: the router's, if the server sees this client behind the router.
    pub(super) fn announced_port(&self) -> Option<u16> {
        let own = self.server.peer_port?;
        let mapped = self.mapping.mapped.filter(|_| self.mapping.observed.is_some_and(is_beyond_the_router));
        Some(mapped.map_or(own, |mapped| mapped.external.port()))
    }

    /// Two translations behind one another: a port of the inner one alone leads nowhere.
    fn warn_of_other_address(&mut self) {
        let (Some(mapped), Some(observed)) = (self.mapping.mapped, self.mapping.observed) else { return };
        let external = *mapped.external.ip();
        if is_beyond_the_router(observed) && observed != IpAddr::V4(external) {
            let message = format!(
                "the router says that its address is {external}, but the server sees you at {observed}: another \
                 router lies before it, and peers may not get through. Map port {} there as well, or have the inner \
                 router bridge; /reach tells whether it works",
                mapped.external.port()
            );
            self.voice.show(&mapping(mapped, message), None);
        }
    }
}

fn mapping(mapped: Mapped, message: String) -> Notice {
    let (address, protocol) = (Some(SocketAddr::V4(mapped.external)), Some(mapped.protocol));
    Notice::PortMapping { mapped: true, address, protocol, message }
}

/// Whether the server sees an address that is not of this side of the router. To a server at home, and over IPv6, peers
/// come without the router's translation.
fn is_beyond_the_router(observed: IpAddr) -> bool {
    match observed {
        IpAddr::V4(ip) => {
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip == Ipv4Addr::UNSPECIFIED)
        }
        IpAddr::V6(_) => false,
    }
}
