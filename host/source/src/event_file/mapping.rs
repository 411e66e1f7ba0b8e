//! Maps: which fields of other people's events make an event.

use super::Reason;
use super::error::shortened;
use super::field::{Field, FieldValue, Fields, Given, at_least_one, document, map as map_of, name, named};
use super::options::Reading;
use super::ours;
use super::time::{Time, TimeForm};
use std::{borrow::Cow, fmt, str::FromStr};
use unspool_vocabulary::{Event, Numbers, from_json_as};

/// The parts of an event, as maps name them, in the order of [`ours::FIELDS`].
pub(super) const PARTS: [&str; 8] = ["id", "stream", "type", "time", "data", "metadata", "schema_version", "position"];

/// The part that is the payload, and may be the rest of the event.
const DATA: usize = 4;
/// What is noted beside it.
const METADATA: usize = 5;
/// When it happened.
const TIME: usize = 3;

/// What stands for all fields that no other part takes.
const REST: &str = "*";

/// Which fields make an event: `PART=FIELD[:FORM]`, separated by commas. `FIELD` is the name of a field, or `a.b` for one
/// within an object; for `data` it may be `*`, all that no other part takes; where it is empty, an optional part is left
/// out. `FORM` says how a time is written (`s`, `ms`, `us`, `ns` since 1970, or `utc`: text without an offset), or that text
/// holds JSON (`json`, for `data` and `metadata`). A part that is not named has its field in our own form. All fields that no
/// part takes go into the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mapping {
    text: String,
    /// By part, as in [`PARTS`].
    takes: Box<[Take; 8]>,
}

/// What one part takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Take {
    /// Empty where it takes nothing.
    field: String,
    form: Option<Form>,
    /// Whether the map names it.
    named: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Time(TimeForm),
    /// Text that holds JSON.
    Json,
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Mapping, String> {
        let mut takes = ours::FIELDS.map(|field| Take { field: field.to_owned(), form: None, named: false });
        for pair in text.split(',') {
            let (part, field) = pair.trim().split_once('=').ok_or_else(|| {
                format!("\"{}\" in the map is not of the form PART=FIELD, such as id=event_id", shortened(pair))
            })?;
            let place = |names: &[&str]| names.iter().position(|name| *name == part);
            let index = place(&PARTS).or_else(|| place(&ours::FIELDS));
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
    /// The event that `fields` make.
    pub(super) fn event(&self, fields: Fields<'_>, reading: &mut Reading) -> Result<Given, Reason> {
        let mut tree = Tree::of(fields);
        let mut values = [None; 8];
        for (index, take) in self.takes.iter().enumerate() {
            if !take.field.is_empty() && take.field != REST {
                values[index] = tree.find(&take.field)?;
                reading.matched[index] |= values[index].is_some();
            }
        }
        for take in self.takes.iter().filter(|take| !take.field.is_empty() && take.field != REST) {
            tree.take(&take.field);
        }
        let [id, stream, kind, time, data, metadata, schema_version, position] =
            values.map(|value| value.filter(|value| !value.is_null()));
        let [id_take, stream_take, kind_take, time_take, data_take, metadata_take, version_take, position_take] =
            &*self.takes;
        let time_form = match time_take.form {
            Some(Form::Time(form)) => Some(form),
            _ => None,
        };
        let time = time.map(|value| Time::of(&time_take.field, value, time_form)).transpose()?;
        let time = reading.time(&time_take.field, time, "every event has one")?;
        let numbers = reading.options.numbers;
        let metadata = tagged(metadata_take, metadata, numbers)?;
        let (data, metadata) = match data_take.field.as_str() {
            REST => (tree.rest(numbers)?, metadata),
            _ => (tagged(data_take, data, numbers)?, tree.beside(&metadata_take.field, metadata, numbers)?),
        };
        let version =
            "an integer from 1 to 4294967295 (text stays in the metadata where schema_version= is left empty)";
        let event = Event {
            id: key(id_take, id)?,
            stream: key(stream_take, stream)?,
            kind: key(kind_take, kind)?,
            timestamp: time.milliseconds,
            schema_version: match schema_version {
                Some(value) => at_least_one(&version_take.field, version, value)?,
                None => 1,
            },
            data,
            metadata,
        };
        let positions = format!("{} (position= leaves positions out, so that they count the events)", ours::POSITIONS);
        let position = position.map(|value| at_least_one(&position_take.field, &positions, value)).transpose()?;
        Ok(Given { event, position, cloud: false, without_time: None }.keeping(time))
    }

    /// A field that the map names, and that none of the events had whose fields `matched` tells.
    pub(super) fn unmatched(&self, matched: &[bool; 8]) -> Option<&str> {
        let sought = |take: &Take| take.named && !take.field.is_empty() && take.field != REST;
        let missed = self.takes.iter().zip(matched).find(|(take, matched)| sought(take) && !**matched);
        missed.map(|(take, _)| take.field.as_str())
    }
}

/// An id, stream or type; integers are taken as the text that shows them.
fn key(take: &Take, value: Option<FieldValue<'_>>) -> Result<String, Reason> {
    match value.and_then(|value| Some((value, value.integer::<i128>()?))) {
        Some((value, number)) => named(&take.field, number.to_string().into(), value),
        None => name(&take.field, value),
    }
}

/// Data or metadata, which may be text that holds JSON; empty text holds nothing.
fn tagged(take: &Take, value: Option<FieldValue<'_>>, numbers: Numbers) -> Result<Vec<u8>, Reason> {
    match (take.form, value.and_then(FieldValue::text)) {
        (Some(Form::Json), Some(text)) if text.trim().is_empty() => document(&take.field, None, numbers),
        (Some(Form::Json), Some(text)) => {
            from_json_as(&text, numbers).map_err(|problem| Reason::Document { field: shortened(&take.field), problem })
        }
        _ => document(&take.field, value, numbers),
    }
}

/// A name and a document.
type Entry<'a> = (Cow<'a, str>, Vec<u8>);

