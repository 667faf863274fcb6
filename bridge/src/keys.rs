//! Names that control and shards give endpoints and sources: small numbers that find their thing without a search, and
//! that a late message cannot mistake for whoever has the place now.

/// A place, and which of its occupants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// What names things in a [`KeyMap`].
pub(crate) trait MapKey: Copy {
    fn key(self) -> Key;
}

/// Names an endpoint to the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerKey(pub(crate) Key);

/// Names a source of an endpoint for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceId(pub(crate) Key);

impl MapKey for PeerKey {
    fn key(self) -> Key {
        self.0
    }
}

impl MapKey for SourceId {
    fn key(self) -> Key {
        self.0
    }
}

/// Gives out keys; places of things that are gone are used again.
#[derive(Debug, Default)]
pub(crate) struct KeyAllocator {
    free: Vec<u32>,
    places: u32,
    generation: u32,
}

impl KeyAllocator {
    pub(crate) fn allocate(&mut self) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let index = self.free.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        });
        Key { index, generation: self.generation }
    }

    /// The thing is gone. To be called once for each key.
    pub(crate) fn release(&mut self, key: impl MapKey) {
        self.free.push(key.key().index);
    }
}

/// Things by their key.
#[derive(Debug)]
pub(crate) struct KeyMap<T> {
    places: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for KeyMap<T> {
    fn default() -> Self {
        Self { places: Vec::new(), len: 0 }
    }
}

impl<T> KeyMap<T> {
    /// Puts a thing in its place; one of an earlier generation that is still there gives way.
    pub(crate) fn insert(&mut self, key: impl MapKey, value: T) {
        let Key { index, generation } = key.key();
        let index = index as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(place) = self.places.get_mut(index)
            && place.replace((generation, value)).is_none()
        {
            self.len += 1;
        }
    }

    pub(crate) fn get(&self, key: impl MapKey) -> Option<&T> {
        let Key { index, generation } = key.key();
        let (occupant, value) = self.places.get(index as usize)?.as_ref()?;
        (*occupant == generation).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, key: impl MapKey) -> Option<&mut T> {
        let Key { index, generation } = key.key();
        let (occupant, value) = self.places.get_mut(index as usize)?.as_mut()?;
        (*occupant == generation).then_some(value)
    }

    pub(crate) fn remove(&mut self, key: impl MapKey) -> Option<T> {
        let Key { index, generation } = key.key();
        let taken = self.places.get_mut(index as usize)?.take_if(|(occupant, _)| *occupant == generation);
        self.len -= usize::from(taken.is_some());
        taken.map(|(_, value)| value)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_key_does_not_find_the_next_occupant() {
        let (mut keys, mut map) = (KeyAllocator::default(), KeyMap::default());
        let first = PeerKey(keys.allocate());
        map.insert(first, 'a');
        assert_eq!(map.remove(first), Some('a'));
        keys.release(first);
        let second = PeerKey(keys.allocate());
        assert_eq!((first.0.index, second.0.index), (0, 0), "the place is used again");
        map.insert(second, 'b');
        assert_eq!((map.get(first), map.get(second)), (None, Some(&'b')));
        assert_eq!((map.remove(first), map.is_empty()), (None, false));
    }
}
