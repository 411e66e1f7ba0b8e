//! MessagePack to values of JavaScript.
//!
//! Integers up to 2^53 are numbers, others bigints; binaries are `Uint8Array`s. A float that is whole looks like an integer
//! in JavaScript: the object or array that it stands in notes it, so that it is a float again when it is encoded unchanged.

use crate::engine::{FIXED, OPEN, ctx, engine};
use crate::value::{Value, string};
use rquickjs_sys as q;

/// Whether what is decoded can be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Open,
    /// Frozen, at every level.
    Frozen,
}

/// Names of fields that are kept: no script has more in its code, while maps by key may have any number.
const KEPT_NAMES: usize = 4096;

/// The value of a document; `None` where it is none.
pub fn document(mut input: &[u8], form: Form) -> Option<Value> {
    let value = value(&mut input, form)?;
    input.is_empty().then_some(value)
}

fn value(input: &mut &[u8], form: Form) -> Option<Value> {
    let (&marker, rest) = input.split_first()?;
    *input = rest;
    let raw = match marker {
        0x00..=0x7f => q::JS_MKVAL(q::JS_TAG_INT, i32::from(marker)),
        0xe0..=0xff => q::JS_MKVAL(q::JS_TAG_INT, i32::from(marker as i8)),
        0x80..=0x8f => return map(input, usize::from(marker & 15), form),
        0xde => {
            return {
                let n = u16::from_be_bytes(bytes(input)?);
                map(input, n.into(), form)
            };
        }
        0xdf => {
            return {
                let n = u32::from_be_bytes(bytes(input)?);
                map(input, n as usize, form)
            };
        }
        0x90..=0x9f => return array(input, usize::from(marker & 15), form),
        0xdc => {
            return {
                let n = u16::from_be_bytes(bytes(input)?);
                array(input, n.into(), form)
            };
        }
        0xdd => {
            return {
                let n = u32::from_be_bytes(bytes(input)?);
                array(input, n as usize, form)
            };
        }
        0xa0..=0xbf | 0xd9..=0xdb => string(text(input, marker)?),
        0xc0 => q::JS_NULL,
        0xc2 => q::JS_FALSE,
        0xc3 => q::JS_TRUE,
        0xc4..=0xc6 => {
            let length = match marker {
                0xc4 => usize::from(u8::from_be_bytes(bytes(input)?)),
                0xc5 => usize::from(u16::from_be_bytes(bytes(input)?)),
                _ => u32::from_be_bytes(bytes(input)?) as usize,
            };
            let binary = take(input, length)?;
            unsafe { q::JS_NewUint8ArrayCopy(ctx(), binary.as_ptr(), binary.len() as _) }
        }
        0xca => q::JS_NewFloat64(f64::from(f32::from_be_bytes(bytes(input)?))),
        0xcb => q::JS_NewFloat64(f64::from_be_bytes(bytes(input)?)),
        0xcc => integer(i64::from(u8::from_be_bytes(bytes(input)?))),
        0xcd => integer(i64::from(u16::from_be_bytes(bytes(input)?))),
        0xce => integer(i64::from(u32::from_be_bytes(bytes(input)?))),
        0xcf => unsigned(u64::from_be_bytes(bytes(input)?)),
        0xd0 => integer(i64::from(i8::from_be_bytes(bytes(input)?))),
        0xd1 => integer(i64::from(i16::from_be_bytes(bytes(input)?))),
        0xd2 => integer(i64::from(i32::from_be_bytes(bytes(input)?))),
        0xd3 => integer(i64::from_be_bytes(bytes(input)?)),
        _ => return None,
    };
    Value::returned(raw).ok()
}

/// The largest integer up to which every one is a number.
pub const SAFE: i64 = 1 << 53;

pub fn integer(value: i64) -> q::JSValue {
    match i32::try_from(value) {
        Ok(value) => q::JS_MKVAL(q::JS_TAG_INT, value),
        Err(_) if (-SAFE..=SAFE).contains(&value) => q::JS_NewFloat64(value as f64),
        Err(_) => unsafe { q::JS_NewBigInt64(ctx(), value) },
    }
}

pub fn unsigned(value: u64) -> q::JSValue {
    match i64::try_from(value) {
        Ok(value) => integer(value),
        Err(_) => unsafe { q::JS_NewBigUint64(ctx(), value) },
    }
}

