use serde_json::json;

use super::*;
use crate::colibri2::{
    EndpointModified, ForceMute, IceTransport, MediaSource, MucRole, Sctp, Source, TransportModified,
};

fn read(value: &Value) -> Result<ConferenceModify, InvalidJson> {
    ConferenceModify::from_json(value.to_string().as_bytes(), None)
}

/// Composed after bridge.md §1.7.
fn creation() -> Value {
    json!({
        "meeting-id": "6b1c", "name": "standup@muc.example.org", "create": true, "rtcstats-enabled": false, "new": [1],
        "endpoints": [{
            "id": "a1b2c3d4", "create": true, "stats-id": "Ada-x1y", "muc-role": "visitor",
            "capabilities": ["source-names", "ssrc-rewriting"],
            "force-mute": { "audio": true }, "initial-last-n": { "value": 5 },
            "medias": [{
                "type": "audio", "extmap-allow-mixed": true,
                "payload-types": [{
                    "id": "111", "name": "opus", "clockrate": "48000", "channels": 2,
                    "parameters": { "useinbandfec": "1", "minptime": 10 },
                    "rtcp-fbs": [{ "type": "transport-cc" }, { "type": "ccm", "subtype": "fir" }],
                }],
                "rtp-hdrexts": [{ "id": 1, "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level" }],
            }],
            "transport": {
                "ice-controlling": true, "sctp": { "role": "server", "port": 5000 },
                "transport": {
                    "xmlns": "urn:xmpp:jingle:transports:ice-udp:1", "ufrag": "Zk3T", "pwd": "hQ", "rtcp-mux": true,
                    "fingerprints": [{ "fingerprint": "11:22", "hash": "sha-256", "setup": "active" }],
                    "candidates": [{ "ip": "192.0.2.33", "port": 51000, "priority": "7", "type": "host" }],
                },
            },
            "sources": [{
                "type": "video", "id": "a1b2c3d4-v0",
                "sources": [{ "ssrc": 2001, "name": "a1b2c3d4-v0", "videoType": "camera" }, "3001", 3002],
                "ssrc-groups": [{ "semantics": "FID", "sources": [2001, 3001] }],
            }],
        }],
    })
}

#[test]
fn reads_everything_that_a_request_may_have() {
    let request = read(&creation()).unwrap();
    assert_eq!((request.name.as_deref(), request.create), (Some("standup@muc.example.org"), true));
    assert!(!request.rtcstats_enabled && !request.expire);
    let endpoint = request.endpoints.first().unwrap();
    assert_eq!((endpoint.stats_id.as_deref(), endpoint.muc_role), (Some("Ada-x1y"), Some(MucRole::Visitor)));
    assert_eq!(endpoint.capabilities, ["source-names", "ssrc-rewriting"]);
    assert_eq!(endpoint.force_mute, Some(ForceMute { audio: true, video: false }));
    assert_eq!(endpoint.initial_last_n, Some(5));
    let media = endpoint.media.first().unwrap();
    let opus = media.payload_types.first().unwrap();
    assert_eq!((opus.id.get(), opus.channels, opus.feedback.len()), (111, Some(2), 2));
    assert_eq!(opus.parameters.len(), 2);
    assert!(media.extmap_allow_mixed && media.header_extensions.len() == 1);
    let transport = endpoint.transport.clone().unwrap();
    assert_eq!(transport.sctp, Some(Sctp { role: Some("server".to_owned()), port: Some(5000) }));
    let ice = transport.ice.unwrap();
    assert!(ice.rtcp_mux && transport.ice_controlling);
    assert_eq!((ice.candidates[0].port, ice.fingerprints[0].value.as_str()), (51000, "11:22"));
    let source = endpoint.sources.as_ref().unwrap().first().unwrap();
    let ssrcs: Vec<u32> = source.sources.iter().map(|source| source.ssrc.0).collect();
    assert_eq!((ssrcs, source.groups.len()), (vec![2001, 3001, 3002], 1));
}

#[test]
fn reads_connects() {
    let request = read(&json!({
        "meeting-id": "m",
        "connects": [{
            "id": "transcriber", "url": "wss://x", "protocol": "mediajson", "type": "transcriber", "audio": true,
            "create": true, "headers": { "Authorization": "Bearer x" }, "ping": { "interval": 10000, "timeout": 3000 },
            "exports": ["a-a0"], "requests": ["a-a0.de", "a-a0.fr"],
        }],
    }));
    let connect = request.unwrap().connects.unwrap().remove(0);
    assert_eq!((connect.id.as_deref(), connect.create, connect.expire), (Some("transcriber"), true, false));
    assert_eq!((connect.http_headers[0].name.as_str(), connect.requests.len()), ("Authorization", 2));
    assert_eq!(connect.ping.unwrap().interval.as_secs(), 10);
    assert_eq!(read(&json!({ "meeting-id": "m" })).unwrap().connects, None);
}

