//! Values of JavaScript to MessagePack: what a row may hold.

use crate::decode::SAFE;
use crate::engine::{ctx, engine};
use crate::value::{Names, Value, references, with_text};
use rquickjs_sys as q;
use std::ffi::c_int;

/// Levels of nesting in a document.
const DEPTH: usize = 64;

/// Why a value is no document: where in it, and what is there.
pub struct Problem {
    /// Steps from the outside in, collected from the inside out.
    path: Vec<String>,
    what: String,
}

impl Problem {
    fn new(what: impl Into<String>) -> Problem {
        Problem { path: Vec::new(), what: what.into() }
    }

    fn at(mut self, step: impl FnOnce() -> String) -> Problem {
        self.path.push(step());
        self
    }

    /// The path and what is there, as in `.lines[2].when is a Date: ...`.
    pub fn words(&self) -> String {
        let path: String = self.path.iter().rev().map(String::as_str).collect();
        if path.is_empty() { format!("the row {}", self.what) } else { format!("{path} {}", self.what) }
    }
}

/// Appends the document of `value` to `out`. Returns whether the value is what its document decodes to, and referred to by
/// nobody but its `owners`: then it need not be decoded again.
///
/// # Errors
/// When the value holds what no document can.
pub fn document(out: &mut Vec<u8>, value: &Value, owners: i32) -> Result<bool, Problem> {
    let mut writer = Writer { out, exact: true };
    writer.value(value.raw(), owners, 0, None)?;
    Ok(writer.exact)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    exact: bool,
}

/// Whether a number is an integer in a document: a whole one, up to 2^53.
pub fn is_whole(number: f64) -> bool {
    number.trunc() == number && number.abs() <= SAFE as f64
}

