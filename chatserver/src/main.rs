//! `chatserver`: see [`chatserver::cli`].

use std::process::ExitCode;

use chatserver::cli::{Cli, Command};
use chatserver::{Failure, audit, backup, certificate, house, invites, server, settings, users};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => server::run(&cli.run),
        Some(Command::Run(args)) => server::run(args),
        Some(Command::CheckConfig(args)) => settings::check_config(args),
        Some(Command::Backup { file, data }) => backup::backup(file, data),
        Some(Command::Restore { file, data }) => backup::restore(file, data),
        Some(Command::User { command }) => users::run(command),
        Some(Command::Room { command }) => house::room(command),
        Some(Command::Ban { command }) => house::ban(command),
        Some(Command::Lockdown { command }) => house::lockdown(command),
        Some(Command::Invite { command }) => invites::run(command),
        Some(Command::Rotate(args)) => certificate::rotate(args),
        Some(Command::Audit(args)) => audit::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("chatserver: {failure}");
    failure.code()
}
