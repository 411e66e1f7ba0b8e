//! A read model that is kept up to date, with its rows in the store.

use super::{BINARY, Count, KILLS};
use std::sync::atomic::Ordering;
use unspool_tests::killed::{BESIDE, Deed, Followed, LIVE};

fn killed_everywhere(deeds: &[Deed<'_>]) {
    let _count = Count;
    let mut followed = Followed::new(BINARY, None, None);
    for deed in deeds {
        followed.kill_everywhere(deed);
    }
    KILLS.fetch_add(followed.kills, Ordering::SeqCst);
}

#[test]
fn a_host_that_is_killed_while_something_is_built_beside_what_it_follows_takes_nobody_back() {
    killed_everywhere(&BESIDE);
}

#[test]
fn a_host_that_is_killed_while_what_it_follows_is_changed_takes_nobody_back() {
    killed_everywhere(&LIVE);
}
