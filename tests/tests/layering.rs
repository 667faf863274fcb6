//! Arrows between crates point down only (ARCHITECTURE.md, "Code map").

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate's layer: a crate may depend on crates of lower layers only.
const LAYERS: [(&str, u8); 25] = [
    ("sim", 0),
    ("model", 0),
    ("rtp", 1),
    ("xmpp", 1),
    ("ice", 1),
    ("dtls", 1),
    ("sctp", 1),
    ("codecs", 1),
    ("srtp", 2),
    ("bwe", 2),
    ("accounts", 2),
    ("net", 2),
    ("streams", 3),
    ("ldap", 3),
    ("jitsi-protocol", 3),
    ("jitsi-config", 3),
    ("auth", 3),
    ("observability", 3),
    ("turn", 3),
    ("web", 3),
    ("bridge", 4),
    ("signaling", 4),
    ("focus", 4),
    ("all-in-one", 5),
    ("benches", 5),
];

/// Crates of media, which know nothing of XMPP.
const MEDIA: [&str; 9] = ["rtp", "codecs", "srtp", "bwe", "ice", "dtls", "sctp", "streams", "turn"];

/// Crates without a runtime, a socket or a configuration.
const SANS_IO: [&str; 12] =
    ["model", "rtp", "codecs", "srtp", "bwe", "ice", "dtls", "sctp", "streams", "xmpp", "jitsi-protocol", "auth"];

/// What a crate without I/O may not pull in.
const IO_CRATES: [&str; 8] =
    ["tokio", "mio", "socket2", "quinn-udp", "axum", "tokio-tungstenite", "tracing-subscriber", "clap"];

/// Every crate of the workspace with its direct dependencies, those for tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(root).no_deps().exec().expect("cargo metadata runs");
    metadata
        .packages
        .iter()
        .map(|package| {
            let normal =
                package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
            (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|&(_, layer)| layer)
}

#[test]
fn every_crate_has_a_layer() {
    for name in dependencies().keys().filter(|name| *name != "tests") {
        assert!(layer(name).is_some(), "{name} stands in no layer");
    }
}

#[test]
fn dependencies_point_down() {
    for (name, needed) in dependencies().into_iter().filter(|(name, _)| name != "tests") {
        for other in needed {
            if let (Some(own), Some(below)) = (layer(&name), layer(&other)) {
                assert!(below < own, "{name} (layer {own}) depends on {other} (layer {below})");
            }
        }
    }
}

#[test]
fn media_and_xmpp_do_not_know_each_other() {
    let all = dependencies();
    for name in MEDIA {
        let needed = all.get(name).expect("the crate exists");
        for other in ["xmpp", "jitsi-protocol"] {
            assert!(!needed.iter().any(|known| known == other), "{name} depends on {other}");
        }
    }
    for name in ["xmpp", "jitsi-protocol"] {
        let needed = all.get(name).expect("the crate exists");
        for other in MEDIA {
            assert!(!needed.iter().any(|known| known == other), "{name} depends on {other}");
        }
    }
}

#[test]
fn the_network_for_tests_stays_in_tests() {
    for (name, needed) in dependencies().into_iter().filter(|(name, _)| name != "tests") {
        assert!(!needed.iter().any(|known| known == "sim"), "{name} depends on sim outside of its tests");
    }
}

#[test]
fn one_crate_knows_the_ldap_library_and_one_sqlite() {
    for (name, needed) in dependencies() {
        for (library, owner) in [("ldap3", "ldap"), ("rusqlite", "accounts")] {
            assert!(name == owner || !needed.iter().any(|known| known == library), "{name} depends on {library}");
        }
    }
}

#[test]
fn protocol_crates_have_no_io() {
    let all = dependencies();
    for name in SANS_IO {
        let needed = all.get(name).expect("the crate exists");
        for other in IO_CRATES {
            assert!(!needed.iter().any(|known| known == other), "{name} depends on {other}");
        }
    }
}
