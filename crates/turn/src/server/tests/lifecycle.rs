//! Requests and what they leave behind: credentials, allocations, their time.

use super::world::{Client, World, at, settings};
use crate::Input;
use crate::stun::{AttributeType, Class, IntegrityAlgorithm, MessageBuilder, Method, TransactionId};

const UDP: (AttributeType, [u8; 4]) = (AttributeType::REQUESTED_TRANSPORT, [17, 0, 0, 0]);

fn with(extra: &[(AttributeType, &[u8])]) -> Vec<(AttributeType, Vec<u8>)> {
    let extra = extra.iter().map(|(kind, value)| (*kind, value.to_vec()));
    std::iter::once((UDP.0, UDP.1.to_vec())).chain(extra).collect()
}

#[test]
fn an_allocation_tells_relay_client_and_lifetime() {
    for algorithm in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
        let mut world = World::new(settings());
        let client = Client { algorithm, ..Client::udp(5000) };
        let reply = world.allocate(&client);
        assert_eq!((reply.code, reply.mapped, reply.lifetime), (None, Some(client.path.remote), Some(600)));
        let relayed = reply.relayed.unwrap();
        assert_eq!(relayed.ip(), at("10.0.0.5:0").ip());
        assert!((49_152..=65_535).contains(&relayed.port()));
        assert_eq!(world.metrics.allocations.get(), 1);
    }
}

#[test]
fn credentials_that_do_not_serve_are_refused() {
    let mut world = World::new(settings());
    let good = Client::udp(5000);
    let expired = good.clone().with_username("1789999999:alice".to_owned());
    let wrong_password = Client { password: "guess".to_owned(), ..good.clone() };
    let long = good.clone().with_username(format!("1790003600:{}", "a".repeat(300)));
    for bad in [expired, wrong_password, long, good.clone().with_username("alice".to_owned())] {
        assert_eq!(world.allocate(&bad).code, Some(401), "{}", bad.username);
    }
    assert_eq!(world.allocate(&good).code, None);
}

#[test]
fn an_allocation_outlives_its_credentials_but_no_new_one_is_made_with_them() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    assert_eq!(world.allocate(&client).code, None);
    for _ in 0..8 {
        world.wait(500);
        assert_eq!(world.request(&client, Method::Refresh, &[]).code, None);
    }
    let reply = world.allocate(&Client { path: Client::udp(5001).path, ..client });
    assert_eq!(reply.code, Some(401), "the name has expired");
}

#[test]
fn a_nonce_grows_stale_and_is_replaced() {
    let mut world = World::new(settings());
    let client = Client::udp(5000).with_username("1890000000:alice".to_owned());
    let nonce = world.nonce(&client, Method::Allocate);
    world.wait(3_601);
    let reply = world.signed(&client, Method::Allocate, &nonce, &with(&[]));
    assert_eq!(reply.code, Some(438));
    let reply = world.signed(&client, Method::Allocate, &reply.nonce.unwrap(), &with(&[]));
    assert_eq!(reply.code, None);
}

#[test]
fn credentials_in_part_are_a_bad_request() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let key = crate::stun::IntegrityKey::long_term("u", "r", "p", crate::stun::PasswordAlgorithm::Md5);
    let request = MessageBuilder::new(Class::Request, Method::Allocate, TransactionId([9; 12]))
        .attribute(AttributeType::USERNAME, b"u")
        .finish_signed(&key, IntegrityAlgorithm::Sha1, false);
    world.send(&client, &request);
    assert_eq!(world.reply(&client).code, Some(400));
}

#[test]
fn what_an_allocation_asks_for_is_checked() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let tcp = vec![(AttributeType::REQUESTED_TRANSPORT, vec![6, 0, 0, 0])];
    let family = AttributeType::REQUESTED_ADDRESS_FAMILY;
    let additional = AttributeType::ADDITIONAL_ADDRESS_FAMILY;
    for (attributes, code) in [
        (vec![], 400),
        (tcp, 442),
        (with(&[(family, &[3, 0, 0, 0])]), 440),
        (with(&[(AttributeType::RESERVATION_TOKEN, &[1; 8])]), 508),
        (with(&[(AttributeType::RESERVATION_TOKEN, &[1; 8]), (AttributeType::EVEN_PORT, &[0])]), 400),
        (with(&[(AttributeType::EVEN_PORT, &[0x80])]), 508),
        (with(&[(family, &[1, 0, 0, 0]), (additional, &[2, 0, 0, 0])]), 400),
        (with(&[(additional, &[1, 0, 0, 0])]), 400),
        (with(&[(AttributeType(0x7fff), &[1])]), 420),
    ] {
        let reply = world.request(&client, Method::Allocate, &attributes);
        assert_eq!(reply.code, Some(code), "{attributes:?}");
        assert_eq!(reply.unknown, (code == 420).then(|| vec![0x7f, 0xff]));
    }
    assert_eq!(world.server.remembered(), 0);
    let reply = world.request(&client, Method::Allocate, &with(&[(AttributeType::EVEN_PORT, &[0])]));
    assert_eq!(reply.relayed.unwrap().port() % 2, 0);
}

