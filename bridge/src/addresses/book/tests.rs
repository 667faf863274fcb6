//! The policy by examples: a host, what its operator set, and what clients are told.

use super::*;

#[test]
fn host_without_settings_tells_all_its_addresses_over_both_protocols() {
    let book = book(&[("eth0", "10.0.0.5"), ("eth0", "fd00::5"), ("eth0", "fe80::1"), ("lo", "127.0.0.1")], |_| {});
    let expected = ["udp 10.0.0.5:10000", "udp [fd00::5]:10000", "tcp 10.0.0.5:4443", "tcp [fd00::5]:4443"];
    assert_eq!(told(&book), expected);
}

#[test]
fn host_without_a_network_tells_loopback() {
    let book = book(&[("lo", "127.0.0.1"), ("lo", "::1")], |_| {});
    assert_eq!(told(&book)[..2], ["udp 127.0.0.1:10000", "udp [::1]:10000"]);
}

#[test]
fn bridges_of_containers_are_left_out_unless_allowed_or_alone() {
    let host = [("eth0", "203.0.113.7"), ("docker0", "172.17.0.1"), ("br-0123456789ab", "172.18.0.1")];
    assert_eq!(told(&book(&host, |_| {}))[0], "udp 203.0.113.7:10000");
    assert_eq!(told(&book(&host, |_| {})).len(), 2);
    let docker = book(&host, |settings| settings.allow = vec!["docker*".parse().unwrap()]);
    assert_eq!(told(&docker)[0], "udp 172.17.0.1:10000");
    assert_eq!(told(&book(&[("veth0", "172.17.0.2"), ("lo", "127.0.0.1")], |_| {}))[0], "udp 172.17.0.2:10000");
}

