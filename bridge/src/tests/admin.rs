//! What operators ask: figures, states, drain, and the way to the end.

use std::time::{Duration, SystemTime};

use jitsi_protocol::colibri2::{ConferenceModify, Reason};
use serde_json::{Value, json};
use xmpp::Condition;

use super::world::{MEETING, World, create_request};
use crate::addresses::AddressNews;
use crate::admin::{AdminError, AdminRequest};
use crate::shutdown::{Shutdown, ShutdownState};

impl World {
    fn ask(&mut self, request: &AdminRequest) -> Value {
        let now = self.now;
        self.bridge.handle_admin(request, now, SystemTime::UNIX_EPOCH).unwrap()
    }
}

fn create(meeting: &str) -> ConferenceModify {
    ConferenceModify { create: true, ..ConferenceModify::new(meeting.parse().unwrap()) }
}

/// Every name that JVB tells (bridge.md §7.1) but those of what this bridge does not measure.
const NAMES: &str = "conferences inactive_conferences p2p_conferences octo_conferences largest_conference participants endpoints \
    local_endpoints octo_endpoints local_active_endpoints receive_only_endpoints inactive_endpoints visitors \
    endpoints_sending_audio endpoints_sending_video endpoints_with_suspended_sources endpoints_disconnected \
    endpoints_reconnected endpoints_ice_failed dtls_failed_endpoints relays_ice_failed dtls_failed_relays \
    total_conferences_created total_conferences_completed total_conference_seconds total_participants \
    total_visitors total_relays num_relays_no_msg_transport_after_delay total_ice_failed total_ice_succeeded \
    total_dominant_speaker_changes preemptive_kfr_sent preemptive_kfr_suppressed total_data_channel_messages_received \
    total_data_channel_messages_sent total_colibri_web_socket_messages_received total_colibri_web_socket_messages_sent \
    total_bytes_received total_bytes_sent total_bytes_received_octo total_bytes_sent_octo total_packets_received \
    total_packets_sent total_packets_received_octo total_packets_sent_octo bit_rate_download bit_rate_upload \
    packet_rate_download packet_rate_upload octo_receive_bitrate octo_send_bitrate octo_receive_packet_rate \
    octo_send_packet_rate rtt_aggregate stress_level average_participant_stress drain graceful_shutdown shutting_down healthy \
    threads current_timestamp version region release muc_clients_configured muc_clients_connected mucs_configured mucs_joined";

