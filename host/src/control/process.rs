//! Which process is in the way, and what it is doing: for the messages of commands that wait for it.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::Path};

/// Another process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// The process with this number; `None` for 0, which is one that cannot be seen from here.
    pub fn with_id(id: u32) -> Option<Process> {
        (id > 0).then_some(Process(id))
    }

    /// The process that holds a lock on the file at `path`.
    pub fn holding(path: &Path) -> Option<Process> {
        let inode = fs::metadata(path).ok()?.ino().to_string();
        // "1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF"; one that waits has "->" after the number.
        let locks = fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|lock| {
            let mut fields = lock.split_whitespace().skip_while(|field| !matches!(*field, "READ" | "WRITE" | "RW"));
            let (id, file) = (fields.nth(1)?, fields.next()?);
            (file.rsplit(':').next() == Some(&inode)).then(|| id.parse().ok().and_then(Process::with_id)).flatten()
        })
    }

    /// Whether it is stopped: by Ctrl-Z, SIGSTOP or a debugger.
    pub fn is_stopped(self) -> bool {
        // "4711 (name) T ..."; a name may have anything in it.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['T', 't']))
    }

    /// Why it does not answer, and what to do.
    pub fn advice(self) -> String {
        let id = self.0;
        if self.is_stopped() {
            format!("it is stopped (state T: Ctrl-Z, SIGSTOP or a debugger): kill -CONT {id} lets it go on")
        } else {
            format!(
                "see what holds it up (a frozen container, a debugger, a disk), or whether it is another version of unspool: \
                 kill -9 {id} ends it, and loses nothing that is committed"
            )
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(f, "pid {id}")?;
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Ok(());
        }
        let text = words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
        write!(f, " ({})", text.chars().take(100).collect::<String>().escape_debug())
    }
}
