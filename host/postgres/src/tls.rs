//! TLS as `sslmode` and `sslrootcert` say it.

use super::{
    ConnectError,
    words::{Roots, SslMode},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// TLS for one connection.
///
/// # Errors
/// When the file with the authorities cannot be read.
pub(super) fn tls(mode: SslMode, roots: &Roots, direct: bool) -> Result<MakeRustlsConnect, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(trusted(roots)?);
    let wrong = |e: String| ConnectError::permanent(format!("TLS cannot be set up: {e}"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(e.to_string()))?;
    let mut config = if mode == SslMode::VerifyCa && !roots.is_empty() {
        let checked = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let any_name = AnyName(checked.map_err(|e| wrong(e.to_string()))?);
        builder.dangerous().with_custom_certificate_verifier(Arc::new(any_name)).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    if direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn trusted(roots: &Roots) -> Result<RootCertStore, ConnectError> {
    let mut store = RootCertStore::empty();
    match roots {
        // Certificates that do not parse are left out, as every other program of the system does.
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(file) => {
            let wrong = |why: &str| ConnectError::permanent(format!("sslrootcert={}: {why}", file.display()));
            let loaded = rustls_native_certs::load_certs_from_paths(Some(file), None);
            if let Some(e) = loaded.errors.first() {
                return Err(wrong(&e.to_string()));
            }
            if store.add_parsable_certificates(loaded.certs).0 == 0 {
                return Err(wrong("there is no certificate in it"));
            }
        }
    }
    Ok(store)
}

/// Checks all of a certificate but the name in it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last, when everything else is right.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
