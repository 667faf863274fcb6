//! Who of a conference's visitors comes in, and who becomes one (`mod_visitors_component`, signaling.md §8).

use jitsi_protocol::visitors::PromotionResponse;
use serde_json::{Value, json};
use xmpp::{Element, Jid, ns};

use super::Conferences;
use crate::audit::{self, Act};
use crate::conference_components::visitors::PromotionRequest;
use crate::conference_components::{json, metadata};
use crate::context::Context;
use crate::muc::{DEMOTE, Occupant, RESPOND, Room};

impl Conferences {
    /// A visitor raises his hand, or lowers it: he asks to come in, or no longer.
    pub(super) fn on_hand(&mut self, context: &mut Context<'_>, room_jid: &Jid, nick: &str) {
        let Some(room) = self.visitor_rooms.room_mut(room_jid) else { return };
        let Some(is_up) = room.note_hand(context, nick) else { return };
        let Some(visitor) = room.occupant(nick) else { return };
        let (jid, name) = (visitor.jid.clone(), visitor.display_name());
        let has_token = visitor.client.claims.as_deref().is_some_and(|claims| claims.user.id.is_some());
        if !is_up {
            return self.withdraw_request(context, room_jid, &jid, name);
        }
        let Some(main) = self.main_of_visitors(context, room_jid) else { return };
        let rules = &context.settings.visitors;
        let rule = if rules.auto_allow {
            Some("auto_allow")
        } else if main.state.metadata.is_set("visitors", "autoPromote") {
            Some("auto_promote")
        } else {
            (rules.auto_promote_tokens && has_token).then_some("token")
        };
        if let Some(rule) = rule {
            audit::moderated(&main.jid, Act { event: "visitor_promoted", rule, by: None, on: Some(jid.as_str()) });
            return self.respond(context, room_jid, &jid, true);
        }
        let news = request(&main.jid, &jid, name, true);
        let ask = PromotionRequest { room: room_jid.clone(), news: news.clone() };
        if !main.state.visitors.add_request(&jid, ask) {
            return context.metrics.count_dropped("visitor_requests");
        }
        tell_moderators(context, main, &news);
    }

    /// A visitor asks no longer, or is gone.
    pub(super) fn withdraw_request(
        &mut self,
        context: &mut Context<'_>,
        room_jid: &Jid,
        visitor: &Jid,
        name: Option<String>,
    ) {
        let Some(main) = self.main_of_visitors(context, room_jid) else { return };
        if main.state.visitors.take_request(visitor).is_some() {
            tell_moderators(context, main, &request(&main.jid, visitor, name, false));
        }
    }

    /// A new moderator is told who asks.
    pub(super) fn tell_requests(&self, context: &mut Context<'_>, main_jid: &Jid, nick: &str) {
        let Some(main) = self.main.room(main_jid) else { return };
        let moderator = main.occupant(nick).filter(|moderator| moderator.is_moderator() && !moderator.is_service);
        let from = context.settings.hosts.visitors_component();
        if let (Some(moderator), Some(from)) = (moderator, from) {
            for request in main.state.visitors.requests() {
                context.send(&moderator.jid, json::message(from, &request.news));
            }
        }
    }

    /// A moderator lets visitors in or not, or makes one of somebody.
    pub(super) fn on_visitors_command(&mut self, context: &mut Context<'_>, main_jid: &Jid, by: &str, command: &Value) {
        match command["action"].as_str() {
            Some(RESPOND) => {
                let is_approved = !matches!(&command["approved"], Value::Null | Value::Bool(false));
                let ids = command["ids"].as_array().into_iter().flatten().chain(command.get("id"));
                for visitor in ids.filter_map(|id| id.as_str()?.parse::<Jid>().ok()) {
                    self.on_verdict(context, main_jid, by, &visitor, is_approved);
                }
            }
            Some(DEMOTE) => {
                if let Some(id) = command["id"].as_str() {
                    self.demote(context, main_jid, by, id);
                }
            }
            Some(_) | None => {}
        }
    }

    fn on_verdict(&mut self, context: &mut Context<'_>, main_jid: &Jid, by: &str, visitor: &Jid, is_approved: bool) {
        let Some(main) = self.main.room_mut(main_jid) else { return };
        let Some(request) = main.state.visitors.take_request(visitor) else {
            // Another moderator was faster, the visitor is gone, or there never was one.
            return context.metrics.count_dropped("unasked_promotion");
        };
        let event = if is_approved { "visitor_promoted" } else { "visitor_refused" };
        note(main, event, by, visitor);
        self.respond(context, &request.room, visitor, is_approved);
    }

