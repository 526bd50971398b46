//! For whoever runs the server: limits that change while it runs, and figures.

use alloc::vec::Vec;

use super::{Config, ConnId, Hub};

impl Hub {
    /// Takes the limits of `config` over. Those of a single connection's budget hold for connections that come from now
    /// on, all others at once; who has more rooms or devices than a new limit allows keeps them.
    ///
    /// What was told to clients or shapes what is kept stays as it was at the start: `server`, `agent`, `mechanisms`,
    /// `capabilities`, `default_room`, `limits.max_frame`, `page_bytes` and `recent_bytes`.
    pub fn set_limits(&mut self, config: Config) {
        let old = &self.config;
        let mut config = Config {
            server: old.server,
            agent: old.agent.clone(),
            mechanisms: old.mechanisms.clone(),
            capabilities: old.capabilities,
            default_room: old.default_room.clone(),
            page_bytes: old.page_bytes,
            recent_bytes: old.recent_bytes,
            ..config
        };
        config.limits.max_frame = old.limits.max_frame;
        self.config = config.within_bounds();
        // A shorter time must not wait for the end of the longer one.
        let everybody: Vec<ConnId> = self.clients.keys().copied().collect();
        for id in everybody {
            self.schedule(id);
        }
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many connections are in or before a login.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.strangers.count()
    }

    /// Connections that were told to come back later, for there were too many strangers; since the start.
    #[must_use]
    pub fn strangers_refused(&self) -> u64 {
        self.strangers.refused()
    }

    /// Bytes that wait to be sent, over all connections; goes through all of them. What they share counts for each.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.clients.values().map(|client| client.conn.queue.len()).sum()
    }

    /// Messages queued for connections since the start, live ones and those that were missed.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }
}
