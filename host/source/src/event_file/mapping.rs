//! Maps: which fields of other people's events make an event.

use super::parts::{FIELDS, PARTS};
use super::time::TimeForm;
use crate::shortened::shortened;
use std::{fmt, str::FromStr};

/// The part that is the payload, and may be the rest of the event.
const DATA: usize = 4;
/// What is noted beside it.
const METADATA: usize = 5;
/// When it happened.
const TIME: usize = 3;

/// What stands for all fields that no other part takes.
pub(super) const REST: &str = "*";

/// Which fields make an event: `PART=FIELD[:FORM]`, separated by commas. `FIELD` is the name of a field, or `a.b` for one
/// within an object; for `data` it may be `*`, all that no other part takes; where it is empty, an optional part is left
/// out. `FORM` says how a time is written (`s`, `ms`, `us`, `ns` since 1970, or `utc`: text without an offset), or that text
/// holds JSON (`json`, for `data` and `metadata`). A part that is not named has its field in our own form. All fields that no
/// part takes go into the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mapping {
    text: String,
    /// By part, as in [`PARTS`].
    pub(super) takes: Box<[Take; 8]>,
}

/// What one part takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Take {
    /// Empty where it takes nothing.
    pub(super) field: String,
    pub(super) form: Option<Form>,
    /// Whether the map names it.
    named: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Time(TimeForm),
    /// Text that holds JSON.
    Json,
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Mapping, String> {
        let mut takes = FIELDS.map(|field| Take { field: field.to_owned(), form: None, named: false });
        for pair in text.split(',') {
            let (part, field) = pair.trim().split_once('=').ok_or_else(|| {
                format!("\"{}\" in the map is not of the form PART=FIELD, such as id=event_id", shortened(pair))
            })?;
            let place = |names: &[&str]| names.iter().position(|name| *name == part);
            let index = place(&PARTS).or_else(|| place(&FIELDS));
            let index = index.ok_or_else(|| {
                format!("an event has no part \"{}\"; a map names {}", shortened(part), PARTS.join(", "))
            })?;
            if takes[index].named {
                return Err(format!("the map names {part} twice"));
            }
            takes[index] = take(index, field)?;
        }
        Ok(Mapping { text: text.to_owned(), takes: Box::new(takes) })
    }
}

fn take(part: usize, text: &str) -> Result<Take, String> {
    let name = PARTS[part];
    let (field, form) = match text.rsplit_once(':') {
        Some((field, form)) => (field, Some(form)),
        None => (text, None),
    };
    let time = |form: &str| TimeForm::named(form).map(Form::Time);
    let form = match (form, part) {
        (None, _) => None,
        (Some("json"), DATA | METADATA) => Some(Form::Json),
        (Some(form), TIME) if time(form).is_some() => time(form),
        (Some(form), TIME) => {
            return Err(format!(
                "{name}={text}: a time has no form \"{form}\"; it has s, ms, us, ns (since 1970) and utc"
            ));
        }
        (Some(form), DATA | METADATA) => {
            return Err(format!("{name}={text}: there is no form \"{form}\"; text that holds JSON has the form json"));
        }
        (Some(form), _) => return Err(format!("{name}={text}: {name} has no forms such as \"{form}\"")),
    };
    if field == REST && (part != DATA || form.is_some()) {
        return Err(format!("{name}={text}: only data can be the rest of the event (data=*)"));
    }
    if field.is_empty() && part <= TIME {
        return Err(format!("{name}= names no field, and every event has one"));
    }
    if field.contains(['&', '?']) {
        return Err(format!("{name}={text}: a map cannot name a field with & or ? in it; `jq` can rename it"));
    }
    Ok(Take { field: field.to_owned(), form, named: true })
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Mapping {
    /// A field that the map names, and that none of the events had whose fields `matched` tells.
    pub(super) fn unmatched(&self, matched: &[bool; 8]) -> Option<&str> {
        let sought = |take: &Take| take.named && !take.field.is_empty() && take.field != REST;
        let missed = self.takes.iter().zip(matched).find(|(take, matched)| sought(take) && !**matched);
        missed.map(|(take, _)| take.field.as_str())
    }
}
