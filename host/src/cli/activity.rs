//! `activity`: who did what.

use super::{
    args::{ActivityArgs, ActivityCommand, Cli},
    ask,
    output::Output,
};
use crate::{
    control::{ControlError, Request},
    store::ActivityFilter,
};
use jiff::{Span, SpanRelativeTo, Timestamp};

/// Entries that people are shown, where they do not say how many.
const SHOWN: u64 = 100;

pub(super) fn activity(cli: &Cli, args: &ActivityArgs, output: &Output) -> Result<u8, ControlError> {
    if let Some(ActivityCommand::Check) = args.command {
        return ask(cli, Request::ActivityCheck, output);
    }
    let filter = ActivityFilter {
        projection: args.name.clone(),
        actor: args.actor.clone(),
        since: args.since.as_deref().map(since).transpose()?,
    };
    ask(
        cli,
        Request::Activity { filter, before: None, last: args.last.or((!output.is_json()).then_some(SHOWN)) },
        output,
    )
}

/// A time, the beginning of a day, or so long ago; in milliseconds since 1970.
fn since(text: &str) -> Result<i64, ControlError> {
    let time = text.parse::<Timestamp>().ok();
    let day = || format!("{text}T00:00:00Z").parse::<Timestamp>().ok();
    let age = || {
        let span = text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Timestamp::now().checked_sub(span.abs()).ok()
    };
    let found = time.or_else(day).or_else(age).map(Timestamp::as_millisecond);
    found.ok_or_else(|| {
        ControlError::refused(format!(
            "--since {text}: it is no time such as 2026-01-31T12:00:00Z, no day such as 2026-01-31, and no age such as 2h or 7d"
        ))
    })
}
