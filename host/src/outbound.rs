//! How other machines are asked over HTTP and HTTPS.

use std::{fs, path::Path, sync::Arc, time::Duration};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// How long it may take to reach another machine.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// One that is not complete after this time is none.
    Whole(Duration),
    /// It has to begin in this time, and may take as long as it takes.
    Silence(Duration),
}

/// What asks them. It trusts the certificate authorities in the file `ca`, in PEM, or those that the system trusts; how
/// long it waits is for `patience` to say. Redirections are not followed, and every status is an answer.
///
/// # Errors
/// Names the file that cannot be read, or has no certificate.
pub fn agent(ca: Option<&Path>, patience: Patience) -> Result<Agent, String> {
    let roots = match ca {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let (whole, silence) = match patience {
        Patience::Whole(time) => (Some(time), None),
        Patience::Silence(time) => (None, Some(time)),
    };
    Ok(Agent::config_builder()
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_send_request(silence)
        .timeout_recv_response(silence)
        .timeout_global(whole)
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build()
        .into())
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let refused = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let text = fs::read(file).map_err(|e| refused(&e))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| refused(&e))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(refused(&"it has no certificate")) } else { Ok(found) }
}
