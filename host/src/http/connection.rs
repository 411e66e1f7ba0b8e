//! Connections: with TLS where that is wanted, and with bounds on how many there are and how slow they may be.

use super::{Api, HttpOptions, ROUTES, answer, feed, guard, login, metrics, own::OWN, problem::Problem, samples, ui};
use crate::control::{ControlError, Host};
use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Request},
    http::{Method, StatusCode},
    middleware,
    response::IntoResponse,
    routing::{MethodFilter, get, on},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as BoundListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    self,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Connections at the same time; others wait.
const CONNECTIONS: usize = 256;

/// How long the head of a request, or the beginning of TLS, may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long answers that are being given may take when the host ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The address of whoever is at the other end.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Answers HTTP until it is dropped.
pub struct Server {
    runtime: Option<tokio::runtime::Runtime>,
    url: String,
}

impl Server {
    /// Listens as `options` say.
    ///
    /// # Errors
    /// When an address is refused or taken, or a certificate cannot be used.
    pub fn start(host: Host, mut options: HttpOptions) -> Result<Server, ControlError> {
        let failed = |what: &str, e: &dyn std::fmt::Display| ControlError::refused(format!("{what}: {e}"));
        let bind = |address: SocketAddr| {
            let bound = BoundListener::bind(address).and_then(|bound| bound.set_nonblocking(true).map(|()| bound));
            bound.map_err(|e| failed(&format!("nothing can listen on {address}"), &e))
        };
        let bound = bind(options.listen)?;
        let metrics = options.listen_metrics.map(bind).transpose()?;
        let address = bound.local_addr().map_err(|e| failed("the address", &e))?;
        // Whichever port was free.
        options.listen = address;
        let tls = options.tls.as_ref().map(|(chain, key)| acceptor(chain, key)).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Which of its addresses others use is not known here.
        let here =
            if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() };
        let url = format!("{scheme}://{here}/");
        host.door().open(url.clone());
        let api = Arc::new(Api::new(host, options).map_err(|e| failed("the key of sessions", &e))?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|e| failed("no threads for HTTP", &e))?;
        let listen = |bound: BoundListener| {
            let _context = runtime.enter();
            TcpListener::from_std(bound).map_err(|e| failed("the address", &e))
        };
        let routes = router(&api);
        runtime.spawn(accept(listen(bound)?, routes, tls));
        if let Some(metrics) = metrics {
            runtime.spawn(accept(listen(metrics)?, health(&api), None));
        }
        runtime.spawn(samples::run(api.clone()));
        runtime.spawn(feed::run(api));
        Ok(Server { runtime: Some(runtime), url })
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(LAST_ANSWERS);
        }
    }
}

/// What is asked without anybody being known.
fn health(api: &Arc<Api>) -> Router {
    let (ready, measured) = (api.clone(), api.clone());
    Router::new()
        .route("/metrics", get(move || metrics::metrics(measured.clone())))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || login::ready(ready.clone())))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "here are /metrics, /livez and /readyz").into_response()
        })
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
}

fn filter(method: &str) -> Option<MethodFilter> {
    Method::from_bytes(method.as_bytes()).ok().and_then(|method| MethodFilter::try_from(method).ok())
}

fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let Some(method) = filter(route.method) else { continue };
        let own = api.clone();
        router =
            router.route(route.path, on(method, move |request: Request| answer::answer(own.clone(), route, request)));
    }
    for own in OWN {
        let Some(method) = filter(own.method) else { continue };
        let api = api.clone();
        router = router.route(own.path, on(method, move |request: Request| (own.run)(api.clone(), request)));
    }
    router
        .merge(ui::files())
        .method_not_allowed_fallback(|request: Request| async move {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} is not possible there", request.method()))
                .into_response()
        })
        .fallback(|OriginalUri(uri): OriginalUri| async move {
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no {}; GET /v1/openapi.json has what there is", uri.path()),
            )
            .into_response()
        })
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
}

fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor, ControlError> {
    let refused = |file: &Path, e: &dyn std::fmt::Display| ControlError::refused(format!("{}: {e}", file.display()));
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect).map_err(|e| refused(chain, &e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| refused(key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|e| refused(chain, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, routes: Router, tls: Option<TlsAcceptor>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("a connection over HTTP failed: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (routes, tls) = (routes.clone(), tls.clone());
        tokio::spawn(async move {
            let _place = place;
            let served = match tls {
                None => serve(stream, peer.ip(), routes).await,
                Some(tls) => match tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, peer.ip(), routes).await,
                    Ok(Err(e)) => Err(e.into()),
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
            };
            if let Err(e) = served {
                tracing::debug!("a connection over HTTP ended: {e}");
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    routes: Router,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let asked = Arc::new(AtomicBool::new(false));
    let begun = asked.clone();
    let routes = routes.layer(middleware::map_request(move |mut request: Request<Body>| {
        begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        async move { request }
    }));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(64 << 10);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(32).keep_alive_interval(Duration::from_secs(30));
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(served);
    // Who asks nothing is not waited for: before the first byte, no time-out of the library runs.
    tokio::select! {
        served = served.as_mut() => return served,
        () = tokio::time::sleep(HEAD_TIME) => {}
    }
    if asked.load(Ordering::Relaxed) { served.await } else { Err(io::Error::from(io::ErrorKind::TimedOut).into()) }
}
