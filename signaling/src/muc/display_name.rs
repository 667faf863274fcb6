//! Names of participants: which a token fixes, who is shown them, and what history tells (`mod_muc_displayname`,
//! `mod_presence_identity`).

use xmpp::{Element, ns};

use super::occupant::Occupant;
use crate::Settings;
use crate::client::Client;
use auth::Claims;

/// Children of a presence that say who somebody is.
const IDENTITY: [&str; 7] = ["nick", "identity", "email", "avatar-url", "userId", "stats-id", "custom-role"];

/// A presence with the identity of the sender's token, and no other. A token may fix the name as well.
pub(super) fn identified(mut presence: Element, client: &Client) -> Element {
    presence.retain_children(|child| child.name() != "identity");
    let Some(claims) = client.claims.as_deref() else { return presence };
    if claims.features.as_ref().is_some_and(|features| features.allow("name-readonly")) {
        presence.retain_children(|child| !child.is("nick", ns::NICK));
        if let Some(name) = &claims.user.name {
            presence.push(Element::new("nick", ns::NICK).with_text(name.as_str()));
        }
    }
    presence.with_child(identity(claims))
}

fn identity(claims: &Claims) -> Element {
    let text = |name: &'static str, text: &Option<String>| {
        text.clone().map(|text| Element::new(name, ns::CLIENT).with_text(text))
    };
    let user = &claims.user;
    let fields =
        [text("id", &user.id), text("name", &user.name), text("email", &user.email), text("avatar", &user.avatar)];
    Element::new("identity", ns::CLIENT)
        .with_child(Element::new("user", ns::CLIENT).with_children(fields.into_iter().flatten()))
        .with_children(text("group", &claims.group))
}

/// Whether a participant is not to know who another is.
pub(super) fn is_hidden_from(settings: &Settings, viewer: &Occupant, subject: &Occupant) -> bool {
    settings.conference.hide_names_from_guests && !viewer.is_moderator() && !viewer.is_service && !subject.is_service
}

/// A presence without what says who somebody is.
pub(super) fn as_shown_to_guests(presence: &Element) -> Element {
    let mut presence = presence.clone();
    presence.retain_children(|child| !IDENTITY.contains(&child.name()));
    presence
}

/// The name of who wrote a message, for those who come when he may be gone.
pub(super) fn author(occupant: &Occupant) -> Option<Element> {
    let claims = occupant.client.claims.as_deref();
    let (source, name) = match claims.and_then(|claims| claims.user.name.clone()) {
        Some(name) => ("token", name),
        None => ("guest", occupant.display_name()?),
    };
    Some(Element::new("display-name", ns::DISPLAY_NAME).with_attr("source", source).with_text(name))
}
