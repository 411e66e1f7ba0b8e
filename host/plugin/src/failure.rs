//! How a call that did not return becomes a failure that an operator can act on.

use super::error::CallError;
use super::guard::Ended;
use super::log::LastWords;
use unspool_vocabulary::limits;
use unspool_vocabulary::{EventFailure, FailureKind};
use wasmtime::{FrameInfo, Trap, WasmBacktrace};

/// Frames of a guest's call stack that are kept, innermost first. The cause is near the top; deep recursion fills the rest
/// with repetition.
pub(super) const BACKTRACE_FRAMES: usize = 20;

/// Classifies `error`, which ended a call of the plugin `digest`; `said` is what the guest said before.
pub(super) fn classify(error: &wasmtime::Error, said: &LastWords, digest: &str) -> CallError {
    let failure = match error.downcast_ref::<Ended>() {
        Some(Ended::Stopped) => return CallError::Stopped,
        Some(Ended::Failed(failure)) => failure.clone(),
        Some(ended @ Ended::Deadline(_)) => EventFailure::permanent(FailureKind::Deadline, ended.to_string()),
        Some(ended @ Ended::Memory { .. }) => EventFailure::permanent(FailureKind::Memory, ended.to_string()),
        None => unannounced(error, said),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    CallError::Failed(EventFailure { backtrace, plugin_digest: Some(digest.to_owned()), ..failure })
}

/// What the guest, or the engine on its behalf, met without the host's doing.
fn unannounced(error: &wasmtime::Error, said: &LastWords) -> EventFailure {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return EventFailure::transient(FailureKind::Plugin, format!("no free instance: {error}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => EventFailure::permanent(
            FailureKind::Stack,
            format!("the handler's call stack exceeds {} KiB; it recurses too deeply", limits::GUEST_STACK_BYTES >> 10),
        ),
        Some(trap) => EventFailure::permanent(FailureKind::Trap, trapped(*trap, said)),
        // Neither the host nor an instruction ended the call: values that crossed the boundary broke its rules.
        None => EventFailure::permanent(
            FailureKind::BadOutput,
            format!("what the plugin passed to the host is not acceptable: {}", error.root_cause()),
        ),
    }
}

/// A panic explains any trap. An exit, or words on standard error, explain one that was meant to end the instance; of any other
/// they may have nothing to do with it.
fn trapped(trap: Trap, said: &LastWords) -> String {
    let reason = || format!("the handler trapped: {}", plain(&trap.to_string()));
    match said {
        LastWords { panic: Some(panic), .. } => panic.clone(),
        LastWords { exit: Some(status), standard_error: Some(words), .. } => format!("{words} (exit status {status})"),
        LastWords { exit: Some(status), .. } => {
            format!("the handler ended the plugin with exit status {status}; it may return, or fail")
        }
        LastWords { standard_error: Some(words), .. } if trap == Trap::UnreachableCodeReached => words.clone(),
        LastWords { standard_error: Some(words), .. } => format!("{}; last on standard error: {words}", reason()),
        _ => reason(),
    }
}

fn plain(trap: &str) -> &str {
    trap.strip_prefix("wasm trap: ").unwrap_or(trap)
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    backtrace.frames().iter().flat_map(frame).take(BACKTRACE_FRAMES).collect()
}

/// The functions that one frame stands for: several where the compiler of the guest inlined some, as `name (file:line)`
/// where the plugin was built with line tables.
fn frame(frame: &FrameInfo) -> Vec<String> {
    let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), demangled);
    if frame.symbols().is_empty() {
        return vec![name];
    }
    let symbols = frame.symbols().iter();
    symbols
        .map(|symbol| {
            let name = symbol.name().map_or_else(|| name.clone(), demangled);
            match (symbol.file(), symbol.line()) {
                (Some(file), Some(line)) => format!("{name} ({file}:{line})"),
                _ => name,
            }
        })
        .collect()
}

fn demangled(name: &str) -> String {
    super::guard::clip(&format!("{:#}", rustc_demangle::demangle(name)))
}
