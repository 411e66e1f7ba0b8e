//! Who is let in, by what name, and how much.

use super::{BINARY, data};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use unspool::http::ROUTES;
use unspool_tests::{
    data::Data,
    http::{Asker, HttpHost},
};

/// Every request of the table, by nobody, by each role, by another name, and by a page of another site: refused with the right status, and
/// never carried out.
#[test]
fn every_request_is_refused_to_whoever_may_not() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let viewer = Asker::token(&data, "viewer", "viewer", "none");
    let operator = Asker::token(&data, "operator", "operator", "none");
    let browser = Asker::browser(&data, &host);
    let nobody = Asker::default();
    let digest = data.digest("faulty");
    let before = data.json(["activity", "check"])["last"].clone();
    let paths = ROUTES.iter().map(|route| {
        let path = route
            .path
            .replace("{name}", "faulty")
            .replace("{generation}", "live")
            .replace("{table}", "seen")
            .replace("{key}", "s01")
            .replace("{id}", "e7");
        (route, path)
    });
    let mut refused = [0; 3];
    for (route, path) in paths.chain([]) {
        let body = (route.method != "GET").then_some(("application/json", &b"{}"[..]));
        let ask = |asker: &Asker| host.ask(asker, route.method, &path, body);
        let at = format!("{} {path}", route.method);
        // By nobody, whatever is asked.
        let reply = ask(&nobody);
        assert_eq!((reply.status, reply.headers["www-authenticate"].as_str()), (401, "Bearer"), "{at}: {reply:#?}");
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{at}");
        assert_eq!(ask(&nobody.clone().with("Authorization", "Bearer unspool_0")).status, 401, "{at}");
        assert_eq!(ask(&nobody.clone().with("Cookie", "unspool=e30.00")).status, 401, "{at}");
        // By a name that is not the host's, whoever asks.
        for name in ["evil.example", "evil.example:7117", "localhost.evil.example", ""] {
            assert_eq!(ask(&browser.clone().with("Host", name)).status, 421, "{at}: {name}");
        }
        if route.method == "GET" {
            continue;
        }
        // By a page of another site, which has the browser send its cookie.
        for site in ["cross-site", "same-site", "none"] {
            let page = Asker { headers: vec![browser.headers[0].clone()] }.with("Sec-Fetch-Site", site);
            assert_eq!(ask(&page).status, 403, "{at}: {site}");
        }
        let page = Asker { headers: vec![browser.headers[0].clone()] }.with("Origin", "http://evil.example");
        assert_eq!(ask(&page).status, 403, "{at}");
        refused[0] += 1;
        // By those whose role is too little: asked for as well as they can.
        let reads = route.path.starts_with("/v1/store/check");
        let needs_file = matches!(route.method, "PUT") || path.ends_with("/try") || path == "/v1/events";
        let bodies = json!({ "to": "1", "stream": "s01", "file": "/nowhere/at/all" });
        let body = if path.ends_with("/as-of") {
            json!({ "to": "1" })
        } else if path.ends_with("/rebuild-stream") {
            json!({ "stream": "s01" })
        } else if path.ends_with("/backup") {
            json!({ "file": bodies["file"] })
        } else {
            json!({})
        };
        let reply = host.ask(&viewer, route.method, &path, Some(("application/json", body.to_string().as_bytes())));
        if !reads {
            assert_eq!(reply.status, 403, "{at}: {reply:#?}");
            assert!(reply.json()["detail"].as_str().unwrap().contains("viewer has the role viewer"), "{at}");
            refused[1] += 1;
        }
        let admins = needs_file && !path.ends_with("/try")
            || ["/plugin-rollback", "/discard", "/backup"].iter().any(|end| path.ends_with(end))
            || route.method == "DELETE";
        if admins {
            let reply =
                host.ask(&operator, route.method, &path, Some(("application/json", body.to_string().as_bytes())));
            assert_eq!(reply.status, 403, "{at}: {reply:#?}");
            refused[2] += 1;
        }
    }
    assert!(refused[0] > 20 && refused[1] > 20 && refused[2] > 5, "{refused:?}");
    assert_eq!(data.digest("faulty"), digest);
    assert_eq!(data.json(["activity", "check"])["last"], before, "nothing of it was carried out");
}

