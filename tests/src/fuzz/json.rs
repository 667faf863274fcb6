//! JSON of clients and bridges (`jitsi-protocol`).

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, RelayMessage};
use jitsi_protocol::conference_request::ConferenceRequest;
use jitsi_protocol::media_json::PeerEvent;

use super::stanza::comes_back;

/// A message of the bridge channel, in both directions.
pub fn bridge_channel(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = ClientMessage::parse(text) {
        comes_back(&message, |message| ClientMessage::parse(&message.to_json()));
    }
    if let Ok(message) = RelayMessage::parse(text) {
        comes_back(&message, |message| RelayMessage::parse(&message.to_json()));
    }
    if let Ok(message) = BridgeMessage::parse(text) {
        comes_back(&message, |message| BridgeMessage::parse(&message.to_json()));
    }
}

/// The body of `POST /conference-request/v1`.
pub fn conference_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(request) = ConferenceRequest::from_json(text) {
        comes_back(&request, |request| ConferenceRequest::from_element(&request.to_element()));
    }
}

/// What a recorder, transcriber or translator says to a bridge.
pub fn media_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A number is taken as one or as a text, so that there is not one form to compare with.
    drop(PeerEvent::parse(text));
}