#[test]
fn lists_choose_by_interface_and_by_network() {
    let host = [("eth0", "203.0.113.7"), ("eth1", "10.0.0.5"), ("wg0", "10.9.0.1")];
    let with = |allow: &[&str], deny: &[&str]| {
        let book = book(&host, |settings| {
            settings.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
            settings.deny = deny.iter().map(|text| text.parse().unwrap()).collect();
        });
        told(&book).into_iter().filter_map(|text| text.strip_prefix("udp ").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(with(&["eth*"], &[]), ["203.0.113.7:10000", "10.0.0.5:10000"]);
    assert_eq!(with(&[], &["wg0"]), ["203.0.113.7:10000", "10.0.0.5:10000"]);
    assert_eq!(with(&["10.0.0.0/8"], &[]), ["10.0.0.5:10000", "10.9.0.1:10000"]);
    assert_eq!(with(&["10.0.0.0/8"], &["wg*"]), ["10.0.0.5:10000"]);
}

#[test]
fn lists_that_leave_nothing_are_an_error_of_one_line() {
    let mut settings = AddressSettings { allow: vec!["eth7".parse().unwrap()], ..AddressSettings::default() };
    let error = AddressBook::new(settings.clone(), host(&[("eth0", "10.0.0.5")]), ports()).unwrap_err().to_string();
    assert_eq!(
        error,
        "no address of this host is left for media: it has 10.0.0.5 on eth0 (see --media-allow and --media-deny)"
    );
    settings.mappings = vec!["203.0.113.7".parse().unwrap()];
    assert!(AddressBook::new(settings, host(&[("eth0", "10.0.0.5")]), ports()).is_ok(), "there is one to tell");
}

#[test]
fn public_address_maps_to_the_hosts_of_its_family() {
    let host = [("eth0", "fd00::5"), ("eth1", "198.51.100.4"), ("eth2", "10.0.0.5")];
    let book = mapped(&host, &["203.0.113.7"]);
    let expected = ["udp 10.0.0.5:10000 203.0.113.7:10000", "tcp 10.0.0.5:4443 203.0.113.7:4443"];
    assert_eq!(told(&book), expected, "a private address is behind the NAT rather than a public one");
}

#[test]
fn several_public_addresses_each_have_their_ports() {
    let host = [("eth0", "10.0.0.5"), ("eth1", "10.1.0.5")];
    let mappings =
        ["10.0.0.5=203.0.113.7", "10.1.0.5:10000=203.0.113.8:20000", "10.1.0.5:4443=203.0.113.8:443", "203.0.113.9:1"];
    let expected = [
        "udp 10.0.0.5:10000 203.0.113.7:10000",
        "udp 10.1.0.5:10000 203.0.113.8:20000",
        "udp 10.0.0.5:10000 203.0.113.9:1",
        "tcp 10.0.0.5:4443 203.0.113.7:4443",
        "tcp 10.1.0.5:4443 203.0.113.8:443",
    ];
    assert_eq!(told(&mapped(&host, &mappings)), expected);
}

#[test]
fn own_address_as_a_mapping_is_told_as_it_is() {
    let host = [("eth0", "203.0.113.7"), ("eth1", "10.0.0.5"), ("lo", "127.0.0.1")];
    assert_eq!(told(&mapped(&host, &["203.0.113.7"])), ["udp 203.0.113.7:10000", "tcp 203.0.113.7:4443"]);
    assert_eq!(told(&mapped(&host, &["127.0.0.1"]))[0], "udp 127.0.0.1:10000");
    assert_eq!(told(&mapped(&host, &["203.0.113.7:443/tcp"])), ["tcp 203.0.113.7:4443 203.0.113.7:443"]);
}

#[test]
fn mapping_that_does_not_fit_is_an_error_of_one_line() {
    let try_with = |mapping: &str| {
        let settings = AddressSettings { mappings: vec![mapping.parse().unwrap()], ..AddressSettings::default() };
        AddressBook::new(settings, host(&[("eth0", "10.0.0.5")]), ports()).unwrap_err().to_string()
    };
    assert_eq!(
        try_with("10.0.0.9=203.0.113.7"),
        "--media-address 10.0.0.9=203.0.113.7: 10.0.0.9 is no address of this host (it has 10.0.0.5 on eth0)"
    );
    assert_eq!(
        try_with("10.0.0.5:1234=203.0.113.7:443"),
        "--media-address 10.0.0.5:1234=203.0.113.7:443 is about none of the media ports, UDP 10000 and TCP 4443 (see \
         --media-port, --media-tcp-port)"
    );
}

#[test]
fn private_addresses_are_told_as_the_operator_says() {
    let nat = [("eth0", "10.0.0.5")];
    let both = [("eth0", "203.0.113.7"), ("eth1", "10.0.0.5")];
    let shown = |host: &[(&str, &str)], mapping: Option<&str>, private: PrivateAddresses| {
        let book = book(host, |settings| {
            settings.private = private;
            settings.mappings.extend(mapping.map(|text| text.parse::<crate::AddressMapping>().unwrap()));
        });
        let mut shown = Vec::new();
        for address in book.local_addresses().iter().filter(|a| a.transport == CandidateTransport::Udp) {
            shown.extend(Some(address.host).filter(|_| address.is_host_told).map(|a| a.ip().to_string()));
            shown.extend(address.public.map(|a| a.ip().to_string()));
        }
        shown
    };
    use PrivateAddresses::{Always, Fallback, Never};
    let public = Some("203.0.113.7");
    assert_eq!(shown(&nat, public, Always), ["10.0.0.5", "203.0.113.7"]);
    assert_eq!(shown(&nat, public, Fallback), ["203.0.113.7"]);
    assert_eq!(shown(&nat, public, Never), ["203.0.113.7"]);
    assert_eq!(shown(&nat, None, Fallback), ["10.0.0.5"]);
    assert_eq!(shown(&nat, None, Never), [""; 0]);
    assert_eq!(shown(&both, None, Always), ["203.0.113.7", "10.0.0.5"]);
    assert_eq!(shown(&both, None, Fallback), ["203.0.113.7"]);
    assert_eq!(shown(&[("lo", "127.0.0.1")], None, Never), ["127.0.0.1"]);
}

#[test]
fn another_bridge_is_told_private_addresses_all_the_same() {
    let book = book(&[("eth0", "10.0.0.5")], |settings| settings.private = PrivateAddresses::Never);
    assert!(with_hosts_told(&book.local_addresses()).iter().all(|address| address.is_host_told));
}

#[test]
fn learned_address_comes_beside_those_of_the_host() {
    let mut book = book(&[("eth0", "10.0.0.5"), ("eth0", "2001:db8::5")], |_| {});
    book.set_learned("stun.example", vec![learned("203.0.113.7", Some(10_000))]);
    let expected = [
        "udp 10.0.0.5:10000",
        "udp [2001:db8::5]:10000",
        "udp 10.0.0.5:10000 203.0.113.7:10000",
        "tcp 10.0.0.5:4443",
        "tcp [2001:db8::5]:4443",
        "tcp 10.0.0.5:4443 203.0.113.7:4443",
    ];
    assert_eq!(told(&book), expected);
    book.set_learned("stun.example", vec![learned("203.0.113.8", Some(61_000))]);
    let public: Vec<_> = told(&book).into_iter().filter(|text| text.contains("203.0.113")).collect();
    assert_eq!(public, ["udp 10.0.0.5:10000 203.0.113.8:61000"], "a NAT that changes ports says nothing of TCP");
    book.set_learned("stun.example", Vec::new());
    assert_eq!(told(&book).len(), 4);
}

#[test]
fn learned_address_that_the_host_has_itself_says_nothing_new() {
    let mut book = book(&[("eth0", "203.0.113.7")], |_| {});
    let before = told(&book);
    book.set_learned("stun.example", vec![learned("203.0.113.7", Some(10_000))]);
    assert_eq!(told(&book), before);
}

#[test]
fn clouds_address_maps_all_ports_of_its_local_one() {
    let mut book = book(&[("eth0", "10.0.0.5"), ("eth1", "10.1.0.5")], |_| {});
    let local = Some("10.1.0.5".parse().unwrap());
    book.set_learned("aws", vec![LearnedAddress { local, ..learned("203.0.113.7", None) }]);
    assert!(told(&book).contains(&"udp 10.1.0.5:10000 203.0.113.7:10000".to_owned()));
    assert!(told(&book).contains(&"tcp 10.1.0.5:4443 203.0.113.7:4443".to_owned()));
}

#[test]
fn two_who_learned_the_same_tell_it_once() {
    let mut book = book(&[("eth0", "10.0.0.5")], |_| {});
    book.set_learned("a", vec![learned("203.0.113.7", Some(10_000))]);
    let once = told(&book);
    book.set_learned("b", vec![learned("203.0.113.7", Some(10_000))]);
    assert_eq!(told(&book), once);
}

#[test]
fn host_with_endless_addresses_tells_a_bounded_number() {
    let many: Vec<_> = (0..200_u8).map(|i| format!("2001:db8::{i:x}")).collect();
    let host: Vec<_> = many.iter().map(|ip| ("eth0", ip.as_str())).collect();
    assert_eq!(told(&book(&host[1..], |_| {})).len(), MAX_LOCAL_ADDRESSES);
}

#[test]
fn socket_of_one_address_or_family_is_reached_there_only() {
    let all = host(&[("eth0", "10.0.0.5"), ("eth0", "2001:db8::5"), ("lo", "127.0.0.1")]);
    let reached = |bound: &str| {
        let reached = reachable_at(bound.parse().unwrap(), all.clone());
        reached.into_iter().map(|address| address.ip.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(reached("::"), ["10.0.0.5", "2001:db8::5", "127.0.0.1"]);
    assert_eq!(reached("0.0.0.0"), ["10.0.0.5", "127.0.0.1"]);
    assert_eq!(reached("127.0.0.1"), ["127.0.0.1"]);
    assert_eq!(reached("203.0.113.7"), ["203.0.113.7"], "an address that comes later");
}

#[test]
fn every_address_told_makes_a_candidate() {
    let mut book = mapped(&[("eth0", "10.0.0.5"), ("eth0", "fd00::5")], &["203.0.113.7", "2001:db8::7"]);
    book.set_learned("aws", vec![learned("203.0.113.9", None)]);
    let candidates = ice::LocalCandidate::gather(&book.local_addresses()).unwrap();
    assert_eq!(candidates.len(), 10, "{candidates:?}");
}

fn host(addresses: &[(&str, &str)]) -> Vec<InterfaceAddress> {
    let address = |(interface, ip): &(&str, &str)| InterfaceAddress {
        interface: (*interface).to_owned(),
        ip: ip.parse().unwrap(),
    };
    addresses.iter().map(address).collect()
}

fn ports() -> Vec<MediaPort> {
    vec![
        MediaPort { transport: CandidateTransport::Udp, port: 10_000 },
        MediaPort { transport: CandidateTransport::TCP_PASSIVE, port: 4443 },
    ]
}

fn book(addresses: &[(&str, &str)], set: impl FnOnce(&mut AddressSettings)) -> AddressBook {
    let mut settings = AddressSettings::default();
    set(&mut settings);
    AddressBook::new(settings, host(addresses), ports()).unwrap()
}

fn mapped(addresses: &[(&str, &str)], mappings: &[&str]) -> AddressBook {
    book(addresses, |settings| settings.mappings = mappings.iter().map(|text| text.parse().unwrap()).collect())
}

fn learned(public: &str, udp_port: Option<u16>) -> LearnedAddress {
    LearnedAddress { local: None, public: public.parse().unwrap(), udp_port }
}

/// Protocol, host address, and the public one if there is one.
fn told(book: &AddressBook) -> Vec<String> {
    let text = |address: &LocalAddress| {
        let public = address.public.map(|public| format!(" {public}")).unwrap_or_default();
        format!("{} {}{public}", address.transport.as_str(), address.host)
    };
    book.local_addresses().iter().map(text).collect()
}
