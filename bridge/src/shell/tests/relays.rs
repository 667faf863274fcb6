//! Two bridges with their sockets and threads, joined over the loopback interface.

use jitsi_protocol::colibri2::{IceTransport, RelayModify};
use serde_json::Value;
use xmpp::jingle::DtlsSetup;

use super::admin::Client;
use super::*;

const NAMES: [&str; 2] = ["one", "two"];
/// Where those bridges start their links from that are told so; other tests of this kind take ports from the system.
const LINK_PORTS: std::ops::RangeInclusive<u16> = 27_310..=27_329;

fn request(create: bool, meeting: &str, relay: RelayModify) -> ConferenceModify {
    ConferenceModify { create, relays: vec![relay], ..ConferenceModify::new(meeting.parse().unwrap()) }
}

/// What carries the channel of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Sctp,
    WebSocket,
}

/// Joins the two as a focus does, where the first starts the link. Answers what each told of its transport.
async fn join(bridges: &mut [Running; 2], meeting: &str, channel: Channel) -> [IceTransport; 2] {
    let mut told: Vec<IceTransport> = Vec::new();
    for (at, (running, other)) in bridges.iter_mut().zip(NAMES.into_iter().rev()).enumerate() {
        let is_initiator = at == 0;
        let role = if is_initiator { "client" } else { "server" };
        let transport = TransportRequest {
            ice_controlling: is_initiator,
            use_unique_port: is_initiator,
            sctp: (channel == Channel::Sctp).then(|| Sctp { role: Some(role.to_owned()), port: None }),
            ..TransportRequest::default()
        };
        let relay = RelayModify {
            create: true,
            mesh_id: Some("0".to_owned()),
            transport: Some(transport),
            ..RelayModify::new(other.to_owned())
        };
        let mut answer = running.ask(&request(true, meeting, relay)).await;
        told.push(answer.relays.remove(0).transport.unwrap().ice.unwrap());
    }
    let told: [IceTransport; 2] = told.try_into().unwrap();
    let [first, second] = told.clone();
    for ((running, other), (mut ice, setup)) in
        bridges.iter_mut().zip(NAMES.into_iter().rev()).zip([(second, DtlsSetup::Active), (first, DtlsSetup::Passive)])
    {
        ice.fingerprints[0].setup = Some(setup);
        if setup == DtlsSetup::Passive {
            ice.web_sockets.clear();
        }
        let transport = Some(TransportRequest { ice: Some(ice), ..TransportRequest::default() });
        running.ask(&request(false, meeting, RelayModify { transport, ..RelayModify::new(other.to_owned()) })).await;
    }
    told
}

/// Waits until a bridge is connected with the other one in a conference, and they know each other.
async fn connected(running: &Running, meeting: &str, other: &str, channel: &str) -> Value {
    let client = Client(running.serve().await);
    let is_connected = async {
        loop {
            let state = client.get("/debug?full=true").await.1["conferences"][meeting]["relays"][other].clone();
            if state["kind"] == "teranga" && state["message_transport"] == channel && state["transport"] == "connected"
            {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_connected).await.unwrap()
}

fn udp_port(ice: &IceTransport) -> u16 {
    ice.candidates.iter().find(|candidate| candidate.protocol == "udp").unwrap().port
}

#[tokio::test]
async fn two_bridges_share_several_conferences() {
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "[::1]:0".parse().unwrap()] {
        let start = |name: &str| {
            Running::with_settings(|settings| {
                settings.relay_id = Some(name.to_owned());
                settings.media_address = address;
                settings.media_threads = Some(2);
                settings.link_ports = address.is_ipv4().then_some(LINK_PORTS);
            })
        };
        let mut bridges = NAMES.map(start);
        let meetings = ["m1", "m2", "m3"];
        let mut ports = Vec::new();
        for meeting in meetings {
            let [first, second] = join(&mut bridges, meeting, Channel::Sctp).await;
            ports.push(udp_port(&first));
            assert_eq!(udp_port(&second), udp_port(&join_media(&mut bridges[1], meeting).await), "the media port");
        }
        assert!(address.is_ipv6() || ports.iter().all(|port| LINK_PORTS.contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), meetings.len(), "a port for each link");
        for meeting in meetings {
            for (running, other) in bridges.iter().zip(NAMES.into_iter().rev()) {
                let state = connected(running, meeting, other, "data_channel").await;
                assert_eq!((state["transport"].as_str(), state["mesh_id"].as_str()), (Some("connected"), Some("0")));
            }
        }
        // A link that ends gives its port back.
        let expire = RelayModify { expire: true, ..RelayModify::new(NAMES[1].to_owned()) };
        bridges[0].ask(&request(false, meetings[0], expire)).await;
    }
}

/// What the bridge tells an endpoint of a conference.
async fn join_media(running: &mut Running, meeting: &str) -> IceTransport {
    let mut request = create(1, false);
    request.meeting_id = meeting.parse().unwrap();
    let mut answer = running.ask(&request).await;
    answer.endpoints.remove(0).transport.unwrap().ice.unwrap()
}

#[tokio::test]
async fn the_channel_of_a_relay_goes_over_a_web_socket() {
    let mut listeners = Vec::new();
    for _ in NAMES {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    }
    let urls: Vec<String> = listeners.iter().map(|at| format!("ws://{}", at.local_addr().unwrap())).collect();
    let mut bridges = [0, 1].map(|at| {
        Running::with_settings(|settings| {
            settings.relay_id = Some(NAMES[at].to_owned());
            settings.web_socket_base = Some(urls[at].clone());
        })
    });
    join(&mut bridges, "m", Channel::WebSocket).await;
    // Only now there is somebody to answer: what is tried before waits in the listener, and is not lost.
    for (running, listener) in bridges.iter().zip(listeners) {
        let router = running.bridge.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    for (running, other) in bridges.iter().zip(NAMES.into_iter().rev()) {
        connected(running, "m", other, "web_socket").await;
    }
}
