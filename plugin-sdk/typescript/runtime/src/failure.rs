//! What an exception tells the operator: its message, after the place in the author's file where it was thrown.

use crate::engine::{ctx, engine};
use crate::value::Value;
use rquickjs_sys as q;
use std::fmt::Write;

/// Why an event was not handled, or a script not evaluated.
pub struct Failure {
    pub kind: String,
    pub message: String,
    pub details: Vec<(String, String)>,
}

impl Failure {
    pub fn permanent(message: impl Into<String>) -> Failure {
        Failure { kind: "permanent".into(), message: message.into(), details: Vec::new() }
    }

    #[must_use]
    pub fn detail(mut self, name: &str, value: &str) -> Failure {
        self.details.push((name.into(), value.into()));
        self
    }
}

/// Causes of causes that are told.
const CAUSES: usize = 4;

/// Throws an error with this message. What it is thrown from gives it its place.
pub fn throw(message: &str) -> q::JSValue {
    unsafe {
        let error = q::JS_NewError(ctx());
        let text = Value::string(message).into_raw();
        q::JS_DefinePropertyValueStr(ctx(), error, c"message".as_ptr(), text, crate::engine::OPEN);
        q::JS_Throw(ctx(), error)
    }
}

/// Takes the exception at hand.
pub fn take() -> Failure {
    of(&Value::own(unsafe { q::JS_GetException(ctx()) }), None)
}

/// Drops the exception at hand.
pub fn forget() {
    drop(Value::own(unsafe { q::JS_GetException(ctx()) }));
}

/// What a value says that was thrown. `otherwise` is the place where it does not know its own.
pub fn of(thrown: &Value, otherwise: Option<&str>) -> Failure {
    let stack = if thrown.is_object() { thrown.get(c"stack").text() } else { String::new() };
    let place = places(&stack).next().or(otherwise);
    let kind = thrown.get_text(c"kind");
    if let (Some(kind @ ("permanent" | "transient")), true) = (kind.as_deref(), is_error(thrown)) {
        let details = thrown.get(c"details").entries();
        let details = details.into_iter().map(|(name, value)| (name, shown(&value)));
        let place = place.map(|place| ("at".to_owned(), place.to_owned()));
        return Failure {
            kind: kind.into(),
            message: thrown.get(c"message").text(),
            details: details.chain(place).collect(),
        };
    }
    let mut message = place.map_or(String::new(), |place| format!("{place}: "));
    message.push_str(&words(thrown));
    let mut cause = thrown.clone();
    for _ in 0..CAUSES {
        cause = if is_error(&cause) { cause.get(c"cause") } else { Value::UNDEFINED };
        if !cause.is_undefined() {
            let _ = write!(message, "; caused by {}", words(&cause));
        }
    }
    let failure = Failure::permanent(message);
    match places(&stack).nth(1) {
        Some(_) => failure.detail("stack", &places(&stack).collect::<Vec<_>>().join(", ")),
        None => failure,
    }
}

/// An Error, or what looks like one: exceptions of the web do.
fn is_error(value: &Value) -> bool {
    let error = unsafe { q::JS_IsError(value.raw()) };
    error || [c"name", c"message", c"stack"].iter().all(|name| value.get_text(name).is_some())
}

fn words(thrown: &Value) -> String {
    if !is_error(thrown) {
        let shown = if thrown.is_string() { format!("{:?}", thrown.text()) } else { shown(thrown) };
        return format!("{shown} was thrown, which is no Error");
    }
    let (name, message) = (thrown.get(c"name").text(), thrown.get(c"message").text());
    let advice = advice(&message);
    match name.as_str() {
        "Error" | "" => format!("{message}{advice}"),
        _ if message.is_empty() => name,
        _ => format!("{name}: {message}{advice}"),
    }
}

/// What the author can do about messages of the engine.
fn advice(message: &str) -> String {
    const ABSENT: [&str; 22] = [
        "process",
        "Buffer",
        "require",
        "module",
        "exports",
        "global",
        "window",
        "document",
        "self",
        "navigator",
        "fetch",
        "setTimeout",
        "setInterval",
        "setImmediate",
        "crypto",
        "performance",
        "Intl",
        "URL",
        "WeakRef",
        "__dirname",
        "__filename",
        "XMLHttpRequest",
    ];
    if let Some(name) = message.strip_suffix(" is not defined")
        && ABSENT.contains(&name)
    {
        return format!(" (`{name}` is not in a plugin, which sees events and rows and nothing else)");
    }
    if message.ends_with("is read-only") || message == "object is not extensible" {
        return " (what a module holds and what `get` returns is frozen: nothing but a row that `edit` returns can be changed)"
            .into();
    }
    String::new()
}

/// Any value as text that an operator can read.
pub fn shown(value: &Value) -> String {
    if value.is_string() {
        return value.text();
    }
    let show = engine().script.show.clone();
    match show.call(&Value::UNDEFINED, &[value]) {
        Ok(text) => text.text(),
        Err(_) => {
            forget();
            "something".into()
        }
    }
}

/// The places of a call stack that are in the author's files, innermost first.
fn places(stack: &str) -> impl Iterator<Item = &str> {
    stack.lines().filter_map(|line| {
        let frame = line.trim().strip_prefix("at ")?;
        let place = match frame.rfind('(') {
            Some(at) => frame[at + 1..].trim_end_matches(')'),
            None => frame,
        };
        let ours = place == "native" || place.starts_with("unspool:") || place.starts_with("<");
        (!ours && place.contains(':')).then_some(place)
    })
}

/// Where the script is.
pub fn here() -> Option<String> {
    let global = Value::own(unsafe { q::JS_GetGlobalObject(ctx()) });
    let error = unsafe { q::JS_CallConstructor(ctx(), global.get(c"Error").raw(), 0, std::ptr::null_mut()) };
    let stack = Value::returned(error).ok()?.get(c"stack").text();
    places(&stack).next().map(str::to_owned)
}

impl Value {
    /// A property that is text.
    pub fn get_text(&self, name: &std::ffi::CStr) -> Option<String> {
        let value = if self.is_object() { self.get(name) } else { Value::UNDEFINED };
        value.is_string().then(|| value.text())
    }
}
