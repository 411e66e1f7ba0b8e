//! What the tests of the PostgreSQL sources stand on does what it says.

use unspool_tests::postgres::{Options, Proxy, Server, Stop, shared};

#[test]
fn a_server_keeps_its_data_over_a_restart_and_leaves_nothing_behind() {
    let mut server = Server::new();
    let (url, dir) = (server.url(), AsRef::<std::path::Path>::as_ref(&server).to_owned());
    server.client().batch_execute("CREATE TABLE kept AS SELECT 1").expect("a table");
    for how in [Stop::Fast, Stop::Immediate] {
        server.stop(how);
        assert!(postgres::Client::connect(&url, postgres::NoTls).is_err(), "it is stopped");
        server.start();
        let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("the URL still leads to it");
        assert_eq!(client.query("SELECT * FROM kept", &[]).expect("the table is there").len(), 1);
    }
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn roles_need_their_password_and_their_grants() {
    let database = shared().database("roles");
    shared().role("reader", Some("it's secret"));
    let with = |password: &str| {
        let mut config: postgres::Config = database.url_of("reader").parse().expect("a URL");
        config.password(password).connect(postgres::NoTls)
    };
    let refused = |e: postgres::Error| e.code().expect("the server's error").code().to_owned();
    assert_eq!(with("wrong").err().map(refused).as_deref(), Some("28P01"));
    database.client().batch_execute("CREATE TABLE hidden ()").expect("a table");
    let mut reader = with("it's secret").expect("the right password");
    assert_eq!(reader.query("SELECT * FROM hidden", &[]).err().map(refused).as_deref(), Some("42501"));
}

#[test]
fn a_server_with_tls_refuses_plain_connections() {
    let server = Server::with(Options { tls: true, ..Options::default() });
    assert!(server.authority().is_file());
    let refused = postgres::Client::connect(&server.url(), postgres::NoTls).err().expect("it needs TLS");
    assert!(format!("{refused:?}").contains("no encryption"), "{refused:?}");
}

#[test]
fn a_proxy_cuts_and_heals() {
    let database = shared().database("proxied");
    let proxy = Proxy::new(shared().port());
    let url = proxy.url(&database.url());
    let connect = || postgres::Client::connect(&url, postgres::NoTls);
    let mut client = connect().expect("it forwards");
    proxy.cut();
    assert!(client.simple_query("SELECT 1").is_err() && connect().is_err());
    proxy.heal();
    let mut client = connect().expect("it forwards again");
    proxy.cut_after(100_000);
    let mut rows =
        client.query_raw("SELECT repeat('x', 100) FROM generate_series(1, 10000)", [] as [i32; 0]).expect("rows");
    let mut read = 0;
    let ended = postgres::fallible_iterator::FallibleIterator::for_each(&mut rows, |_| {
        read += 1;
        Ok(())
    });
    assert!(ended.is_err() && (1..1000).contains(&read), "{read} rows, {ended:?}");
    drop(rows);
    assert_eq!(proxy.cuts(), 2);
    connect().expect("new connections are accepted after it");
}