impl Writer<'_> {
    /// `float` is the number that this was as a float, where it was one.
    fn value(&mut self, value: q::JSValue, owners: i32, depth: usize, float: Option<f64>) -> Result<(), Problem> {
        let tag = unsafe { q::JS_VALUE_GET_TAG(value) };
        if unsafe { q::JS_IsNumber(value) } {
            let number = match tag {
                q::JS_TAG_INT => f64::from(unsafe { q::JS_VALUE_GET_INT(value) }),
                _ => unsafe { q::JS_VALUE_GET_FLOAT64(value) },
            };
            return self.number(number, float);
        }
        self.exact &= float.is_none();
        match tag {
            q::JS_TAG_BOOL => self.out.push(if unsafe { q::JS_VALUE_GET_BOOL(value) } { 0xc3 } else { 0xc2 }),
            q::JS_TAG_NULL => self.out.push(0xc0),
            q::JS_TAG_STRING | q::JS_TAG_STRING_ROPE => {
                with_text(value, |text| self.text(text)).unwrap_or_else(|| Err(Problem::new("is too long")))?;
            }
            q::JS_TAG_BIG_INT | q::JS_TAG_SHORT_BIG_INT => self.bigint(value)?,
            q::JS_TAG_OBJECT => self.object(value, owners, depth)?,
            q::JS_TAG_UNDEFINED => {
                return Err(Problem::new("is undefined: store null, or leave it out of an array"));
            }
            q::JS_TAG_SYMBOL => return Err(Problem::new("is a symbol: store its description")),
            _ => return Err(Problem::new("cannot be stored")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, float: Option<f64>) -> Result<(), Problem> {
        if !number.is_finite() {
            let name = if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            return Err(Problem::new(format!("is {name}: a number in a row is finite; store null, or leave it out")));
        }
        if float.is_some_and(|float| float == number) {
            return self.float(float.unwrap_or(number));
        }
        if !is_whole(number) {
            return self.float(number);
        }
        // A minus zero becomes a zero, and is that from now on.
        self.exact &= float.is_none() && !(number == 0.0 && number.is_sign_negative());
        let _ = rmp::encode::write_sint(self.out, number as i64);
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<(), Problem> {
        let _ = rmp::encode::write_f64(self.out, number);
        Ok(())
    }

    fn bigint(&mut self, value: q::JSValue) -> Result<(), Problem> {
        let digits = with_text(value, |text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        match (digits.parse::<i64>(), digits.parse::<u64>()) {
            (Ok(signed), _) => {
                self.exact &= !(-SAFE..=SAFE).contains(&signed);
                let _ = rmp::encode::write_sint(self.out, signed);
            }
            (_, Ok(unsigned)) => {
                let _ = rmp::encode::write_uint(self.out, unsigned);
            }
            _ => return Err(Problem::new(format!("is {digits}: an integer has at most 64 bits; store it as text"))),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<(), Problem> {
        if std::str::from_utf8(text).is_err() {
            return Err(Problem::new("is text with half of a surrogate pair: use `toWellFormed()`"));
        }
        let _ = rmp::encode::write_str_len(self.out, text.len() as u32);
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn object(&mut self, value: q::JSValue, owners: i32, depth: usize) -> Result<(), Problem> {
        if depth == DEPTH {
            return Err(Problem::new(format!("is nested more than {DEPTH} levels deep, or contains itself")));
        }
        self.exact &= references(value) == owners;
        if unsafe { q::JS_IsArray(value) } {
            return self.array(value, depth);
        }
        let prototype = Value::own(unsafe { q::JS_GetPrototype(ctx(), value) });
        if prototype.raw() == engine().plain.raw() && unsafe { q::JS_GetClassID(value) } == PLAIN {
            return self.map(value, depth);
        }
        self.exact = false;
        if unsafe { q::JS_IsNull(prototype.raw()) && q::JS_GetClassID(value) == PLAIN } {
            return self.map(value, depth);
        }
        if prototype.raw() == engine().float.borrow().raw() {
            let mut number = 0.0;
            if unsafe { q::JS_ToFloat64(ctx(), &mut number, value) } < 0 {
                crate::failure::forget();
            }
            return if number.is_finite() { self.float(number) } else { self.number(number, None) };
        }
        if unsafe { q::JS_GetTypedArrayType(value) } == q::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as c_int {
            let mut length = 0;
            let bytes = unsafe { q::JS_GetUint8Array(ctx(), &mut length, value) };
            let bytes =
                if bytes.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(bytes, length as usize) } };
            let _ = rmp::encode::write_bin(self.out, bytes);
            return Ok(());
        }
        Err(Problem::new(unsuitable(value)))
    }

    fn array(&mut self, value: q::JSValue, depth: usize) -> Result<(), Problem> {
        let mut length = 0;
        unsafe { q::JS_GetLength(ctx(), value, &mut length) };
        let floats = floats(value);
        self.exact &= floats.is_none();
        let _ = rmp::encode::write_array_len(self.out, length as u32);
        for at in 0..length as u32 {
            let step = || format!("[{at}]");
            let element = Value::returned(unsafe { q::JS_GetPropertyUint32(ctx(), value, at) })
                .map_err(|_| Problem::new(crate::failure::take().message).at(step))?;
            let float = floats
                .as_ref()
                .and_then(|floats| number(&Value::own(unsafe { q::JS_GetPropertyUint32(ctx(), floats.raw(), at) })));
            self.value(element.raw(), 2, depth + 1, float).map_err(|problem| problem.at(step))?;
        }
        Ok(())
    }

    fn map(&mut self, value: q::JSValue, depth: usize) -> Result<(), Problem> {
        let floats = floats(value);
        let names = Names::of(value, q::JS_GPN_STRING_MASK | q::JS_GPN_SYMBOL_MASK | q::JS_GPN_ENUM_ONLY);
        let header = self.out.len();
        // How many fields are there is known last; most objects have few.
        let few = names.atoms().len() < 16;
        self.out.extend_from_slice(if few { &[0x80] } else { &[0xdf, 0, 0, 0, 0] });
        let (mut fields, mut marked) = (0_u32, 0);
        for name in names.atoms() {
            let step = || path_step(name);
            let field = own(value, name).map_err(|problem| problem.at(step))?;
            if field.is_undefined() {
                self.exact = false;
                continue;
            }
            fields += 1;
            self.name(name)?;
            let float = floats
                .as_ref()
                .and_then(|floats| number(&Value::own(unsafe { q::JS_GetProperty(ctx(), floats.raw(), name) })));
            marked += u32::from(float.is_some());
            self.value(field.raw(), 2, depth + 1, float).map_err(|problem| problem.at(step))?;
        }
        if few {
            self.out[header] |= fields as u8;
        } else {
            self.out[header + 1..header + 5].copy_from_slice(&fields.to_be_bytes());
        }
        if let Some(floats) = floats {
            self.exact &= marked as usize == Names::of(floats.raw(), q::JS_GPN_STRING_MASK).atoms().len();
        }
        Ok(())
    }

    fn name(&mut self, atom: q::JSAtom) -> Result<(), Problem> {
        let mut names = engine().atoms.names.borrow_mut();
        if let Some(name) = names.get(&atom) {
            return self.text(name);
        }
        let text = Value::own(unsafe { q::JS_AtomToValue(ctx(), atom) });
        if unsafe { q::JS_IsSymbol(text.raw()) } {
            return Err(Problem::new("has a symbol as the name of a field: use text"));
        }
        let bytes = with_text(text.raw(), <[u8]>::to_vec).unwrap_or_default();
        self.text(&bytes)?;
        if names.len() < KEPT_NAMES {
            names.insert(unsafe { q::JS_DupAtom(ctx(), atom) }, bytes.into());
        }
        Ok(())
    }
}

/// Names of fields whose text is kept.
const KEPT_NAMES: usize = 4096;

/// The class of plain objects.
const PLAIN: q::JSClassID = 1;

/// An own property's value, without calling anybody.
fn own(object: q::JSValue, name: q::JSAtom) -> Result<Value, Problem> {
    let mut property =
        q::JSPropertyDescriptor { flags: 0, value: q::JS_UNDEFINED, getter: q::JS_UNDEFINED, setter: q::JS_UNDEFINED };
    if unsafe { q::JS_GetOwnProperty(ctx(), &mut property, object, name) } <= 0 {
        return Ok(Value::UNDEFINED);
    }
    let [value, _getter, _setter] = [property.value, property.getter, property.setter].map(Value::own);
    if property.flags as u32 & q::JS_PROP_GETSET != 0 {
        return Err(Problem::new("is a getter: store its value"));
    }
    Ok(value)
}

/// What an object notes of its floats.
fn floats(holder: q::JSValue) -> Option<Value> {
    let floats = own(holder, engine().atoms.floats).ok()?;
    floats.is_object().then_some(floats)
}

fn number(value: &Value) -> Option<f64> {
    let tag = unsafe { q::JS_VALUE_GET_TAG(value.raw()) };
    match tag {
        q::JS_TAG_INT => Some(f64::from(unsafe { q::JS_VALUE_GET_INT(value.raw()) })),
        _ if q_is_float(tag) => Some(unsafe { q::JS_VALUE_GET_FLOAT64(value.raw()) }),
        _ => None,
    }
}

fn q_is_float(tag: i32) -> bool {
    unsafe { q::JS_TAG_IS_FLOAT64(tag) }
}

fn path_step(name: q::JSAtom) -> String {
    let name = Value::own(unsafe { q::JS_AtomToValue(ctx(), name) });
    if !name.is_string() {
        return String::new();
    }
    let name = name.text();
    let plain = !name.is_empty()
        && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '$')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if plain { format!(".{name}") } else { format!("[{name:?}]") }
}

/// What an object is that cannot be stored, and what to do instead.
fn unsuitable(value: q::JSValue) -> String {
    let borrowed = Value::borrowed(value);
    let (what, instead) = unsafe {
        if borrowed.is_function() {
            ("a function".to_owned(), "store what it returns")
        } else if q::JS_IsProxy(value) {
            ("a Proxy".to_owned(), "store a plain object, `{ ...value }`")
        } else if q::JS_IsDate(value) {
            ("a Date".to_owned(), "store a number, `+date`, or text, `date.toISOString()`")
        } else if q::JS_IsMap(value) {
            ("a Map".to_owned(), "store a plain object, `Object.fromEntries(map)`")
        } else if q::JS_IsSet(value) {
            ("a Set".to_owned(), "store an array, `[...set]`")
        } else if q::JS_IsPromise(value) {
            ("a Promise".to_owned(), "a handler returns when it is done, and waits for nothing")
        } else if q::JS_GetTypedArrayType(value) >= 0 || q::JS_IsArrayBuffer(value) {
            ("a typed array or an ArrayBuffer".to_owned(), "store a Uint8Array, or an array, `[...numbers]`")
        } else {
            let name = borrowed.get(c"constructor").get(c"name").text();
            let name = if name.is_empty() || name == "undefined" {
                "no plain object".into()
            } else {
                format!("an object of class {name}")
            };
            (name, "store a plain object, `{ ...value }`")
        }
    };
    format!("is {what}: {instead}")
}
