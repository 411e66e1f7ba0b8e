//! Stores what was parsed, round by round.

use super::super::damage;
use super::{
    handover::Parsed,
    queue::Receiver,
    report::ImportSummary,
    rounds::{Round, Rounds},
    verdict::Verdict,
};
use crate::SourceError;
use unspool_vocabulary::{crash, limits};

/// Gathers handovers to rounds, and stores them.
pub(super) fn store(
    handovers: Receiver<'_>,
    rounds: &mut Rounds<'_>,
    summary: &mut ImportSummary,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), SourceError> {
    let (mut round, mut events) = (Round::default(), 0);
    for handover in handovers {
        events += handover.events.len() as u64;
        let bytes_read = handover.bytes_read;
        round.push(handover);
        if round.events >= limits::IMPORT_ROUND_EVENTS || round.bytes >= limits::IMPORT_ROUND_BYTES {
            rounds.store(std::mem::take(&mut round), summary)?;
        }
        progress(bytes_read, events);
    }
    rounds.store(round, summary)
}

impl Rounds<'_> {
    /// Stores the events of a round that the log does not have.
    fn store(&mut self, round: Round, summary: &mut ImportSummary) -> Result<(), SourceError> {
        let events: Vec<&Parsed> = round.handovers.iter().flat_map(|handover| &handover.events).collect();
        // Of equal ids the one that comes first in the file counts.
        let mut order: Vec<(u128, u32)> = (0..).zip(&events).map(|(index, event)| (event.id, index)).collect();
        order.sort_unstable();
        let mut judged = self.judge(&round, &events, &order)?;
        let positions = self.append(&round, &mut judged)?;
        crash::point("import.round");
        for &(_, index) in &order {
            let event = events[index as usize];
            match judged.verdicts[index as usize] {
                Verdict::New => {
                    let renamed = judged.renamed.get(&index).map(|renamed| (renamed.id, renamed.hash));
                    let (id, hash) = renamed.unwrap_or((event.id, event.content));
                    self.ids.insert(id, (positions[index as usize], hash)).map_err(damage)?;
                    summary.added += 1;
                    summary.renamed += u64::from(renamed.is_some());
                }
                Verdict::Duplicate => summary.duplicates += 1,
                Verdict::SetAside => {}
            }
        }
        Ok(())
    }
}
