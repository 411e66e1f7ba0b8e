//! Other people's events, as a map makes events of their fields.

use super::Reason;
use super::field::{Field, FieldValue, Fields, at_least_one, document, map as map_of, name, named};
use super::given::Given;
use super::mapping::{Form, Mapping, REST, Take};
use super::parts::POSITIONS;
use super::reading::Reading;
use super::time::Time;
use crate::shortened::shortened;
use std::borrow::Cow;
use unspool_vocabulary::{Event, Numbers, from_json_as};

/// The event that the map of the file makes of `fields`.
pub(super) fn event(fields: Fields<'_>, reading: &mut Reading) -> Result<Given, Reason> {
    let Some(map) = reading.options.map.take() else { return Err(Reason::Refused("there is no map".to_owned())) };
    reading.any = true;
    let given = map.event(fields, reading);
    reading.options.map = Some(map);
    given
}

impl Mapping {
    /// The event that `fields` make.
    fn event(&self, fields: Fields<'_>, reading: &mut Reading) -> Result<Given, Reason> {
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
        let positions = format!("{POSITIONS} (position= leaves positions out, so that they count the events)");
        let position = position.map(|value| at_least_one(&position_take.field, &positions, value)).transpose()?;
        Ok(Given { event, position, cloud: false, without_time: None }.keeping(time))
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
