//! MessagePack to typed values: strings are borrowed from the input, structs are maps by field name, and an error names the
//! field it is in. The path to the field is put together only when there is an error.

mod error;
mod reader;

pub use error::DecodeError;

use error::{Result, custom};
use reader::{Reader, Value};
use serde::de::{self, Deserialize, DeserializeSeed, Unexpected, Visitor};

/// Levels of nesting. Payloads and documents have at most 64; anything deeper did not pass the host.
const DEPTH: u32 = 128;

/// Decodes the one MessagePack value that `input` holds.
///
/// # Errors
/// Says which field is missing, of another type, or cut off.
#[inline]
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> std::result::Result<T, DecodeError> {
    let mut decoder = Decoder { reader: Reader::new(input), depth: DEPTH };
    let value = T::deserialize(&mut decoder)?;
    match decoder.reader.left() {
        0 => Ok(value),
        left => Err(custom(format_args!("{left} bytes follow the value"))),
    }
}

struct Decoder<'de> {
    reader: Reader<'de>,
    depth: u32,
}

impl<'de> Decoder<'de> {
    fn visit<V: Visitor<'de>>(&mut self, value: Value<'de>, visitor: V) -> Result<V::Value> {
        match value {
            Value::Nil => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Signed(value) => visitor.visit_i64(value),
            Value::F32(value) => visitor.visit_f32(value),
            Value::F64(value) => visitor.visit_f64(value),
            Value::Str(text) => visitor.visit_borrowed_str(utf8(text)?),
            Value::Bin(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::Array(len) => self.visit_array(len, visitor),
            Value::Map(len) => self.visit_map(len, visitor),
            Value::Ext => Err(custom("MessagePack extensions are not supported")),
        }
    }

    fn visit_array<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value> {
        self.enter()?;
        let mut items = Items { decoder: self, left: len, index: 0 };
        let value = visitor.visit_seq(&mut items)?;
        let left = items.left;
        self.depth += 1;
        if left == 0 { Ok(value) } else { Err(custom(format_args!("{left} elements too many"))) }
    }

    #[inline]
    fn visit_map<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value> {
        self.enter()?;
        let mut entries = Entries { decoder: self, left: len, key: &[] };
        let value = visitor.visit_map(&mut entries)?;
        let left = entries.left;
        self.depth += 1;
        if left == 0 { Ok(value) } else { Err(custom(format_args!("{left} entries too many"))) }
    }

    #[inline]
    fn enter(&mut self) -> Result<()> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| custom("is nested too deeply"))?;
        Ok(())
    }
}

fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| custom("is not UTF-8"))
}

#[cold]
fn mistyped<T>(value: &Value<'_>, visitor: &dyn de::Expected) -> Result<T> {
    let float;
    let unexpected = match value {
        Value::Nil => Unexpected::Other("nil"),
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Unsigned(value) => Unexpected::Unsigned(*value),
        Value::Signed(value) => Unexpected::Signed(*value),
        Value::F32(_) | Value::F64(_) => {
            // Not `Unexpected::Float`, which spells 1e308 out.
            float = format!("floating point `{}`", value.float());
            Unexpected::Other(&float)
        }
        Value::Str(text) => Unexpected::Str(std::str::from_utf8(text).unwrap_or("text that is not UTF-8")),
        Value::Bin(_) => Unexpected::Other("binary data"),
        Value::Array(_) => Unexpected::Seq,
        Value::Map(_) => Unexpected::Map,
        Value::Ext => Unexpected::Other("a MessagePack extension"),
    };
    // Whether the handler borrows the string is of no interest to whoever mends the event.
    let expected = visitor.to_string().replace("borrowed string", "string");
    Err(custom(format_args!("invalid type: {unexpected}, expected {expected}")))
}

macro_rules! expecting {
    ($($method:ident => $($pattern:pat => |$self:ident, $visitor:ident| $visit:expr),+;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.reader.value()? {
                $($pattern => { let ($self, $visitor) = (self, visitor); $visit })+
                other => mistyped(&other, &visitor),
            }
        }
    )*};
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.reader.value()? {
                Value::Unsigned(value) => visitor.visit_u64(value),
                Value::Signed(value) => visitor.visit_i64(value),
                other => mistyped(&other, &visitor),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    expecting! {
        deserialize_bool => Value::Bool(value) => |_s, v| v.visit_bool(value);
        deserialize_str => Value::Str(text) => |_s, v| v.visit_borrowed_str(utf8(text)?);
        deserialize_string => Value::Str(text) => |_s, v| v.visit_borrowed_str(utf8(text)?);
        deserialize_char => Value::Str(text) => |_s, v| v.visit_borrowed_str(utf8(text)?);
        deserialize_map => Value::Map(len) => |s, v| s.visit_map(len, v);
        deserialize_seq => Value::Array(len) => |s, v| s.visit_array(len, v);
        deserialize_unit => Value::Nil => |_s, v| v.visit_unit();
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let value = self.reader.value()?;
        self.visit(value, visitor)
    }

    /// A field's name is compared as bytes: no need to know that it is UTF-8.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.value()? {
            Value::Str(text) => visitor.visit_borrowed_bytes(text),
            other => self.visit(other, visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.reader.skip_nil() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// A struct is a map; an array of its fields would lose their names.
    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.reader.value()? {
            Value::Str(text) => visitor.visit_enum(Variant { decoder: self, name: text, empty: true }),
            Value::Map(1) => match self.reader.value()? {
                Value::Str(text) => {
                    self.enter()?;
                    let value = visitor.visit_enum(Variant { decoder: self, name: text, empty: false })?;
                    self.depth += 1;
                    Ok(value)
                }
                other => mistyped(&other, &"the name of a variant"),
            },
            other => mistyped(&other, &visitor),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.reader.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! { f32 f64 bytes byte_buf unit_struct tuple tuple_struct }
}

struct Items<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: u32,
    index: u32,
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.index += 1;
        let index = self.index - 1;
        seed.deserialize(&mut *self.decoder).map(Some).map_err(|error| error.inside(format_args!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        // What an array claims to hold is no reason to allocate for it.
        Some(self.left.min(4096) as usize)
    }
}

struct Entries<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: u32,
    key: &'de [u8],
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.decoder.reader.rest();
        let key = seed.deserialize(&mut *self.decoder)?;
        self.key = before;
        Ok(Some(key))
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.decoder).map_err(|error| error.inside(Reader::new(self.key).shown()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(4096) as usize)
    }
}

/// A variant of an enum: its name alone, or a map of its name to what it holds.
struct Variant<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    name: &'de [u8],
    empty: bool,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(de::value::BorrowedBytesDeserializer::new(self.name))?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        if self.empty { Ok(()) } else { Deserialize::deserialize(&mut *self.decoder) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.filled()?;
        seed.deserialize(&mut *self.decoder)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.filled()?;
        de::Deserializer::deserialize_seq(&mut *self.decoder, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.filled()?;
        de::Deserializer::deserialize_map(&mut *self.decoder, visitor)
    }
}

impl Variant<'_, '_> {
    fn filled(&self) -> Result<()> {
        if self.empty { Err(custom("the variant lacks what it holds")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
