//! The conference request: what a client asks of the focus before it joins a room, by IQ or by HTTP.
//!
//! Here: request and answer in both forms. Not here: when a focus grants it (`focus`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xmpp::jingle::{InvalidElement, read};
use xmpp::{Element, Jid, ns};

/// Properties of one request: clients send six.
const MAX_PROPERTIES: usize = 64;
/// Longest HTTP body in bytes: a request has some 300, with room for long names.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Why a conference request cannot be read. `Display` is fit for the text of the answering error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConferenceRequest {
    /// The room is missing; the text is the one that Jicofo gives.
    #[error("No 'room' specified.")]
    MissingRoom,
    /// The room is not a bare JID with a local part.
    #[error("{0:?} is not the address of a room")]
    InvalidRoom(String),
    /// Another fault of the XML form.
    #[error("invalid conference request")]
    Element(#[source] InvalidElement),
    /// Another fault of the JSON form.
    #[error("invalid conference request")]
    Json(#[source] serde_json::Error),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceRequest {
    /// Bare JID of the room.
    pub room: Jid,
    /// Identifies the client's machine to an authentication authority.
    pub machine_uid: Option<String>,
    /// An authentication session from before.
    pub session_id: Option<String>,
    /// A JSON web token, not verified by the focus.
    pub token: Option<String>,
    /// `startAudioMuted`, `visitors-version`, …
    pub properties: BTreeMap<String, String>,
}

impl ConferenceRequest {
    /// A request without anything else than the room.
    #[must_use]
    pub const fn new(room: Jid) -> Self {
        Self { room, machine_uid: None, session_id: None, token: None, properties: BTreeMap::new() }
    }

    /// Reads the `conference` element of an IQ.
    ///
    /// # Errors
    /// [`InvalidConferenceRequest`], to be answered with `bad-request`.
    pub fn from_element(element: &Element) -> Result<Self, InvalidConferenceRequest> {
        let text = |name| element.attr(name).map(str::to_owned);
        Ok(Self {
            room: room(element.attr("room").unwrap_or_default())?,
            machine_uid: text("machine-uid"),
            session_id: text("session-id"),
            token: text("token"),
            properties: properties(element).map_err(InvalidConferenceRequest::Element)?,
        })
    }

    /// The `conference` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference", ns::FOCUS)
            .with_attr("room", self.room.as_str())
            .with_opt_attr("machine-uid", self.machine_uid.as_deref())
            .with_opt_attr("session-id", self.session_id.as_deref())
            .with_opt_attr("token", self.token.as_deref())
            .with_children(property_elements(&self.properties))
    }

    /// Reads the body of an HTTP request. Values of properties may be text, numbers or booleans there; the token
    /// stands in a header and is the caller's to add.
    ///
    /// # Errors
    /// [`InvalidConferenceRequest`], to be answered with status 400.
    pub fn from_json(body: &str) -> Result<Self, InvalidConferenceRequest> {
        let body: JsonRequest = serde_json::from_str(body).map_err(InvalidConferenceRequest::Json)?;
        let properties = body.properties.unwrap_or_default();
        let scalar = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        Ok(Self {
            room: room(&body.room.unwrap_or_default())?,
            machine_uid: body.machine_uid,
            session_id: body.session_id,
            token: None,
            properties: properties
                .into_iter()
                .filter_map(|(name, value)| Some((name, scalar(value)?)))
                .take(MAX_PROPERTIES)
                .collect(),
        })
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    room: Option<String>,
    machine_uid: Option<String>,
    session_id: Option<String>,
    properties: Option<Map<String, Value>>,
}

/// What the focus answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceResponse {
    /// Bare JID of the room.
    pub room: Jid,
    /// The focus is in the room; otherwise the client asks again later.
    pub ready: bool,
    /// Bare JID of the focus: clients trust only occupants with it.
    pub focus_jid: Option<Jid>,
    /// The authentication session, for next time.
    pub session_id: Option<String>,
    /// Who the client is to the authentication authority.
    pub identity: Option<String>,
    /// Node to which a visitor connects instead.
    pub vnode: Option<String>,
    /// `authentication`, `sipGatewayEnabled`, …
    pub properties: BTreeMap<String, String>,
}

impl ConferenceResponse {
    /// An answer that a client has to repeat its request.
    #[must_use]
    pub const fn new(room: Jid) -> Self {
        Self {
            room,
            ready: false,
            focus_jid: None,
            session_id: None,
            identity: None,
            vnode: None,
            properties: BTreeMap::new(),
        }
    }

    /// The answer to somebody who has to wait until the conference is live.
    #[must_use]
    pub fn not_live(mut self) -> Self {
        self.ready = false;
        self.properties.insert("live".to_owned(), "false".to_owned());
        self
    }

