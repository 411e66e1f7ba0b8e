//! The options of a rebuild: one value, from the command line to its record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unspool_vocabulary::{Description, Position, limits};

/// What a generation is built from, and how. It is kept with the generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildSpec {
    /// Where the events come from, as `--source` names it.
    pub source: String,
    /// Which history that was (see `Source::identity`): a checkpoint holds for one history only.
    pub source_identity: String,
    /// It begins after this position.
    pub after: Position,
    /// It ends here, if an end was given.
    pub to: Option<Position>,
    /// What it is built for.
    pub purpose: Purpose,
    /// What operators call it, where they gave it a name.
    pub label: Option<String>,
    /// Parts that other plugins than the current one build, in order: after a swap that rewound.
    pub segments: Vec<Segment>,
    /// How it is built.
    pub options: RebuildOptions,
}

/// How a rebuild is carried out, as requested; what was not given has its default. A rebuild that is resumed keeps them, but
/// for those that are given again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RebuildOptions {
    /// Events per chunk, and per call of the plugin; where absent as many as the projection declares, several chunks a call.
    pub chunk_size: Option<u32>,
    /// How much it yields to everything else on the machine.
    pub priority: Option<Priority>,
    /// Events per second that it may handle at most; as many as it can where absent.
    pub rate_limit: Option<u32>,
    /// Whether the live generation stays as it is when it completes.
    pub no_promote: bool,
    /// What happens to events that cannot be handled.
    pub on_error: Option<OnError>,
    /// Whether it counts as done, and is promoted, in spite of dead letters.
    pub allow_parked: bool,
    /// Whether it may replace rows although its history has no event for it.
    pub allow_empty: bool,
    /// As many events may be missing at its end that were counted or handled before; none where absent.
    pub accept_missing: Option<u64>,
    /// Whether it goes on with new events once it has reached the end of its history.
    pub follow: bool,
}

impl RebuildOptions {
    /// See [`RebuildOptions::priority`].
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// See [`RebuildOptions::on_error`].
    pub fn on_error(&self) -> OnError {
        self.on_error.unwrap_or_default()
    }

    /// See [`RebuildOptions::accept_missing`].
    pub fn accept_missing(&self) -> u64 {
        self.accept_missing.unwrap_or_default()
    }

    /// Whether it is promoted when it completes.
    pub fn promotes(&self) -> bool {
        !self.no_promote
    }

    /// Events per chunk, for a projection of this description.
    pub fn chunk_size_of(&self, description: &Description) -> u32 {
        let own = self.chunk_size.or(description.chunk_size);
        own.unwrap_or_else(|| description.complexity.chunk_size()).max(1)
    }

    /// Chunks that one call of the plugin may handle.
    pub fn chunks_per_call(&self) -> u32 {
        if self.chunk_size.is_some() { 1 } else { limits::CHUNKS_PER_CALL }
    }

    /// These, but for what is given `again`.
    pub fn with(&self, again: &RebuildOptions) -> RebuildOptions {
        RebuildOptions {
            chunk_size: again.chunk_size.or(self.chunk_size),
            priority: again.priority.or(self.priority),
            rate_limit: again.rate_limit.or(self.rate_limit),
            no_promote: again.no_promote || self.no_promote,
            on_error: again.on_error.or(self.on_error),
            allow_parked: again.allow_parked || self.allow_parked,
            allow_empty: again.allow_empty || self.allow_empty,
            accept_missing: again.accept_missing.or(self.accept_missing),
            follow: again.follow || self.follow,
        }
    }

    /// The first option in which `asked` differs from these, which work in chunks of `chunk_size`; and what it is here.
    pub fn other_than(&self, asked: &RebuildOptions, chunk_size: u32) -> Option<(&'static str, String)> {
        let written = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        let differs = [
            ("--chunk-size", asked.chunk_size.is_some_and(|size| size != chunk_size), chunk_size.to_string()),
            ("--priority", asked.priority.is_some_and(|other| other != self.priority()), written(&self.priority())),
            (
                "--rate-limit",
                asked.rate_limit.is_some() && asked.rate_limit != self.rate_limit,
                self.rate_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
            ),
            ("--no-promote", asked.no_promote && !self.no_promote, "it promotes".to_owned()),
            ("--on-error", asked.on_error.is_some_and(|other| other != self.on_error()), written(&self.on_error())),
            ("--allow-parked", asked.allow_parked && !self.allow_parked, "it may lack no event".to_owned()),
            ("--allow-empty", asked.allow_empty && !self.allow_empty, "it replaces no rows by nothing".to_owned()),
            (
                "--accept-missing",
                asked.accept_missing.is_some_and(|missing| missing != self.accept_missing()),
                self.accept_missing().to_string(),
            ),
            ("--follow", asked.follow && !self.follow, "it ends with its history".to_owned()),
        ];
        differs.into_iter().find(|(_, differs, _)| *differs).map(|(option, _, here)| (option, here))
    }
}

/// How much a rebuild yields to everything else on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Its threads run when nothing else wants to.
    #[default]
    Low,
    /// Its threads compete like any other.
    Normal,
}

/// What a generation is built for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To be the live generation.
    #[default]
    Rebuild,
    /// To be compared with another one, and dropped.
    Scratch,
    /// To be inspected: the state at an earlier position. Kept until it is dropped by name.
    AsOf,
}

/// What happens to an event that cannot be handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The rebuild stops there, as failed.
    #[default]
    Stop,
    /// It is set aside, and with it the later events of its stream.
    Park,
}

/// A part of a rebuild that a given plugin builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The plugin.
    pub plugin_digest: String,
    /// It handles the events up to here.
    pub through: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option that is given holds from then on, and is named where it differs.
    #[test]
    fn what_is_said_again_holds() {
        let none = RebuildOptions::default();
        let each = [
            RebuildOptions { chunk_size: Some(7), ..none.clone() },
            RebuildOptions { priority: Some(Priority::Normal), ..none.clone() },
            RebuildOptions { rate_limit: Some(9), ..none.clone() },
            RebuildOptions { no_promote: true, ..none.clone() },
            RebuildOptions { on_error: Some(OnError::Park), ..none.clone() },
            RebuildOptions { allow_parked: true, ..none.clone() },
            RebuildOptions { allow_empty: true, ..none.clone() },
            RebuildOptions { accept_missing: Some(3), ..none.clone() },
            RebuildOptions { follow: true, ..none.clone() },
        ];
        let mut all = none.clone();
        let mut told = Vec::new();
        for one in &each {
            assert_eq!((&none.with(one), &one.with(&none)), (one, one));
            told.extend(all.other_than(one, 500));
            all = all.with(one);
            assert_eq!(all.other_than(one, all.chunk_size.unwrap_or(500)), None, "{one:?}");
        }
        let told: Vec<_> = told.iter().map(|(option, _)| *option).collect();
        let options = ["chunk-size", "priority", "rate-limit", "no-promote", "on-error", "allow-parked", "allow-empty"];
        let expected: Vec<_> =
            options.iter().chain(&["accept-missing", "follow"]).map(|name| format!("--{name}")).collect();
        assert_eq!(told, expected);
    }
}
