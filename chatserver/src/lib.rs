//! The reference server: thin. It reads its arguments, keeps accounts and the message log, and drives
//! [`chatproto::hub::Hub`] over [`chatnet::Net`].
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`server`] | the loop: sockets, hub, store, signals |
//! | [`store`] | accounts and the durable log, in SQLite on threads of its own |
//! | [`users`] | the `user` commands |
//! | [`settings`] | what an operator may set: flags, environment, a file, defaults |
//! | [`house`] | the `room`, `ban` and `lockdown` commands |
//! | `control` | how they reach a running server |
//! | [`audit`] | the `audit` command |
//! | [`invites`], [`certificate`] | the `invite` and `rotate` commands |
//! | [`backup`] | the `backup` and `restore` commands |
//! | [`metrics`] | counts and times for Prometheus |
//! | [`logging`] | what the operator sees |

pub mod audit;
pub mod backup;
pub mod certificate;
pub mod cli;
mod control;
mod exit;
pub mod house;
pub mod invites;
pub mod logging;
pub mod metrics;
pub mod server;
pub mod settings;
pub mod store;
pub mod users;

pub use exit::Failure;
