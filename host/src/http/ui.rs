//! The dashboard's files, which are part of the program: nothing is loaded from elsewhere.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// A file: its path, its kind, and what is in it.
type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal, $kind:ident;)*) => {
        &[$((concat!("/", $path), $kind, include_bytes!(concat!("ui/", $path)))),*]
    };
}

const FILES: &[File] = files! {
    "actions.js", JS;
    "activity.js", JS;
    "api.js", JS;
    "app.css", CSS;
    "app.js", JS;
    "bulk.js", JS;
    "chart.js", JS;
    "dead_letters.js", JS;
    "dialog.js", JS;
    "diff.js", JS;
    "failure.js", JS;
    "format.js", JS;
    "host.js", JS;
    "html.js", JS;
    "icon.svg", SVG;
    "index.html", HTML;
    "json.js", JS;
    "live.js", JS;
    "models.js", JS;
    "now.js", JS;
    "parts.js", JS;
    "rebuild.js", JS;
    "reference.html", HTML;
    "reference.js", JS;
    "receipt.js", JS;
    "results.js", JS;
    "route.js", JS;
    "rows.js", JS;
    "status.js", JS;
    "theme.js", JS;
    "timeline.js", JS;
    "vendor/hooks.module.js", JS;
    "vendor/htm.module.js", JS;
    "vendor/preact.module.js", JS;
    "vendor/uPlot.esm.js", JS;
    "vendor/uPlot.min.css", CSS;
};

/// Routes to all of them.
pub fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for &(path, kind, content) in FILES {
        let tag = format!("\"{}\"", &blake3::hash(content).to_hex()[..16]);
        let own = tag.clone();
        let file = move |request: Request| async move { answer(&request, &own, kind, content) };
        router = router.route(path, get(file.clone()));
        if path == "/index.html" {
            router = router.route("/", get(file));
        }
    }
    router
}

/// A file; nothing where the browser has it already.
fn answer(request: &Request, tag: &str, kind: &'static str, content: &'static [u8]) -> Response {
    let has = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match has {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, kind)], content).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