fn array(input: &mut &[u8], length: usize, form: Form) -> Option<Value> {
    let mut floats = Floats::default();
    // An element has at least one byte.
    let mut elements = Vec::with_capacity(length.min(input.len()));
    for at in 0..length {
        floats.note(input, || unsafe { q::JS_NewAtomUInt32(ctx(), at as u32) });
        elements.push(value(input, form)?);
    }
    let elements: Vec<_> = elements.into_iter().map(Value::into_raw).collect();
    let array = Value::own(unsafe { q::JS_NewArrayFrom(ctx(), elements.len() as i32, elements.as_ptr()) });
    floats.mark(&array);
    if form == Form::Frozen {
        unsafe { q::JS_FreezeObject(ctx(), array.raw()) };
    }
    Some(array)
}

fn map(input: &mut &[u8], length: usize, form: Form) -> Option<Value> {
    let object = Value::object();
    let flags = if form == Form::Frozen { FIXED } else { OPEN };
    let mut floats = Floats::default();
    for _ in 0..length {
        let name = field(input)?;
        floats.note(input, || unsafe { q::JS_DupAtom(ctx(), name.0) });
        let value = value(input, form)?;
        unsafe { q::JS_DefinePropertyValue(ctx(), object.raw(), name.0, value.into_raw(), flags) };
    }
    floats.mark(&object);
    if form == Form::Frozen {
        unsafe { q::JS_PreventExtensions(ctx(), object.raw()) };
    }
    Some(object)
}

/// A name that is given back.
struct Name(q::JSAtom);

impl Drop for Name {
    fn drop(&mut self) {
        unsafe { q::JS_FreeAtom(ctx(), self.0) }
    }
}

fn field(input: &mut &[u8]) -> Option<Name> {
    let (&marker, rest) = input.split_first()?;
    if !matches!(marker, 0xa0..=0xbf | 0xd9..=0xdb) {
        let key = value(input, Form::Open)?;
        return Some(Name(unsafe { q::JS_ValueToAtom(ctx(), key.raw()) }));
    }
    *input = rest;
    let text = text(input, marker)?;
    let mut fields = engine().atoms.fields.borrow_mut();
    if let Some(atom) = fields.get(text) {
        return Some(Name(unsafe { q::JS_DupAtom(ctx(), *atom) }));
    }
    let atom = unsafe { q::JS_NewAtomLen(ctx(), text.as_ptr().cast(), text.len() as _) };
    if fields.len() < KEPT_NAMES {
        fields.insert(text.into(), unsafe { q::JS_DupAtom(ctx(), atom) });
    }
    Some(Name(atom))
}

fn text<'a>(input: &mut &'a [u8], marker: u8) -> Option<&'a [u8]> {
    let length = match marker {
        0xa0..=0xbf => usize::from(marker & 31),
        0xd9 => usize::from(u8::from_be_bytes(bytes(input)?)),
        0xda => usize::from(u16::from_be_bytes(bytes(input)?)),
        _ => u32::from_be_bytes(bytes(input)?) as usize,
    };
    take(input, length)
}

fn bytes<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(head)
}

/// The whole numbers of an object or array that are floats.
#[derive(Default)]
struct Floats(Option<Value>);

impl Floats {
    /// Looks at the value that follows.
    fn note(&mut self, input: &[u8], name: impl FnOnce() -> q::JSAtom) {
        let float = match *input {
            [0xca, a, b, c, d, ..] => f64::from(f32::from_be_bytes([a, b, c, d])),
            [0xcb, a, b, c, d, e, f, g, h, ..] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return,
        };
        if crate::encode::is_whole(float) {
            let name = Name(name());
            let floats = self.0.get_or_insert_with(Value::object);
            let number = q::JS_NewFloat64(float);
            unsafe { q::JS_DefinePropertyValue(ctx(), floats.raw(), name.0, number, OPEN) };
        }
    }

    fn mark(self, holder: &Value) {
        if let Some(floats) = self.0 {
            unsafe { q::JS_DefinePropertyValue(ctx(), holder.raw(), engine().atoms.floats, floats.into_raw(), 0) };
        }
    }
}
