//! The way from a request to two people who know each other's sources.

use std::collections::BTreeSet;

use crate::world::{FakeClient, ROOM, RoomManner, World};
use model::Ssrc;
use xmpp::jingle::{Action, RtpMedia};
use xmpp::{Condition, Element, ns};

fn sources(list: &[String]) -> BTreeSet<String> {
    list.iter().cloned().collect()
}

#[test]
fn answers_a_request_once_the_room_is_joined() {
    let mut world = World::new();
    let response = world.request().unwrap().unwrap();
    assert!(response.ready);
    assert_eq!(response.focus_jid.unwrap().as_str(), "focus@auth.meet.jitsi");
    assert_eq!(response.properties.get("authentication").map(String::as_str), Some("false"));
    let submit = world.log.iter().find(|stanza| stanza.attr("type") == Some("set")).unwrap();
    assert!(submit.to_string().contains("muc#roomconfig_whois"), "addresses behind nicks have to be seen");
    let presence = world.room_presence();
    assert!(presence.child("x", ns::MUC).is_none(), "only a join has it");
    let properties = presence.child("conference-properties", ns::FOCUS).unwrap().to_string();
    assert!(properties.contains("support-terminate-restart") && properties.contains("bridge-count"));
}

#[test]
fn invites_when_two_are_there_and_tells_each_the_others_sources() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    assert!(!world.client("aaaa1111").has_offer(), "nobody to talk to");
    world.join("bbbb2222");
    assert!(world.client("aaaa1111").has_offer() && world.client("bbbb2222").has_offer());

    world.accept("aaaa1111").unwrap();
    let a = world.client("aaaa1111");
    let mine: Vec<String> =
        std::iter::once(a.audio_ssrc()).chain(a.video_ssrcs()).map(|s| format!("aaaa1111:{s}")).collect();
    assert_eq!(world.client("bbbb2222").told.len(), 1, "told when it accepts, not before");
    world.accept("bbbb2222").unwrap();

    let b = world.client("bbbb2222");
    let told = b.told.last().unwrap().clone();
    assert_eq!(told.action, Action::SourceAdd);
    assert_eq!(FakeClient::sources_in(&told), sources(&mine));
    let theirs: Vec<String> =
        std::iter::once(b.audio_ssrc()).chain(b.video_ssrcs()).map(|s| format!("bbbb2222:{s}")).collect();
    let told = world.client("aaaa1111").told.last().unwrap().clone();
    assert_eq!((told.action, FakeClient::sources_in(&told)), (Action::SourceAdd, sources(&theirs)));
    assert_eq!(world.bridge("jvb-1").story(), ["create", "+aaaa1111", "+bbbb2222", "aaaa1111", "bbbb2222"]);
}

#[test]
fn a_later_member_gets_everything_in_its_offer() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.join("cccc3333");
    let offered = FakeClient::sources_in(world.client("cccc3333").offer());
    let owners: BTreeSet<&str> = offered.iter().filter_map(|source| source.split(':').next()).collect();
    assert_eq!(owners, BTreeSet::from(["aaaa1111", "bbbb2222", "jvb"]));
    world.client("aaaa1111").told.clear();
    world.accept("cccc3333").unwrap();
    assert_eq!(world.client("aaaa1111").take_actions(), ["source-add"]);
    assert_eq!(world.client("cccc3333").take_actions(), ["session-initiate"], "nothing is told twice");
}

