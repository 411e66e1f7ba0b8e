//! Every bound of the host, with its reason. The first item of anything bounded always fits.

use std::time::Duration;

/// Instances that handle chunks at the same time, over all rebuilds. Five leaves most of a server to live work.
pub const POOL_INSTANCES: usize = 5;

/// Instances that handle chunks of one projection at the same time, where it is partitioned by stream and no number is given:
/// one less than there are cores, so that one core is left for what reads and commits.
pub fn instances_of_one() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, POOL_INSTANCES)
}

/// Chunks that one call of a plugin may handle, where the operator has not said how large a chunk is. A row that several of
/// them touch is decoded and encoded once, and there is one fresh instance for all.
pub const CHUNKS_PER_CALL: u32 = 16;

/// Processor time of a call below which more chunks are handled at once, and above which fewer are: a small part of
/// [`COMMIT_LAG`].
pub const CALL_SHORT: Duration = Duration::from_millis(10);
/// See [`CALL_SHORT`].
pub const CALL_LONG: Duration = Duration::from_millis(40);

/// The nice value of threads of a rebuild of low priority: after everything else.
pub const LOW_NICE: i32 = 19;

/// The nice value of the thread that commits while all rebuilds have low priority. It holds the store's write lock, for which
/// commands wait: on a busy machine it gets a tenth of a core, not a hundredth.
pub const LOW_COMMITTER_NICE: i32 = 10;

/// Events of a call below which it is not worth sharing them out among instances.
pub const SHARED_EVENTS: usize = 256;

/// Events of the first call of a generation up to which each of its streams is handled by itself, where the projection is
/// partitioned by stream: a fresh instance for each costs some 20 µs.
pub const CHECKED_EVENTS: usize = 1024;

/// Of so many calls of such a projection one is handled in [`CHECKED_PARTS`], to see whether it is what it declares.
pub const CHECKED_CALLS: u64 = 64;
/// See [`CHECKED_CALLS`]: two streams that touch one row are in different parts seven times out of eight.
pub const CHECKED_PARTS: usize = 8;

/// Rows whose owners `plugin verify` knows at the same time: some 100 MiB.
pub const KEPT_OWNERS: usize = 1 << 22;

/// Bytes of events in one call, and thereby in one chunk; a chunk ends early where it would exceed them. The first event
/// always fits.
pub const CHUNK_BYTES: usize = 4 << 20;

/// Bytes of events that a reader may hold ready for one rebuild. Enough to hide a read behind a chunk's handling.
pub const READ_AHEAD_BYTES: usize = 8 << 20;

/// Bytes of rows handled but not yet taken by the committer, per rebuild. Beyond them handling waits for the disk.
pub const OVERLAY_BYTES: usize = 16 << 20;

/// Bytes of rows that a follower has committed and keeps at hand from one attempt to the next, per generation.
pub const RECENT_BYTES: usize = 8 << 20;

/// How many of the rows that were changed last a follower reads from a database when it begins.
pub const LEARNED_ROWS: usize = 10_000;

/// How many of them it asks for with one statement.
pub const LEARNED_AT_ONCE: usize = 1_000;

/// Bytes of rows that are committed and kept at hand by the handlers, per rebuild: what changed lately changes again soon.
pub const RETAINED_BYTES: usize = 2 << 20;

/// Bytes of the filter that tells keys never written, per rebuild: it spares the store a look-up of each new row. Up to three
/// million rows it is wrong of few; beyond, it spares less.
pub const WRITTEN_KEYS_BYTES: usize = 2 << 20;

/// How much handling of one rebuild is not durable yet, in processor time of its thread: what a kill can lose. A commit
/// begins early enough for what is handled while it runs; until then work is gathered, since a page of rows that changes ten
/// times is better written once. Counted as work, because rebuilds that share a machine would otherwise write the more
/// pages per event the more of them there are.
pub const COMMIT_LAG: Duration = Duration::from_millis(180);

/// How long work waits on the clock until its commit begins; as long as it is little, [`COMMIT_LAG`].
pub const COMMIT_WAIT: Duration = Duration::from_secs(1);