#[test]
fn the_meeting_of_the_path_stands_for_the_one_of_the_text() {
    let text = json!({ "meeting-id": "other", "expire": true }).to_string();
    let request = ConferenceModify::from_json(text.as_bytes(), Some("6b1c")).unwrap();
    assert_eq!((request.meeting_id.as_str(), request.expire), ("6b1c", true));
}

#[test]
fn an_empty_list_of_sources_differs_from_none() {
    let sources =
        |endpoint| read(&json!({ "meeting-id": "m", "endpoints": [endpoint] })).unwrap().endpoints[0].sources.clone();
    assert_eq!(sources(json!({ "id": "a" })), None);
    assert_eq!(sources(json!({ "id": "a", "sources": [] })), Some(Vec::new()));
}

#[test]
fn wrong_types_are_named() {
    for (bad, text) in [
        (json!([]), "Expected an object for the request, got an array"),
        (json!({ "meeting-id": 7 }), "Expected a string for meeting-id, got a number"),
        (json!({ "meeting-id": "m", "create": "true" }), "Expected a boolean for create, got a string"),
        (json!({ "meeting-id": "m", "endpoints": {} }), "Expected an array for endpoints, got an object"),
        (json!({ "meeting-id": "m", "endpoints": ["a"] }), "Expected an object for endpoints, got a string"),
        (
            json!({ "meeting-id": "m", "endpoints": [{ "id": "a", "capabilities": [1] }] }),
            "Expected a string for capabilities, got a number",
        ),
        (
            json!({ "meeting-id": "m", "endpoints": [{ "id": "a", "initial-last-n": { "value": "5" } }] }),
            "Expected a number for value, got a string",
        ),
        (json!({ "create": true }), "missing attribute 'meeting-id' of <conference-modify/>"),
        (
            json!({ "meeting-id": "m", "endpoints": [{ "id": "a", "initial-last-n": { "value": 0.5 } }] }),
            "invalid attribute 'value' of <initial-last-n/>: \"0.5\"",
        ),
    ] {
        assert_eq!(read(&bad).unwrap_err().to_string(), text);
    }
    for text in ["", "{", "{\"meeting-id\":\"m\"} x", "\u{feff}{}"] {
        assert!(matches!(ConferenceModify::from_json(text.as_bytes(), None), Err(InvalidJson::Syntax(_))), "{text:?}");
    }
    let deep = "[".repeat(10_000);
    assert!(ConferenceModify::from_json(deep.as_bytes(), None).is_err());
}

#[test]
fn answers_have_the_types_of_upstream() {
    let candidate: xmpp::Element = "<candidate xmlns='urn:xmpp:jingle:transports:ice-udp:1' component='1' foundation='2' \
        generation='0' id='c2' ip='203.0.113.9' network='0' port='10000' priority='1694498815' protocol='udp' type='srflx' \
        rel-addr='10.0.0.7' rel-port='10000'/>".parse().unwrap();
    let ice = IceTransport {
        ufrag: Some("9c3a".to_owned()),
        pwd: Some("5v0q".to_owned()),
        rtcp_mux: true,
        candidates: vec![xmpp::jingle::Candidate::from_element(&candidate).unwrap()],
        web_sockets: vec!["wss://jvb7/colibri-ws/a/b/c".to_owned()],
        ..IceTransport::default()
    };
    let sctp = Some(Sctp { role: Some("server".to_owned()), port: Some(5000) });
    let id = "a1b2c3d4".parse().unwrap();
    let source = Source { name: "jvb-a0".parse().ok(), ..Source::new(model::Ssrc(3_141_592_653)) };
    let answer = ConferenceModified {
        endpoints: vec![
            EndpointModified { id, expire: false, transport: Some(TransportModified { ice: Some(ice), sctp }) },
            EndpointModified { id: "gone".parse().unwrap(), expire: true, transport: None },
        ],
        relays: Vec::new(),
        sources: Some(vec![MediaSource {
            media_type: model::MediaType::Audio,
            id: "jvb-a0".parse().unwrap(),
            synthetic: false,
            sources: vec![source],
            groups: Vec::new(),
        }]),
    };
    let expected = json!({
        "endpoints": [{
            "id": "a1b2c3d4",
            "transport": {
                "sctp": { "role": "server", "port": 5000 },
                "transport": {
                    "xmlns": "urn:xmpp:jingle:transports:ice-udp:1", "ufrag": "9c3a", "pwd": "5v0q", "rtcp-mux": true,
                    "web-sockets": ["wss://jvb7/colibri-ws/a/b/c"],
                    "candidates": [{
                        "component": 1, "foundation": "2", "generation": 0, "id": "c2", "ip": "203.0.113.9", "network": 0,
                        "port": 10000, "priority": 1_694_498_815, "protocol": "udp", "type": "srflx",
                        "rel-addr": "10.0.0.7", "rel-port": 10000,
                    }],
                },
            },
        }, { "id": "gone", "expire": true }],
        "sources": [{
            "type": "audio", "id": "jvb-a0", "sources": [{ "ssrc": 3_141_592_653_u32, "name": "jvb-a0" }],
        }],
    });
    assert_eq!(answer.to_json(), expected);
    assert_eq!(ConferenceModified::default().to_json(), json!({}));
}
