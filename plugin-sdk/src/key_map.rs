//! A map from keys to values that remembers the order in which the keys came. Nothing is ever taken out of it.
//!
//! Hashing is fixed: a plugin has no source of randomness, and the order of what it writes must not depend on one.
//! Keys made to collide would slow a chunk down, and the host's bound on processor time ends it.

/// Length of the first index: enough for the rows of most chunks.
const FIRST_INDEX: usize = 512;

/// All keys stand in one string, so that a new key costs no allocation of its own.
#[derive(Debug, Clone)]
pub(crate) struct KeyMap<V> {
    keys: Keys,
    values: Vec<V>,
    /// Open addressing with linear probing: the index of a key plus one, 0 where there is none. A power of two in length,
    /// at least twice as long as there are keys.
    index: Vec<u32>,
}

/// The keys of a [`KeyMap`], by their index in the order of arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    text: String,
    heads: Vec<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    start: usize,
    len: u32,
    hash: u32,
}

impl Keys {
    pub(crate) fn get(&self, at: usize) -> &str {
        let head = self.heads[at];
        &self.text[head.start..head.start + head.len as usize]
    }

    fn is(&self, at: usize, hash: u32, key: &str) -> bool {
        let head = self.heads[at];
        head.hash == hash && self.text.as_bytes()[head.start..][..head.len as usize] == *key.as_bytes()
    }
}

impl<V> Default for KeyMap<V> {
    fn default() -> Self {
        KeyMap { keys: Keys::default(), values: Vec::new(), index: Vec::new() }
    }
}

impl<V> KeyMap<V> {
    /// The index of `key`.
    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let hash = hash(key);
        let mask = self.index.len() - 1;
        let mut probe = hash as usize & mask;
        loop {
            let at = (self.index[probe] as usize).checked_sub(1)?;
            if self.keys.is(at, hash, key) {
                return Some(at);
            }
            probe = (probe + 1) & mask;
        }
    }

    /// Adds `key`, which must not be there yet, and returns its index.
    pub(crate) fn add(&mut self, key: &str, value: V) -> usize {
        debug_assert!(self.find(key).is_none());
        let at = self.values.len();
        if (at + 1) * 2 > self.index.len() {
            self.grow();
        }
        let hash = hash(key);
        self.keys.heads.push(Head { start: self.keys.text.len(), len: key.len() as u32, hash });
        self.keys.text.push_str(key);
        self.values.push(value);
        self.enter(hash, at);
        at
    }

    fn grow(&mut self) {
        let len = (self.index.len() * 2).max(FIRST_INDEX);
        self.index.clear();
        self.index.resize(len, 0);
        for at in 0..self.values.len() {
            self.enter(self.keys.heads[at].hash, at);
        }
    }

    fn enter(&mut self, hash: u32, at: usize) {
        let mask = self.index.len() - 1;
        let mut probe = hash as usize & mask;
        while self.index[probe] != 0 {
            probe = (probe + 1) & mask;
        }
        self.index[probe] = at as u32 + 1;
    }

    #[inline]
    pub(crate) fn value(&self, at: usize) -> &V {
        &self.values[at]
    }

    #[inline]
    pub(crate) fn value_mut(&mut self, at: usize) -> &mut V {
        &mut self.values[at]
    }

    /// The keys and the values, to change values while keys are looked at.
    pub(crate) fn split(&mut self) -> (&Keys, &mut [V]) {
        (&self.keys, &mut self.values)
    }

    /// Keys and values in the order in which the keys came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.values.iter().enumerate().map(|(at, value)| (self.keys.get(at), value))
    }
}

/// Eight bytes at a step: multiply, and fold the high half down.
#[inline]
fn hash(key: &str) -> u32 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = key.len() as u64;
    let mut words = key.as_bytes().chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        state = mix(state ^ u64::from_le_bytes(bytes), MULTIPLIER);
    }
    let mut last = 0;
    for byte in words.remainder() {
        last = last << 8 | u64::from(*byte);
    }
    state = mix(state ^ last, MULTIPLIER);
    (state ^ state >> 32) as u32
}

#[inline]
fn mix(word: u64, multiplier: u64) -> u64 {
    let product = word.wrapping_mul(multiplier);
    product ^ product.rotate_right(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_at_its_place_and_in_order() {
        let mut map = KeyMap::default();
        let keys: Vec<_> = (0..5000).map(|n| format!("key-{n}")).collect();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(map.find(key), None);
            assert_eq!(map.add(key, n), n);
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(map.find(key), Some(n));
        }
        assert!(map.iter().map(|(key, _)| key).eq(keys.iter().map(String::as_str)));
        assert_eq!(map.find("key-5000"), None);
        assert_eq!(map.find(""), None);
    }
}