/// Bytes of rows of which a commit costs little more than the transaction itself: nothing is gained by gathering more for
/// longer, and that of several rebuilds is committed together.
pub const COMMIT_LITTLE_BYTES: usize = 1 << 20;

/// Bytes of one frame of a journal; the first row always fits. A value of the store that takes pages next to each other.
pub const JOURNAL_FRAME_BYTES: usize = 200 << 10;

/// Bytes of rows in the journal of a rebuild from which they are flushed, which is brought into their tables: the more at
/// once, the fewer pages per row.
pub const FLUSH_BYTES: usize = 8 << 20;

/// Rows that are flushed in one transaction. Commits wait for it.
pub const FLUSH_ROWS: usize = 4096;

/// Bytes of rows that the committer has taken and that are not in their tables yet, per rebuild: they are in memory. Beyond
/// them handling waits.
pub const UNFLUSHED_BYTES: usize = 16 << 20;

/// The least handling that is gathered, on a disk so slow that the lag cannot be kept.
pub const COMMIT_GATHER: Duration = Duration::from_millis(60);

/// Bytes of rows that make a commit due before its time.
pub const COMMIT_BYTES: usize = 16 << 20;

/// Memories and tables of one instance together, in bytes; the default of a host.
pub const GUEST_MEMORY_BYTES: usize = 64 << 20;

/// The most that a host may be configured to allow one instance; the pool reserves this much address space per memory.
pub const GUEST_MEMORY_CEILING_BYTES: usize = 1 << 30;

/// Processor time that one chunk may take. Wall-clock time would blame a plugin for a loaded machine.
pub const GUEST_CPU_TIME: Duration = Duration::from_secs(5);

/// How often a running guest can be stopped: the length of an epoch.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Stack of a guest. Deep recursion ends here, well inside the thread's own stack.
pub const GUEST_STACK_BYTES: usize = 1 << 20;

/// Stack of a thread that calls guests.
pub const HANDLER_THREAD_STACK_BYTES: usize = 8 << 20;

/// Bytes that a guest may pass in one call, in either direction: a full chunk of large rows.
pub const GUEST_OUTPUT_BYTES: usize = 64 << 20;

/// Lines that a guest may log per chunk; the rest is dropped and counted.
pub const LOG_LINES_PER_CHUNK: usize = 100;

/// Bytes of one logged line, failure message or detail; longer ones are cut.
pub const MESSAGE_BYTES: usize = 4096;

/// Bytes of one answer to a guest's scan; at least one row.
pub const SCAN_BYTES: usize = 1 << 20;

/// Bytes of one event: id, stream, type, payload and metadata together.
pub const EVENT_BYTES: usize = 64 << 20;

/// Bytes that are kept of a value of an event that is too large to be read.
pub const UNREADABLE_BYTES: usize = 1 << 20;

/// Bytes of an event's id, stream or type, and of a row's key. They are keys of trees.
pub const NAME_BYTES: usize = 4096;

/// Levels of nesting in a document or payload. Deeper ones would exhaust the stack of whoever reads them.
pub const DOCUMENT_DEPTH: usize = 64;

/// Bytes of a plugin file.
pub const PLUGIN_BYTES: usize = 64 << 20;

/// Memory that compiling a plugin may take, in a process of its own: several times what an interpreter of 64 MiB takes.
pub const COMPILE_MEMORY_BYTES: u64 = 2 << 30;

/// Processor time that compiling a plugin of `bytes` may take, in a process of its own: some ten times what plugins take, and
/// never so long that the caller gives up.
pub fn compile_time(bytes: usize) -> Duration {
    Duration::from_secs(10 + (bytes >> 20) as u64)
}

/// Events in one block of the embedded log, and bytes after which a block ends early.
pub const BLOCK_EVENTS: usize = 512;
/// See [`BLOCK_EVENTS`].
pub const BLOCK_BYTES: usize = 256 << 10;

/// Events of an import whose ids are looked up together, and their bytes. In the order of the index a look-up touches
/// each page once; the bound is the import's memory.
pub const IMPORT_ROUND_EVENTS: usize = 1 << 16;
/// See [`IMPORT_ROUND_EVENTS`].
pub const IMPORT_ROUND_BYTES: usize = 32 << 20;