#[test]
fn the_offer_reads_as_the_fixture() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    let mut request = jitsi_protocol::conference_request::ConferenceRequest::new(ROOM.parse().unwrap());
    request.properties.insert("startVideoMuted".to_owned(), "1".to_owned());
    world.request_with(request);
    for (nick, first_ssrc) in [("aaaa1111", 1_000_000_001), ("bbbb2222", 2_000_000_001)] {
        world.join_as(FakeClient { first_ssrc, ..FakeClient::new(nick) });
    }
    world.accept("aaaa1111").unwrap();
    let without_json = ["urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video", "http://jitsi.org/remb"];
    world.join("cccc3333");
    world.join_as(FakeClient::with_features("dddd4444", &without_json));
    for (nick, name, fixture) in [
        ("cccc3333", "session-initiate-json.xml", include_str!("../fixtures/session-initiate-json.xml")),
        ("dddd4444", "session-initiate-xml.xml", include_str!("../fixtures/session-initiate-xml.xml")),
    ] {
        let client = world.client(nick);
        let bridge_session = client.bridge_session();
        let mut offer = client.offer().to_element();
        let sid = offer.attr("sid").unwrap().to_owned();
        assert!(sid.len() >= 16 && bridge_session.len() == 36, "unpredictable");
        offer.set_attr("sid", "SID");
        let session = offer.children_mut().find(|child| child.name() == "bridge-session").unwrap();
        session.set_attr("id", "BRIDGE-SESSION");
        // Attributes have no order; parsing gives them one.
        let offer: Element = offer.to_string().parse().unwrap();
        assert_eq!(offer, without_layout(&fixture.parse().unwrap()), "{name} should read:\n{offer}");
    }
}

/// A fixture without the line breaks between its elements.
fn without_layout(element: &Element) -> Element {
    let mut bare = Element::new(element.name().to_owned(), element.ns().to_owned());
    for (name, value) in element.attrs() {
        bare.set_attr(name.to_owned(), value);
    }
    if !element.text().trim().is_empty() {
        bare.push_text(element.text());
    }
    bare.with_children(element.children().map(without_layout))
}

#[test]
fn a_client_without_data_channels_is_offered_none() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join_as(FakeClient::with_features("bbbb2222", &["urn:xmpp:jingle:apps:rtp:audio"]));
    let offer = world.client("bbbb2222").offer().clone();
    let names: Vec<&str> = offer.contents.iter().map(|content| content.name.as_str()).collect();
    assert_eq!((names.as_slice(), offer.bundle.as_slice()), (["audio"].as_slice(), ["audio".to_owned()].as_slice()));
    let endpoint = world.bridge("jvb-1").last_of("bbbb2222").clone();
    assert_eq!(endpoint.transport.unwrap().sctp, None);
    assert_eq!(endpoint.media.len(), 1);
    world.accept("aaaa1111").unwrap();
    world.accept("bbbb2222").unwrap();
    let told = world.client("bbbb2222").told.last().unwrap();
    let kinds: Vec<_> =
        told.contents.iter().filter_map(|content| content.description.as_ref()).map(|d| d.media).collect();
    assert_eq!(kinds, [RtpMedia::Rtp(model::MediaType::Audio)], "no video for who takes none");
}

#[test]
fn the_bridge_gets_the_clients_transport_and_sources() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let audio = world.client("aaaa1111").audio_ssrc();
    let endpoint = world.bridge("jvb-1").last_of("aaaa1111").clone();
    let ice = endpoint.transport.unwrap().ice.unwrap();
    assert!(ice.rtcp_mux);
    assert_eq!(ice.ufrag.as_deref(), Some("cufrag"));
    let sources = endpoint.sources.unwrap();
    let names: Vec<&str> = sources.iter().map(|source| source.id.as_str()).collect();
    assert_eq!(names, ["aaaa1111-a0", "aaaa1111-v0"]);
    assert_eq!(sources.first().unwrap().sources.first().unwrap().ssrc, Ssrc(audio));
}

#[test]
fn the_first_endpoint_creates_the_conference_with_capabilities() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let request = world.bridge("jvb-1").requests.first().unwrap().clone();
    assert!(request.create);
    assert_eq!(request.name.as_deref(), Some(ROOM));
    let endpoint = request.endpoints.first().unwrap();
    assert_eq!(endpoint.capabilities, ["source-names"]);
    assert_eq!(endpoint.stats_id.as_deref(), Some("aaaa1111-stats"));
    let transport = endpoint.transport.as_ref().unwrap();
    assert!(transport.ice_controlling && transport.sctp.is_some());
    let second = world.bridge("jvb-1").requests.get(1).unwrap();
    assert!(!second.create && second.name.is_none());
}

