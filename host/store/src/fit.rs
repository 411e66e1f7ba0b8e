//! Whether the store and a database with rows belong together. Where one of the two was restored from an older copy, or the data
//! directory was copied, they contradict each other; nobody may read or change rows by either.
//!
//! Differences that are none: the database is one commit ahead (a host ended, or an answer was lost, between the two), or in
//! the middle of a switch of readers. What changes while it is looked at is bracketed by what the store says before and after.

use super::{
    Store,
    catalog::{ProjectionRecord, RebuildRecord},
    error::StoreError,
    external::{ExternalRows, GenerationThere, Standing},
};
use std::collections::BTreeSet;

/// What the store says about a projection at one moment.
struct Recorded {
    owner: ProjectionRecord,
    records: Vec<RebuildRecord>,
}

impl Recorded {
    fn record(&self, number: u64) -> Option<&RebuildRecord> {
        self.records.iter().find(|record| record.generation == number)
    }

    /// `number`, where its rows live in `into`.
    fn there(&self, number: Option<u64>, into: &str) -> Option<u64> {
        let record = self.record(number?)?;
        record.external.as_ref().filter(|external| external.into == into).map(|_| record.generation)
    }

    fn commits(&self, number: u64) -> Option<u64> {
        Some(self.record(number)?.external.as_ref()?.commits)
    }
}

/// What does not fit.
enum Misfit {
    /// The database has the read model of another data directory.
    Foreign,
    /// The two contradict each other, and this is what they say.
    Diverged(String),
}

impl Misfit {
    fn said(&self, projection: &str, into: &str) -> String {
        match self {
            Misfit::Foreign => format!("{projection} belongs to another data directory in {into}"),
            Misfit::Diverged(why) => format!("the store and {into} do not belong together: {why}"),
        }
    }
}

impl Store {
    /// Refuses to go on with `projection` where the store and the database that has its live generation, or generation
    /// `asked`, or is named by `into`, do not belong together.
    ///
    /// # Errors
    /// [`StoreError::Refused`] in that case, with what each of them says; when the database cannot be reached.
    pub fn refuse_misfit(&self, projection: &str, asked: Option<u64>, into: Option<&str>) -> Result<(), StoreError> {
        let recorded = self.recorded(projection)?;
        let mut databases: BTreeSet<String> = into.map(str::to_owned).into_iter().collect();
        for number in [recorded.owner.live, asked].into_iter().flatten() {
            databases.extend(
                recorded
                    .record(number)
                    .and_then(|record| record.external.as_ref())
                    .map(|external| external.into.clone()),
            );
        }
        for into in databases {
            if let Some(misfit) = self.misfit(projection, asked, &into)? {
                let remedy = match misfit {
                    Misfit::Foreign => self.databases.open(&into)?.make_room(projection),
                    Misfit::Diverged(_) => format!(
                        "one of the two was restored from an older copy: go back to copies of one time, or unspool rebuild \
                         {projection} --restart builds a new generation in both"
                    ),
                };
                return Err(StoreError::Refused(format!("{}; {remedy}", misfit.said(projection, &into))));
            }
        }
        Ok(())
    }

    /// What does not fit between the store and the databases with rows of `projection`, in words.
    ///
    /// # Errors
    /// When the store cannot be read, or a database not be reached.
    pub(super) fn misfits(&self, projection: &str) -> Result<Vec<String>, StoreError> {
        let recorded = self.recorded(projection)?;
        let databases: BTreeSet<String> = recorded
            .records
            .iter()
            .filter_map(|record| record.external.as_ref().map(|external| external.into.clone()))
            .collect();
        let mut problems = Vec::new();
        for into in databases {
            if let Some(misfit) = self.misfit(projection, None, &into)? {
                problems.push(format!("{projection}: {}", misfit.said(projection, &into)));
            }
        }
        Ok(problems)
    }

    fn misfit(&self, projection: &str, asked: Option<u64>, into: &str) -> Result<Option<Misfit>, StoreError> {
        let database = self.databases.open(into)?;
        let before = self.recorded(projection)?;
        let there = database.standing(projection)?;
        let after = self.recorded(projection)?;
        Ok(compare(&*database, into, asked, &before, &there, &after))
    }

    fn recorded(&self, projection: &str) -> Result<Recorded, StoreError> {
        Ok(Recorded { owner: self.projection(projection)?, records: self.rebuilds(projection)? })
    }
}

/// Why what the database says is nothing that the store may have done.
fn compare(
    database: &dyn ExternalRows,
    into: &str,
    asked: Option<u64>,
    before: &Recorded,
    there: &Standing,
    after: &Recorded,
) -> Option<Misfit> {
    let projection = &after.owner.description.name;
    let number = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
    let live = after.there(after.owner.live, into);
    let Some(owner) = &there.owner else {
        return live.map(|live| {
            Misfit::Diverged(format!(
                "the store says that generation {live} of {projection} is live, and the database knows nothing of {projection}"
            ))
        });
    };
    let ours = match &after.owner.owner {
        Some(ours) => ours == owner,
        // It was never there; what has generations there is another's.
        None => there.generations.is_empty(),
    };
    if !ours {
        return Some(Misfit::Foreign);
    }
    if let Some(unknown) = there.generations.iter().find(|there| there.number >= after.owner.next_generation) {
        return Some(Misfit::Diverged(format!(
            "the database has generation {} of {projection}, and the store has made none after {}",
            unknown.number,
            after.owner.next_generation.saturating_sub(1)
        )));
    }
    // Both ends of what may have changed meanwhile; and what a switch that is under way leads to.
    let mut shown = vec![live, before.there(before.owner.live, into)];
    for recorded in [before, after] {
        shown.extend(recorded.owner.switching.map(|target| recorded.there(Some(target), into)));
    }
    // A commit of which the store does not know yet may have switched readers.
    let ahead =
        |there: &&GenerationThere| after.commits(there.number).is_some_and(|commits| there.commits == commits + 1);
    shown.extend(there.generations.iter().filter(ahead).map(|there| Some(there.number)));
    if !shown.contains(&there.live) {
        return Some(Misfit::Diverged(format!(
            "the store says that generation {} of {projection} is live there, and the views show generation {}",
            number(live),
            number(there.live)
        )));
    }
    let shows = there.live.and_then(|number| Some((number, after.record(number)?)));
    if let Some((number, record)) = shows
        && let Some((view, shown)) = database.astray(there, projection, number, &record.tables)
    {
        return Some(Misfit::Diverged(match shown {
            Some(shown) => format!(
                "generation {number} of {projection} is live there, and the view {view} shows a table of {shown}"
            ),
            None => format!("generation {number} of {projection} is live there, and there is no view {view}"),
        }));
    }
    let diverged = [live, after.there(asked, into)].into_iter().flatten().find_map(|number| {
        let (first, last) = (before.commits(number)?, after.commits(number)?);
        let Some(found) = there.generation(number) else {
            return (first > 0).then(|| format!("generation {number} of {projection} is not in the database"));
        };
        if after.record(number)?.external.as_ref().is_some_and(|external| external.id != found.id) {
            return Some(format!("generation {number} of {projection} in the database is another one with this number"));
        }
        (found.commits < first || found.commits > last + 1).then(|| {
            format!(
                "generation {number} of {projection} has taken {} commits in the database, and the store knows of {last}",
                found.commits
            )
        })
    });
    diverged.map(Misfit::Diverged)
}
