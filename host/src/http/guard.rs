//! What holds for every answer and every request, whoever asks: the name by which the host is asked, and what browsers may do with pages.

use super::{Api, problem::Problem};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Pages load nothing from elsewhere, are shown in no frame, and run no script but the host's own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What goes with every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Lets a request through that names this host.
pub async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = match refuse_other_names(&api, request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    api.count(method.as_str(), response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A page elsewhere whose name is made to lead here would be of the same origin: what gives it away is the name. An address is none that
/// somebody else can have.
fn refuse_other_names(api: &Api, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let named =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|it| it.as_str()));
    let refused = |name: &str| {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this host is not asked by the name {name:?}; name it by its address, or add the name to hosts of [http] in unspool.toml"
            ),
        )
    };
    let Some(named) = named else { return Err(refused("")) };
    let name = match named.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => named.rsplit_once(':').map_or(named, |(name, _)| name),
    };
    let own = name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || api.options.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
    if own { Ok(()) } else { Err(refused(name)) }
}
