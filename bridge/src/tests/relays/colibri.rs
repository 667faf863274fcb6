//! The rules of relays in Colibri2 requests (bridge.md §1.4 items 3, 9, 16).

use jitsi_protocol::colibri2::{ColibriError, ConferenceModified, ConferenceModify, Reason, RelayModify, Sctp};
use xmpp::Condition;

use super::{Cascade, MEETING, World, create_request, relay_id};
use crate::tests::world;

fn refusal(answer: Result<ConferenceModified, ColibriError>) -> (Condition, Option<Reason>) {
    let error = answer.unwrap_err();
    (error.condition, error.reason)
}

fn request(create: bool, relays: Vec<RelayModify>) -> ConferenceModify {
    ConferenceModify { create, relays, ..ConferenceModify::new(MEETING.parse().unwrap()) }
}

const REFUSED: (Condition, Option<Reason>) = (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented));

#[test]
fn a_bridge_without_a_name_has_no_relays() {
    let mut world = World::new(80);
    assert_eq!(refusal(world.colibri(&request(true, vec![create_request(1, "0", true)]))), REFUSED);
    assert!(world.bridge.conferences.is_empty());
}

#[test]
fn a_relay_is_created_once_and_with_what_it_needs() {
    let mut cascade = Cascade::new(81, &[1]);
    let answer = cascade.modify(0, create_request(1, "0", true)).unwrap().relays.remove(0);
    let transport = answer.transport.unwrap();
    assert_eq!(transport.sctp, Some(Sctp { role: Some("server".to_owned()), port: Some(5000) }), "for the other one");
    assert!(transport.ice.is_some_and(|ice| !ice.candidates.is_empty() && ice.rtcp_mux));
    assert_eq!(refusal(cascade.modify(0, create_request(1, "0", true))), (Condition::Conflict, None));
    let without = RelayModify { transport: None, ..create_request(2, "0", true) };
    assert_eq!(refusal(cascade.modify(0, without)).0, Condition::BadRequest);
    let with_sctp = |sctp: Option<Sctp>| {
        let mut request = create_request(2, "0", true);
        request.transport.as_mut().unwrap().sctp = sctp;
        request
    };
    let sctp = |role: &str, port| Some(Sctp { role: Some(role.to_owned()), port });
    assert_eq!(refusal(cascade.modify(0, with_sctp(sctp("peer", None)))).0, Condition::BadRequest);
    assert_eq!(refusal(cascade.modify(0, with_sctp(sctp("client", Some(5001))))).0, Condition::BadRequest);
    let unknown = RelayModify { media: Vec::new(), ..RelayModify::new(relay_id(9)) };
    assert_eq!(refusal(cascade.modify(0, unknown)), (Condition::BadRequest, None), "not item-not-found");
    let (_, conference) = cascade.worlds[0].bridge.conferences.iter().next().unwrap();
    assert_eq!(conference.relays.len(), 1, "a refused relay leaves nothing");
}

#[test]
fn endpoints_and_relays_do_not_come_together_and_relays_end_together() {
    let mut cascade = Cascade::new(82, &[1]);
    let mut both = request(false, vec![create_request(1, "0", true)]);
    both.endpoints.push(world::create_request(&"deadbeef".parse().unwrap()));
    assert_eq!(refusal(cascade.worlds[0].colibri(&both)), REFUSED);
    let two = request(false, vec![create_request(1, "0", true), create_request(2, "0", true)]);
    assert_eq!(refusal(cascade.worlds[0].colibri(&two)), REFUSED);
    for other in [1, 2] {
        cascade.modify(0, create_request(other, "0", true)).unwrap();
    }
    let expire = |other| RelayModify { expire: true, ..RelayModify::new(relay_id(other)) };
    let answer = cascade.worlds[0].colibri(&request(false, vec![expire(1), expire(2), expire(3)])).unwrap();
    assert!(answer.relays.len() == 3 && answer.relays.iter().all(|relay| relay.expire), "unknown ones too");
    let (_, conference) = cascade.worlds[0].bridge.conferences.iter().next().unwrap();
    assert!(conference.relays.is_empty() && conference.relay_by_id.is_empty());
}

#[test]
fn a_conference_ends_with_its_last_endpoint_and_relay() {
    let mut cascade = Cascade::new(83, &[1]);
    cascade.modify(0, create_request(1, "0", true)).unwrap();
    let world = &mut cascade.worlds[0];
    world.expire(0);
    assert_eq!(world.bridge.conferences.len(), 1, "a relay is left");
    let expire = RelayModify { expire: true, ..RelayModify::new(relay_id(1)) };
    world.colibri(&request(false, vec![expire])).unwrap();
    assert!(world.bridge.conferences.is_empty());
    assert_eq!(world.bridge.metrics.relays_ice_failed.get(), 1);
    // One that joins two meshes stays without endpoints, one that joins nothing goes.
    for (meshes, left) in [(["0", "0"], 0), (["0", "1"], 1)] {
        world.colibri(&request(true, vec![create_request(1, meshes[0], true)])).unwrap();
        world.colibri(&request(false, vec![create_request(2, meshes[1], true)])).unwrap();
        world.run(40_000);
        assert_eq!(world.bridge.conferences.len(), left, "{meshes:?}");
    }
}
