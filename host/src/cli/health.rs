//! `health`.

#[cfg(feature = "http")]
use super::elsewhere::Elsewhere;
use super::{args::Cli, output::Output, session::json};
use crate::{
    control::{Client, ControlError, ErrorKind, Request},
    store::DataDir,
};
use serde::Serialize;

/// The answer; whatever else it may be is a refusal.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Whether the host takes commands.
pub(super) fn health(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    ask(cli)?;
    output.answer(&json(&Health { status: "ready" }));
    Ok(0)
}

fn ask(cli: &Cli) -> Result<(), ControlError> {
    #[cfg(feature = "http")]
    if let Some(host) = &cli.host {
        return Elsewhere::named(host, cli.token_file.as_deref(), None, false)?.health();
    }
    DataDir::refuse_foreign(&cli.data)?;
    // This process is not one that takes commands: the data directory is not opened.
    let Some(client) = Client::connect(&cli.data.join("control.sock"))? else {
        let message = format!("no host runs on {}: unspool serve", cli.data.display());
        return Err(ControlError::new(ErrorKind::Host, message));
    };
    client.ask(&Request::Health, &mut |_| true).map(drop)
}
