//! Compiled plugins on disk, so that a host starts in milliseconds.
//!
//! The directory is its owner's alone and holds:
//!
//! | file | content |
//! |---|---|
//! | `key` | 32 random bytes, the key of every MAC here |
//! | `<name>.compiled` | MAC (32 bytes), length of the description (4 bytes, little-endian), description frame, compiled component |
//!
//! `<name>` is BLAKE3 over the component's digest, our world and the engine's compatibility hash, which covers its full
//! version and every option: a file of another engine, or another version of it, has another name. The MAC is keyed BLAKE3
//! over the name and everything after the MAC, so that a file cannot stand in for another one either.
//!
//! A file that is missing, cut short, or not ours is made again, never loaded. Losing the directory costs a compilation.

use super::error::PluginError;
use super::wit::WIT;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use unspool_vocabulary::{Description, crash, private};
use wasmtime::component::Component;

/// Compiled plugins that are kept; beyond them the oldest goes. Versions of a plugin under development pile up.
const KEPT: usize = 64;

const MAC_BYTES: usize = blake3::OUT_LEN;
const LENGTH_BYTES: usize = size_of::<u32>();

/// What is kept of a plugin.
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) description: Description,
}

/// The directory of compiled plugins of one engine.
pub(super) struct CompiledCache {
    dir: PathBuf,
    key: [u8; blake3::KEY_LEN],
    /// The engine and the world: the common part of every name.
    compatibility: blake3::Hash,
}

/// A file whose MAC this host made.
struct Authentic(Vec<u8>);

impl CompiledCache {
    /// Opens `dir`, making it and its key where they are missing.
    pub(super) fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<CompiledCache, PluginError> {
        let failed = |cause| PluginError::Cache { path: dir.to_owned(), cause };
        private_dir(dir).map_err(failed)?;
        // Whoever may write the key may have native code run.
        private::refuse_foreign_entry(dir, "key").map_err(io::Error::from).map_err(failed)?;
        let key = mac_key(dir).map_err(failed)?;
        let mut hasher = NameHasher(blake3::Hasher::new());
        WIT.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(CompiledCache { dir: dir.to_owned(), key, compatibility: hasher.0.finalize() })
    }

    /// The compiled form of the component `digest`, when this host made it for an engine like `engine`.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &blake3::Hash) -> Option<Compiled> {
        let name = self.name(digest);
        let authentic = self.read(&name)?;
        let (frame, compiled) = authentic.parts()?;
        let description = Description::decode(frame).ok()?;
        let component = deserialize(engine, compiled)
            .inspect_err(|error| tracing::warn!("compiling a plugin again, {name} does not load: {error:#}"))
            .ok()?;
        Some(Compiled { component, description })
    }

    /// Keeps `compiled`, made from the component `digest`. A full disk costs a compilation next time, nothing else.
    pub(super) fn put(&self, digest: &blake3::Hash, compiled: &Compiled) {
        let name = self.name(digest);
        if let Err(error) = self.write(&name, compiled) {
            tracing::warn!("cannot keep a compiled plugin in {}: {error:#}", self.dir.display());
        }
    }

    fn name(&self, digest: &blake3::Hash) -> String {
        let mut name = blake3::Hasher::new();
        name.update(digest.as_bytes()).update(self.compatibility.as_bytes());
        format!("{}.compiled", name.finalize().to_hex())
    }

    fn mac(&self, name: &str, content: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        // Names are of one length, so that no other name and content run together into the same bytes.
        mac.update(name.as_bytes()).update(content);
        mac.finalize()
    }

    fn read(&self, name: &str) -> Option<Authentic> {
        let file = fs::read(self.dir.join(name)).ok()?;
        if let Err(e) = private::refuse_foreign_entry(&self.dir, name) {
            tracing::warn!("compiling a plugin again: {e}");
            return None;
        }
        let (mac, content) = file.split_at_checked(MAC_BYTES)?;
        // Comparing two `Hash`es takes the same time wherever they differ.
        if blake3::Hash::from_slice(mac).ok()? != self.mac(name, content) {
            tracing::warn!("compiling a plugin again, {name} was not written by this host or is damaged");
            return None;
        }
        Some(Authentic(file))
    }

    fn write(&self, name: &str, compiled: &Compiled) -> wasmtime::Result<()> {
        let frame = compiled.description.encode();
        let mut content = u32::try_from(frame.len())?.to_le_bytes().to_vec();
        content.extend(frame);
        content.extend(compiled.component.serialize()?);
        let mac = self.mac(name, &content);
        write_private(&self.dir, name, &[mac.as_bytes(), &content])?;
        self.prune()?;
        Ok(())
    }

    /// Removes the oldest files beyond [`KEPT`].
    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // Drafts that a killed host left behind count like what they would have become.
            if path.file_name().is_some_and(|name| name != "key") {
                files.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(KEPT);
        files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

impl Authentic {
    /// The description frame and the compiled component.
    fn parts(&self) -> Option<(&[u8], CompiledBytes<'_>)> {
        let content = self.0.get(MAC_BYTES..)?;
        let (len, rest) = content.split_first_chunk::<LENGTH_BYTES>()?;
        let (frame, compiled) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some((frame, CompiledBytes(compiled)))
    }
}

/// What [`Component::serialize`] made.
pub(super) struct CompiledBytes<'a>(&'a [u8]);

impl<'a> CompiledBytes<'a> {
    /// What a process of this program gave, which compiled for this one (see `compile.rs`).
    pub(super) fn of_our_compiler(bytes: &'a [u8]) -> CompiledBytes<'a> {
        CompiledBytes(bytes)
    }
}

#[allow(unsafe_code)]
pub(super) fn deserialize(engine: &wasmtime::Engine, compiled: CompiledBytes<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from `Component::serialize`, unchanged, since they are run as native code. A
    // `CompiledBytes` is made of what a child process of this very program wrote to its pipe, where nobody else can write,
    // or from an `Authentic`, and that only by `CompiledCache::read`, which found a MAC over them with the key of this
    // directory. `CompiledCache::write` is the only one to make such MACs, over what `serialize`
    // returned. Whoever can read the key can already write the host's own files. The bytes were read into memory of our
    // own before they were checked, so that nobody can change them in between.
    unsafe { Component::deserialize(engine, compiled.0) }
}

/// Lets BLAKE3 take what the engine can only pass to a [`Hasher`].
struct NameHasher(blake3::Hasher);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        hash.as_bytes().first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
    }
}

/// Makes `dir` for its owner alone. One that exists must not be anyone else's, nor writable by them: who can replace the key
/// can have the host run what they like.
fn private_dir(dir: &Path) -> io::Result<()> {
    private::make_dir(dir)?;
    Ok(private::refuse_foreign_dir(dir)?)
}

/// The key of `dir`, made when it is missing or damaged.
fn mac_key(dir: &Path) -> io::Result<[u8; blake3::KEY_LEN]> {
    let read = || fs::read(dir.join("key")).ok().and_then(|key| key.try_into().ok());
    if let Some(key) = read() {
        return Ok(key);
    }
    let mut key = [0; blake3::KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    write_private(dir, "key", &[&key])?;
    // Of two hosts that start at once the later key stands; the other host's files are made again.
    Ok(read().unwrap_or(key))
}

/// Writes `dir/name` so that it appears complete or not at all, for its owner alone.
fn write_private(dir: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let draft = dir.join(format!("{name}.{:016x}", u64::from_le_bytes(random)));
    let written = (|| {
        let mut file = private::options().write(true).create_new(true).open(&draft)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        crash::point("cache.draft");
        fs::rename(&draft, dir.join(name))
    })();
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}
