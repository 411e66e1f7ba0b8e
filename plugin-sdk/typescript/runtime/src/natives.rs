//! Functions that scripts reach through the module `unspool`.

use crate::decode::{self, Form};
use crate::encode;
use crate::engine::{ctx, engine};
use crate::failure::{self, throw};
use crate::table::{Refused, Table};
use crate::value::{Value, string, with_text};
use rquickjs_sys as q;
use std::ffi::{CStr, c_int};

type Native = unsafe extern "C" fn(*mut q::JSContext, q::JSValue, c_int, *mut q::JSValue) -> q::JSValue;
type OfTable =
    unsafe extern "C" fn(*mut q::JSContext, q::JSValue, c_int, *mut q::JSValue, c_int, *mut q::JSValue) -> q::JSValue;

/// The object that the module `unspool` and the globals are made with.
pub fn host() -> Value {
    let host = Value::object();
    let natives: [(&CStr, Native); 3] = [(c"log", log), (c"now", now), (c"utf8", utf8)];
    for (name, native) in natives {
        host.set(name, function(name, native));
    }
    host
}

pub fn function(name: &CStr, native: Native) -> Value {
    let kind = q::JSCFunctionEnum_JS_CFUNC_generic;
    Value::own(unsafe { q::JS_NewCFunction2(ctx(), Some(native), name.as_ptr(), 0, kind, 0) })
}

/// The tables as handlers see them: an object with a frozen object of functions for each.
pub fn tables(names: &[(String, String)]) -> Value {
    let functions: [(&CStr, OfTable); 6] =
        [(c"get", get), (c"edit", edit), (c"put", put), (c"delete", delete), (c"load", load), (c"scan", scan)];
    let tables = Value::object();
    for (at, (field, name)) in names.iter().enumerate() {
        engine().tables.borrow_mut().push(Table::new(name.clone()));
        let table = Value::object();
        for (function, native) in functions {
            let native =
                unsafe { q::JS_NewCFunctionData(ctx(), Some(native), 1, at as c_int, 0, std::ptr::null_mut()) };
            table.set(function, Value::own(native));
        }
        unsafe { q::JS_FreezeObject(ctx(), table.raw()) };
        if let Ok(field) = std::ffi::CString::new(field.as_str()) {
            tables.set(&field, table);
        }
    }
    unsafe { q::JS_FreezeObject(ctx(), tables.raw()) };
    tables
}

fn argument(count: c_int, arguments: *mut q::JSValue, at: usize) -> q::JSValue {
    if at < count as usize { unsafe { *arguments.add(at) } } else { q::JS_UNDEFINED }
}

/// Answers `body`, or throws what it refuses.
fn answer(body: impl FnOnce() -> Result<q::JSValue, Refused>) -> q::JSValue {
    body().unwrap_or_else(|refused| throw(&refused))
}

/// Uses the table at `at`.
fn table<T>(at: c_int, body: impl FnOnce(&mut Table) -> Result<T, Refused>) -> Result<T, Refused> {
    let mut tables = engine().tables.try_borrow_mut().map_err(|_| "a table is used while its rows are stored")?;
    body(&mut tables[at as usize])
}

fn key<T>(at: c_int, key: q::JSValue, body: impl FnOnce(&mut Table, &str) -> Result<T, Refused>) -> Result<T, Refused> {
    table(at, |table| {
        if !unsafe { q::JS_IsString(key) } {
            let key = Value::borrowed(key);
            let advice = if key.is_object() || key.is_undefined() { "" } else { ": use `String(key)`" };
            return Err(format!("a key of table {} is text, not {}{advice}", table.name, failure::shown(&key)));
        }
        let answer = with_text(key, |key| match std::str::from_utf8(key) {
            Ok(key) => body(table, key),
            Err(_) => Err(format!("a key of table {} has half of a surrogate pair", table.name)),
        });
        answer.unwrap_or_else(|| Err("a key is too long".into()))
    })
}

fn place() -> Option<String> {
    if engine().tracing.get() { failure::here() } else { None }
}

fn row(value: Option<Value>) -> q::JSValue {
    value.map_or(q::JS_UNDEFINED, Value::into_raw)
}

unsafe extern "C" fn get(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    answer(|| Ok(row(key(at, argument(count, arguments, 0), |table, key| table.get(key))?)))
}

unsafe extern "C" fn edit(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    let (name, initial) = (argument(count, arguments, 0), argument(count, arguments, 1));
    let place = place();
    let found = match key(at, name, |table, key| table.edit(key, place.clone())) {
        Ok(found) => found,
        Err(refused) => return throw(&refused),
    };
    if found.is_some() || unsafe { q::JS_IsUndefined(initial) } {
        return row(found);
    }
    let initial = Value::borrowed(initial);
    let made = if initial.is_function() {
        match initial.call(&Value::UNDEFINED, &[]) {
            Ok(made) => made,
            Err(_) => return q::JS_EXCEPTION,
        }
    } else {
        // A copy: the author's own object stays as it is.
        let mut document = Vec::new();
        match encode::document(&mut document, &initial, 0) {
            Ok(_) => decode::document(&document, Form::Open).unwrap_or(Value::UNDEFINED),
            Err(problem) => return throw(&format!("the initial row of `edit`: {}", problem.words())),
        }
    };
    answer(|| {
        key(at, name, |table, key| {
            check_row(table, "edit", &made)?;
            table.put(key, Some(made.clone()), place)
        })?;
        Ok(made.into_raw())
    })
}