#[test]
fn families_are_given_as_asked() {
    let mut world = World::new(settings());
    let family = AttributeType::REQUESTED_ADDRESS_FAMILY;
    let reply = world.request(&Client::udp(5000), Method::Allocate, &with(&[(family, &[2, 0, 0, 0])]));
    assert!(reply.relayed.unwrap().is_ipv6());
    // A second family beside the first is not to be had, which is no error (RFC 8656 §7.2).
    let both = with(&[(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])]);
    let reply = world.request(&Client::udp(5001), Method::Allocate, &both);
    assert!(reply.relayed.unwrap().is_ipv4());
    assert_eq!(reply.address_error, Some(vec![2, 0, 4, 40]));

    let mut settings = settings();
    settings.relay_addresses.retain(std::net::IpAddr::is_ipv6);
    let mut world = World::new(settings);
    assert!(world.allocate(&Client::udp(5000)).relayed.unwrap().is_ipv6(), "IPv6 is all there is");
    let reply = world.request(&Client::udp(5001), Method::Allocate, &with(&[(family, &[1, 0, 0, 0])]));
    assert_eq!(reply.code, Some(440));
}

#[test]
fn a_repeated_request_gets_the_same_relay_and_another_a_mismatch() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let nonce = world.nonce(&client, Method::Allocate);
    let request = world.signed_bytes(&client, Method::Allocate, &nonce, &with(&[]));
    world.send(&client, &request);
    let first = world.reply(&client);
    world.send(&client, &request);
    assert_eq!(world.reply(&client), first);
    assert_eq!(world.allocate(&client).code, Some(437));
    assert_eq!(world.relays.len(), 1);
}

#[test]
fn an_allocation_ends_by_time_by_refresh_and_leaves_nothing() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    world.allocate(&client);
    world.wait(599);
    assert_eq!(world.relays.len(), 1);
    world.wait(1);
    assert_eq!((world.relays.len(), world.server.remembered()), (0, 0));
    assert_eq!(world.metrics.allocations.get(), 0);

    world.allocate(&client);
    let lifetime = |seconds: u32| [(AttributeType::LIFETIME, seconds.to_be_bytes().to_vec())];
    assert_eq!(world.request(&client, Method::Refresh, &lifetime(9_999)).lifetime, Some(3_600));
    world.wait(3_599);
    assert_eq!(world.relays.len(), 1);
    let client = client.with_username("1790003600:alice".to_owned());
    assert_eq!(world.request(&client, Method::Refresh, &lifetime(0)).lifetime, Some(0));
    assert_eq!((world.relays.len(), world.server.remembered()), (0, 0));
    let fresh = Client::udp(5000).with_username("1890000000:alice".to_owned());
    assert_eq!(world.request(&fresh, Method::Refresh, &[]).code, Some(437));
}

#[test]
fn the_end_of_a_stream_is_the_end_of_its_allocation() {
    let mut world = World::new(settings());
    let client = Client::tcp(5000);
    world.input(Input::StreamOpened { path: client.path });
    world.allocate(&client);
    world.wait(300);
    assert_eq!((world.relays.len(), world.closed_streams.len()), (1, 0));
    world.input(Input::StreamClosed { path: client.path });
    assert_eq!((world.relays.len(), world.server.remembered()), (0, 0));
    assert_eq!(world.metrics.streams.get(), 0);
}

#[test]
fn a_binding_request_tells_the_clients_address() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let request = MessageBuilder::new(Class::Request, Method::Binding, TransactionId([3; 12])).finish(true);
    world.send(&client, &request);
    assert_eq!(world.reply(&client).mapped, Some(client.path.remote));
    assert_eq!(world.server.remembered(), 0);
}

#[test]
fn a_port_of_another_program_is_passed_over() {
    let mut settings = settings();
    settings.relay_ports = 50_000..=50_001;
    let mut world = World::new(settings);
    world.foreign_ports.insert(50_000);
    let reply = world.allocate(&Client::udp(5000));
    assert_eq!(reply.relayed.map(|relayed| relayed.port()), Some(50_001));
}
