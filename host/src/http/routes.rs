//! The requests by method and path: one table, from which routes, documentation and tests are made.

use super::{
    bodies::{
        AcceptBody, AlertTestBody, AsOfBody, BackupBody, Nothing, PromoteBody, RebuildBody, RetryBody, RollbackBody,
        StreamBody, StreamsBody, VerifyBody, nothing,
    },
    given::Given,
};
use crate::{
    control::{ControlError, Fresh, Import, Request, SchemaOf, schema_of},
    rebuild::{Accept, UnfinishedRebuild},
    source::event_file::FileOptions,
    store::ActivityFilter,
    vocabulary::Position,
};

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// There is none.
    None,
    /// JSON: an object of this kind.
    Json(SchemaOf),
    /// A plugin's component.
    Component,
    /// An event file.
    Events,
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The last answer.
    One,
    /// Its rows, in a field of this name.
    Many(&'static str),
    /// The last answer, with its rows in a field of this name.
    Both(&'static str),
    /// The only row.
    Only,
    /// Its rows as they come, one a line.
    Lines,
}

/// What a query may have.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Its type, as JSON Schema calls it.
    pub kind: &'static str,
    /// Whether nothing is answered without it.
    pub needed: bool,
}

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: "string", needed: false }
}

const fn number(name: &'static str, about: &'static str) -> Parameter {
    Parameter { kind: "integer", ..text(name, about) }
}

const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { kind: "boolean", ..text(name, about) }
}

const fn needed(parameter: Parameter) -> Parameter {
    Parameter { needed: true, ..parameter }
}

/// A request over HTTP.
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What its query may have.
    pub query: &'static [Parameter],
    /// Its body.
    pub body: Body,
    /// Its answer.
    pub shape: Shape,
    /// What is requested by it.
    pub request: fn(&Given) -> Result<Request, ControlError>,
}

const fn get(
    path: &'static str,
    about: &'static str,
    query: &'static [Parameter],
    shape: Shape,
    request: fn(&Given) -> Result<Request, ControlError>,
) -> Route {
    Route { method: "GET", path, about, query, body: Body::None, shape, request }
}

const fn post(
    path: &'static str,
    about: &'static str,
    body: SchemaOf,
    request: fn(&Given) -> Result<Request, ControlError>,
) -> Route {
    Route { method: "POST", path, about, query: &[], body: Body::Json(body), shape: Shape::One, request }
}

const GENERATION: &str = "/v1/projections/{name}/generations/{generation}";

/// A path below a generation.
macro_rules! generation {
    ($rest:literal) => {
        concat!("/v1/projections/{name}/generations/{generation}", $rest)
    };
}

/// A path below a projection.
macro_rules! projection {
    ($rest:literal) => {
        concat!("/v1/projections/{name}", $rest)
    };
}

const FRESH: [Parameter; 3] = [
    text("atLeast", "the history up to this position must be in it"),
    text("atLeastEvent", "the history up to the event with this id must be in it"),
    number("waitMs", "how long that is waited for"),
];

