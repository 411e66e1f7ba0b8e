//! An authority and the certificate that it gives the server. Rustls takes no certificate that vouches for itself.

use super::binaries;
use crate::needs::installed;
use std::{path::Path, process::Command};

/// The authority's certificate.
pub const AUTHORITY: &str = "authority.pem";
/// The server's certificate.
pub const CERTIFICATE: &str = "server.pem";
/// The server's private key.
pub const KEY: &str = "server.key";

const CONFIG: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = Unspool tests
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Writes certificates for `localhost` and 127.0.0.1 into `dir`, valid for two days.
pub fn certify(dir: &Path) {
    std::fs::write(dir.join("openssl.cnf"), CONFIG).expect("a file");
    let request = |extensions: &str, certificate: &str, key: &str, more: &[&str]| {
        let mut command = Command::new(installed("openssl", "openssl"));
        command.current_dir(dir).args([
            "req",
            "-x509",
            "-config",
            "openssl.cnf",
            "-extensions",
            extensions,
            "-days",
            "2",
        ]);
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        binaries::succeed(command.args(["-out", certificate, "-keyout", key]).args(more));
    };
    request("authority", AUTHORITY, "authority.key", &[]);
    request("server", CERTIFICATE, KEY, &["-CA", AUTHORITY, "-CAkey", "authority.key"]);
    binaries::hand_over(&dir.join(KEY));
}
