//! What a client can do, from its answer to disco#info (XEP-0030), remembered by caps hash (XEP-0115).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use xmpp::{Element, ns};

/// Caps hashes that are remembered: a deployment sees a few versions of a few clients at a time.
const MAX_CACHED_CAPS: usize = 512;
/// Features of one client that are looked at: stock clients list some 25.
const MAX_FEATURES: usize = 256;

/// The features that change an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature that a client has or has not")]
pub(crate) struct Features {
    pub(crate) audio: bool,
    pub(crate) video: bool,
    pub(crate) sctp: bool,
    pub(crate) rtx: bool,
    pub(crate) tcc: bool,
    pub(crate) remb: bool,
    pub(crate) opus_red: bool,
    pub(crate) json_sources: bool,
    /// Takes the sources of others from its bridge, under SSRCs of the bridge.
    pub(crate) ssrc_rewriting: bool,
    /// Tells such streams apart by `sdes:mid`.
    pub(crate) rtp_mid_demux: bool,
    /// A gateway that can be muted.
    pub(crate) audio_mute: bool,
    /// Reads from the metadata of the room that it is to start muted.
    pub(crate) start_muted_metadata: bool,
}

impl Default for Features {
    /// What a client counts as that does not answer.
    fn default() -> Self {
        Self {
            audio: true,
            video: true,
            sctp: true,
            rtx: false,
            tcc: false,
            remb: false,
            opus_red: false,
            json_sources: false,
            ssrc_rewriting: false,
            rtp_mid_demux: false,
            audio_mute: false,
            start_muted_metadata: false,
        }
    }
}

impl Features {
    /// What a conference may have in it at most.
    pub(crate) const ALL: Self = Self {
        audio: true,
        video: true,
        sctp: true,
        rtx: true,
        tcc: true,
        remb: true,
        opus_red: true,
        json_sources: true,
        ssrc_rewriting: true,
        rtp_mid_demux: true,
        audio_mute: true,
        start_muted_metadata: true,
    };

    /// Reads the `query` of a disco#info answer.
    pub(crate) fn from_disco(query: &Element) -> Self {
        let vars: BTreeSet<&str> = features_of(query).collect();
        let has = |var: &str| vars.contains(var);
        Self {
            audio: has("urn:xmpp:jingle:apps:rtp:audio"),
            video: has("urn:xmpp:jingle:apps:rtp:video"),
            sctp: has(ns::JINGLE_DTLS_SCTP),
            rtx: has("urn:ietf:rfc:4588"),
            tcc: has("http://jitsi.org/tcc"),
            remb: has("http://jitsi.org/remb"),
            opus_red: has("http://jitsi.org/opus-red"),
            json_sources: has(jitsi_protocol::source_json::FEATURE),
            ssrc_rewriting: has("http://jitsi.org/ssrc-rewriting-1"),
            rtp_mid_demux: has("http://jitsi.org/rtp-mid-demux"),
            audio_mute: has("http://jitsi.org/protocol/audio-mute"),
            start_muted_metadata: has("http://jitsi.org/start-muted-room-metadata"),
        }
    }
}

fn features_of(query: &Element) -> impl Iterator<Item = &str> {
    query.children_named("feature", ns::DISCO_INFO).filter_map(|feature| feature.attr("var")).take(MAX_FEATURES)
}

/// Longest caps hash and name of its function, in bytes: SHA-512 in base64 has 88.
const MAX_CAPS_BYTES: usize = 128;

/// `c` of a presence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caps {
    hash: String,
    ver: String,
}

impl Caps {
    /// Reads the caps of a presence, if they are in the current form.
    pub(crate) fn of_presence(presence: &Element) -> Option<Self> {
        let element = presence.child("c", ns::CAPS)?;
        let text = |name| element.attr(name).filter(|value| value.len() <= MAX_CAPS_BYTES).map(str::to_owned);
        Some(Self { hash: text("hash")?, ver: text("ver")? })
    }
}

/// Features by caps hash, so that the second client of a kind need not be asked.
#[derive(Debug, Default)]
pub(crate) struct CapsCache {
    features: IndexMap<Caps, Features>,
}

impl CapsCache {
    pub(crate) fn len(&self) -> usize {
        self.features.len()
    }

    pub(crate) fn get(&self, caps: &Caps) -> Option<Features> {
        self.features.get(caps).copied()
    }

    /// Remembers the answer of a client, if it really has that hash (XEP-0115 §5.4): a client must not be able to speak
    /// for others.
    pub(crate) fn insert(&mut self, caps: &Caps, query: &Element) {
        if caps.hash != "sha-1" || verification_string(query) != caps.ver {
            return;
        }
        if self.features.len() >= MAX_CACHED_CAPS {
            self.features.shift_remove_index(0);
        }
        self.features.insert(caps.clone(), Features::from_disco(query));
    }
}

/// The hash over identities and features (XEP-0115 §5.1). Answers with forms, which no Jitsi client sends, get another
/// hash than their `ver` and are not remembered.
fn verification_string(query: &Element) -> String {
    let mut identities: Vec<String> = query
        .children_named("identity", ns::DISCO_INFO)
        .take(MAX_FEATURES)
        .map(|identity| {
            let attr = |name| identity.attr(name).unwrap_or_default();
            format!("{}/{}/{}/{}<", attr("category"), attr("type"), attr("xml:lang"), attr("name"))
        })
        .collect();
    identities.sort_unstable();
    let mut features: Vec<&str> = features_of(query).collect();
    features.sort_unstable();
    let mut text = identities.concat();
    for feature in features {
        text.push_str(feature);
        text.push('<');
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The simple example of XEP-0115 §5.2 with its published hash.
    const EXODUS: &str = "<query xmlns='http://jabber.org/protocol/disco#info'>\
        <identity category='client' name='Exodus 0.9.1' type='pc'/>\
        <feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#items'/>\
        <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/muc'/></query>";
    const EXODUS_VER: &str = "QgayPKawpkPSDYmwT/WM94uAlu0=";

    fn caps(ver: &str) -> Caps {
        Caps { hash: "sha-1".to_owned(), ver: ver.to_owned() }
    }

    #[test]
    fn remembers_only_what_has_the_hash() {
        let query: Element = EXODUS.parse().unwrap();
        let mut cache = CapsCache::default();
        cache.insert(&caps("forged"), &query);
        assert_eq!(cache.get(&caps("forged")), None);
        cache.insert(&caps(EXODUS_VER), &query);
        assert!(cache.get(&caps(EXODUS_VER)).is_some_and(|features| !features.audio));
    }

    #[test]
    fn reads_the_features_that_matter() {
        let query: Element = "<query xmlns='http://jabber.org/protocol/disco#info'>\
            <feature var='urn:xmpp:jingle:apps:rtp:audio'/><feature var='http://jitsi.org/tcc'/>\
            <feature var='http://jitsi.org/json-encoded-sources'/><feature/></query>"
            .parse()
            .unwrap();
        let features = Features::from_disco(&query);
        assert!(features.audio && features.tcc && features.json_sources);
        assert!(!features.video && !features.sctp && !features.rtx);
    }
}
