//! The rules of Colibri2 requests, row by row (bridge.md §1.4).

use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, EndpointModify, ForceMute, IceTransport, MucRole, Reason,
    RelayModify, Sctp,
};
use model::EndpointId;
use xmpp::Condition;

use super::world::{MEETING, World, create_request, transport_request};

fn id(n: u32) -> EndpointId {
    format!("{n:08x}").parse().unwrap()
}

fn conference(create: bool, endpoints: Vec<EndpointModify>) -> ConferenceModify {
    ConferenceModify { create, endpoints, ..ConferenceModify::new(MEETING.parse().unwrap()) }
}

fn refusal(answer: Result<ConferenceModified, ColibriError>) -> (Condition, Option<Reason>) {
    let error = answer.unwrap_err();
    (error.condition, error.reason)
}

fn counts(world: &World) -> (usize, usize) {
    (world.bridge.conferences.len(), world.bridge.endpoint_count())
}

#[test]
fn a_first_request_creates_conference_and_endpoint() {
    let mut world = World::new(1);
    let answer = world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    let transport = answer.endpoints[0].transport.clone().unwrap();
    let ice = transport.ice.unwrap();
    assert!(ice.rtcp_mux && !ice.candidates.is_empty() && ice.fingerprints.len() == 1 && ice.web_sockets.len() == 1);
    assert_eq!(transport.sctp, Some(Sctp { role: Some("server".to_owned()), port: Some(5000) }));
    let sources = answer.sources.unwrap();
    let names: Vec<&str> = sources.iter().map(|source| source.id.as_str()).collect();
    assert_eq!(names, ["jvb-a0", "jvb-v0"]);
    // The next endpoint is told the same feedback sources.
    let again = world.colibri(&conference(false, vec![create_request(&id(2))])).unwrap();
    assert_eq!(again.sources.unwrap(), sources);
    assert_eq!(counts(&world), (1, 2));
}

#[test]
fn conferences_are_created_once_and_known_by_their_meeting() {
    let mut world = World::new(2);
    let unknown = world.colibri(&conference(false, vec![create_request(&id(1))]));
    assert_eq!(refusal(unknown), (Condition::ItemNotFound, Some(Reason::ConferenceNotFound)));
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    let again = world.colibri(&conference(true, vec![create_request(&id(2))]));
    assert_eq!(refusal(again), (Condition::Conflict, Some(Reason::ConferenceAlreadyExists)));
    assert_eq!(counts(&world), (1, 1));
}

#[test]
fn a_conference_may_be_created_without_endpoints_and_expires_then() {
    let mut world = World::new(3);
    let answer = world.colibri(&conference(true, Vec::new())).unwrap();
    assert!(answer.sources.is_some());
    world.run(15_000);
    assert_eq!(counts(&world), (1, 0));
    world.run(20_000);
    assert_eq!(counts(&world), (0, 0));
    assert_eq!(world.bridge.poll_timeout(), None, "nothing is left to wake up for");
}

#[test]
fn an_endpoint_is_created_once_and_with_what_it_needs() {
    let mut world = World::new(4);
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    let (condition, reason) = refusal(world.modify(create_request(&id(1))));
    assert_eq!((condition, reason), (Condition::Conflict, None));
    let without_transport = EndpointModify { transport: None, ..create_request(&id(2)) };
    assert_eq!(refusal(world.modify(without_transport)).0, Condition::BadRequest);
    let without_names = EndpointModify { capabilities: Vec::new(), ..create_request(&id(2)) };
    assert_eq!(refusal(world.modify(without_names)).0, Condition::BadRequest);
    assert_eq!(counts(&world), (1, 1));
}

#[test]
fn the_bridge_is_sctp_server_on_one_port() {
    let mut world = World::new(5);
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    let with = |role: Option<&str>, port| {
        let sctp = Sctp { role: role.map(str::to_owned), port };
        EndpointModify { transport: Some(transport_request(Some(sctp))), ..create_request(&id(2)) }
    };
    let client = world.modify(with(Some("client"), None));
    assert_eq!(refusal(client), (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented)));
    assert_eq!(refusal(world.modify(with(None, Some(5001)))).0, Condition::BadRequest);
    assert_eq!(counts(&world), (1, 1), "a refused endpoint leaves nothing");
    world.modify(with(Some("server"), Some(5000))).unwrap();
    let without = EndpointModify { transport: Some(transport_request(None)), ..create_request(&id(3)) };
    let answer = world.modify(without).unwrap();
    assert_eq!(answer.endpoints[0].transport.as_ref().unwrap().sctp, None);
}

