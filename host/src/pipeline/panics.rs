//! A panic is a defect of this program. It ends the attempt in which it happens, by name, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Does `work` on this thread; where that panics, its message.
///
/// Nothing half done is used afterwards: what an attempt has of its own ends with it, and what it shares with others is
/// changed under locks, in steps none of which can panic.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("no message").to_owned()
    })
}

/// Goes on on this thread with the panic of another one, which was caught there.
pub(super) fn go_on(message: String) -> ! {
    resume_unwind(Box::new(message))
}

/// The message for a panic: `who` names the thread.
pub(super) fn told(who: &str, message: &str) -> String {
    format!("the thread that {who} has panicked: {message}: a defect of this program, please report it")
}
