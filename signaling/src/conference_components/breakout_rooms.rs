//! The breakout rooms of a conference, as it knows them (`mod_muc_breakout_rooms`, client.md §6.3): names and addresses.
//!
//! Not here: the rooms themselves, and who moves between them (`conference/breakouts.rs`).

use indexmap::IndexMap;
use xmpp::{Condition, Jid, StanzaError};

/// Breakout rooms of one conference: more than a meeting of 500 splits into.
const MAX_ROOMS: usize = 100;
/// Longest name of a room, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The breakout rooms of a conference.
#[derive(Debug, Default)]
pub(crate) struct Breakouts {
    /// By address, whether somebody was in them or not.
    rooms: IndexMap<Jid, Option<String>>,
    /// Rooms that there ever were; clients name the next by it.
    counter: u64,
}

impl Breakouts {
    /// Whether there ever was one: from then on the meeting ends only when nobody is in any of its rooms.
    pub(crate) fn is_active(&self) -> bool {
        self.counter > 0
    }

    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    pub(crate) fn contains(&self, room: &Jid) -> bool {
        self.rooms.contains_key(room)
    }

    pub(crate) fn name_of(&self, room: &Jid) -> Option<&str> {
        self.rooms.get(room)?.as_deref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Jid, Option<&str>)> {
        self.rooms.iter().map(|(room, name)| (room, name.as_deref()))
    }

    /// Adds a room.
    pub(crate) fn add(&mut self, room: Jid, name: Option<&str>) -> Result<(), StanzaError> {
        if self.rooms.len() >= MAX_ROOMS {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        self.rooms.insert(room, name.map(shortened));
        self.counter += 1;
        Ok(())
    }

    /// Gives a room another name; answers whether there is such a room.
    pub(crate) fn rename(&mut self, room: &Jid, name: Option<&str>) -> bool {
        match self.rooms.get_mut(room) {
            Some(known) => {
                *known = name.map(shortened);
                true
            }
            None => false,
        }
    }

    /// Takes a room out; answers whether it was there.
    pub(crate) fn remove(&mut self, room: &Jid) -> bool {
        self.rooms.shift_remove(room).is_some()
    }
}

fn shortened(name: &str) -> String {
    name.get(..name.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_have_a_limit_and_names_a_length() {
        let mut breakouts = Breakouts::default();
        let room = |n: usize| format!("{n}@breakout.d").parse::<Jid>().unwrap();
        for n in 0..MAX_ROOMS {
            breakouts.add(room(n), Some(&"é".repeat(200))).unwrap();
        }
        assert!(breakouts.add(room(MAX_ROOMS), None).is_err());
        assert_eq!(breakouts.name_of(&room(0)).map(str::len), Some(MAX_NAME_BYTES));
        assert!(breakouts.remove(&room(0)) && !breakouts.remove(&room(0)));
        assert!(!breakouts.rename(&room(0), Some("x")) && breakouts.rename(&room(1), Some("x")));
        assert_eq!((breakouts.name_of(&room(1)), breakouts.counter()), (Some("x"), MAX_ROOMS as u64));
    }
}
