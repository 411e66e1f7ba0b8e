//! `follow` and `unfollow`.

use super::{
    INTERRUPTED, NOT_POSSIBLE,
    args::{Cli, FollowArgs},
    hosting::{Hosting, attached, detached, wait_for_others},
    output::Output,
    session::{Session, unknown_answer},
};
use crate::{
    control::{Access, ControlError, Request, Response},
    rebuild::FollowStatus,
};

/// Keeps live generations up to date: in the host that runs, or in this process until it is asked to end.
pub(super) fn follow(cli: &Cli, args: &FollowArgs, output: &Output) -> Result<u8, ControlError> {
    let session = if args.detach { detached(cli)? } else { attached(cli, Access::Change)? };
    let hosting = Hosting::begin(&session, INTERRUPTED, true)?;
    for name in &args.names {
        let request = Request::Follow { name: name.clone(), accept: args.accept.accept() };
        let answer = session.ask(request, &mut |_| true)?;
        if !session.is_remote() {
            hosting.owns(name);
        }
        output.answer(&answer.json());
    }
    wait_for_others(&session, Some(&hosting));
    if session.is_remote() || hosting.ending.is_asked() {
        return Ok(0);
    }
    // Nothing is followed any more, and nobody has asked for that.
    for name in &args.names {
        if let Response::Status(progress) = session.ask(Request::Status { name: name.clone() }, &mut |_| true)?
            && let Some(failure) = progress.failure
        {
            return Err(ControlError::failed(format!("{name} is not followed any more: {failure}")));
        }
    }
    Ok(0)
}

/// Leaves a live generation as it is; exit code 3 where it was not followed.
pub(super) fn unfollow(cli: &Cli, name: &str, output: &Output) -> Result<u8, ControlError> {
    let answer = Session::open(cli, Access::Change)?.ask(Request::Unfollow { name: name.to_owned() }, &mut |_| true)?;
    output.answer(&answer.json());
    match answer {
        Response::Followed(report) if report.status == FollowStatus::NotFollowing => Ok(NOT_POSSIBLE),
        Response::Followed(_) => Ok(0),
        _ => Err(unknown_answer()),
    }
}
