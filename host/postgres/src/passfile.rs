//! The password of a role: from `PGPASSWORD`, or from a password file as libpq reads it.

use super::{ConnectError, Target, server};
use std::{env, fs, io, os::unix::fs::PermissionsExt, path::PathBuf};

/// The password for `target`; `None` where none is given.
///
/// # Errors
/// When the password file cannot be read, or others may read it too.
pub(super) fn password(target: &Target) -> Result<Option<Vec<u8>>, ConnectError> {
    use std::os::unix::ffi::OsStringExt;
    if let Some(password) = env::var_os("PGPASSWORD") {
        return Ok(Some(password.into_vec()));
    }
    let Some((file, named)) = file() else { return Ok(None) };
    let refused = |why: String| ConnectError::permanent(format!("the password file {}: {why}", file.display()));
    let mode = match fs::metadata(&file) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        Err(e) => return Err(refused(e.to_string())),
    };
    if mode & 0o077 != 0 {
        return Err(refused(format!("others than its owner may use it; chmod 600 {}", file.display())));
    }
    let text = fs::read_to_string(&file).map_err(|e| refused(e.to_string()))?;
    let (host, port) = server(target);
    let wanted = [host.as_str(), &port.to_string(), target.database(), target.user()];
    Ok(text.lines().find_map(|line| matching(line, &wanted)).map(String::into_bytes))
}

/// Where the passwords are, and whether that was set explicitly.
fn file() -> Option<(PathBuf, bool)> {
    let named = env::var_os("PGPASSFILE").filter(|name| !name.is_empty());
    named.map(|name| (name.into(), true)).or_else(|| {
        let home = env::var_os("HOME")?;
        Some((PathBuf::from(home).join(".pgpass"), false))
    })
}

/// The password in a line `host:port:database:user:password` that fits: `*` fits everything, and a backslash takes the
/// next character as it is.
fn matching(line: &str, wanted: &[&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() <= wanted.len() => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(characters.next()),
            other => fields.last_mut()?.push(other),
        }
    }
    let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    (fits && fields.len() == wanted.len() + 1).then(|| fields.pop()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_fits_has_the_password() {
        let wanted = ["db.example", "5432", "shop", "ada"];
        assert_eq!(matching("db.example:5432:shop:ada:a:b", &wanted).as_deref(), Some("a:b"));
        assert_eq!(matching(r"*:*:*:ada:a\:b\\c", &wanted).as_deref(), Some(r"a:b\c"));
        for other in ["db.example:5432:shop:bob:x", "#*:*:*:*:x", "*:*:*:ada", ""] {
            assert_eq!(matching(other, &wanted), None, "{other}");
        }
    }
}