unsafe extern "C" fn put(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    let place = place();
    answer(|| {
        let row = Value::borrowed(argument(count, arguments, 1));
        key(at, argument(count, arguments, 0), |table, key| {
            check_row(table, "put", &row)?;
            table.put(key, Some(row), place)
        })?;
        Ok(q::JS_UNDEFINED)
    })
}

fn check_row(table: &Table, function: &str, row: &Value) -> Result<(), Refused> {
    if row.is_object() {
        return Ok(());
    }
    let advice = if row.is_undefined() { "; `delete` deletes a row" } else { "" };
    Err(format!(
        "`{function}` of table {} needs a row, which is an object, not {}{advice}",
        table.name,
        failure::shown(row)
    ))
}

unsafe extern "C" fn delete(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    let place = place();
    answer(|| {
        key(at, argument(count, arguments, 0), |table, key| table.put(key, None, place))?;
        Ok(q::JS_UNDEFINED)
    })
}

unsafe extern "C" fn load(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    answer(|| {
        let keys = Value::borrowed(argument(count, arguments, 0));
        if !unsafe { q::JS_IsArray(keys.raw()) } {
            return Err("`load` takes an array of keys: `load([...keys])`".into());
        }
        let keys = keys.elements();
        if let Some(key) = keys.iter().find(|key| !key.is_string()) {
            return Err(format!("`load` takes keys, which are text, not {}", failure::shown(key)));
        }
        let keys: Vec<_> = keys.iter().map(Value::text).collect();
        table(at, |table| table.load(&keys))?;
        Ok(q::JS_UNDEFINED)
    })
}

unsafe extern "C" fn scan(
    _: *mut q::JSContext,
    _: q::JSValue,
    count: c_int,
    arguments: *mut q::JSValue,
    at: c_int,
    _: *mut q::JSValue,
) -> q::JSValue {
    answer(|| {
        let prefix = Value::borrowed(argument(count, arguments, 0));
        if !prefix.is_string() && !prefix.is_undefined() {
            return Err(format!("`scan` takes the beginning of a key, which is text, not {}", failure::shown(&prefix)));
        }
        let prefix = if prefix.is_undefined() { String::new() } else { prefix.text() };
        let rows = table(at, |table| table.scan(&prefix))?;
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(key, row)| {
                let pair = [string(key.as_bytes()), row.into_raw()];
                unsafe { q::JS_NewArrayFrom(ctx(), 2, pair.as_ptr()) }
            })
            .collect();
        Ok(unsafe { q::JS_NewArrayFrom(ctx(), rows.len() as c_int, rows.as_ptr()) })
    })
}

/// `log(level, text)`.
unsafe extern "C" fn log(_: *mut q::JSContext, _: q::JSValue, count: c_int, arguments: *mut q::JSValue) -> q::JSValue {
    if engine().now.get().is_none() {
        return throw("nothing is logged while the plugin is built: log in a handler");
    }
    let [level, message] = [0, 1].map(|at| Value::borrowed(argument(count, arguments, at)).text());
    crate::logger::log(&level, &message);
    q::JS_UNDEFINED
}

/// The milliseconds of the event in hand.
unsafe extern "C" fn now(_: *mut q::JSContext, _: q::JSValue, _: c_int, _: *mut q::JSValue) -> q::JSValue {
    match engine().now.get() {
        Some(now) => decode::integer(now),
        None => throw("there is no time while the plugin is built, only that of an event in its handler"),
    }
}

/// The UTF-8 of a text, or the text of UTF-8; undefined where it is none.
unsafe extern "C" fn utf8(_: *mut q::JSContext, _: q::JSValue, count: c_int, arguments: *mut q::JSValue) -> q::JSValue {
    let value = argument(count, arguments, 0);
    if unsafe { q::JS_IsString(value) } {
        let bytes = with_text(value, |text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        return unsafe { q::JS_NewUint8ArrayCopy(ctx(), bytes.as_ptr(), bytes.len() as _) };
    }
    let mut length = 0;
    let bytes = unsafe { q::JS_GetUint8Array(ctx(), &mut length, value) };
    let bytes = if bytes.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(bytes, length as usize) } };
    string(String::from_utf8_lossy(bytes).as_bytes())
}

/// The getter of an event's metadata.
pub unsafe extern "C" fn metadata(_: *mut q::JSContext, _: q::JSValue, _: c_int, _: *mut q::JSValue) -> q::JSValue {
    let (start, length) = engine().metadata.get();
    let bytes = if start.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(start, length) } };
    decode::document(bytes, Form::Open).map_or_else(|| throw("the metadata is not MessagePack"), Value::into_raw)
}