/// The fields of an event, of which some are taken, also from within objects.
struct Tree<'a>(Vec<Node<'a>>);

struct Node<'a> {
    name: Cow<'a, str>,
    value: FieldValue<'a>,
    /// The fields of the value, where something was looked for among them.
    inner: Option<Tree<'a>>,
    taken: bool,
}

impl<'a> Tree<'a> {
    fn of(fields: Fields<'a>) -> Tree<'a> {
        let node = |Field { name, value }| Node { name, value, inner: None, taken: false };
        Tree(fields.0.into_iter().map(node).collect())
    }

    /// The value of a field: of that name, or else within an object.
    fn find(&mut self, path: &str) -> Result<Option<FieldValue<'a>>, Reason> {
        Ok(self.node(path)?.map(|node| node.value))
    }

    fn take(&mut self, path: &str) {
        if let Ok(Some(node)) = self.node(path) {
            node.taken = true;
        }
    }

    fn node(&mut self, path: &str) -> Result<Option<&mut Node<'a>>, Reason> {
        let mut found = self.0.iter().enumerate().filter(|(_, node)| node.name == path).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => return Err(Reason::Repeated { field: shortened(path) }),
            (Some(index), None) => return Ok(self.0.get_mut(index)),
            (None, _) => {}
        }
        for (dot, _) in path.match_indices('.') {
            let (outer, inner) = (&path[..dot], &path[dot + 1..]);
            let Some(index) = self.0.iter().position(|node| node.name == outer) else { continue };
            let node = &mut self.0[index];
            if node.inner.is_none() {
                node.inner = node.value.fields().map(Tree::of);
            }
            let within = match &mut node.inner {
                Some(tree) => tree.node(inner)?.is_some(),
                None => false,
            };
            if within {
                // Looked up again, since a borrow that is returned from one branch lasts through all of them.
                return match &mut self.0[index].inner {
                    Some(tree) => tree.node(inner),
                    None => Ok(None),
                };
            }
        }
        Ok(None)
    }

    /// The entries that nothing has taken.
    fn entries(&self, numbers: Numbers) -> Result<Vec<Entry<'a>>, Reason> {
        let mut entries = Vec::new();
        for node in self.0.iter().filter(|node| !node.taken) {
            let value = match &node.inner {
                Some(tree) if tree.has_taken() => match tree.entries(numbers)? {
                    inner if inner.is_empty() => continue,
                    inner => refuse_repeated(&node.name, map_of(inner.into_iter()))?,
                },
                _ => document(&node.name, Some(node.value), numbers)?,
            };
            entries.push((node.name.clone(), value));
        }
        Ok(entries)
    }

    fn has_taken(&self) -> bool {
        self.0.iter().any(|node| node.taken || node.inner.as_ref().is_some_and(Tree::has_taken))
    }

    /// All that nothing has taken, as a map.
    fn rest(&self, numbers: Numbers) -> Result<Vec<u8>, Reason> {
        refuse_repeated("data", map_of(self.entries(numbers)?.into_iter()))
    }

    /// The metadata, which stood in the field `field`, with all that nothing has taken beside them.
    fn beside(&self, field: &str, metadata: Vec<u8>, numbers: Numbers) -> Result<Vec<u8>, Reason> {
        let mut entries = self.entries(numbers)?;
        if entries.is_empty() {
            return Ok(metadata);
        }
        match FieldValue::MessagePack(&metadata) {
            value if value.is_null() => {}
            value => match value.fields() {
                Some(fields) => {
                    for Field { name, value } in fields.0 {
                        entries.push((Cow::Owned(name.into_owned()), document(field, Some(value), numbers)?));
                    }
                }
                None => entries.push((Cow::Owned(field.to_owned()), metadata.clone())),
            },
        }
        refuse_repeated("metadata", map_of(entries.into_iter()))
    }
}

fn refuse_repeated(field: &str, map: Result<Vec<u8>, unspool_vocabulary::DocumentError>) -> Result<Vec<u8>, Reason> {
    map.map_err(|problem| Reason::Document { field: shortened(field), problem })
}