/// Events that an import's parser hands over at once, and their bytes. As many bytes as a round has may wait while one is
/// stored.
pub const IMPORT_HANDOVER_EVENTS: usize = 2048;
/// See [`IMPORT_HANDOVER_EVENTS`].
pub const IMPORT_HANDOVER_BYTES: usize = 1 << 20;

/// Blocks of the log that a reader passes over, because nothing in them matches, before it reports its position.
pub const BLOCKS_PASSED_OVER: usize = 1024;

/// Bytes of sections of the log that are kept while several read at the same time, from the slowest reader to the fastest.
pub const SHARED_SCAN_BYTES: usize = 24 << 20;

/// Events between readers beyond which they do not read together.
pub const SHARED_SCAN_EVENTS: u64 = 1 << 17;

/// How long a reader waits for one that does not move, before it goes on without it.
pub const SHARED_SCAN_STALL: Duration = Duration::from_millis(250);

/// Cache of each redb file, in bytes.
pub const STORE_CACHE_BYTES: usize = 4 << 20;
/// See [`STORE_CACHE_BYTES`]; the log is read in order and needs little.
pub const LOG_CACHE_BYTES: usize = 8 << 20;

/// Columns of an exported table, beside the key. What engines take; documents with more fields are maps, not records, and
/// each column costs the writer a buffer.
pub const EXPORT_COLUMNS: usize = 1000;

/// Bytes of rows that an export gathers before it hands them to the Parquet writer; the first row always fits.
pub const EXPORT_BATCH_BYTES: usize = 4 << 20;

/// Rows of a row group of Parquet, and their encoded bytes, which are held until it is complete. Readers share work out by
/// row groups; larger ones only cost memory.
pub const EXPORT_GROUP_ROWS: usize = 100_000;
/// See [`EXPORT_GROUP_ROWS`].
pub const EXPORT_GROUP_BYTES: usize = 32 << 20;

/// Tries of a chunk or a source that fail for a transient reason without progress in between.
pub const TRANSIENT_TRIES: u32 = 5;

/// The same for a source that cannot be reached: about a minute.
pub const SOURCE_TRIES: u32 = 12;

/// Doublings of the pause between tries; from then on it stays as it is.
const BACKOFF_DOUBLINGS: u32 = 5;

/// Tries to go on with a database that has a rebuild's rows: enough for a server that is started again, about a minute.
pub const DATABASE_TRIES: u32 = 9;

/// The pause before the second try; it doubles with each further one (see [`backoff`]).
pub const TRANSIENT_BACKOFF: Duration = Duration::from_millis(200);

/// The pause after try number `tries`, which failed, counted from 1: doubled each time, and up to half as much again at
/// random, so that rebuilds that failed together do not return together.
pub fn backoff(tries: u32) -> Duration {
    let pause = TRANSIENT_BACKOFF * 2_u32.pow(tries.saturating_sub(1).min(BACKOFF_DOUBLINGS));
    let mut random = [0];
    // Without randomness the pause is only less spread out.
    let spread = getrandom::fill(&mut random).map_or(0.0, |()| f64::from(random[0]) / 255.0);
    pause + pause.mul_f64(0.5 * spread)
}

/// How long a rebuild waits for transactions that were open in a PostgreSQL history when it began; afterwards it says
/// which they are, and does not begin.
pub const OPEN_TRANSACTIONS_WAIT: Duration = Duration::from_secs(60);

/// How often a follower looks for new events, where nothing wakes it.
pub const FOLLOW_POLL: Duration = Duration::from_millis(100);

/// How long a rebuild may be without contact to its source, or to the database with its rows, before the operator is alerted,
/// and a follower's lag is called unknown: longer than a reconnect takes.
pub const CONTACT: Duration = Duration::from_secs(5);

/// How long an alert command may take; then it is ended.
pub const ALERT_TIME: Duration = Duration::from_secs(30);

/// How long it may take to give an alert to a webhook, from its name to the last byte of the answer.
pub const WEBHOOK_TIME: Duration = Duration::from_secs(10);

