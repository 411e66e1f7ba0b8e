//! What a rebuild pays for being watched over HTTP: by who scrapes metrics, by pages that are open, and by one that does not read.

use crate::{
    Options,
    histories::{Histories, Running, command, run},
    product,
    report::Report,
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};
use unspool_tests::http::{Asker, ask};

/// Pages that are open.
const PAGES: usize = 10;

/// Between two scrapes.
const SCRAPE: Duration = Duration::from_secs(1);

/// A rebuild in a host that answers HTTP, with nobody who looks and with those; in turn, and in another order each time.
pub fn measure(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.data(options.events);
    let made = run(&data, &["token", "add", "watcher", "--role", "operator"]).stdout;
    let made: Value = serde_json::from_slice(&made).expect("an answer");
    let asker = Asker::default().with("Authorization", &format!("Bearer {}", made["token"].as_str().expect("a token")));
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let _host = Running::start(command(&data, &["serve", "--listen", &free.to_string()]));
    while TcpStream::connect(free).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    product::rebuild(histories, options.events);
    for round in 0..options.rounds {
        for watched in [round % 2 == 0, round % 2 != 0] {
            if watched {
                let watchers = Watchers::new(free, &asker);
                report.rate("watched", options.events, || product::rebuild(histories, options.events));
                report.add("scrapes", watchers.end() as f64);
            } else {
                report.rate("unwatched", options.events, || product::rebuild(histories, options.events));
            }
        }
    }
    report.ratio("watchedRatio", "watched", "unwatched");
}

/// Those who look.
struct Watchers {
    pages: Vec<TcpStream>,
    readers: Vec<JoinHandle<()>>,
    /// Ends the scraper when it is dropped.
    scraping: Sender<()>,
    scraper: JoinHandle<usize>,
}

impl Watchers {
    fn new(host: SocketAddr, asker: &Asker) -> Watchers {
        let pages: Vec<_> = (0..=PAGES).map(|_| page(host, asker)).collect();
        // The last one never reads.
        let readers = pages[..PAGES].iter().map(|page| {
            let mut page = page.try_clone().expect("a socket");
            thread::spawn(move || drop(std::io::copy(&mut page, &mut std::io::sink())))
        });
        let readers = readers.collect();
        let (scraping, ended) = mpsc::channel::<()>();
        let asker = asker.clone();
        let scraper = thread::spawn(move || {
            let mut scrapes = 0;
            loop {
                assert_eq!(ask(host, &asker, "GET", "/metrics", None).status, 200);
                scrapes += 1;
                if ended.recv_timeout(SCRAPE) == Err(RecvTimeoutError::Disconnected) {
                    return scrapes;
                }
            }
        });
        Watchers { pages, readers, scraping, scraper }
    }

    /// How many scrapes there were.
    fn end(self) -> usize {
        drop(self.scraping);
        for page in self.pages {
            drop(page.shutdown(Shutdown::Both));
        }
        for reader in self.readers {
            reader.join().expect("a page reads to the end");
        }
        self.scraper.join().expect("every scrape is answered")
    }
}

/// A page that is told what goes on.
fn page(host: SocketAddr, asker: &Asker) -> TcpStream {
    let mut page = TcpStream::connect(host).expect("the host listens");
    let (name, value) = &asker.headers[0];
    write!(page, "GET /v1/stream HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\n\r\n").expect("the host reads");
    let mut begun = [0; 15];
    page.read_exact(&mut begun).expect("the host answers");
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    page
}
