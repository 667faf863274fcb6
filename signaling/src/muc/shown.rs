//! What others are shown of an occupant: written once, and kept for all who come later.

use std::sync::{Arc, OnceLock};

use xmpp::muc::{Affiliation, Role};
use xmpp::{Element, SharedStanza};

use super::display_name::as_shown_to_guests;

/// The presence of an occupant as everybody else gets it who comes into the room, with what the room says of him. It
/// serves until the presence, the role or the affiliation changes; it costs about what the presence itself takes.
#[derive(Debug)]
pub(super) struct Shown {
    affiliation: Affiliation,
    role: Role,
    whole: Arc<SharedStanza>,
    to_guests: OnceLock<Arc<SharedStanza>>,
}

impl Shown {
    /// `presence` says the same affiliation and role.
    pub(super) fn new(presence: Element, affiliation: Affiliation, role: Role) -> Self {
        Self { affiliation, role, whole: Arc::new(SharedStanza::new(presence)), to_guests: OnceLock::new() }
    }

    /// Whether it still says how it stands with the occupant.
    pub(super) fn says(&self, affiliation: Affiliation, role: Role) -> bool {
        (self.affiliation, self.role) == (affiliation, role)
    }

    /// For those who may know who it is.
    pub(super) fn whole(&self) -> &Arc<SharedStanza> {
        &self.whole
    }

    /// For those who may not.
    pub(super) fn to_guests(&self) -> &Arc<SharedStanza> {
        self.to_guests.get_or_init(|| Arc::new(SharedStanza::new(as_shown_to_guests(self.whole.element()))))
    }
}