/// All of them.
pub const ROUTES: &[Route] = &[
    get(
        "/v1/projections",
        "All projections at a glance, with what can be done with each.",
        &[],
        Shape::Many("projections"),
        |_| Ok(Request::Projections { name: None }),
    ),
    get(projection!(""), "One projection at a glance, with what can be done with it.", &[], Shape::Only, |given| {
        Ok(Request::Projections { name: Some(given.name()) })
    }),
    get(projection!("/status"), "The progress of its latest rebuild.", &[], Shape::One, |given| {
        Ok(Request::Status { name: given.name() })
    }),
    get(projection!("/plugins"), "Every plugin that it has had.", &[], Shape::Many("installs"), |given| {
        Ok(Request::PluginHistory { name: given.name() })
    }),
    get(projection!("/generations"), "The generations that are kept.", &[], Shape::Many("generations"), |given| {
        Ok(Request::ModelGenerations { name: given.name() })
    }),
    get(GENERATION, "How a generation was built: its receipt.", &[], Shape::One, |given| {
        Ok(Request::ModelReceipt { name: given.name(), generation: given.generation() })
    }),
    get(generation!("/digest"), "The digest of its rows.", &[], Shape::One, |given| {
        Ok(Request::ModelDigest { name: given.name(), generation: given.generation() })
    }),
    get(
        generation!("/tables/{table}/rows"),
        "Rows in key order.",
        &[
            text("prefix", "those whose key begins with this"),
            text("after", "those behind this key"),
            number("limit", "at most so many: 100 by default, 1,000 at most"),
            FRESH[0],
            FRESH[1],
            FRESH[2],
        ],
        Shape::Many("rows"),
        |given| {
            Ok(Request::ModelScan {
                name: given.name(),
                table: given.part("table"),
                prefix: given.text("prefix").unwrap_or_default(),
                after: given.text("after"),
                limit: Some(limit(given)?),
                generation: given.generation(),
                fresh: fresh(given)?,
            })
        },
    ),
    get(generation!("/tables/{table}/rows/{key}"), "One row.", &FRESH, Shape::One, |given| {
        Ok(Request::ModelGet {
            name: given.name(),
            table: given.part("table"),
            key: given.part("key"),
            generation: given.generation(),
            fresh: fresh(given)?,
        })
    }),
    get(
        generation!("/tables/{table}/rows/{key}/history"),
        "Every event that changed a row, and what it changed.",
        &[text("to", "up to here: an event's id, a position or a time")],
        Shape::Many("changes"),
        |given| {
            Ok(Request::ModelHistory {
                name: given.name(),
                table: given.part("table"),
                key: given.part("key"),
                to: given.text("to"),
                generation: given.generation(),
            })
        },
    ),
    get(
        projection!("/diff"),
        "How the rows of two generations differ, field by field.",
        &[
            needed(text("left", "the one generation")),
            text("right", "the other one; the live one where absent"),
            text("table", "only this table"),
            text("after", "rows behind this one: TABLE/KEY"),
            number("limit", "at most so many: 100 by default, 1,000 at most"),
        ],
        Shape::Both("rows"),
        |given| {
            Ok(Request::ModelDiff {
                name: given.name(),
                left: given.text("left").ok_or_else(|| ControlError::refused("the query lacks left: a generation"))?,
                right: given.text("right").filter(|right| right != "live"),
                table: given.text("table"),
                after: given.text("after"),
                limit: Some(limit(given)?),
            })
        },
    ),
    get(
        projection!("/changes"),
        "All rows of the live generation, or from a token on what has changed in them; then each change as it happens.",
        &[
            text("table", "of this table"),
            text("prefix", "whose key begins with this"),
            text("from", "a token of an earlier change"),
        ],
        Shape::Lines,
        |given| {
            Ok(Request::ModelWatch {
                name: given.name(),
                table: given.text("table"),
                prefix: given.text("prefix").unwrap_or_default(),
                from: given.text("from"),
            })
        },
    ),
    get(
        projection!("/export"),
        "All rows of a generation.",
        &[text("table", "of this table"), text("generation", "of this one instead of the live one")],
        Shape::Lines,
        |given| {
            Ok(Request::ModelExport {
                name: given.name(),
                table: given.text("table"),
                generation: given.text("generation"),
                columns: false,
            })
        },
    ),
    get(
        projection!("/dead-letters"),
        "Events that were set aside.",
        &[text("stream", "of this stream")],
        Shape::Many("deadLetters"),
        |given| Ok(Request::DeadLettersList { name: given.name(), stream: given.text("stream") }),
    ),
    get(projection!("/dead-letters/{id}"), "One of them, in full.", &[], Shape::One, |given| {
        Ok(Request::DeadLettersShow { name: given.name(), id: given.part("id") })
    }),
    post(
        projection!("/rebuild"),
        "Start a rebuild, or let an unfinished one go on. With dryRun, say what that would do.",
        schema_of::<RebuildBody>,
        |given| {
            let body: RebuildBody = given.body()?;
            let (dry_run, trigger) = (body.dry_run, body.trigger(given.name()));
            Ok(if dry_run { Request::Plan(trigger) } else { Request::Rebuild(trigger) })
        },
    ),
    post(
        projection!("/rebuild-stream"),
        "Build one stream of the live generation again.",
        schema_of::<StreamBody>,
        |given| {
            let StreamBody { stream } = given.body()?;
            Ok(Request::RebuildStream { name: given.name(), stream })
        },
    ),
    post(projection!("/pause"), "Stop a rebuild so that it can go on later.", schema_of::<Nothing>, |given| {
        nothing(given)?;
        Ok(Request::Pause { name: given.name() })
    }),
    post(
        projection!("/resume"),
        "Let a paused or failed rebuild go on from its checkpoint.",
        schema_of::<AcceptBody>,
        |given| Ok(Request::Resume { name: given.name(), accept: given.body::<AcceptBody>()?.accept() }),
    ),
    post(projection!("/cancel"), "Give a rebuild up.", schema_of::<Nothing>, |given| {
        nothing(given)?;
        Ok(Request::Cancel { name: given.name() })
    }),
    post(projection!("/follow"), "Keep the live generation up to date.", schema_of::<AcceptBody>, |given| {
        Ok(Request::Follow { name: given.name(), accept: given.body::<AcceptBody>()?.accept() })
    }),
    post(projection!("/unfollow"), "Leave the live generation as it is.", schema_of::<Nothing>, |given| {
        nothing(given)?;
        Ok(Request::Unfollow { name: given.name() })
    }),
    post(
        projection!("/catch-up"),
        "Bring the live generation to the present end of its history, once.",
        schema_of::<AcceptBody>,
        |given| Ok(Request::CatchUp { name: given.name(), accept: given.body::<AcceptBody>()?.accept() }),
    ),
    post(projection!("/promote"), "Make a generation the live one.", schema_of::<PromoteBody>, |given| {
        let PromoteBody { generation, allow_parked, allow_empty } = given.body()?;
        Ok(Request::ModelPromote { name: given.name(), generation, allow_parked, allow_empty })
    }),
    post(
        projection!("/rollback"),
        "Exchange the live generation and the one before, which is first brought to where the live one stands.",
        schema_of::<RollbackBody>,
        |given| {
            let RollbackBody { now, allow_empty } = given.body()?;
            Ok(Request::ModelRollback { name: given.name(), now, allow_empty })
        },
    ),
    post(
        projection!("/verify"),
        "Build the live generation again, and compare row by row.",
        schema_of::<VerifyBody>,
        |given| {
            let VerifyBody { repair, accept_history } = given.body()?;
            let accept = Accept { history: accept_history, ..Accept::default() };
            Ok(Request::ModelVerify { name: given.name(), repair, accept })
        },
    ),
    post(
        projection!("/as-of"),
        "Build the state as of an earlier point of its history.",
        schema_of::<AsOfBody>,
        |given| {
            let AsOfBody { to, label, source } = given.body()?;
            Ok(Request::ModelAsOf { name: given.name(), to, label, source })
        },
    ),
    post(projection!("/plugin-rollback"), "Replace the plugin with the one before.", schema_of::<Nothing>, |given| {
        nothing(given)?;
        Ok(Request::PluginRollback { name: given.name() })
    }),
    post(projection!("/dead-letters/retry"), "Handle dead letters again, in order.", schema_of::<RetryBody>, |given| {
        let RetryBody { stream, out_of_order } = given.body()?;
        Ok(Request::DeadLettersRetry { name: given.name(), stream, out_of_order })
    }),
    post(
        projection!("/dead-letters/discard"),
        "Discard dead letters: they are never handled.",
        schema_of::<StreamsBody>,
        |given| {
            let StreamsBody { stream } = given.body()?;
            Ok(Request::DeadLettersDiscard { name: given.name(), stream })
        },
    ),
    Route {
        method: "DELETE",
        path: GENERATION,
        about: "Drop a generation that is not in use.",
        query: &[],
        body: Body::None,
        shape: Shape::One,
        request: |given| Ok(Request::ModelDrop { name: given.name(), generation: given.part("generation") }),
    },
    Route {
        method: "PUT",
        path: "/v1/plugins",
        about: "Install a plugin: its component is the body.",
        query: &[
            text("named", "only where it is the plugin of this projection"),
            text("digest", "only where the body has it: sha256:HEX or blake3:HEX"),
        ],
        body: Body::Component,
        shape: Shape::One,
        request: |given| {
            let (named, digest) = (given.text("named"), given.text("digest"));
            Ok(Request::PluginInstall { file: given.sent(), named, digest })
        },
    },
    Route {
        method: "PUT",
        path: projection!("/plugin"),
        about: "Replace the plugin: the component is the body.",
        query: &[
            text("rewindTo", "an unfinished rebuild goes back to this event"),
            flag("restart", "true: it starts over"),
        ],
        body: Body::Component,
        shape: Shape::One,
        request: |given| {
            let after = match (given.text("rewindTo"), given.value("restart")?) {
                (Some(to), _) => UnfinishedRebuild::RewindTo(to),
                (None, Some(true)) => UnfinishedRebuild::Restart,
                (None, _) => UnfinishedRebuild::Continue,
            };
            Ok(Request::PluginSwap { name: given.name(), file: given.sent(), after })
        },
    },
    Route {
        method: "POST",
        path: projection!("/try"),
        about: "Run a candidate beside the installed plugin on the last events, and show how rows would differ: the component is the body.",
        query: &[number("last", "so many events: 10,000 by default"), text("source", "of another source")],
        body: Body::Component,
        shape: Shape::One,
        request: |given| {
            Ok(Request::PluginTry {
                name: given.name(),
                file: given.sent(),
                last: given.value("last")?.unwrap_or(10_000),
                source: given.text("source"),
            })
        },
    },
    get("/v1/plugins", "The installed projections.", &[], Shape::Many("plugins"), |_| Ok(Request::PluginList)),
    Route {
        method: "POST",
        path: "/v1/events",
        about: "Add events to the log: an event file is the body.",
        query: &[],
        body: Body::Events,
        shape: Shape::One,
        request: |given| {
            Ok(Request::EventsImport(Import {
                file: given.sent(),
                name: Some("the events that were sent".to_owned()),
                options: FileOptions::default(),
                skip_bad_lines: None,
            }))
        },
    },
    get("/v1/events/stats", "What is in the log.", &[], Shape::One, |_| Ok(Request::EventsStats)),
    get(
        "/v1/events/schema",
        "What events look like, by type and version.",
        &[
            text("source", "where they are; the log by default"),
            text("type", "of these types, with a comma between them; all by default"),
        ],
        Shape::Many("types"),
        |given| {
            let types = given.text("type").map(|types| types.split(',').map(str::to_owned).collect());
            Ok(Request::EventsSchema { source: given.text("source"), types: types.unwrap_or_default() })
        },
    ),
    get("/v1/events/{id}", "One event of the log.", &[], Shape::One, |given| {
        Ok(Request::EventsShow { id: given.part("id") })
    }),
    get(
        "/v1/activity",
        "Who did what, the newest last.",
        &[
            text("projection", "about this one"),
            text("actor", "by this one"),
            number("since", "from this time on, in milliseconds since 1970"),
            number("before", "before the entry of this number"),
            number("limit", "at most so many: 100 by default, 1,000 at most"),
        ],
        Shape::Many("entries"),
        |given| {
            let filter = ActivityFilter {
                projection: given.text("projection"),
                actor: given.text("actor"),
                since: given.value("since")?,
            };
            Ok(Request::Activity { filter, before: given.value("before")?, last: Some(limit(given)?) })
        },
    ),
    get("/v1/activity/check", "Whether an entry was changed or is missing.", &[], Shape::One, |_| {
        Ok(Request::ActivityCheck)
    }),
    get(
        "/v1/alerts",
        "Who is told of what goes wrong, and whether that has arrived.",
        &[],
        Shape::Many("routes"),
        |_| Ok(Request::AlertList),
    ),
    Route {
        shape: Shape::Both("routes"),
        ..post(
            "/v1/alerts/test",
            "Tell everybody who is told of what goes wrong, or one of them, that this is a test.",
            schema_of::<AlertTestBody>,
            |given| {
                let AlertTestBody { name } = given.body()?;
                Ok(Request::AlertTest { name })
            },
        )
    },
    post("/v1/store/check", "Read everything and check that it is consistent.", schema_of::<Nothing>, |given| {
        nothing(given)?;
        Ok(Request::StoreCheck)
    }),
    post(
        "/v1/store/backup",
        "Write a consistent copy of the store to a new file on the host's machine.",
        schema_of::<BackupBody>,
        |given| {
            let BackupBody { file } = given.body()?;
            if !std::path::Path::new(&file).is_absolute() {
                return Err(ControlError::refused(format!("{file} is no absolute path on the host's machine")));
            }
            Ok(Request::StoreBackup { file })
        },
    ),
];

fn limit(given: &Given) -> Result<u64, ControlError> {
    match given.value::<u64>("limit")? {
        None => Ok(100),
        Some(limit @ 1..=1_000) => Ok(limit),
        Some(limit) => Err(ControlError::refused(format!("limit={limit}: it is 1 to 1,000"))),
    }
}

fn fresh(given: &Given) -> Result<Fresh, ControlError> {
    let at_least: Option<Position> = given.value("atLeast")?;
    let wait_ms = given.value::<u64>("waitMs")?.unwrap_or_default().min(60_000);
    Ok(Fresh { at_least, at_least_event: given.text("atLeastEvent"), wait_ms })
}