#[test]
fn a_refused_first_endpoint_leaves_no_conference() {
    let mut world = World::new(6);
    let bad = EndpointModify { capabilities: Vec::new(), ..create_request(&id(1)) };
    world.colibri(&conference(true, vec![bad])).unwrap_err();
    let short = IceTransport { ufrag: Some("u".to_owned()), pwd: Some("short".to_owned()), ..IceTransport::default() };
    let mut bad = create_request(&id(1));
    bad.transport.as_mut().unwrap().ice = Some(short);
    assert_eq!(refusal(world.colibri(&conference(true, vec![bad]))).0, Condition::BadRequest);
    let batch = conference(true, vec![create_request(&id(1)), create_request(&id(2))]);
    assert_eq!(refusal(world.colibri(&batch)), (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented)));
    assert_eq!(counts(&world), (0, 0));
    assert!(world.bridge.by_meeting.is_empty() && world.bridge.by_channel_name.is_empty());
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
}

#[test]
fn an_unknown_endpoint_is_named_for_the_focus() {
    let mut world = World::new(7);
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    let update = EndpointModify { sources: Some(Vec::new()), ..EndpointModify::new(id(9)) };
    let error = world.modify(update).unwrap_err();
    assert_eq!((error.condition, error.reason), (Condition::ItemNotFound, Some(Reason::UnknownEndpoint)));
    assert_eq!(error.endpoint, Some(id(9)));
    // Nothing that needs it: tolerated.
    let mute =
        EndpointModify { force_mute: Some(ForceMute { audio: true, video: true }), ..EndpointModify::new(id(9)) };
    let answer = world.modify(mute).unwrap();
    assert_eq!((answer.endpoints[0].id.clone(), answer.endpoints[0].expire), (id(9), false));
    let expire = EndpointModify { expire: true, ..EndpointModify::new(id(9)) };
    assert!(world.modify(expire).unwrap().endpoints[0].expire, "even if unknown");
}

#[test]
fn several_endpoints_may_be_expired_or_muted_at_once() {
    let mut world = World::new(8);
    world.colibri(&conference(true, vec![create_request(&id(1))])).unwrap();
    for n in 2..=4 {
        world.modify(create_request(&id(n))).unwrap();
    }
    let expire = |n| EndpointModify { expire: true, ..EndpointModify::new(id(n)) };
    let mute =
        |n| EndpointModify { force_mute: Some(ForceMute { audio: true, video: false }), ..EndpointModify::new(id(n)) };
    let mixed = world.colibri(&conference(false, vec![expire(1), create_request(&id(7))]));
    assert_eq!(refusal(mixed), (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented)));
    assert_eq!(counts(&world), (1, 4));
    let answer = world.colibri(&conference(false, vec![expire(1), mute(2), expire(3)])).unwrap();
    let expired: Vec<bool> = answer.endpoints.iter().map(|endpoint| endpoint.expire).collect();
    assert_eq!(expired, [true, false, true]);
    assert_eq!(counts(&world), (1, 2));
}

#[test]
fn updates_answer_no_transport_and_the_last_endpoint_ends_the_conference() {
    let mut world = World::connected(9, 2);
    let description = world.clients[0].peer.description();
    let mut transport = transport_request(None);
    transport.ice = Some(description);
    let id = world.clients[0].id.clone();
    let answer = world.modify(EndpointModify { transport: Some(transport), ..EndpointModify::new(id) }).unwrap();
    assert_eq!(answer.endpoints[0].transport, None);
    assert_eq!(answer.sources, None);
    world.expire(0);
    assert_eq!(counts(&world), (1, 1));
    world.expire(1);
    assert_eq!(counts(&world), (0, 0));
}

#[test]
fn a_conference_is_expired_with_its_endpoints() {
    let mut world = World::connected(10, 3);
    let request = ConferenceModify { expire: true, ..ConferenceModify::new(MEETING.parse().unwrap()) };
    world.colibri(&request).unwrap();
    assert_eq!(counts(&world), (0, 0));
    world.run(30_000);
    assert_eq!(world.bridge.poll_timeout(), None, "its timers are gone");
}

