//! Where each stanza goes, and what the focus answers by itself.

use std::time::Instant;

use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use rand::Rng;
use serde_json::Value;
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, iq_result, ns};

use crate::authentication::{self, Login};
use crate::brewery::BreweryKind;
use crate::conference::{Asking, Conference, occupant_of};
use crate::context::Purpose;
use crate::focus::Focus;
use crate::iq::IqOutcome;
use crate::request::Requester;

/// Feature of a focus that ends a session and starts another at the client's request.
const FEATURE_TERMINATE_RESTART: &str = "https://jitsi.org/meet/jicofo/terminate-restart";

impl Focus {
    pub(crate) fn on_stanza(&mut self, stanza: &Element, now: Instant) {
        if self.link.is_none() {
            return;
        }
        match (stanza.name(), stanza.attr("type")) {
            ("presence", _) => self.on_presence(stanza, now),
            ("iq", Some("result" | "error")) => match self.iqs.take_answered(stanza) {
                Some(purpose) => self.on_iq_outcome(purpose, IqOutcome::Answer(stanza.clone()), now),
                None => self.metrics.dropped("unexpected answer"),
            },
            ("iq", Some("get" | "set")) => self.on_iq_request(stanza, now),
            ("message", _) => self.on_message(stanza, now),
            _ => self.metrics.dropped("not a stanza"),
        }
    }

    /// Rooms pass their chat on to every occupant; only components say something to the focus, and only they are believed.
    fn on_message(&mut self, message: &Element, now: Instant) {
        let from = message.attr("from");
        let is_from = |component: Option<&Jid>| component.is_some_and(|component| from == Some(component.as_str()));
        let is_moderation = is_from(self.settings.av_moderation.as_ref());
        if !is_moderation && !is_from(self.settings.room_metadata.as_ref()) {
            return;
        }
        let element = message.child("json-message", ns::JITMEET);
        let Some((element, json)) =
            element.and_then(|element| Some((element, serde_json::from_str::<Value>(&element.text()).ok()?)))
        else {
            return self.metrics.dropped("message of a component without JSON");
        };
        let room = if is_moderation { json["room"].as_str() } else { element.attr("room") };
        let Some(room) = room.and_then(|room| room.parse::<Jid>().ok()) else {
            return self.metrics.dropped("message of a component without a room");
        };
        self.with_conference(&room, now, |conference, context| {
            if is_moderation {
                conference.on_av_moderation(&json, context);
            } else {
                conference.on_room_metadata(&json["metadata"], context);
            }
        });
    }

    pub(crate) fn on_presence(&mut self, presence: &Element, now: Instant) {
        let Some(from) = presence.attr("from").and_then(|from| from.parse::<Jid>().ok()) else {
            return self.metrics.dropped("presence without sender");
        };
        let Some(brewery) = self.breweries.iter_mut().find(|brewery| brewery.is_room_of(&from)) else {
            let room = self.main_room_of(&from);
            self.with_conference(&room, now, |conference, context| conference.on_presence(&from, presence, context));
            return;
        };
        let event = brewery.on_presence(&from, presence, now);
        match brewery.kind {
            BreweryKind::Bridges => self.on_bridge_event(event, presence, now),
            kind @ (BreweryKind::Jibris | BreweryKind::SipJibris) => self.on_jibri_event(kind, event, presence, now),
            BreweryKind::Jigasis => self.on_jigasi_event(event, presence),
        }
    }

    pub(crate) fn on_iq_request(&mut self, iq: &Element, now: Instant) {
        let from = iq.attr("from").and_then(|from| from.parse::<Jid>().ok());
        let Some((from, payload)) = from.zip(iq.children().next()) else {
            return self.answer(iq_error(iq, &StanzaError::new(Condition::BadRequest)));
        };
        match (payload.name(), payload.ns()) {
            ("conference", ns::FOCUS) => match ConferenceRequest::from_element(payload) {
                Ok(request) => {
                    let client = authentication::client_of(&from);
                    self.on_conference_request(&request, client.as_ref(), Requester::of_iq(iq), now);
                }
                Err(error) => {
                    let error = StanzaError::new(Condition::BadRequest).with_text(error.to_string());
                    self.answer(iq_error(iq, &error));
                }
            },
            ("ping", ns::PING) => self.answer(iq_result(iq)),
            ("query", ns::DISCO_INFO) => self.answer(iq_result(iq).with_child(disco_info(payload.attr("node")))),
            ("query", ns::VERSION) => self.answer(iq_result(iq).with_child(version())),
            // Without an authentication authority no session is known.
            ("logout", ns::FOCUS) => {
                let done = self.authority.log_out(payload.attr("session-id").unwrap_or_default());
                self.answer(match done {
                    Ok(()) => iq_result(iq).with_child(Element::new("logout", ns::FOCUS)),
                    Err(error) => iq_error(iq, &error),
                });
            }
            ("login-url", ns::FOCUS) if self.authority.is_on() => {
                self.answer(match self.authority.login_url(payload) {
                    Ok(url) => iq_result(iq).with_child(url),
                    Err(error) => iq_error(iq, &error),
                });
            }
            _ if self.conferences.contains_key(&self.main_room_of(&from)) => {
                let room = self.main_room_of(&from);
                self.with_conference(&room, now, |conference, context| conference.on_iq_request(&from, iq, context));
            }
            ("jibri", ns::JIBRI) => self.on_jibri_request(&from, iq, payload, now),
            ("dial", ns::RAYO) => self.answer(iq_error(iq, &StanzaError::new(Condition::ItemNotFound))),
            ("jingle", ns::JINGLE) | ("mute", ns::MUTE_AUDIO | ns::MUTE_VIDEO | ns::MUTE_DESKTOP) => {
                self.answer(iq_error(iq, &StanzaError::new(Condition::ItemNotFound)));
            }
            _ => self.answer(iq_error(iq, &StanzaError::new(Condition::ServiceUnavailable))),
        }
    }

