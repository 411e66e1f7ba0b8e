//! A chunk of events, one after the other, through the script's handlers.

use crate::decode::{self, Form, integer, unsigned};
use crate::engine::{Engine, OPEN, ctx, engine};
use crate::exports::unspool::projection::handler::{self, Outcome};
use crate::failure::{self, Failure};
use crate::table::Unstorable;
use crate::value::{Thrown, Value, string};
use rquickjs_sys as q;
use unspool_frame::{Chunk, Event, WriteFrame};

/// Bytes of a write frame that most chunks fit in.
const WRITES: usize = 64 << 10;

/// Handles a chunk frame.
pub fn fold(chunk: &[u8]) -> Outcome {
    let mut handled = 0;
    let failure = handle_all(chunk, &mut handled).err();
    let mut writes = WriteFrame::with_capacity(WRITES);
    engine().tables.borrow().iter().for_each(|table| table.emit(&mut writes));
    let failure = failure.map(|failure| handler::Failure {
        kind: failure.kind,
        message: failure.message,
        details: failure.details,
    });
    Outcome { handled, writes: writes.finish(), failure }
}

fn handle_all(chunk: &[u8], handled: &mut u32) -> Result<(), Failure> {
    let broken = |problem| Failure::permanent(format!("the chunk frame is broken: {problem}"));
    for event in Chunk::new(chunk).map_err(broken)? {
        handle(&event.map_err(broken)?)?;
        *handled += 1;
    }
    Ok(())
}

/// Handles one event, or leaves no trace of it.
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let engine = engine();
    let outcome = match attempt(engine, event) {
        Err(Ended::Unstorable(_)) => {
            // The place is known only if it is noted, which costs too much while all is well.
            forget(engine);
            engine.tracing.set(true);
            let again = attempt(engine, event);
            engine.tracing.set(false);
            again
        }
        outcome => outcome,
    };
    outcome.map_err(|ended| {
        forget(engine);
        match ended {
            Ended::Failed(failure) => failure,
            Ended::Unstorable(Unstorable { table, key, place, words }) => {
                let place = place.map_or(String::new(), |place| format!("{place}: "));
                Failure::permanent(format!("{place}{words} (row {table}/{key})"))
                    .detail("table", &table)
                    .detail("key", &key)
            }
        }
    })
}

fn forget(engine: &Engine) {
    engine.tables.borrow_mut().iter_mut().for_each(|table| table.forget());
}

/// How an event ends that is not handled.
enum Ended {
    Failed(Failure),
    Unstorable(Unstorable),
}

fn attempt(engine: &Engine, event: &Event<'_>) -> Result<(), Ended> {
    let script = &engine.script;
    let Some(handler) = script.handlers.get(event.kind).or_else(|| script.handlers.get("*")) else {
        let failure = Failure::permanent(format!("no handler for event type {}", event.kind));
        return Err(Ended::Failed(failure.detail("type", event.kind)));
    };
    engine.now.set(Some(event.timestamp));
    engine.metadata.set((event.metadata.as_ptr(), event.metadata.len()));
    for expression in &script.expressions {
        unsafe { q::JS_SetProperty(ctx(), expression.raw(), engine.atoms.last_index, integer(0)) };
    }
    run(engine, event, handler).map_err(Ended::Failed)?;
    for variable in &script.variables {
        let now = variable.read.call(&Value::UNDEFINED, &[]).unwrap_or(Value::UNDEFINED);
        if !unsafe { q::JS_IsSameValue(ctx(), now.raw(), variable.value.raw()) } {
            let (name, place) = (&variable.name, &variable.place);
            let message = format!(
                "{place}: the handler of {} has changed the variable `{name}`: nothing but rows survives a call; keep it in a row",
                event.kind
            );
            return Err(Ended::Failed(Failure::permanent(message)));
        }
    }
    let mut settled = Vec::new();
    let mut tables = engine.tables.borrow_mut();
    for table in tables.iter_mut() {
        table.encode_touched(&mut settled).map_err(Ended::Unstorable)?;
    }
    let mut settled = settled.into_iter();
    tables.iter_mut().for_each(|table| table.settle(&mut settled));
    Ok(())
}

/// Calls the handler, and runs what it leaves to be done.
fn run(engine: &Engine, event: &Event<'_>, handler: &Value) -> Result<(), Failure> {
    let value = value(event)?;
    let place = || place_of(handler);
    let returned = handler
        .call(&engine.script.this, &[&value, &engine.script.tables])
        .map_err(|Thrown| failure::of(&Value::own(unsafe { q::JS_GetException(ctx()) }), place().as_deref()))?;
    if unsafe { q::JS_IsPromise(returned.raw()) } {
        let place = place().map_or(String::new(), |place| format!("{place}: "));
        let message = format!("the handler of {} returns a promise; a handler returns when it is done", event.kind);
        return Err(Failure::permanent(place + &message));
    }
    engine.run_jobs().map_err(|reason| failure::of(&reason, place().as_deref()))
}

/// Where a function is defined.
pub fn place_of(function: &Value) -> Option<String> {
    let file = function.get_text(c"fileName")?;
    let [line, column] = [c"lineNumber", c"columnNumber"].map(|name| function.get(name).text());
    Some(format!("{file}:{line}:{column}"))
}

/// The event as handlers see it.
fn value(event: &Event<'_>) -> Result<Value, Failure> {
    let atoms = &engine().atoms;
    let data = decode::document(event.data, Form::Open)
        .ok_or_else(|| Failure::permanent(format!("the payload of {} is not MessagePack", event.kind)))?;
    let value = Value::object();
    let fields = [
        (atoms.position, unsigned(event.position)),
        (atoms.id, string(event.id.as_bytes())),
        (atoms.stream, string(event.stream.as_bytes())),
        (atoms.kind, string(event.kind.as_bytes())),
        (atoms.timestamp, integer(event.timestamp)),
        (atoms.schema_version, integer(event.schema_version.into())),
        (atoms.data, data.into_raw()),
    ];
    for (name, field) in fields {
        unsafe { q::JS_DefinePropertyValue(ctx(), value.raw(), name, field, OPEN) };
    }
    // Few handlers look at it: it is decoded when one does.
    let getter = engine().script.metadata.clone().into_raw();
    unsafe { q::JS_DefinePropertyGetSet(ctx(), value.raw(), atoms.metadata, getter, q::JS_UNDEFINED, OPEN) };
    Ok(value)
}
