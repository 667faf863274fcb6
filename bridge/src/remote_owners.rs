//! Whose datagrams are they that come from an address: the members that claim it.

use crate::connection::MemberKey;

/// Members that may claim one address at once: the right one, one that was there before it, and forgers.
const MAX_CLAIMS_PER_ADDRESS: usize = 4;

/// The members that claim an address, the one whose media is taken from there first. Whoever knows its own password
/// can claim any address, by a forged source; only an answered check makes the claim good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RemoteOwners {
    keys: [Option<MemberKey>; MAX_CLAIMS_PER_ADDRESS],
}

impl RemoteOwners {
    pub(crate) fn first(&self) -> Option<MemberKey> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MemberKey> {
        self.keys.into_iter().flatten()
    }

    /// Adds a claim: in front of all others once it is validated, else behind them. With all places taken the last one
    /// gives way, so that a claimant is there at least from its request to the answer that follows.
    pub(crate) fn insert(&mut self, key: MemberKey, is_validated: bool) {
        if self.first() == Some(key) || !is_validated && self.keys.contains(&Some(key)) {
            return;
        }
        if is_validated {
            self.remove(key);
            self.keys.rotate_right(1);
            if let Some(first) = self.keys.first_mut() {
                *first = Some(key);
            }
        } else {
            let free = self.keys.iter().position(Option::is_none).unwrap_or(MAX_CLAIMS_PER_ADDRESS - 1);
            if let Some(place) = self.keys.get_mut(free) {
                *place = Some(key);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: MemberKey) {
        for place in self.keys.iter_mut().filter(|place| **place == Some(key)) {
            *place = None;
        }
        // Claims stay in order, without holes: a rotation then pushes out the last one only when all are taken.
        self.keys.sort_by_key(Option::is_none);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Member;

    fn key(endpoint: usize) -> MemberKey {
        MemberKey { conference: 0, member: Member::Endpoint(endpoint) }
    }

    #[test]
    fn a_validated_claim_to_an_address_beats_a_forged_one() {
        let mut owners = RemoteOwners::default();
        owners.insert(key(1), false);
        owners.insert(key(2), false);
        assert_eq!(owners.first(), Some(key(1)));
        owners.insert(key(2), true);
        owners.insert(key(3), false);
        assert_eq!(owners.iter().collect::<Vec<_>>(), [key(2), key(1), key(3)]);
        owners.remove(key(2));
        assert_eq!(owners.first(), Some(key(1)));
    }

    #[test]
    fn forged_claims_cannot_keep_the_right_one_out() {
        let mut owners = RemoteOwners::default();
        (0..10).for_each(|forger| owners.insert(key(forger), false));
        assert_eq!(owners.iter().count(), MAX_CLAIMS_PER_ADDRESS);
        owners.insert(key(77), false);
        assert!(owners.iter().any(|claimant| claimant == key(77)), "the answer to its check finds it");
        owners.insert(key(77), true);
        assert_eq!((owners.first(), owners.iter().count()), (Some(key(77)), MAX_CLAIMS_PER_ADDRESS));
    }
}
