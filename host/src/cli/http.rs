//! `serve --listen`, `token` and `ui`.

use super::{
    args::{Cli, HttpArgs, TokenCommand},
    output::Output,
    session::{Session, json, settings_file},
};
use crate::{
    control::{Access, ControlError, Host, Payloads, Request, Response, Role},
    http::{HttpOptions, Proxy, Server, Tokens},
    private,
    settings::{ProxySettings, Settings},
    store::DataDir,
};
use clap::ValueEnum;
use serde::Serialize;
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Answers HTTP, where that is asked for.
pub(super) fn listen(cli: &Cli, args: &HttpArgs, host: &Host) -> Result<Option<Server>, ControlError> {
    let Some(options) = options(cli, args)? else { return Ok(None) };
    refuse_open(&options, &Tokens::of(&cli.data))?;
    let server = Server::start(host.clone(), options)?;
    tracing::info!("listening on {}", server.url().trim_end_matches('/'));
    Ok(Some(server))
}

/// What the command line says, then the settings; `None` where neither wants it.
fn options(cli: &Cli, args: &HttpArgs) -> Result<Option<HttpOptions>, ControlError> {
    let file = settings_file(cli);
    let set = Settings::read(&file).map_err(|e| ControlError::refused(e.to_string()))?.http;
    let Some(listen) = args.listen.or(set.listen) else {
        return match args.listen_metrics.or(set.listen_metrics) {
            None => Ok(None),
            Some(_) => Err(ControlError::refused("--listen-metrics needs --listen beside it")),
        };
    };
    let beside = |path: PathBuf| file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path));
    let cert = args.tls_cert.clone().or_else(|| set.tls_cert.map(beside));
    let key = args.tls_key.clone().or_else(|| set.tls_key.map(beside));
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            return Err(ControlError::refused(
                "TLS needs both a certificate and its key: tls_cert and tls_key of [http]",
            ));
        }
    };
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Some(HttpOptions {
        listen,
        listen_metrics: args.listen_metrics.or(set.listen_metrics),
        tls,
        behind_proxy: args.behind_proxy || set.behind_proxy,
        hosts: set.hosts,
        name: set.name.unwrap_or_else(machine),
        production: set.production,
        proxy: set.proxy.map(proxy).transpose()?,
    }))
}

fn proxy(set: ProxySettings) -> Result<Proxy, ControlError> {
    let role = |text: &str| Role::from_str(text, false).map_err(|_| unknown("role", text, "viewer, operator or admin"));
    let roles =
        set.roles.iter().map(|(name, text)| Ok((name.clone(), role(text)?))).collect::<Result<_, ControlError>>()?;
    let payloads = set
        .payloads
        .as_deref()
        .map(|text| Payloads::from_str(text, false).map_err(|_| unknown("payloads", text, "none, masked or full")));
    Ok(Proxy {
        user_header: set.user_header.to_ascii_lowercase(),
        from: set.from,
        role: set.role.as_deref().map(role).transpose()?.unwrap_or(Role::Viewer),
        roles,
        payloads: payloads.transpose()?.unwrap_or_default(),
    })
}

fn unknown(what: &str, text: &str, known: &str) -> ControlError {
    ControlError::refused(format!("{what} = {text:?} of [http.proxy] in unspool.toml: it is {known}"))
}

/// What others can reach needs to be encrypted, and to know somebody.
fn refuse_open(options: &HttpOptions, tokens: &Tokens) -> Result<(), ControlError> {
    let known = !tokens.all()?.is_empty() || options.proxy.is_some();
    if options.listen.ip().is_loopback() {
        return Ok(());
    }
    let address = options.listen;
    if options.tls.is_none() && !options.behind_proxy {
        return Err(ControlError::refused(format!(
            "others can reach {address}, and what they send would not be encrypted: add --tls-cert and --tls-key, or --behind-proxy \
             where a proxy has TLS, or listen on 127.0.0.1"
        )));
    }
    if !known {
        return Err(ControlError::refused(format!(
            "others can reach {address}, and nobody is known yet who may: unspool token add NAME --role operator"
        )));
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    role: Role,
    payloads: Payloads,
    created_at: i64,
}

#[derive(Serialize)]
struct Made {
    name: String,
    role: Role,
    payloads: Payloads,
    token: String,
}

/// `token`.
pub(super) fn token(cli: &Cli, command: &TokenCommand, output: &Output) -> Result<u8, ControlError> {
    DataDir::refuse_foreign(&cli.data)?;
    if !cli.data.is_dir() {
        return Err(ControlError::refused(format!("{} is no data directory", cli.data.display())));
    }
    let tokens = Tokens::of(&cli.data);
    match command {
        TokenCommand::Add { name, role, payloads } => {
            let token = tokens.add(name, *role, *payloads)?;
            output.answer(&json(&Made { name: name.clone(), role: *role, payloads: *payloads, token }));
        }
        TokenCommand::List => {
            for token in tokens.all()? {
                let (name, role, payloads, created_at) = (token.name, token.role, token.payloads, token.created_at);
                output.row(&json(&Listed { name, role, payloads, created_at }));
            }
        }
        TokenCommand::Remove { name } => tokens.remove(name)?,
    }
    Ok(0)
}

/// `ui`.
pub(super) fn ui(cli: &Cli, print: bool, output: &Output) -> Result<u8, ControlError> {
    let session = Session::open(cli, Access::Change)?;
    if !session.is_remote() {
        return Err(ControlError::not_possible(
            "no host runs on this data directory: unspool serve --listen 127.0.0.1:7117 starts one with a dashboard",
        ));
    }
    let Response::SessionCode(code) = session.ask(Request::SessionCode, &mut |_| true)? else {
        return Err(super::session::unknown_answer());
    };
    if print || output.is_json() {
        match output.is_json() {
            true => output.answer(&json(&code)),
            false => output.say(&code.url),
        }
        return Ok(0);
    }
    output.say(&format!("opening {}", code.url));
    // By way of a file: what a process is given to open, everybody on this machine can see.
    let page = cli.data.join("ui.html");
    let link = format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={}\">", code.url);
    let written = private::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&page)
        .and_then(|mut file| std::io::Write::write_all(&mut file, link.as_bytes()));
    written.map_err(|e| ControlError::failed(format!("{}: {e}", page.display())))?;
    let opened = Command::new("xdg-open").arg(&page).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(e) = opened {
        output.say(&format!("no browser was opened ({e}): open this address yourself, within a minute"));
    }
    Ok(0)
}