#[test]
fn bad_descriptions_of_clients_are_refused_and_change_nothing() {
    let mut world = World::connected(11, 2);
    let id = world.clients[0].id.clone();
    let mut transport = transport_request(None);
    let mut ice = world.clients[0].peer.description();
    ice.fingerprints[0].value = "AB".to_owned();
    transport.ice = Some(ice);
    let answer = world.modify(EndpointModify { transport: Some(transport), ..EndpointModify::new(id) });
    assert_eq!(refusal(answer).0, Condition::BadRequest);
    let ssrc = world.clients[0].microphone.ssrc;
    world.run(500);
    world.clients[1].stream(ssrc).check_audio();
}

#[test]
fn there_is_a_limit_of_conferences_and_endpoints() {
    let mut world = World::with_settings(12, |settings| {
        settings.max_conferences = 2;
        settings.max_endpoints_per_conference = 3;
    });
    for meeting in ["m1", "m2"] {
        let request = ConferenceModify { create: true, ..ConferenceModify::new(meeting.parse().unwrap()) };
        world.colibri(&request).unwrap();
    }
    let third = ConferenceModify { create: true, ..ConferenceModify::new("m3".parse().unwrap()) };
    assert_eq!(refusal(world.colibri(&third)), (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)));
    for n in 1..=4 {
        let endpoints = vec![create_request(&id(n))];
        let request = ConferenceModify { endpoints, ..ConferenceModify::new("m1".parse().unwrap()) };
        let answer = world.colibri(&request);
        assert_eq!(answer.is_ok(), n <= 3, "{n}: {answer:?}");
    }
}

#[test]
fn initial_last_n_holds_until_the_client_speaks() {
    let mut world = World::connected(13, 3);
    let id = world.clients[0].id.clone();
    world.modify(EndpointModify { initial_last_n: Some(1), ..EndpointModify::new(id) }).unwrap();
    world.run(300);
    let last = world.clients[0].peer.texts.iter().rev().find(|text| text.contains("ForwardedSources")).unwrap();
    assert_eq!(last.matches("-v0").count(), 1, "{last}");
}

#[test]
fn a_visitor_has_no_sources() {
    let mut world = World::connected(14, 2);
    let sources = world.clients[0].sources();
    let visitor = || EndpointModify { muc_role: Some(MucRole::Visitor), ..create_request(&id(9)) };
    let with_sources = EndpointModify { sources: Some(sources.clone()), ..visitor() };
    assert_eq!(refusal(world.modify(with_sources)).0, Condition::BadRequest);
    assert_eq!(counts(&world), (1, 2), "a refused endpoint leaves nothing");
    world.modify(EndpointModify { sources: Some(Vec::new()), ..visitor() }).unwrap();
    let update = EndpointModify { sources: Some(sources), ..EndpointModify::new(id(9)) };
    assert_eq!(refusal(world.modify(update)).0, Condition::BadRequest);
    assert_eq!(counts(&world), (1, 3));
    assert_eq!(world.bridge.metrics.visitors_created.get(), 2);
    // Roles other than that make no difference.
    let owner = EndpointModify { muc_role: Some(MucRole::Owner), ..create_request(&id(10)) };
    world.modify(owner).unwrap();
}

#[test]
fn relays_are_refused_whatever_is_asked_of_them() {
    let mut world = World::new(15);
    let relay = |id: &str, expire: bool| RelayModify { create: !expire, expire, ..RelayModify::new(id.to_owned()) };
    for (relays, endpoints) in [
        (vec![relay("a", false)], Vec::new()),
        (vec![relay("a", true)], Vec::new()),
        (vec![relay("a", true), relay("b", true)], Vec::new()),
        (vec![relay("a", false)], vec![create_request(&id(1))]),
    ] {
        let request = ConferenceModify { relays, ..conference(true, endpoints) };
        let refused = refusal(world.colibri(&request));
        assert_eq!(refused, (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented)));
    }
    assert_eq!(counts(&world), (0, 0));
}

#[test]
fn an_ice_restart_answers_what_was_asked_for() {
    let mut world = World::connected(16, 2);
    let client = world.clients[0].id.clone();
    let mut restart = transport_request(Some(Sctp::default()));
    restart.ice_restart = true;
    let answer = world.modify(EndpointModify { transport: Some(restart), ..EndpointModify::new(client) }).unwrap();
    let transport = answer.endpoints[0].transport.clone().unwrap();
    assert_eq!(transport.ice.unwrap().ice_generation, Some(1));
    assert_eq!(transport.sctp, Some(Sctp { role: Some("server".to_owned()), port: Some(5000) }));
    assert_eq!(world.bridge.metrics.ice_restarts_started.get(), 1);
}