#[test]
fn rows_and_events_are_shown_to_whom_they_may_be() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let shown = ["rows", "rows/s01", "rows/s01/history"]
        .map(|rest| format!("/v1/projections/faulty/generations/live/tables/seen/{rest}"));
    let more =
        ["/v1/events/e1", "/v1/projections/faulty/dead-letters/e7", "/v1/projections/faulty/export"].map(str::to_owned);
    let [none, masked, full] =
        ["none", "masked", "full"].map(|payloads| Asker::token(&data, payloads, "viewer", payloads));
    for path in shown.iter().chain(&more) {
        let reply = host.ask(&none, "GET", path, None);
        assert_eq!(reply.status, 403, "{path}: {reply:#?}");
        let [masked, full] = [&masked, &full].map(|asker| host.ask(asker, "GET", path, None));
        assert_eq!((masked.status, full.status), (200, 200), "{path}: {masked:#?} {full:#?}");
        // Events of this history say nothing.
        let says = !path.contains("/events/") && !path.contains("/dead-letters/");
        assert_eq!(masked.body.contains("(number)") || masked.body.contains("(text)"), says, "{path}: {}", masked.body);
        assert!(!full.body.contains("(number)"), "{path}: {}", full.body);
    }
    // As text, so that no page spoils a number.
    let row = host.get(&full, "/v1/projections/faulty/generations/live/tables/seen/rows/s01?documents=text");
    assert!(serde_json::from_str::<serde_json::Value>(row["value"].as_str().unwrap()).unwrap().is_object(), "{row:#}");
}

#[test]
fn a_code_lets_one_browser_in_once_and_its_session_outlives_the_host() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let url = data.json(["ui"])["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&host.url()), "{url}");
    let code = url.split("#code=").nth(1).unwrap();
    let enter = |host: &HttpHost| host.post(&Asker::default(), "/v1/session", &json!({ "code": code }));
    let entered = enter(&host);
    assert_eq!(entered.status, 204);
    let cookie = &entered.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(enter(&host).status, 401, "once");
    let browser = Asker::default().with("Cookie", cookie.split(';').next().unwrap());
    assert_eq!(host.get(&browser, "/v1/host")["caller"]["role"], "admin");
    host.host.kill();
    let host = HttpHost::start(&data, &[]);
    assert_eq!(host.get(&browser, "/v1/host")["caller"]["role"], "admin");
    // A session that was begun with a token ends with it.
    let made = data.json(["token", "add", "ann", "--role", "viewer"]);
    let entered = host.post(&Asker::default(), "/v1/session", &json!({ "token": made["token"] }));
    let ann = Asker::default().with("Cookie", entered.headers["set-cookie"].split(';').next().unwrap());
    assert_eq!(host.get(&ann, "/v1/host")["caller"]["name"], "ann");
    data.ok(["token", "remove", "ann"]);
    assert_eq!(host.ask(&ann, "GET", "/v1/host", None).status, 401);
    data.ok(["token", "add", "ann", "--role", "admin"]);
    assert_eq!(host.ask(&ann, "GET", "/v1/host", None).status, 401, "another token of the same name is another one");
    let all = std::fs::read(data.path().join("host.log")).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&all).contains(code));
}

