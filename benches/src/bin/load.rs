//! `load`: see [`benches`].

use std::process::ExitCode;

use benches::cli::{Cli, Command};
use benches::{Failure, campaign, floor, idle, join, silent, stalled, storm, transfer};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Floor(args)) => floor::run(args.listen).map_err(Failure::io("the floor")),
        Some(Command::Stalled(args)) => stalled::run(args),
        Some(Command::Storm(args)) => storm::run(args),
        Some(Command::Silent(args)) => silent::run(args),
        Some(Command::Join(args)) => join::run(args),
        Some(Command::Idle(args)) => idle::run(args),
        Some(Command::Transfer(args)) => transfer::run(args),
        None => campaign::run(&cli.load),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}
