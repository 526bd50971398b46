//! The `chatclient` program.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use chatclient::app;
use chatclient::cli::Args;
use chatclient::discover;
use chatclient::exit::ExitStatus;
use chatclient::notice::{Code, Notice};
use chatclient::ui::Ui;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == discover::WORD) {
        return discover::run(&discover::Args::parse_from(std::env::args_os().skip(1))).into();
    }
    let args = Args::parse();
    let mut ui = Ui::new(args.format());
    raise_descriptor_limit();
    let status = match start_log(&args.log) {
        Ok(()) => match args.into_settings() {
            Ok(settings) => app::run(settings, ui),
            Err(error) => refuse(&mut ui, &error.to_string()),
        },
        Err(error) => refuse(&mut ui, &format!("--log: {error}")),
    };
    status.into()
}

fn refuse(ui: &mut Ui, message: &str) -> ExitStatus {
    ui.show(&Notice::error(Code::Usage, message), None);
    Code::Usage.exit_status()
}

/// Many files come at once, each a descriptor: the soft limit of some systems leaves room for few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // It works without, as long as not too much happens at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Logs go to standard error; standard output is for what the user asked for.
fn start_log(filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::builder().parse(filter)?;
    // Colours are for eyes, not for files.
    let has_eyes = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(has_eyes).try_init()
}