    /// Reads the `conference` element of an answer.
    ///
    /// # Errors
    /// [`InvalidConferenceRequest`] when it cannot be understood.
    pub fn from_element(element: &Element) -> Result<Self, InvalidConferenceRequest> {
        let text = |name| element.attr(name).map(str::to_owned);
        let invalid = InvalidConferenceRequest::Element;
        Ok(Self {
            room: room(element.attr("room").unwrap_or_default())?,
            ready: read::flag(element, "ready").map_err(invalid)?,
            focus_jid: read::optional_parsed(element, "focusjid").map_err(invalid)?,
            session_id: text("session-id"),
            identity: text("identity"),
            vnode: text("vnode"),
            properties: properties(element).map_err(invalid)?,
        })
    }

    /// The `conference` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference", ns::FOCUS)
            .with_attr("room", self.room.as_str())
            .with_attr("ready", self.ready.to_string())
            .with_opt_attr("focusjid", self.focus_jid.as_ref())
            .with_opt_attr("session-id", self.session_id.as_deref())
            .with_opt_attr("identity", self.identity.as_deref())
            .with_opt_attr("vnode", self.vnode.as_deref())
            .with_children(property_elements(&self.properties))
    }

    /// The body of an HTTP answer. `properties` is always there and its values are text: clients count on both.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = JsonResponse {
            room: self.room.as_str(),
            ready: self.ready,
            focus_jid: self.focus_jid.as_ref().map(Jid::as_str),
            session_id: self.session_id.as_deref(),
            identity: self.identity.as_deref(),
            vnode: self.vnode.as_deref(),
            properties: &self.properties,
        };
        // Maps have text keys and no writer fails: there is no case left in which serialization can.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonResponse<'a> {
    room: &'a str,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    focus_jid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vnode: Option<&'a str>,
    properties: &'a BTreeMap<String, String>,
}

fn room(text: &str) -> Result<Jid, InvalidConferenceRequest> {
    if text.is_empty() {
        return Err(InvalidConferenceRequest::MissingRoom);
    }
    let jid = text.parse::<Jid>().ok().filter(|jid| jid.is_bare() && jid.local().is_some());
    jid.ok_or_else(|| InvalidConferenceRequest::InvalidRoom(text.chars().take(128).collect()))
}

fn properties(element: &Element) -> Result<BTreeMap<String, String>, InvalidElement> {
    let pairs = read::list(element, "property", MAX_PROPERTIES, |property| {
        let value = property.attr("value").unwrap_or_default();
        Ok::<_, InvalidElement>((read::required(property, "name")?.to_owned(), value.to_owned()))
    })?;
    Ok(pairs.into_iter().collect())
}

fn property_elements(properties: &BTreeMap<String, String>) -> impl Iterator<Item = Element> {
    properties.iter().map(|(name, value)| {
        Element::new("property", ns::FOCUS).with_attr("name", name.as_str()).with_attr("value", value.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_a_request_alike() {
        let element: Element = "<conference xmlns='http://jitsi.org/protocol/focus' room='Demo@muc.meet.example' \
            machine-uid='9f' session-id='s-77'><property name='startAudioMuted' value='9'/>\
            <property name='visitor' value='true'/></conference>"
            .parse()
            .unwrap();
        let json = r#"{"room":"demo@muc.meet.example","machineUid":"9f","sessionId":"s-77","extra":[],
            "properties":{"startAudioMuted":9,"visitor":true,"odd":{"a":1}}}"#;
        let request = ConferenceRequest::from_element(&element).unwrap();
        assert_eq!(ConferenceRequest::from_json(json).unwrap(), request);
        assert_eq!(request.property("startAudioMuted"), Some("9"));
        assert_eq!(ConferenceRequest::from_element(&request.to_element()).unwrap(), request);
    }

    #[test]
    fn refuses_a_missing_or_bad_room() {
        let missing = ConferenceRequest::from_json(r#"{"room":null}"#).unwrap_err();
        assert_eq!(missing.to_string(), "No 'room' specified.");
        for bad in ["muc.meet.example", "demo@muc.meet.example/nick", "a b@muc"] {
            let element = Element::new("conference", ns::FOCUS).with_attr("room", bad);
            let error = ConferenceRequest::from_element(&element).unwrap_err();
            assert!(matches!(error, InvalidConferenceRequest::InvalidRoom(_)), "{bad}");
        }
        assert!(matches!(ConferenceRequest::from_json("[]"), Err(InvalidConferenceRequest::Json(_))));
    }

    #[test]
    fn answers_with_text_properties_and_always_an_object_of_them() {
        let mut response = ConferenceResponse::new("demo@muc.meet.example".parse().unwrap());
        assert_eq!(response.to_json(), r#"{"room":"demo@muc.meet.example","ready":false,"properties":{}}"#);
        response.ready = true;
        response.focus_jid = Some("focus@auth.meet.example".parse().unwrap());
        response.properties.insert("authentication".to_owned(), "false".to_owned());
        assert_eq!(
            response.to_json(),
            r#"{"room":"demo@muc.meet.example","ready":true,"focusJid":"focus@auth.meet.example","properties":{"authentication":"false"}}"#
        );
        assert_eq!(ConferenceResponse::from_element(&response.to_element()).unwrap(), response);
    }
}
