//! What a stream that we send went on from.

/// Changes of the source that a late packet may lie behind: a receiver that is given one layer after another, or a pause and a
/// key frame, has some within the time in which lost packets are repeated. The selection of layers remembers as many.
const MAX_EARLIER: usize = 8;

/// The segments before the one that is sent, for packets that were overtaken by a switch. Takes memory from the first on.
#[derive(Clone, Debug)]
pub(crate) struct Earlier<S>(Option<Box<[Option<S>; MAX_EARLIER]>>);

impl<S> Earlier<S> {
    pub(crate) const NONE: Self = Self(None);

    /// The segment that was sent ends. The oldest of too many is forgotten.
    pub(crate) fn push(&mut self, segment: S) {
        let segments = self.0.get_or_insert_with(|| Box::new([const { None }; MAX_EARLIER]));
        segments.rotate_right(1);
        if let Some(latest) = segments.first_mut() {
            *latest = Some(segment);
        }
    }

    /// The latest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        self.0.iter().flat_map(|segments| segments.iter().flatten())
    }
}

impl<S> Default for Earlier<S> {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_latest_ones() {
        let mut earlier = Earlier::default();
        assert_eq!(earlier.iter().next(), None);
        (0..20).for_each(|segment| earlier.push(segment));
        assert!(earlier.iter().copied().eq((12..20).rev()));
    }
}
