//! What a network connection must offer before a password goes over it: TLS where it is wanted, and a method of
//! authentication that fits. PostgreSQL's client answers any request, which gives a password away in clear text.

use super::{
    silence::{Ask, Silence, gone},
    words::{Methods, SslMode},
};
use postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::UnixStream,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Asks a server to go on with TLS: its length, and a number that no version of the protocol has.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Makes connections of which it knows whether they are encrypted. It takes the role in which PostgreSQL's client expects TLS
/// that begins at once, so that every byte passes here.
#[derive(Clone)]
pub(super) struct Guard {
    /// Absent where TLS is not wanted.
    pub(super) tls: Option<MakeRustlsConnect>,
    pub(super) mode: SslMode,
    /// Whether TLS begins without a request (`sslnegotiation=direct`).
    pub(super) direct: bool,
    pub(super) require_auth: Option<Methods>,
    /// See [`Silence::new`].
    pub(super) ask: Option<Ask>,
}

/// What the name of a host begins with that is a local socket, whose path follows.
pub(super) const LOCAL: &str = "local:";

/// Why a connection is not used.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Refusal(why.to_owned()))
}

/// A local socket on which nobody listens.
#[derive(Debug)]
pub(super) struct Unreached(String);

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unreached {}

fn unreached(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), Unreached(format!("error connecting to server: {path}: {error}")))
}

/// How long a server may take until TLS is agreed upon.
const SECURE_WITHIN: Duration = Duration::from_secs(10);

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl MakeTlsConnect<Socket> for Guard {
    type Stream = Guarded;
    type TlsConnect = Connecting;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connecting, Infallible> {
        Ok(Connecting { guard: self.clone(), host: host.to_owned() })
    }
}

/// About to connect to one host.
pub(super) struct Connecting {
    guard: Guard,
    host: String,
}

impl TlsConnect<Socket> for Connecting {
    type Stream = Guarded;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Guarded>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async {
            // Until there is a stream, nothing watches it.
            let connected = tokio::time::timeout(SECURE_WITHIN, self.connected(stream)).await;
            connected.unwrap_or_else(|_| Err(gone()))
        })
    }
}

impl Connecting {
    async fn connected(self, mut stream: Socket) -> io::Result<Guarded> {
        let Guard { tls, mode, direct, require_auth, ask } = self.guard;
        let hidden = Methods { clear_text: true, md5: true, scram: true };
        let silence = Silence::new(ask);
        if let Some(path) = self.host.strip_prefix(LOCAL) {
            let stream = Stream::Local(UnixStream::connect(path).await.map_err(|e| unreached(path, &e))?);
            return Ok(Guarded { stream, watch: Watch::new(hidden), silence });
        }
        let Some(mut tls) = tls else { return Ok(Guarded::plain(stream, require_auth, silence)) };
        if !direct {
            stream.write_all(&TLS_REQUEST).await?;
            let mut answer = [0];
            stream.read_exact(&mut answer).await?;
            match answer[0] {
                b'S' => {}
                b'N' if mode == SslMode::Prefer => return Ok(Guarded::plain(stream, require_auth, silence)),
                b'N' => return Err(refusal("the server offers no TLS; sslmode=prefer goes on without it")),
                _ => return Err(io::Error::other("the server answers the request for TLS with something else")),
            }
        }
        let Ok(connecting) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &self.host);
        let encrypted = connecting.connect(stream).await?;
        Ok(Guarded {
            stream: Stream::Encrypted(Box::new(encrypted)),
            watch: Watch::new(require_auth.unwrap_or(hidden)),
            silence,
        })
    }
}

enum Stream {
    Local(UnixStream),
    Plain(Socket),
    Encrypted(Box<Encrypted>),
}

/// A connection whose first message is looked at.
pub(super) struct Guarded {
    stream: Stream,
    watch: Watch,
    silence: Silence,
}

impl Guarded {
    fn plain(stream: Socket, require_auth: Option<Methods>, silence: Silence) -> Guarded {
        let open = Methods { clear_text: false, md5: false, scram: true };
        Guarded { stream: Stream::Plain(stream), watch: Watch::new(require_auth.unwrap_or(open)), silence }
    }
}

impl TlsStream for Guarded {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Stream::Local(_) | Stream::Plain(_) => ChannelBinding::none(),
            Stream::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Guarded { stream, silence, .. } = &mut *self;
        let read = match stream {
            Stream::Local(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        if read.is_pending() {
            return silence.poll(cx);
        }
        silence.broken();
        ready!(read)?;
        Poll::Ready(self.watch.look(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Local(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        };
        if written.is_ready() {
            self.silence.broken();
            // From here on the connection waits for an answer: it looks for one before it writes, and not again before
            // something wakes it.
            if let Poll::Ready(Err(e)) = self.silence.poll::<()>(cx) {
                return Poll::Ready(Err(e));
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Local(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Local(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// Looks at the server's first message, which says how it wants the password: a letter, its length, a number.
struct Watch {
    allowed: Methods,
    seen: Vec<u8>,
}

impl Watch {
    const HEAD: usize = 9;

    fn new(allowed: Methods) -> Watch {
        Watch { allowed, seen: Vec::new() }
    }

    fn look(&mut self, bytes: &[u8]) -> io::Result<()> {
        let missing = Watch::HEAD - self.seen.len();
        if missing == 0 {
            return Ok(());
        }
        self.seen.extend(bytes.iter().take(missing));
        let [b'R', _, _, _, _, a, b, c, d] = self.seen[..] else { return Ok(()) };
        let way_out = "use TLS (sslmode=verify-full), a local socket, or passwords of the kind scram-sha-256; where the network is \
                       trusted, allow it in the connection string with require_auth=";
        match u32::from_be_bytes([a, b, c, d]) {
            3 if !self.allowed.clear_text => {
                Err(refusal(&format!("the server asks for the password in clear text; {way_out}password")))
            }
            5 if !self.allowed.md5 => {
                Err(refusal(&format!("the server asks for the password as MD5, which can be replayed; {way_out}md5")))
            }
            10 if !self.allowed.scram => {
                Err(refusal("the server asks for the password by scram-sha-256, which require_auth does not have"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_found_however_it_comes() {
        let asks = |code: u8| [b'R', 0, 0, 0, 8, 0, 0, 0, code];
        let open = Methods { clear_text: false, md5: false, scram: true };
        for (code, refused) in [(0, false), (3, true), (5, true), (10, false)] {
            let mut whole = Watch::new(open);
            assert_eq!(whole.look(&asks(code)).is_err(), refused, "{code}");
            let mut parts = Watch::new(open);
            let ended = asks(code).iter().try_for_each(|byte| parts.look(&[*byte]));
            assert_eq!(ended.is_err(), refused, "{code}");
        }
        // Later messages are not looked at.
        let mut later = Watch::new(open);
        later.look(&asks(0)).unwrap();
        later.look(&asks(3)).unwrap();
    }
}
