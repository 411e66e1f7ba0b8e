//! Which events of a round are new, and which the log has already.

use super::super::{block::Section, content, damage, id_hash};
use super::{
    handover::{Handover, Parsed},
    rounds::{Round, Rounds},
    verdict::{Judged, Renamed, Verdict},
};
use crate::{
    SourceError,
    event_file::{source_of, without_time},
};
use ahash::AHashMap;
use redb::ReadableTable;
use unspool_vocabulary::limits;

/// Whoever has an id already.
#[derive(Clone, Copy)]
struct Holder {
    id: u128,
    at: HeldAt,
    content: u128,
}

#[derive(Clone, Copy)]
enum HeldAt {
    /// At this position of the log.
    Log(u64),
    /// At this index of the round.
    Round(u32),
}

impl Rounds<'_> {
    /// Which events of the round the log does not have. One whose id is taken by another content is refused.
    pub(super) fn judge(
        &self,
        round: &Round,
        events: &[&Parsed],
        order: &[(u128, u32)],
    ) -> Result<Judged, SourceError> {
        let mut judged = Judged { verdicts: vec![Verdict::New; events.len()], renamed: AHashMap::new() };
        let mut contested = Vec::new();
        let mut holder: Option<Holder> = None;
        for &(id, index) in order {
            let event = events[index as usize];
            let known = match holder.filter(|holder| holder.id == id) {
                Some(known) => known,
                None => match self.ids.get(id).map_err(damage)?.map(|found| found.value()) {
                    Some((position, content)) => Holder { id, at: HeldAt::Log(position), content },
                    None => {
                        holder = Some(Holder { id, at: HeldAt::Round(index), content: event.content });
                        continue;
                    }
                },
            };
            holder = Some(known);
            if event.is(known.content) {
                judged.verdicts[index as usize] = Verdict::Duplicate;
            } else {
                contested.push((index, known));
            }
        }
        if !contested.is_empty() {
            // In the order of the file, in which ids are given.
            contested.sort_unstable_by_key(|(index, _)| *index);
            self.resolve(round, events, order, &contested, &mut judged)?;
        }
        Ok(judged)
    }

    /// Decides about events whose id is taken by something else, as far as hashes tell.
    fn resolve(
        &self,
        round: &Round,
        events: &[&Parsed],
        order: &[(u128, u32)],
        contested: &[(u32, Holder)],
        judged: &mut Judged,
    ) -> Result<(), SourceError> {
        let contents: Vec<&[u8]> = round.handovers.iter().flat_map(Handover::contents).collect();
        let mut given: AHashMap<u128, u128> = AHashMap::new();
        for &(index, holder) in contested {
            let parsed = events[index as usize];
            let frame = content::framed(contents[index as usize]);
            let held = match holder.at {
                HeldAt::Log(position) => self.stored(position)?,
                HeldAt::Round(index) => content::framed(contents[index as usize]),
            };
            let event = self.decode(&frame)?;
            let held = self.decode(&held)?;
            let verdict = &mut judged.verdicts[index as usize];
            if content::same(&event, &held) {
                *verdict = Verdict::Duplicate;
                continue;
            }
            let taken = "an event with this id is there already, with another content; an event never changes: give this one an id of its own";
            let source = source_of(event.stream, event.metadata);
            if !parsed.cloud || source == source_of(held.stream, held.metadata) {
                *verdict = self.refuse(parsed, taken)?;
                continue;
            }
            let id = format!("{source}#{}", event.id);
            if id.len() > limits::NAME_BYTES {
                *verdict =
                    self.refuse(parsed, "an event of another source has this id, and with its source it is too long")?;
                continue;
            }
            let mut content = Vec::new();
            let renamed = unspool_frame::Event { id: &id, ..event };
            renamed.encode_content(&mut content);
            let bare = without_time(event.metadata, event.timestamp);
            let bare = unspool_frame::Event { metadata: bare.as_deref().unwrap_or(event.metadata), ..renamed };
            let (id, hash) = (id_hash(&id), content::hash(&bare, &mut Vec::new()));
            let in_round = || order.binary_search_by_key(&id, |(id, _)| *id).ok();
            let known = match (given.get(&id), in_round()) {
                (Some(known), _) => Some(*known),
                (None, Some(at)) => Some(events[order[at].1 as usize].content),
                (None, None) => self.ids.get(id).map_err(damage)?.map(|found| found.value().1),
            };
            match known {
                Some(known) if known == hash => *verdict = Verdict::Duplicate,
                Some(_) => *verdict = self.refuse(parsed, taken)?,
                None => {
                    given.insert(id, hash);
                    judged.renamed.insert(index, Renamed { id, hash, content });
                }
            }
        }
        Ok(())
    }

    /// The event at `position`, which an import has put there, as chunk frames show it.
    fn stored(&self, position: u64) -> Result<Vec<u8>, SourceError> {
        if let Some(frame) = self.block.find(position) {
            return Ok(frame.to_owned());
        }
        let block = self.index.range(..=position).map_err(damage)?.next_back().transpose().map_err(damage)?;
        if let Some((first, summary)) = block {
            for (kind, _) in self.log.summary(first.value(), summary.value())?.kinds {
                let Some(section) = self.sections.get((first.value(), kind)).map_err(damage)? else { continue };
                let section = Section::decode(section.value()).map_err(|e| self.log.damaged(e))?;
                if let Some(frame) = section.find(position) {
                    return Ok(frame.to_owned());
                }
            }
        }
        Err(self.log.damaged(format!("there is no event at position {position}")))
    }

    fn decode<'f>(&self, frame: &'f [u8]) -> Result<unspool_frame::Event<'f>, SourceError> {
        unspool_frame::Event::decode(&mut &*frame).map_err(|e| self.log.damaged(e))
    }
}
