//! Who asks: by a token, a session of a browser, or a proxy that has authenticated somebody.

use super::{Api, connection::Peer, problem::Problem, session::Session};
use crate::{
    control::{Caller, Payloads, Role},
    vocabulary::act::{Actor, ActorKind, Via},
};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use std::{net::IpAddr, time::Duration};

/// How often it is asked, while an answer goes on, whether who asked for it still may.
const ASKED_AGAIN: Duration = Duration::from_secs(2);

/// Somebody who is known, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub actor: Actor,
    /// What they may have done.
    pub role: Role,
    /// What they may see of rows and events.
    pub payloads: Payloads,
    /// Whether a browser sends the credentials by itself, whoever made the page.
    by_cookie: bool,
}

impl Known {
    /// The same, as the executor takes it: asking by what the headers say, for the reason that they give.
    pub fn caller(&self, headers: &HeaderMap, expects: Option<u64>) -> Caller {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let via = if text("unspool-via") == Some("ui") { Via::Ui } else { Via::Http };
        // Headers are ASCII: what is beyond it is written as in a URL.
        let reason = text("unspool-reason").map(|reason| {
            percent_encoding::percent_decode_str(reason).decode_utf8_lossy().chars().take(1_000).collect::<String>()
        });
        Caller { actor: self.actor.clone(), via, reason: reason.filter(|reason| !reason.is_empty()), expects }
    }

    /// Refuses whoever has a lesser role.
    pub fn must_be(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let (name, own, needed) = (&self.actor.name, self.role.name(), role.name());
        Err(Problem::new(StatusCode::FORBIDDEN, format!("{name} has the role {own}, and this needs the role {needed}")))
    }

    /// Refuses whoever may see nothing of rows and events.
    pub fn must_see(&self) -> Result<(), Problem> {
        if self.payloads > Payloads::None {
            return Ok(());
        }
        let name = &self.actor.name;
        Err(Problem::new(StatusCode::FORBIDDEN, format!("{name} may not see rows and events (payloads: none)")))
    }
}

/// With what somebody came whose answer goes on.
#[derive(Debug, Clone)]
pub struct Pass {
    peer: IpAddr,
    method: Method,
    headers: HeaderMap,
    /// Who that was.
    pub known: Known,
}

impl Pass {
    /// That of who asks.
    ///
    /// # Errors
    /// As [`known`].
    pub fn of(api: &Api, parts: &Parts) -> Result<Pass, Problem> {
        let peer = parts.extensions.get::<Peer>().map_or([0, 0, 0, 0].into(), |peer| peer.0);
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let known = known(api, peer, &method, &headers)?;
        Ok(Pass { peer, method, headers, known })
    }

    /// Waits until it holds no longer: the token is gone, or may something else now.
    pub async fn ends(&self, api: &Api) -> Problem {
        loop {
            tokio::time::sleep(ASKED_AGAIN).await;
            match known(api, self.peer, &self.method, &self.headers) {
                Ok(now) if now == self.known => {}
                Ok(now) => {
                    let name = &now.actor.name;
                    return Problem::new(
                        StatusCode::FORBIDDEN,
                        format!("what {name} may has changed since this was asked for: ask again"),
                    );
                }
                Err(problem) => return problem,
            }
        }
    }
}

/// Finds out who asks.
///
/// # Errors
/// [`StatusCode::UNAUTHORIZED`] for nobody, [`StatusCode::FORBIDDEN`] for a page of another site.
pub fn known(api: &Api, peer: IpAddr, method: &Method, headers: &HeaderMap) -> Result<Known, Problem> {
    let known = by_token(api, headers)?
        .or_else(|| by_proxy(api, peer, headers))
        .or_else(|| by_session(api, headers))
        .ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "a token is needed, or the session of a browser")
            .with_next("unspool ui, or unspool token add NAME --role viewer")
    })?;
    if known.by_cookie && !method.is_safe() {
        refuse_other_sites(headers)?;
    }
    Ok(known)
}

fn by_token(api: &Api, headers: &HeaderMap) -> Result<Option<Known>, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    // Another scheme is for the proxy that it has come through.
    let Some(secret) = given.and_then(|given| given.strip_prefix("Bearer ")) else { return Ok(None) };
    let unknown =
        || Problem::new(StatusCode::UNAUTHORIZED, "this token lets nobody in").with_next("unspool token list");
    let token = api.tokens.proven(secret.trim())?.ok_or_else(unknown)?;
    api.used(&token.name);
    let actor = Actor { kind: ActorKind::Token, name: token.name };
    Ok(Some(Known { actor, role: token.role, payloads: token.payloads, by_cookie: false }))
}

/// Whom a proxy names that may do so. A browser sends its credentials to the proxy by itself.
fn by_proxy(api: &Api, peer: IpAddr, headers: &HeaderMap) -> Option<Known> {
    let proxy = api.options.proxy.as_ref()?;
    let name = headers.get(proxy.user_header.as_str())?.to_str().ok()?.trim();
    let trusted = proxy.from.contains(&peer.to_canonical()) && !name.is_empty() && name.len() <= 200;
    let role = proxy.roles.get(name).copied().unwrap_or(proxy.role);
    let actor = Actor { kind: ActorKind::Proxy, name: name.to_owned() };
    trusted.then_some(Known { actor, role, payloads: proxy.payloads, by_cookie: true })
}

fn by_session(api: &Api, headers: &HeaderMap) -> Option<Known> {
    let Session { actor, role, payloads, token_made, .. } = api.sessions.find(headers)?;
    if actor.kind != ActorKind::Token {
        return Some(Known { actor, role, payloads, by_cookie: true });
    }
    // One that was begun with a token ends with it, and has what it has now.
    let all = api.tokens.all().ok()?;
    let token = all.into_iter().find(|token| token.name == actor.name && Some(token.created_at) == token_made)?;
    Some(Known { actor, role: token.role, payloads: token.payloads, by_cookie: true })
}

/// A page of another site may have the browser send a request, with the cookie; the browser says whose page it is.
pub fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let own = match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin",
        None => {
            let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, origin)| Some(origin) == text(header::HOST))
        }
    };
    match own {
        true => Ok(()),
        false => {
            Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site asks for this, and gets nothing done"))
        }
    }
}