/// Alerts that are kept until everybody has been told of them: what is over and has waited longest goes first, and that is said.
pub const ALERTS: u64 = 1_000;

/// How long somebody who cannot be told is tried to be told of one alert.
pub const ALERT_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest pause between two tries to tell somebody.
pub const ALERT_PAUSE: Duration = Duration::from_secs(60);

/// How often an Alertmanager is told again of what lasts, where nothing else is said: as often as Prometheus does.
pub const ALERT_REPEAT: Duration = Duration::from_secs(60);

/// A rebuild that took longer than this for the events that came during its lap before catches up with another lap, while the live
/// generation moves on; otherwise that stands still until the rebuild is promoted. What readers see is not behind for longer.
pub const LAP: Duration = Duration::from_millis(50);

/// After so many laps it stands still all the same: events come faster than they are handled.
pub const LAPS: u32 = 20;

/// Bytes of the newest changes of what readers of a projection see that are kept for who watches them.
pub const CHANGES_BYTES: u64 = 64 << 20;

/// Rows that a comparison of two generations shows at once; all are counted.
pub const DIFF_ROWS: usize = 10_000;

/// Bytes of a plugin that is sent over HTTP.
pub const UPLOAD_PLUGIN_BYTES: usize = 64 << 20;

/// Bytes of an event file that is sent over HTTP.
pub const UPLOAD_EVENTS_BYTES: usize = 4 << 30;

/// Bytes of the newest entries of the record of activity that are kept: about 100,000.
pub const ACTIVITY_BYTES: u64 = 64 << 20;

/// Bytes of the arguments of a request in that record; longer ones are cut.
pub const ACTIVITY_ARGUMENT_BYTES: usize = 4 << 10;

/// How often who watches a read model is given what has changed.
pub const CHANGES_POLL: Duration = Duration::from_millis(20);

/// How often who waits for an event to be in a read model looks whether it is.
pub const FRESH_POLL: Duration = Duration::from_millis(5);

/// How often a follower that waits looks whether the event at its checkpoint is still there; before it goes on it always does.
pub const FOLLOW_LOOK: Duration = Duration::from_secs(1);

/// How long a rebuild that is behind may stand still before it is called stalled: several times what a chunk may take.
pub const STALL: Duration = Duration::from_secs(30);

/// How long it may stand still before it is ended as failed.
pub const STALL_END: Duration = Duration::from_secs(600);

/// How long an attempt that ends waits for its reader, which may wait for its source.
pub const READER_WAIT: Duration = Duration::from_secs(1);

/// How long a command waits for another one about the same projection.
pub const COMMAND_WAIT: Duration = Duration::from_secs(10);

/// The same for one that takes long, such as a retry of many dead letters: it may be about to end, and more is not known.
pub const LONG_COMMAND_WAIT: Duration = Duration::from_secs(1);

/// How long a command that stops a rebuild waits for its thread, before it ends it without. Longer than a connection waits
/// for a silent server.
pub const STOP_WAIT: Duration = Duration::from_secs(15);

/// How long a host that ends waits for everything that runs in it.
pub const HOST_STOP: Duration = Duration::from_secs(6);

/// How long a process that is asked to end may take, whatever it waits for: less than what supervisors of
/// processes grant before they kill.
pub const END: Duration = Duration::from_secs(9);

/// How long a host that starts waits to learn from databases what became of the last commits of its predecessor. It goes
/// on learning in the background.
pub const RECOVERY_WAIT: Duration = Duration::from_secs(2);

/// How often in a row a host may end in the middle of a rebuild, at the same checkpoint, before it is left failed.
pub const CRASHES: u32 = 3;

/// The same of following, which is not given up so soon: readers depend on it, and whoever kills hosts does so to it first.
pub const CRASHES_FOLLOWING: u32 = 10;

/// Dead letters that one generation may have. Beyond that a handler is broken, not an event; and their streams are kept
/// in memory.
pub const PARKED_EVENTS: u64 = 100_000;

/// Dead letters that are handled at once when they are retried, and their bytes.
pub const RETRY_EVENTS: usize = 500;

/// The window over which the rate of a rebuild is taken.
pub const RATE_WINDOW: Duration = Duration::from_secs(10);