#[test]
fn the_room_names_the_meeting_if_it_does() {
    let mut world = World::new();
    world.meeting_id = Some("room-given-id".to_owned());
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert_eq!(world.bridge("jvb-1").requests.first().unwrap().meeting_id.as_str(), "room-given-id");
}

#[test]
fn of_two_rooms_with_one_meeting_id_the_second_is_refused() {
    let mut world = World::new();
    world.meeting_id = Some("same".to_owned());
    assert!(world.request().unwrap().unwrap().ready);
    let other = jitsi_protocol::conference_request::ConferenceRequest::new("other@muc.meet.jitsi".parse().unwrap());
    assert!(!world.request_with(other).unwrap().unwrap().ready);
}

#[test]
fn a_room_that_does_not_let_the_focus_in_makes_clients_ask_again() {
    for manner in [RoomManner::Refusing, RoomManner::WithoutRights] {
        let mut world = World::new();
        world.room_manner = manner;
        assert!(!world.request().unwrap().unwrap().ready, "{manner:?}");
        world.room_manner = RoomManner::Welcoming;
        assert!(world.request().unwrap().unwrap().ready, "a later request starts anew");
    }
    for manner in [RoomManner::Silent, RoomManner::WithoutConfiguration] {
        let mut world = World::new();
        world.room_manner = manner;
        assert!(world.request().is_none(), "{manner:?}");
        world.seconds(15);
        let answers = world.log.iter().filter(|stanza| stanza.child("conference", ns::FOCUS).is_some());
        let ready: Vec<_> =
            answers.map(|answer| answer.child("conference", ns::FOCUS).unwrap().attr("ready").unwrap()).collect();
        assert_eq!(ready, ["false"], "{manner:?}");
        assert!(world.has_left_room());
    }
}

#[test]
fn requests_during_a_join_are_answered_together() {
    let mut world = World::new();
    world.room_manner = RoomManner::Silent;
    assert!(world.request().is_none() && world.request().is_none());
    let own = crate::world::presence_of(&format!("{ROOM}/focus"), "owner", "moderator", "focus@auth.meet.jitsi/focus");
    world.stanza(own);
    let answers = world.log.iter().filter(|stanza| stanza.child("conference", ns::FOCUS).is_some()).count();
    assert_eq!(answers, 2);
}

#[test]
fn refuses_requests_that_name_no_room_of_its_own() {
    let mut world = World::new();
    let nothing = Element::new("conference", ns::FOCUS);
    let error = world.ask_at_once("u@meet.jitsi/r", nothing).unwrap_err();
    assert_eq!((error.condition, error.text.as_deref()), (Condition::BadRequest, Some("No 'room' specified.")));
    let foreign = Element::new("conference", ns::FOCUS).with_attr("room", "x@conference.example.org");
    assert_eq!(world.ask_at_once("u@meet.jitsi/r", foreign).unwrap_err().condition, Condition::BadRequest);
}

#[test]
fn too_many_conferences_are_refused() {
    let mut world = World::with_settings(|settings| settings.limits.conferences = 1);
    assert!(world.request().unwrap().unwrap().ready);
    let other = Element::new("conference", ns::FOCUS).with_attr("room", "other@muc.meet.jitsi");
    let error = world.ask_at_once("u@meet.jitsi/r", other).unwrap_err();
    assert_eq!(error.condition, Condition::ResourceConstraint);
}

#[test]
fn start_muted_counts_participants() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    let mut request = jitsi_protocol::conference_request::ConferenceRequest::new(ROOM.parse().unwrap());
    request.properties.insert("startAudioMuted".to_owned(), "2".to_owned());
    world.request_with(request);
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.join(nick);
    }
    let muted = |world: &mut World, nick: &str| {
        let offer = world.client(nick).offer().clone();
        offer.extension("startmuted", ns::START_MUTED).map(|muted| muted.to_string())
    };
    assert_eq!(muted(&mut world, "bbbb2222"), None);
    let third = muted(&mut world, "cccc3333").unwrap();
    assert!(third.contains("audio='true'") && third.contains("video='false'"));
}
