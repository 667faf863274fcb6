//! Who takes part, and who only watches, in the order of joining. Thousands may watch: one who leaves costs no look at all others.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Values, ValuesMut};

use model::EndpointId;

use super::participant::Participant;

/// Participants by endpoint id.
#[derive(Debug, Default)]
pub(super) struct Participants {
    by_place: BTreeMap<u64, Participant>,
    places: HashMap<EndpointId, u64>,
    /// The place of who comes next.
    next_place: u64,
}

impl Participants {
    /// Adds one who was not there, as the last.
    pub(super) fn add(&mut self, participant: Participant) {
        let former = self.places.insert(participant.endpoint.clone(), self.next_place);
        debug_assert_eq!(former, None, "whoever is there is changed, not added");
        self.by_place.insert(self.next_place, participant);
        self.next_place += 1;
    }

    pub(super) fn remove(&mut self, endpoint: &EndpointId) -> Option<Participant> {
        self.by_place.remove(&self.places.remove(endpoint)?)
    }

    pub(super) fn get(&self, endpoint: &EndpointId) -> Option<&Participant> {
        self.by_place.get(self.places.get(endpoint)?)
    }

    pub(super) fn get_mut(&mut self, endpoint: &EndpointId) -> Option<&mut Participant> {
        self.by_place.get_mut(self.places.get(endpoint)?)
    }

    pub(super) fn contains_key(&self, endpoint: &EndpointId) -> bool {
        self.places.contains_key(endpoint)
    }

    pub(super) fn len(&self) -> usize {
        self.by_place.len()
    }

    pub(super) fn values(&self) -> Values<'_, u64, Participant> {
        self.by_place.values()
    }

    pub(super) fn values_mut(&mut self) -> ValuesMut<'_, u64, Participant> {
        self.by_place.values_mut()
    }
}