#[test]
fn what_others_can_reach_is_encrypted_and_knows_somebody() {
    let data = Data::new(BINARY);
    data.make();
    let refused = |args: &[&str], words: &str| {
        let answer = data.run([&["serve"], args].concat());
        answer.refused(2, &[words]);
    };
    refused(&["--listen", "0.0.0.0:0"], "would not be encrypted");
    refused(&["--listen", "0.0.0.0:0", "--behind-proxy"], "nobody is known yet");
    refused(&["--listen", "127.0.0.1:0", "--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "nowhere.pem");
    refused(&["--listen-metrics", "127.0.0.1:0"], "needs --listen");
    data.ok(["token", "add", "ann", "--role", "viewer"]);
    let mut host = data.start(["serve", "--listen", "0.0.0.0:0", "--behind-proxy"]);
    host.wait_for_line("listening on");
}

#[test]
fn nobody_is_hurt_by_who_sends_nonsense_or_nothing() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = Asker::token(&data, "root", "admin", "full");
    // They stay open, and say nothing, or a part of something.
    let slow: Vec<TcpStream> = (0..60)
        .map(|number| {
            let mut stream = TcpStream::connect(host.address).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /v1/host HTTP/1.1\r\nHo").unwrap();
            }
            stream
        })
        .collect();
    let nonsense: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage",
        b"POST /v1/control HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ];
    for bytes in nonsense {
        let mut stream = TcpStream::connect(host.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains(" 200 "), "{text}");
    }
    let long = Asker { headers: admin.headers.clone() }.with("X-Long", &"x".repeat(200_000));
    assert!(matches!(host.ask(&long, "GET", "/v1/host", None).status, 0 | 400 | 431));
    let large = vec![b' '; 70_000];
    let reply = host.ask(&admin, "POST", "/v1/projections/faulty/pause", Some(("application/json", &large)));
    assert!(matches!(reply.status, 0 | 413), "{reply:#?}");
    assert_eq!(host.get(&admin, "/v1/host")["caller"]["name"], "root");
    assert_eq!(data.json(["status", "faulty"])["status"], "completed");
    drop(slow);
}

/// A proxy's word counts where it comes from, and for those that it names.
#[test]
fn who_a_proxy_names_is_known_and_may_what_the_settings_say() {
    let data = data();
    let settings = "[http]\nhosts = [\"unspool.example\"]\n\n[http.proxy]\nuser_header = \"X-User\"\nfrom = [\"127.0.0.1\"]\n\
                    roles = { ann = \"operator\" }\npayloads = \"masked\"\n";
    std::fs::write(data.path().join("unspool.toml"), settings).unwrap();
    let host = HttpHost::start(&data, &[]);
    let named = |name: &str| Asker::default().with("X-User", name).with("Authorization", "Basic YTpi");
    for (name, role) in [("ann", "operator"), ("ben", "viewer")] {
        let caller = host.get(&named(name).with("Host", "unspool.example"), "/v1/host")["caller"].clone();
        assert_eq!(
            (&caller["name"], &caller["role"], &caller["payloads"]),
            (&json!(name), &json!(role), &json!("masked"))
        );
    }
    // The browser sends to the proxy whatever a page has it send.
    let verify = "/v1/projections/faulty/verify";
    assert_eq!(host.post(&named("ann"), verify, &json!({})).status, 403);
    let own = named("ann").with("Sec-Fetch-Site", "same-origin");
    assert_eq!(host.post(&own, verify, &json!({})).status, 200);
    assert_eq!(data.list(["activity", "--last", "1"])[0]["actor"], json!({ "kind": "proxy", "name": "ann" }));
    drop(host);
    std::fs::write(data.path().join("unspool.toml"), settings.replace("127.0.0.1", "192.0.2.1")).unwrap();
    let host = HttpHost::start(&data, &[]);
    assert_eq!(host.ask(&named("ann"), "GET", "/v1/host", None).status, 401, "from elsewhere it is nobody's word");
    drop(host);
    std::fs::write(data.path().join("unspool.toml"), settings.replace("operator", "boss")).unwrap();
    data.run(["serve", "--listen", "127.0.0.1:0"]).refused(2, &["boss", "viewer, operator or admin"]);
}
