//! A value of JavaScript with an owner: dropped when the owner is.

use crate::engine::ctx;
use rquickjs_sys as q;
use std::ffi::{CStr, c_int};

/// A value that this owns a reference to.
pub struct Value(q::JSValue);

impl Drop for Value {
    fn drop(&mut self) {
        unsafe { q::JS_FreeValue(ctx(), self.0) }
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        Value(unsafe { q::JS_DupValue(ctx(), self.0) })
    }
}

/// An exception is at hand: [`crate::failure::take`] takes it.
#[derive(Debug)]
pub struct Thrown;

impl Value {
    pub const UNDEFINED: Value = Value(q::JS_UNDEFINED);

    /// Takes over a reference.
    pub fn own(raw: q::JSValue) -> Value {
        Value(raw)
    }

    /// Takes over what a call has returned.
    pub fn returned(raw: q::JSValue) -> Result<Value, Thrown> {
        if unsafe { q::JS_IsException(raw) } { Err(Thrown) } else { Ok(Value(raw)) }
    }

    /// Another reference to a borrowed value.
    pub fn borrowed(raw: q::JSValue) -> Value {
        Value(unsafe { q::JS_DupValue(ctx(), raw) })
    }

    /// The value, which stays with its owner.
    pub fn raw(&self) -> q::JSValue {
        self.0
    }

    /// Gives the reference away.
    pub fn into_raw(self) -> q::JSValue {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    pub fn object() -> Value {
        Value(unsafe { q::JS_NewObject(ctx()) })
    }

    pub fn string(text: &str) -> Value {
        Value(string(text.as_bytes()))
    }

    pub fn is_object(&self) -> bool {
        unsafe { q::JS_IsObject(self.0) }
    }

    pub fn is_undefined(&self) -> bool {
        unsafe { q::JS_IsUndefined(self.0) }
    }

    pub fn is_function(&self) -> bool {
        unsafe { q::JS_IsFunction(ctx(), self.0) }
    }

    pub fn is_string(&self) -> bool {
        unsafe { q::JS_IsString(self.0) }
    }

    /// A property; undefined where there is none or its getter throws.
    pub fn get(&self, name: &CStr) -> Value {
        match Value::returned(unsafe { q::JS_GetPropertyStr(ctx(), self.0, name.as_ptr()) }) {
            Ok(value) => value,
            Err(Thrown) => {
                crate::failure::forget();
                Value::UNDEFINED
            }
        }
    }

    pub fn set(&self, name: &CStr, value: Value) {
        unsafe { q::JS_SetPropertyStr(ctx(), self.0, name.as_ptr(), value.into_raw()) };
    }

    pub fn call(&self, this: &Value, arguments: &[&Value]) -> Result<Value, Thrown> {
        let mut arguments: Vec<_> = arguments.iter().map(|value| value.0).collect();
        Value::returned(unsafe { q::JS_Call(ctx(), self.0, this.0, arguments.len() as c_int, arguments.as_mut_ptr()) })
    }

    /// The elements of an array.
    pub fn elements(&self) -> Vec<Value> {
        let mut length = 0;
        if !self.is_object() || unsafe { q::JS_GetLength(ctx(), self.0, &mut length) } < 0 {
            return Vec::new();
        }
        (0..length as u32).map(|at| Value(unsafe { q::JS_GetPropertyUint32(ctx(), self.0, at) })).collect()
    }

    /// Names and values of an object's own enumerable properties, getters included.
    pub fn entries(&self) -> Vec<(String, Value)> {
        let mut entries = Vec::new();
        if self.is_object() {
            let names = Names::of(self.0, q::JS_GPN_STRING_MASK | q::JS_GPN_ENUM_ONLY);
            for atom in names.atoms() {
                let name = Value(unsafe { q::JS_AtomToString(ctx(), atom) }).text();
                if let Ok(value) = Value::returned(unsafe { q::JS_GetProperty(ctx(), self.0, atom) }) {
                    entries.push((name, value));
                } else {
                    crate::failure::forget();
                }
            }
        }
        entries
    }

    /// The value as text, as `String(value)` gives it; empty where that throws.
    pub fn text(&self) -> String {
        with_text(self.0, |bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }
}

/// Calls `body` with the UTF-8 of a value's text; halves of surrogate pairs are as they are. `None` where there is no text.
pub fn with_text<T>(raw: q::JSValue, body: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut length = 0usize;
    let text = unsafe { q::JS_ToCStringLen(ctx(), &mut length, raw) };
    if text.is_null() {
        crate::failure::forget();
        return None;
    }
    let value = body(unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) });
    unsafe { q::JS_FreeCString(ctx(), text) };
    Some(value)
}

pub fn string(utf8: &[u8]) -> q::JSValue {
    unsafe { q::JS_NewStringLen(ctx(), utf8.as_ptr().cast(), utf8.len() as _) }
}

/// The names of an object's own properties.
pub struct Names {
    names: *mut q::JSPropertyEnum,
    length: u32,
}

impl Names {
    pub fn of(object: q::JSValue, which: u32) -> Names {
        let mut names = Names { names: std::ptr::null_mut(), length: 0 };
        if unsafe { q::JS_GetOwnPropertyNames(ctx(), &mut names.names, &mut names.length, object, which as c_int) } < 0
        {
            crate::failure::forget();
        }
        names
    }

    pub fn atoms(&self) -> impl ExactSizeIterator<Item = q::JSAtom> {
        let names: &[q::JSPropertyEnum] = match self.length {
            0 => &[],
            length => unsafe { std::slice::from_raw_parts(self.names, length as usize) },
        };
        names.iter().map(|name| name.atom)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if !self.names.is_null() {
            unsafe { q::JS_FreePropertyEnum(ctx(), self.names, self.length) }
        }
    }
}

/// How many references there are to an object. The engine keeps the count in the four bytes before it; its version is
/// fixed, and [`crate::engine::Engine::start`] checks that it is so.
pub fn references(object: q::JSValue) -> i32 {
    unsafe { q::JS_VALUE_GET_PTR(object).cast::<i32>().sub(1).read() }
}