#[test]
fn figures_have_the_names_of_jvb_and_are_those_of_the_call() {
    let mut world = World::connected_with(1, 3, |settings| {
        settings.region = Some("eu".to_owned());
        settings.release = Some("r1".to_owned());
    });
    world.bridge.measure(world.now);
    world.run(5000);
    world.bridge.measure(world.now);
    let stats = world.ask(&AdminRequest::Stats);
    for name in NAMES.split_whitespace() {
        assert!(stats.get(name).is_some(), "{name}");
    }
    for (name, value) in [
        ("conferences", json!(1)),
        ("participants", json!(3)),
        ("largest_conference", json!(3)),
        ("endpoints_sending_audio", json!(3)),
        ("endpoints_sending_video", json!(3)),
        ("local_active_endpoints", json!(3)),
        ("inactive_conferences", json!(0)),
        ("total_participants", json!(3)),
        ("total_ice_succeeded", json!(3)),
        ("total_ice_failed", json!(0)),
        ("drain", json!(false)),
        ("healthy", json!(true)),
        ("region", json!("eu")),
        ("release", json!("r1")),
        ("current_timestamp", json!("1970-01-01 00:00:00.000")),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    for name in ["bit_rate_download", "packet_rate_upload", "total_data_channel_messages_sent", "rtt_aggregate"] {
        assert!(stats[name].as_f64().unwrap() > 0.0, "{name}: {}", stats[name]);
    }
}

#[test]
fn two_who_send_nothing_to_the_bridge_are_connected_directly() {
    let mut world = World::connected(2, 2);
    world.clients.iter_mut().for_each(|client| client.is_live = false);
    world.run(10_000);
    world.bridge.measure(world.now);
    let stats = world.ask(&AdminRequest::Stats);
    assert_eq!((&stats["p2p_conferences"], &stats["inactive_endpoints"]), (&json!(1), &json!(2)));
}

#[test]
fn a_conference_that_ended_is_counted_with_its_time() {
    let mut world = World::connected(3, 2);
    world.run(9000);
    world.expire(0);
    world.expire(1);
    let stats = world.ask(&AdminRequest::Stats);
    assert_eq!((&stats["total_conferences_completed"], &stats["total_conference_seconds"]), (&json!(1), &json!(10)));
    assert_eq!(stats["total_ice_failed"], 0);
}

#[test]
fn states_are_told_by_meeting_and_endpoint() {
    let mut world = World::connected(4, 2);
    world.run(1000);
    let id = world.clients[0].id.to_string();
    let short = world.ask(&AdminRequest::Debug { full: false });
    assert_eq!((&short["shutdown_state"], &short["drain"]), (&json!("RUNNING"), &json!(false)));
    assert_eq!(short["health"]["success"], true);
    assert_eq!(short["conferences"][MEETING]["name"], "room@muc.meet.jitsi");
    assert_eq!(short["conferences"][MEETING]["endpoints"][&id], Value::Null);
    let one = AdminRequest::DebugConference { meeting: MEETING.to_owned(), endpoint: Some(id.clone()), full: true };
    let endpoints = world.ask(&one)["conferences"][MEETING]["endpoints"].clone();
    assert_eq!(endpoints.as_object().unwrap().len(), 1);
    assert_eq!(
        (&endpoints[&id]["transport"], &endpoints[&id]["message_transport"]),
        (&json!("connected"), &json!("data_channel"))
    );
    assert_eq!(endpoints[&id]["sending_video"], true);
    let unknown = AdminRequest::DebugConference { meeting: "other".to_owned(), endpoint: None, full: true };
    assert_eq!(world.ask(&unknown)["conferences"]["other"], "null");
    let listed = world.ask(&AdminRequest::Conferences);
    assert_eq!((&listed[0]["meeting-id"], listed[0]["endpoints"].as_array().unwrap().len()), (&json!(MEETING), 2));
    for meeting in ["other", "", "with spaces"] {
        let request = AdminRequest::Conference { meeting: meeting.to_owned() };
        let answer = world.bridge.handle_admin(&request, world.now, SystemTime::UNIX_EPOCH);
        assert_eq!(answer, Err(AdminError::UnknownConference), "{meeting:?}");
    }
}

#[test]
fn addresses_of_clients_are_not_told() {
    let mut world = World::connected(5, 2);
    let told = world.ask(&AdminRequest::Debug { full: true }).to_string();
    let ip = world.clients[0].peer.address.ip().to_string();
    assert!(!told.contains(&ip), "{told}");
}

#[test]
fn a_statistics_server_sees_conferences_that_allow_it() {
    let mut world = World::new(6);
    world.colibri(&create("open")).unwrap();
    world.colibri(&ConferenceModify { rtcstats_enabled: false, ..create("closed") }).unwrap();
    let seen = world.ask(&AdminRequest::RtcStats);
    assert_eq!(seen["conferences"].as_object().unwrap().keys().collect::<Vec<_>>(), ["open"]);
}

#[test]
fn a_bridge_that_drains_refuses_nothing() {
    let mut world = World::with_settings(7, |settings| settings.initial_drain = true);
    assert_eq!(world.ask(&AdminRequest::Drain), json!({ "drain": true }));
    assert!(world.bridge.readiness().drain);
    world.colibri(&create("m")).unwrap();
    assert_eq!(world.ask(&AdminRequest::SetDrain(false)), Value::Null);
    assert_eq!(world.ask(&AdminRequest::Drain), json!({ "drain": false }));
    assert!(!world.bridge.readiness().drain);
}

#[test]
fn in_graceful_shutdown_conferences_go_on_and_no_new_ones_come() {
    let mut world = World::connected(8, 2);
    world.ask(&AdminRequest::Shutdown(Shutdown::Graceful));
    assert!(world.bridge.readiness().is_graceful());
    let refused = world.colibri(&create("new")).unwrap_err();
    assert_eq!((refused.condition, refused.reason), (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)));
    let late = create_request(&"0000beef".parse().unwrap());
    world.modify(late).unwrap();
    let ssrc = world.clients[0].microphone.ssrc;
    world.run(3000);
    world.clients[1].stream(ssrc).check_audio();
    // The last one that leaves begins the end, and the focus has a minute to know.
    for index in 0..2 {
        world.expire(index);
    }
    assert!(world.bridge.readiness().is_graceful(), "there is a third");
    world.run(131_000);
    assert_eq!(world.ask(&AdminRequest::Debug { full: false })["shutdown_state"], "SHUTTING_DOWN");
    let refused = world.colibri(&create("new")).unwrap_err();
    assert_eq!(refused.reason, Some(Reason::GracefulShutdown));
    world.run(60_000);
    assert_eq!(world.bridge.readiness().shutdown, ShutdownState::Over);
    assert_eq!(world.bridge.poll_timeout(), None);
}

#[test]
fn a_shutdown_at_once_leaves_time_to_move_people() {
    let delay = Duration::from_secs(5);
    let mut world = World::connected_with(9, 2, |settings| settings.shutdown.delay = delay);
    world.ask(&AdminRequest::Shutdown(Shutdown::Immediate));
    assert!(world.bridge.readiness().is_shutting_down());
    let ssrc = world.clients[0].microphone.ssrc;
    world.run(4500);
    assert!(matches!(world.bridge.readiness().shutdown, ShutdownState::ShuttingDown { .. }));
    world.clients[1].stream(ssrc).check_audio();
    world.run(1000);
    assert_eq!(world.bridge.readiness().shutdown, ShutdownState::Over);
}

#[test]
fn a_bridge_that_lost_its_addresses_is_unwell_until_it_has_one_again() {
    let mut world = World::new(10);
    let ask = |world: &mut World| world.bridge.handle_admin(&AdminRequest::Health, world.now, SystemTime::UNIX_EPOCH);
    assert_eq!(ask(&mut world), Ok(Value::Null));
    world.bridge.handle_address_news(AddressNews::Host(Vec::new()), world.now);
    assert!(matches!(ask(&mut world), Err(AdminError::Unhealthy(_))));
    assert!(!world.bridge.measure(world.now).is_healthy);
    let host = net::InterfaceAddress { interface: "eth0".to_owned(), ip: [192, 0, 2, 9].into() };
    world.bridge.handle_address_news(AddressNews::Host(vec![host]), world.now);
    assert_eq!(ask(&mut world), Ok(Value::Null));
}
