//! Two bridges with their sockets and threads, joined over the loopback interface.

use jitsi_protocol::colibri2::{IceTransport, RelayModify};
use xmpp::jingle::DtlsSetup;

use super::admin::Client;
use super::*;

fn request(create: bool, relay: RelayModify) -> ConferenceModify {
    ConferenceModify { create, relays: vec![relay], ..ConferenceModify::new("m".parse().unwrap()) }
}

#[tokio::test]
async fn two_bridges_connect_and_know_each_other() {
    let mut bridges =
        ["one", "two"].map(|name| Running::with_settings(|settings| settings.relay_id = Some(name.into())));
    let names = ["two", "one"];
    let mut told: Vec<IceTransport> = Vec::new();
    for (at, (running, other)) in bridges.iter_mut().zip(names).enumerate() {
        let is_initiator = at == 0;
        let role = if is_initiator { "client" } else { "server" };
        let transport = TransportRequest {
            ice_controlling: is_initiator,
            use_unique_port: is_initiator,
            sctp: Some(Sctp { role: Some(role.to_owned()), port: None }),
            ..TransportRequest::default()
        };
        let relay = RelayModify {
            create: true,
            mesh_id: Some("0".to_owned()),
            transport: Some(transport),
            ..RelayModify::new(other.to_owned())
        };
        let mut answer = running.ask(&request(true, relay)).await;
        told.push(answer.relays.remove(0).transport.unwrap().ice.unwrap());
    }
    told.reverse();
    for ((running, other), (mut ice, setup)) in
        bridges.iter_mut().zip(names).zip(told.into_iter().zip([DtlsSetup::Active, DtlsSetup::Passive]))
    {
        ice.fingerprints[0].setup = Some(setup);
        let transport = Some(TransportRequest { ice: Some(ice), ..TransportRequest::default() });
        running.ask(&request(false, RelayModify { transport, ..RelayModify::new(other.to_owned()) })).await;
    }
    for (running, other) in bridges.iter().zip(names) {
        let client = Client(running.serve().await);
        let is_connected = async {
            loop {
                let state = client.get("/debug?full=true").await.1["conferences"]["m"]["relays"][other].clone();
                if state["kind"] == "teranga" && state["message_transport"] == "data_channel" {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let state = timeout(PATIENCE, is_connected).await.unwrap();
        assert_eq!((state["transport"].as_str(), state["mesh_id"].as_str()), (Some("connected"), Some("0")));
    }
}
