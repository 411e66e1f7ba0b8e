//! Where the pages of redb's file stand in ours, between those with their checksums (see `pages.rs`).

use std::ops::Range;
use twox_hash::XxHash3_64;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;

/// Pages that have their checksums on one page.
pub(super) const GROUP: u64 = 512;

/// The checksum of a page.
pub(super) fn sum(page: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(page, bytes).max(1)
}

/// Where page `page` of redb's file stands in ours. Page 0 is the front.
pub(super) fn place(page: u64) -> u64 {
    let (group, within) = ((page - 1) / GROUP, (page - 1) % GROUP);
    (1 + group * (GROUP + 1) + 1 + within) * PAGE as u64
}

/// Where the checksums of a group stand.
pub(super) fn sums_place(group: u64) -> u64 {
    (1 + group * (GROUP + 1)) * PAGE as u64
}

/// The length of our file for one of redb's.
pub(super) fn outer_len(len: u64) -> u64 {
    let pages = len.div_ceil(PAGE as u64).saturating_sub(1);
    if len == 0 { 0 } else { (1 + pages + pages.div_ceil(GROUP)) * PAGE as u64 }
}

/// The length of redb's file in one of ours.
pub(super) fn inner_len(len: u64) -> u64 {
    let Some(pages) = (len / PAGE as u64).checked_sub(1) else { return 0 };
    let (groups, rest) = (pages / (GROUP + 1), pages % (GROUP + 1));
    (1 + groups * GROUP + rest.saturating_sub(1)) * PAGE as u64
}

/// Runs of pages, each within one group.
pub(super) fn runs(pages: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut next = pages.start;
    std::iter::from_fn(move || {
        let from = next;
        next = pages.end.min((from.max(1) - 1) / GROUP * GROUP + GROUP + 1);
        (from < next).then_some(from..next)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_place_of_its_own() {
        let mut taken = std::collections::HashSet::from([0]);
        for page in 1..3 * GROUP + 10 {
            if (page - 1).is_multiple_of(GROUP) {
                assert!(taken.insert(sums_place((page - 1) / GROUP)));
            }
            assert!(taken.insert(place(page)));
            let len = (page + 1) * PAGE as u64;
            assert_eq!(outer_len(len), place(page) + PAGE as u64, "nothing follows the last page");
            assert_eq!(inner_len(outer_len(len)), len);
        }
        assert_eq!((outer_len(0), inner_len(0), inner_len(PAGE as u64)), (0, 0, PAGE as u64));
        for pages in [1..2, 5..600, 513..514, 512..513, 1..1540] {
            let runs: Vec<_> = runs(pages.clone()).collect();
            assert_eq!(runs.iter().cloned().flatten().collect::<Vec<_>>(), pages.collect::<Vec<_>>());
            assert!(runs.iter().all(|run| (run.start - 1) / GROUP == (run.end - 2) / GROUP));
        }
    }
}
