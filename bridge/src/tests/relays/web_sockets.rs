//! Relays whose channel is a WebSocket, as where an original bridge has no SCTP: the side that starts the link opens it.

use jitsi_protocol::colibri2::{ConferenceModify, Reason, RelayModify};
use xmpp::Condition;

use super::{Cascade, Channels, MEETING, create_request, relay_id};
use crate::channel::ChannelTransport;
use crate::relay::Far;
use crate::tests::client::constraints;
use crate::web_sockets::{ChannelAddress, ChannelMember, ChannelRefusal};

fn without_sctp(other: usize, is_initiator: bool) -> RelayModify {
    let mut request = create_request(other, "0", is_initiator);
    request.transport.as_mut().unwrap().sctp = None;
    request
}

#[test]
fn bridges_know_each_other_and_what_is_wanted_over_web_sockets() {
    let mut cascade = Cascade::meshed_over(Channels::WebSockets, 300, &[1, 1, 1]);
    assert_eq!((cascade.sockets.len(), cascade.tries.len()), (3, 3));
    assert_eq!((cascade.relay(0, 1).far, cascade.relay(1, 0).far), (Far::Teranga, Far::Teranga));
    cascade.run(1000);
    cascade.check_all_see_all();
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 180)]));
    cascade.run(500);
    assert_eq!(cascade.relay(0, 1).demand(&name.parse().unwrap()).0, 180);
}

#[test]
fn a_broken_web_socket_is_opened_again_with_growing_pauses() {
    let mut cascade = Cascade::meshed_over(Channels::WebSockets, 301, &[1, 1]);
    cascade.tries.clear();
    cascade.refuses_sockets = true;
    let end = cascade.sockets[0][1];
    cascade.break_socket(end);
    let broken_at = cascade.now();
    assert_eq!(cascade.relay(0, 1).connection.channel.active(), ChannelTransport::None);
    // What is wanted meanwhile is told when there is a channel again.
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 180)]));
    cascade.run(8000);
    let tried: Vec<u64> = cascade.tries.iter().map(|at| at.duration_since(broken_at).as_secs()).collect();
    assert_eq!(tried, [1, 3, 7]);
    cascade.refuses_sockets = false;
    cascade.run(8000);
    assert_eq!((cascade.tries.len(), cascade.sockets.len()), (4, 1));
    assert_eq!(cascade.relay(0, 1).demand(&name.parse().unwrap()).0, 180);
}

#[test]
fn a_link_that_ends_takes_its_web_socket_with_it() {
    let mut cascade = Cascade::meshed_over(Channels::WebSockets, 302, &[1, 1]);
    cascade.part(0, 1);
    cascade.run(100);
    assert!(cascade.sockets.is_empty());
    // One that is still being opened too.
    cascade.refuses_sockets = true;
    cascade.join(0, 1, "0");
    cascade.run(500);
    cascade.part(0, 1);
    cascade.tries.clear();
    cascade.run(60_000);
    assert!(cascade.tries.is_empty() && cascade.worlds[0].bridge.web_sockets.is_empty());
}

#[test]
fn only_who_knows_the_url_of_a_relay_is_let_in() {
    let mut cascade = Cascade::new(303, &[1]);
    let mut answer = cascade.modify(0, without_sctp(1, false)).unwrap();
    let transport = answer.relays.remove(0).transport.unwrap();
    assert_eq!(transport.sctp, None);
    let url = transport.ice.unwrap().web_sockets.remove(0);
    let (path, pwd) = url.split_once("?pwd=").unwrap();
    let parts: Vec<&str> = path.split('/').skip(3).collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("colibri-relay-ws", "default-id", relay_id(1).as_str()));
    let world = &mut cascade.worlds[0];
    let mut open = |conference: &str, member, pwd: &str| {
        let address = ChannelAddress { conference: conference.to_owned(), member, pwd: pwd.to_owned() };
        world.bridge.open_web_socket(&address, world.now).map(drop)
    };
    let relay = |id: String| ChannelMember::Relay(id);
    let wrong = "x".repeat(pwd.len());
    assert_eq!(open(parts[2], relay(relay_id(1)), &wrong), Err(ChannelRefusal::Forbidden));
    assert_eq!(open("elsewhere", relay(relay_id(1)), pwd), Err(ChannelRefusal::Forbidden));
    assert_eq!(open(parts[2], relay(relay_id(2)), pwd), Err(ChannelRefusal::Forbidden));
    assert_eq!(open(parts[2], ChannelMember::Endpoint("deadbeef".to_owned()), pwd), Err(ChannelRefusal::Forbidden));
    assert_eq!(open(parts[2], relay(relay_id(1)), pwd), Ok(()));
}

#[test]
fn a_bridge_without_a_url_opens_web_sockets_and_takes_none() {
    let mut cascade = Cascade::with_settings(304, &[1], |settings| settings.web_socket_base = None);
    let error = cascade.modify(0, without_sctp(1, false)).unwrap_err();
    let refused = (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented));
    assert_eq!((error.condition, error.reason), refused);
    let mut answer = cascade.modify(0, without_sctp(1, true)).unwrap();
    let mut ice = answer.relays.remove(0).transport.unwrap().ice.unwrap();
    assert!(ice.web_sockets.is_empty());
    ice.candidates.clear();
    for (url, is_taken) in [("https://bridge.example/", false), ("ws://bridge.example/x?pwd=y", true)] {
        ice.web_sockets = vec![url.to_owned()];
        let transport = super::TransportRequest { ice: Some(ice.clone()), ..super::TransportRequest::default() };
        let relays = vec![RelayModify { transport: Some(transport), ..RelayModify::new(relay_id(1)) }];
        let request = ConferenceModify { relays, ..ConferenceModify::new(MEETING.parse().unwrap()) };
        assert_eq!(cascade.worlds[0].colibri(&request).is_ok(), is_taken, "{url}");
    }
    assert_eq!(cascade.worlds[0].to_relay_sockets.len(), 1);
}
