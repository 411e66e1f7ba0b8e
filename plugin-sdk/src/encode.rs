//! Typed values to MessagePack: structs are maps by field name, so that a row says what it holds. The bytes are those of
//! `rmp_serde` with named structs; this writes them into a vector without asking at each byte whether that worked.

use serde::ser::{self, Serialize};
use std::fmt::{self, Display};

/// Appends `value` to `out`.
///
/// # Errors
/// When the value has no MessagePack form: it is longer than 32 bits can say, or its own `Serialize` fails.
pub(crate) fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    value.serialize(Encoder(out))
}

/// Why a value cannot be encoded.
#[derive(Debug)]
pub(crate) struct EncodeError(Box<str>);

type Result<T, E = EncodeError> = std::result::Result<T, E>;

impl Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    #[cold]
    fn custom<T: Display>(problem: T) -> EncodeError {
        EncodeError(problem.to_string().into())
    }
}

#[cold]
fn too_long<T>(_: T) -> EncodeError {
    ser::Error::custom("it is longer than 32 bits can say")
}

struct Encoder<'a>(&'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    #[inline]
    fn marked<const N: usize>(self, marker: u8, bytes: [u8; N]) {
        self.0.push(marker);
        self.0.extend_from_slice(&bytes);
    }

    #[inline]
    fn unsigned(self, value: u64) {
        match value {
            0..=0x7f => self.0.push(value as u8),
            0x80..=0xff => self.marked(0xcc, [value as u8]),
            0x100..=0xffff => self.marked(0xcd, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(0xce, (value as u32).to_be_bytes()),
            _ => self.marked(0xcf, value.to_be_bytes()),
        }
    }

    #[inline]
    fn signed(self, value: i64) {
        match value {
            0.. => self.unsigned(value as u64),
            -0x20..=-1 => self.0.push(value as u8),
            -0x80..=-0x21 => self.marked(0xd0, [value as u8]),
            -0x8000..=-0x81 => self.marked(0xd1, (value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.marked(0xd2, (value as i32).to_be_bytes()),
            _ => self.marked(0xd3, value.to_be_bytes()),
        }
    }

    #[inline]
    fn text(self, text: &str) -> Result<()> {
        match text.len() {
            len @ 0..=31 => self.0.push(0xa0 | len as u8),
            len @ 32..=0xff => self.0.extend_from_slice(&[0xd9, len as u8]),
            len @ 0x100..=0xffff => Encoder(self.0).marked(0xda, (len as u16).to_be_bytes()),
            len => Encoder(self.0).marked(0xdb, u32::try_from(len).map_err(too_long)?.to_be_bytes()),
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The head of an array (`short` 0x90, `long` 0xdc) or a map (0x80, 0xde).
    #[inline]
    fn head(self, short: u8, long: u8, len: usize) -> Result<Many<'a>> {
        match len {
            0..=15 => self.0.push(short | len as u8),
            16..=0xffff => Encoder(self.0).marked(long, (len as u16).to_be_bytes()),
            _ => Encoder(self.0).marked(long + 1, u32::try_from(len).map_err(too_long)?.to_be_bytes()),
        }
        Ok(Many::Known(self.0))
    }

    /// The same for what does not say how many it holds: written aside, and counted.
    fn many(self, short: u8, long: u8, len: Option<usize>) -> Result<Many<'a>> {
        match len {
            Some(len) => self.head(short, long, len),
            None => Ok(Many::Counted { out: self.0, body: Vec::new(), values: 0, short, long }),
        }
    }

    fn variant(self, name: &str) -> Result<Self> {
        self.0.push(0x81);
        Encoder(self.0).text(name)?;
        Ok(self)
    }
}

/// Elements of an array, or keys and values of a map.
enum Many<'a> {
    Known(&'a mut Vec<u8>),
    Counted { out: &'a mut Vec<u8>, body: Vec<u8>, values: usize, short: u8, long: u8 },
}

impl Many<'_> {
    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        match self {
            Many::Known(out) => value.serialize(Encoder(out)),
            Many::Counted { body, values, .. } => {
                *values += 1;
                value.serialize(Encoder(body))
            }
        }
    }

    #[inline]
    fn named<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        match self {
            Many::Known(out) => {
                Encoder(out).text(name)?;
                value.serialize(Encoder(out))
            }
            Many::Counted { .. } => {
                self.value(name)?;
                self.value(value)
            }
        }
    }

    #[inline]
    fn done(self, values_per_element: usize) -> Result<()> {
        if let Many::Counted { out, body, values, short, long } = self {
            Encoder(out).head(short, long, values / values_per_element)?;
            out.extend_from_slice(&body);
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) => $as:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<()> {
            self.$as(value.into());
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for Encoder<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Many<'a>;
    type SerializeTuple = Many<'a>;
    type SerializeTupleStruct = Many<'a>;
    type SerializeTupleVariant = Many<'a>;
    type SerializeMap = Many<'a>;
    type SerializeStruct = Many<'a>;
    type SerializeStructVariant = Many<'a>;

    numbers! {
        serialize_i8(i8) => signed;
        serialize_i16(i16) => signed;
        serialize_i32(i32) => signed;
        serialize_i64(i64) => signed;
        serialize_u8(u8) => unsigned;
        serialize_u16(u16) => unsigned;
        serialize_u32(u32) => unsigned;
        serialize_u64(u64) => unsigned;
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.0.push(0xc2 | u8::from(value));
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.marked(0xca, value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.marked(0xcb, value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        self.text(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        match bytes.len() {
            len @ 0..=0xff => self.0.extend_from_slice(&[0xc4, len as u8]),
            len @ 0x100..=0xffff => Encoder(self.0).marked(0xc5, (len as u16).to_be_bytes()),
            len => Encoder(self.0).marked(0xc6, u32::try_from(len).map_err(too_long)?.to_be_bytes()),
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.0.push(0xc0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_none()
    }

    #[inline]
    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.text(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Many<'a>> {
        self.many(0x90, 0xdc, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Many<'a>> {
        self.head(0x90, 0xdc, len)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Many<'a>> {
        self.head(0x90, 0xdc, len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Many<'a>> {
        self.variant(variant)?.head(0x90, 0xdc, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Many<'a>> {
        self.many(0x80, 0xde, len)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Many<'a>> {
        self.head(0x80, 0xde, len)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Many<'a>> {
        self.variant(variant)?.head(0x80, 0xde, len)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! many {
    ($($trait:ident { $($method:ident),* } $count:literal;)*) => {$(
        impl ser::$trait for Many<'_> {
            type Ok = ();
            type Error = EncodeError;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.value(value)
            })*

            #[inline]
            fn end(self) -> Result<()> {
                self.done($count)
            }
        }
    )*};
}

many! {
    SerializeSeq { serialize_element } 1;
    SerializeTuple { serialize_element } 1;
    SerializeTupleStruct { serialize_field } 1;
    SerializeTupleVariant { serialize_field } 1;
    SerializeMap { serialize_key, serialize_value } 2;
}

macro_rules! named {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Many<'_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.named(name, value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.done(2)
            }
        }
    )*};
}

named! { SerializeStruct SerializeStructVariant }