    /// Tells a visitor whether he may come in, and under which name.
    fn respond(&mut self, context: &mut Context<'_>, room_jid: &Jid, visitor: &Jid, is_approved: bool) {
        let username = is_approved.then(|| context.random_uuid());
        let id = context.random_uuid();
        let Some(main) = self.main_of_visitors(context, room_jid) else { return };
        if let Some(username) = &username {
            main.state.visitors.promise(username.clone());
        }
        let focus = main.occupants().find(|occupant| occupant.is_focus()).map(|focus| focus.jid.to_bare());
        let response = PromotionResponse { room: room_jid.clone(), focus, visitor: visitor.clone(), username };
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", id)
            .with_attr("from", room_jid.as_str())
            .with_child(response.to_element());
        context.send(visitor, iq);
    }

    /// Asks somebody's client to come as a visitor instead; other moderators learn of it.
    fn demote(&mut self, context: &mut Context<'_>, main_jid: &Jid, by: &str, id: &str) {
        let Some(from) = context.settings.hosts.visitors_component() else { return };
        let Some(main) = self.main.room_mut(main_jid) else { return };
        let Some(target) = main.occupant(id).filter(|target| !target.is_service).map(|target| target.jid.clone())
        else {
            return;
        };
        note(main, "visitor_demoted", by, &target);
        main.state.visitors.demote(target.local().unwrap_or_default());
        let command = json!({"type": "visitors", "action": DEMOTE, "actor": by, "id": id});
        let message = json::message(from, &command).with_attr("type", "chat");
        let is_told = |occupant: &&Occupant| {
            !occupant.is_service && occupant.nick != by && (occupant.is_moderator() || occupant.nick == id)
        };
        context.send_to_all(main.occupants().filter(is_told).map(|occupant| &occupant.jid), message);
    }

    /// Who was a visitor is in the conference now: the others' clients show it.
    pub(super) fn note_promoted(&mut self, context: &mut Context<'_>, main_jid: &Jid, nick: &str) {
        let Some(main) = self.main.room_mut(main_jid) else { return };
        let name = main.occupant(nick).and_then(|occupant| occupant.jid.local());
        if !name.is_some_and(|name| main.state.visitors.is_promoted(name)) {
            return;
        }
        let promoted = main.state.metadata.get("visitors").map(|visitors| visitors["promoted"].clone());
        let mut promoted = promoted.filter(Value::is_object).unwrap_or_else(|| json!({}));
        promoted[nick] = Value::Bool(true);
        metadata::change(context, main, |metadata| metadata.set_within("visitors", [("promoted", promoted)]));
    }

    /// Who was promoted is gone: what all agree on does not grow with everybody who ever was.
    pub(super) fn forget_promoted(&mut self, main_jid: &Jid, nick: &str) {
        let Some(main) = self.main.room_mut(main_jid) else { return };
        let promoted = main.state.metadata.get("visitors").map(|visitors| visitors["promoted"].clone());
        let Some(Value::Object(mut promoted)) = promoted else { return };
        if promoted.remove(nick).is_some() {
            // Others see him leave.
            main.state.metadata.set_within("visitors", [("promoted", Value::Object(promoted))]);
        }
    }

    /// The queue in front of a conference is told once that it is live.
    pub(super) fn go_live(&mut self, context: &Context<'_>, main_jid: &Jid) {
        if let Some(main) = self.main.room_mut(main_jid) {
            self.outside.go_live(context, main);
        }
    }
}

fn request(main: &Jid, visitor: &Jid, name: Option<String>, is_on: bool) -> Value {
    let mut json = json!({
        "type": "visitors", "room": main.as_str(), "action": "promotion-request", "from": visitor.as_str(), "on": is_on,
    });
    if let Some(name) = name {
        json["nick"] = Value::from(name);
    }
    json
}

fn tell_moderators(context: &mut Context<'_>, main: &Room, news: &Value) {
    let Some(from) = context.settings.hosts.visitors_component() else { return };
    let moderators = main.occupants().filter(|occupant| occupant.is_moderator() && !occupant.is_service);
    context.send_to_all(moderators.map(|moderator| &moderator.jid), json::message(from, news));
}

fn note(main: &Room, event: &'static str, by: &str, on: &Jid) {
    let by = main.occupant(by).map(|by| &by.jid);
    audit::moderated(&main.jid, Act { event, rule: "moderator", by, on: Some(on.as_str()) });
}
