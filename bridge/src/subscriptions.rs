//! What the data plane was told that one receiver gets, so that it is told only what is new.

use crate::data_plane::DataPlane;
use crate::keys::SourceId;
use crate::shard::layers::Wanted;
use crate::shard::message::Route;

/// By source, in their order: also those that the receiver wants no longer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions(Vec<(SourceId, Wanted)>);

impl Subscriptions {
    /// Tells the data plane what the receiver gets of a source, if that is new.
    pub(crate) fn set(&mut self, receiver: Route, source: SourceId, wanted: Wanted, data_plane: &mut DataPlane) {
        let before = match self.0.binary_search_by_key(&source, |(source, _)| *source) {
            Ok(at) => self.0.get_mut(at).map(|known| std::mem::replace(&mut known.1, wanted)),
            Err(_) if wanted.is_nothing() => None,
            Err(at) => {
                self.0.insert(at, (source, wanted));
                Some(Wanted::NOTHING)
            }
        };
        if let Some(before) = before.filter(|before| *before != wanted) {
            data_plane.subscribe(receiver, source, before, wanted);
        }
    }

    /// Forgets sources that are gone.
    pub(crate) fn retain(&mut self, is_there: impl Fn(SourceId) -> bool) {
        self.0.retain(|(source, _)| is_there(*source));
    }

    pub(crate) fn into_vec(self) -> Vec<(SourceId, Wanted)> {
        self.0
    }
}
