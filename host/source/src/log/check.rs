//! Reading the whole log, to see that it fits together.

use super::{EventLog, IDS, SECTIONS, block::Summary, content::is_content, damage, id_hash};
use crate::SourceError;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata};
use unspool_vocabulary::work;

type Ids = ReadOnlyTable<u128, (u64, u128)>;

/// Reads every event, and adds to `problems` what does not fit: each is where its block's summary says, is found by its id,
/// and has the content that was hashed when it was imported; no id stands for anything else.
pub(super) fn check(log: &EventLog, problems: &mut Vec<String>) -> Result<(), SourceError> {
    let read = log.begin()?;
    work::begin(format!("checking {}", log.name), "events", log.stats().ok().map(|stats| stats.events));
    let kinds = log.kind_names(&read)?;
    let ids = read.open_table(IDS).map_err(damage)?;
    let (mut last, mut events, mut sections) = (0, 0, 0);
    for entry in log.index(&read)?.range(0..).map_err(damage)? {
        let (first, summary) = entry.map_err(damage)?;
        let (first, summary) = (first.value(), log.summary(first.value(), summary.value())?);
        let mut found = Vec::new();
        if first <= last {
            found.push(format!("it begins before the one before it ends, at {last}"));
        }
        last = summary.last;
        check_block(log, &read, &Block { first, summary: &summary, kinds: &kinds, ids: &ids }, &mut found)?;
        events += summary.count(|_| true);
        work::reach(events);
        sections += summary.kinds.len() as u64;
        problems.extend(found.into_iter().map(|what| format!("{}: block {first}: {what}", log.name)));
    }
    for (what, there, known) in [
        ("ids", ids.len().map_err(damage)?, events),
        ("sections", read.open_table(SECTIONS).map_err(damage)?.len().map_err(damage)?, sections),
    ] {
        if there != known {
            problems.push(format!("{}: it has {there} {what}, its blocks say {known}", log.name));
        }
    }
    Ok(())
}

struct Block<'a> {
    first: u64,
    summary: &'a Summary,
    kinds: &'a [String],
    ids: &'a Ids,
}

fn check_block(
    log: &EventLog,
    read: &ReadTransaction,
    block: &Block<'_>,
    problems: &mut Vec<String>,
) -> Result<(), SourceError> {
    let mut bytes = 0;
    for (kind, count) in &block.summary.kinds {
        let section = log.section(read, block.first, *kind)?;
        if section.entries.len() != *count as usize {
            problems.push(format!("{} events of type {kind}, not {count}", section.entries.len()));
        }
        bytes += section.frames.len() as u64;
        for (position, mut frame) in section.events() {
            let event = match unspool_frame::Event::decode(&mut frame) {
                Ok(event) => event,
                Err(e) => {
                    problems.push(format!("the event at {position}: {e}"));
                    continue;
                }
            };
            let (from, to) = block.summary.timestamps;
            if event.position != position
                || !(block.first..=block.summary.last).contains(&position)
                || !(from..=to).contains(&event.timestamp)
                || block.kinds.get(*kind as usize).is_none_or(|name| name != event.kind)
            {
                problems.push(format!("event {} stands at {position}, where it does not belong", event.id));
            }
            match block.ids.get(id_hash(event.id)).map_err(damage)?.map(|found| found.value()) {
                None => problems.push(format!("event {} at {position} is not found by its id", event.id)),
                Some((at, _)) if at != position => {
                    problems.push(format!("event {} stands at {position}, its id leads to {at}", event.id));
                }
                Some((_, hash)) if !is_content(&event, hash) => {
                    problems.push(format!("event {} at {position} has another content than was imported", event.id));
                }
                Some(_) => {}
            }
        }
    }
    if bytes != block.summary.bytes {
        problems.push(format!("{bytes} bytes of events, not {}", block.summary.bytes));
    }
    Ok(())
}
