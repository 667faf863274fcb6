//! What a participant may do besides talking (`mod_jitsi_permissions`): by his token, by an owner who shared his rights,
//! or by his role.

use std::sync::Arc;

use xmpp::{Element, Jid, ns};

use super::occupant::Occupant;
use super::room::Room;
use crate::Settings;
use auth::Features;

impl Room {
    /// Whether an occupant may use a feature. A token or a grant says so or not; else moderators may.
    pub(crate) fn allows(&self, settings: &Settings, occupant: &Occupant, feature: &str) -> bool {
        match self.features_of(occupant) {
            Some(features) => features.allow(feature),
            None => occupant.is_moderator() && !settings.conference.default_permissions.deny(feature),
        }
    }

    /// Whether an occupant was told that he may not use a feature that everybody may.
    pub(crate) fn denies(&self, occupant: &Occupant, feature: &str) -> bool {
        self.features_of(occupant).is_some_and(|features| features.deny(feature))
    }

    /// What an occupant was given; `None` leaves it to the role.
    pub(crate) fn features_of<'a>(&'a self, occupant: &'a Occupant) -> Option<&'a Features> {
        let granted = self.granted.get(&occupant.jid.to_bare()).map(Arc::as_ref);
        granted.or_else(|| occupant.client.features())
    }

    /// An owner made another one: that one gets the rights that the owner has himself, and no others.
    pub(super) fn share_rights(&mut self, actor: &Jid, bare: &Jid) {
        let Some(features) = self.occupant_of(actor).and_then(|actor| self.features_of(actor)).cloned() else { return };
        self.granted.insert(bare.clone(), Arc::new(features));
        self.mark_permissions_untold(bare);
    }

    /// What was shared is gone with the affiliation.
    pub(super) fn withdraw_rights(&mut self, bare: &Jid) {
        if self.granted.remove(bare).is_some() {
            self.mark_permissions_untold(bare);
        }
    }

    fn mark_permissions_untold(&mut self, bare: &Jid) {
        for occupant in self.occupants.values_mut().filter(|occupant| occupant.jid.bare_str() == bare.as_str()) {
            occupant.knows_permissions = false;
        }
    }

    /// What an occupant's own presence says that he may do, once: clients take it from there, unless their own token says
    /// it. Without it they judge by the role.
    pub(super) fn permissions_to_tell(&mut self, settings: &Settings, nick: &str) -> Option<Element> {
        let occupant = self.occupants.get(nick)?;
        if !self.kind.has_media() || occupant.is_service || occupant.is_hidden || occupant.knows_permissions {
            return None;
        }
        let is_by_token = occupant.client.features().is_some();
        let is_granted = self.granted.contains_key(&occupant.jid.to_bare());
        if !is_granted && (is_by_token || !occupant.is_moderator()) {
            return None;
        }
        let features = self.features_of(occupant).unwrap_or(&settings.conference.default_permissions);
        let permissions =
            Element::new("permissions", ns::JITMEET).with_children(features.iter().map(|(name, allowed)| {
                let value = if allowed { "true" } else { "false" };
                Element::new("p", ns::JITMEET).with_attr("name", name).with_attr("val", value)
            }));
        self.occupants.get_mut(nick)?.knows_permissions = true;
        Some(permissions)
    }
}
