//! Going on with a meeting on another device (`mod_muc_flip`): who comes with `<flip_device/>` and the user id of somebody in
//! the room takes that one's place.

use xmpp::muc::{Affiliation, status};
use xmpp::{Element, Jid, ns};

use super::kind::MucKind;
use super::presence::Cause;
use super::room::Room;
use crate::Features;
use crate::context::{Context, Sender};

/// The mark of a join that replaces another, and of the departure of who was replaced.
const FLIP_DEVICE: &str = "flip_device";
/// The right to it, which only a token gives.
const FEATURE: &str = "flip";

/// The mark on the departure of who was replaced: clients say nothing of it.
pub(super) fn mark() -> Element {
    Element::new(FLIP_DEVICE, ns::CLIENT)
}

impl Room {
    /// The nick of the device that the newcomer leaves, with what it was in the room.
    pub(super) fn flipped_from(&self, sender: Sender<'_>, join: &Element) -> Option<(String, Affiliation)> {
        join.children().find(|child| child.name() == FLIP_DEVICE).filter(|_| self.kind == MucKind::Conference)?;
        let claims = sender.client.claims.as_deref()?;
        let id = claims.user.id.as_deref()?;
        claims.features.as_ref().filter(|features| Features::allow(features, FEATURE))?;
        let is_same_user = |claims: &crate::Claims| claims.user.id.as_deref() == Some(id);
        let former = self.occupants.values().find(|occupant| {
            occupant.jid != *sender.jid && occupant.client.claims.as_deref().is_some_and(is_same_user)
        })?;
        Some((former.nick.clone(), self.affiliation_of(&former.jid, former.is_service)))
    }

    /// The device that was left leaves. Answers whose it was.
    pub(super) fn replace(&mut self, context: &mut Context<'_>, nick: &str) -> Option<Jid> {
        self.expel(context, nick, &Cause { status: Some(status::KICKED), extension: Some(mark()), ..Cause::default() })
    }
}

/// A join without the mark, for somebody who replaces nobody.
pub(super) fn without_mark(mut join: Element) -> Element {
    join.retain_children(|child| child.name() != FLIP_DEVICE);
    join
}