    /// `client` is who asks, by full JID, where that is known.
    pub(crate) fn on_conference_request(
        &mut self,
        request: &ConferenceRequest,
        client: Option<&Jid>,
        requester: Requester,
        now: Instant,
    ) {
        let room = &request.room;
        self.metrics.conference_requests.inc();
        if !self.settings.has_rooms_at(room.domain()) {
            let error = StanzaError::new(Condition::BadRequest).with_text("No such room service.");
            self.output.push_back(requester.response(Err(error)));
            return;
        }
        if self.link.is_none() {
            // The client asks again.
            self.output.push_back(requester.response(Ok(ConferenceResponse::new(room.clone()))));
            return;
        }
        let random = &mut self.random;
        let new_id = || uuid::Builder::from_random_bytes(random.random()).into_uuid().to_string();
        let login = match self.authority.authenticate(client, request, new_id, now) {
            Ok(login) => login,
            Err(error) => return self.output.push_back(requester.response(Err(error))),
        };
        let requester = requester.with_login(login.clone());
        let asking = Asking::of_request(request);
        if !self.conferences.contains_key(room) && self.is_login_missing(room, login.as_ref()) {
            return self.output.push_back(requester.response(Err(authentication::not_authorized())));
        }
        let is_live = self.conferences.get(room).is_some_and(Conference::is_live);
        if asking.waits_for_live(self.settings.visitors.as_ref(), is_live) {
            let response = self.with_context(now, |context| context.response(room).not_live());
            return self.output.extend(response.map(|response| requester.response(Ok(response))));
        }
        if !self.conferences.contains_key(room) {
            if self.conferences.len() >= self.settings.limits.conferences {
                tracing::warn!(%room, "conference refused, there are too many");
                let error = StanzaError::new(Condition::ResourceConstraint).with_text("Too many conferences.");
                self.output.push_back(requester.response(Err(error)));
                return;
            }
            let Some(occupant) = occupant_of(room, &self.settings) else { return };
            self.instances += 1;
            let instance = self.instances;
            let conference = self.with_context(now, |context| Conference::new(request, occupant, instance, context));
            if let Some(conference) = conference {
                self.conferences.insert(room.clone(), conference);
                self.metrics.conferences_created.inc();
                self.metrics.conference_requests_new.inc();
            }
        }
        self.with_conference(room, now, |conference, context| {
            if let Some(client) = client.filter(|_| login.is_some()) {
                conference.on_login(client, context);
            }
            conference.on_request(requester, asking, context);
        });
    }

    /// Whether only somebody who logged in may open a room.
    fn is_login_missing(&self, room: &Jid, login: Option<&Login>) -> bool {
        self.authority.is_on() && login.is_none() && !self.settings.is_breakout(room)
    }

    pub(crate) fn on_iq_outcome(&mut self, purpose: Purpose, outcome: IqOutcome, now: Instant) {
        match purpose {
            Purpose::Conference { room, instance, purpose } => {
                if self.conferences.get(&room).is_some_and(|conference| conference.instance() == instance) {
                    self.with_conference(&room, now, |conference, context| {
                        conference.on_iq_outcome(purpose, outcome, context);
                    });
                }
            }
            Purpose::HealthCheck { bridge } => self.on_health(&bridge, &outcome, now),
        }
    }
}

fn disco_info(node: Option<&str>) -> Element {
    let identity = Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", "component")
        .with_attr("type", "conference-focus")
        .with_attr("name", "focus");
    let features = [FEATURE_TERMINATE_RESTART, ns::DISCO_INFO, ns::PING, ns::VERSION, ns::JINGLE];
    Element::new("query", ns::DISCO_INFO)
        .with_opt_attr("node", node)
        .with_child(identity)
        .with_children(features.map(|var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var)))
}

fn version() -> Element {
    let child = |name: &'static str, text: &'static str| Element::new(name, ns::VERSION).with_text(text);
    Element::new("query", ns::VERSION)
        .with_child(child("name", "Teranga focus"))
        .with_child(child("version", env!("CARGO_PKG_VERSION")))
}
