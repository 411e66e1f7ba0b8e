//! What is a document, and is it canonical?

use super::error::DocumentError;
use super::token::{Key, Token, Tokens};
use crate::limits;
use std::cmp::Ordering;

/// Refuses bytes that are not a document. Takes one pass, and memory only for maps of more than sixteen entries: 24 bytes
/// for each entry that is really there.
///
/// # Errors
/// [`DocumentError`], for the first thing that is wrong.
pub fn check_document(bytes: &[u8]) -> Result<(), DocumentError> {
    is_canonical(bytes).map(|_| ())
}

/// Takes the first document off the front of `input`.
///
/// # Errors
/// [`DocumentError`], for the first thing that is wrong; [`DocumentError::Truncated`] exactly when bytes are missing that
/// could complete it. `input` is then as it was.
pub fn split_document<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DocumentError> {
    let mut tokens = Tokens::new(input);
    value(&mut tokens, limits::DOCUMENT_DEPTH)?;
    let (document, rest) = input.split_at(tokens.at());
    *input = rest;
    Ok(document)
}

/// Whether a document stands in its canonical form.
pub(super) fn is_canonical(bytes: &[u8]) -> Result<bool, DocumentError> {
    let mut tokens = Tokens::new(bytes);
    let canonical = value(&mut tokens, limits::DOCUMENT_DEPTH)?;
    match bytes.len() - tokens.at() {
        0 => Ok(canonical),
        bytes => Err(DocumentError::Trailing { at: tokens.at(), bytes }),
    }
}

/// Reads one value with at most `levels` levels of arrays and maps; says whether it is canonical.
fn value(tokens: &mut Tokens<'_>, levels: usize) -> Result<bool, DocumentError> {
    let head = tokens.next()?;
    let inner = match head.token {
        Token::Array(len) => array(tokens, len, inner_levels(levels)?)?,
        Token::Map(len) => map(tokens, len, inner_levels(levels)?)?,
        _ => true,
    };
    Ok(head.canonical && inner)
}

/// How many levels of nesting are left inside an array or map that has `levels`.
pub(super) fn inner_levels(levels: usize) -> Result<usize, DocumentError> {
    levels.checked_sub(1).ok_or(DocumentError::TooDeep)
}

fn array(tokens: &mut Tokens<'_>, len: usize, levels: usize) -> Result<bool, DocumentError> {
    let mut canonical = true;
    for _ in 0..len {
        canonical &= value(tokens, levels)?;
    }
    Ok(canonical)
}

fn map(tokens: &mut Tokens<'_>, len: usize, levels: usize) -> Result<bool, DocumentError> {
    let mut keys = Keys::new();
    // Ascending keys in their shortest form are distinct, unless text and integers meet.
    let (mut ascending, mut texts, mut integers) = (true, false, false);
    let mut canonical = true;
    let mut previous: &[u8] = &[];
    for _ in 0..len {
        let start = tokens.at();
        let head = tokens.next()?;
        let key = Key::new(head.token, start)?;
        let encoded = tokens.since(start);
        ascending &= head.canonical && before(previous, encoded);
        previous = encoded;
        match key {
            Key::Text(_) => texts = true,
            _ => integers = true,
        }
        keys.push(key);
        canonical &= value(tokens, levels)?;
    }
    if (!ascending && !surely_distinct(keys.all())) || (texts && integers) {
        distinct(keys.all(), texts && integers)?;
    }
    Ok(canonical && ascending)
}

/// Whether `a < b`. The first byte, which tells kind and length of most keys, decides without a call.
#[inline]
fn before(a: &[u8], b: &[u8]) -> bool {
    match a.first().cmp(&b.first()) {
        Ordering::Equal => a < b,
        order => order == Ordering::Less,
    }
}

/// Whether the keys are texts that no two of can be equal, by a few of their bytes: rows whose fields stand in the order
/// of their declaration are decided here, without sorting. `false` decides nothing.
fn surely_distinct(keys: &[Key<'_>]) -> bool {
    let mut seen = [0_u64; 16];
    for key in keys {
        let Key::Text(text) = key else { return false };
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => (u32::from_le_bytes(*first), u32::from_le_bytes(*last)),
            _ => (bytes.iter().fold(0, |sum: u32, byte| (sum << 8) | u32::from(*byte)), 0),
        };
        let mixed = (u64::from(first) << 32 | u64::from(last)) ^ (bytes.len() as u64) << 17;
        // Fibonacci hashing: the upper bits of the product depend on all of the lower ones.
        let place = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
        let (word, bit) = (place / 64, 1_u64 << (place % 64));
        if seen[word] & bit != 0 {
            return false;
        }
        seen[word] |= bit;
    }
    true
}

fn distinct(keys: &mut [Key<'_>], mixed: bool) -> Result<(), DocumentError> {
    keys.sort_unstable();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(pair[0].repeated());
    }
    if mixed {
        let integers = keys.iter().filter(|key| !matches!(key, Key::Text(_)));
        for integer in integers {
            if keys.binary_search(&Key::Text(&integer.json())).is_ok() {
                return Err(integer.repeated());
            }
        }
    }
    Ok(())
}

/// The keys of one map. The first of them, in most rows all, are on the stack.
struct Keys<'a> {
    first: [Key<'a>; FIRST_KEYS],
    len: usize,
    more: Vec<Key<'a>>,
}

/// Sixty-four levels of so many keys take 26 KiB of stack.
const FIRST_KEYS: usize = 16;

impl<'a> Keys<'a> {
    #[inline]
    fn new() -> Self {
        // The claimed length is not to be trusted with memory: the vector grows with the keys that are there.
        Keys { first: [Key::Unsigned(0); FIRST_KEYS], len: 0, more: Vec::new() }
    }

    #[inline]
    fn push(&mut self, key: Key<'a>) {
        match self.first.get_mut(self.len) {
            Some(place) => {
                *place = key;
                self.len += 1;
            }
            None => self.more.push(key),
        }
    }

    fn all(&mut self) -> &mut [Key<'a>] {
        let first = &mut self.first[..self.len];
        if self.more.is_empty() {
            return first;
        }
        self.more.extend_from_slice(first);
        self.len = 0;
        &mut self.more
    }
}
