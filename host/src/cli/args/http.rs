//! `serve --listen`, `token`.

use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// How a host answers HTTP.
#[derive(Debug, Default, Args)]
pub struct HttpArgs {
    /// Answer HTTP on this address, such as 127.0.0.1:7117: commands from elsewhere, metrics, and a dashboard.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Answer nothing but metrics and questions for its health on this one, without asking who wants to know.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_metrics: Option<SocketAddr>,
    /// The certificate chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A proxy in front of it has TLS.
    #[arg(long)]
    pub behind_proxy: bool,
}

/// `token`.
#[cfg(feature = "http")]
#[derive(Debug, Clone, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token, which is shown once.
    Add {
        /// Whose it is.
        name: String,
        /// What may be done with it.
        #[arg(long)]
        role: crate::control::Role,
        /// What it may see of rows and events.
        #[arg(long, default_value = "none")]
        payloads: crate::control::Payloads,
    },
    /// The tokens that there are.
    List,
    /// Take a token away: nobody is let in by it any more.
    Remove {
        /// Whose it is.
        name: String,
    },
}
