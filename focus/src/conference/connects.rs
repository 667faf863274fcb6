//! Audio of the conference for transcription and translation: which bridge connects to which service, and the sources that
//! translations come back as (focus.md §11.3).
//!
//! After each input what there should be is compared with what bridges were told. Here: both. Not here: what a bridge does
//! with it.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jitsi_protocol::colibri2::{ConferenceModify, Connect, ConnectType, HttpHeader, MediaSource};
use model::{EndpointId, MediaType, SourceName, Ssrc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use xmpp::Jid;
use xmpp::jingle::Source;

use super::colibri::ColibriSession;
use super::phase::Leaving;
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::settings::{ConnectSettings, Settings, TranslationMode};

const TRANSCRIBER: &str = "transcriber";
const TRANSLATOR: &str = "translator";
/// Languages into which one participant is translated at most.
const MAX_LANGUAGES: usize = 64;
/// Longest name of a language: `zh-Hant-HK` has ten characters.
const MAX_LANGUAGE_LEN: usize = 35;
/// Headers, and parameters of the URL, that the metadata of a room may bring.
const MAX_FIELDS: usize = 16;
const MAX_FIELD_BYTES: usize = 8192;

/// What the room wants, and what is done about it.
#[derive(Debug, Default)]
pub(super) struct Connects {
    /// Whether what is said is written down; `None` before that was ever asked for.
    pub(super) transcribing: Option<bool>,
    /// As the room had it when it asked for transcription.
    transcription_params: BTreeMap<String, String>,
    transcription_headers: BTreeMap<String, String>,
    translation_headers: BTreeMap<String, String>,
    /// Languages into which somebody is to be translated.
    wanted: BTreeMap<EndpointId, BTreeSet<String>>,
    /// The sources that translations come back as, by speaker and language.
    synthetic: BTreeMap<EndpointId, BTreeMap<String, Synthetic>>,
    /// The bridge that has the transcriber, or the translator for all.
    host: Option<Jid>,
    /// What bridges were told, by their sessions.
    told: BTreeMap<String, IndexMap<String, Connect>>,
    /// Sessions on bridges that cannot do it.
    refused: BTreeSet<String>,
}

/// A source that nobody sends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Synthetic {
    /// That of the speaker's microphone with the language behind it.
    name: SourceName,
    ssrc: Ssrc,
}

impl Connects {
    pub(super) fn is_transcribing(&self) -> bool {
        self.transcribing == Some(true)
    }

    /// Whether nobody wants anything, and no bridge has anything.
    fn is_idle(&self) -> bool {
        !self.is_transcribing() && self.wanted.is_empty() && self.synthetic.is_empty() && self.told.is_empty()
    }
}

impl Conference {
    /// Takes what the metadata of the room says of it.
    pub(super) fn on_connects_metadata(&mut self, metadata: &Value, context: &mut Context<'_>) {
        let is_wanted =
            metadata["recording"]["isTranscribingEnabled"] == true && metadata["asyncTranscription"] == true;
        self.connects.translation_headers = fields(&metadata["translation"]["httpHeaders"]);
        self.connects.wanted = wishes(&metadata["audioTranslationRequests"]);
        if is_wanted == self.connects.is_transcribing() {
            return;
        }
        tracing::info!(room = %self.room, is_wanted, "transcription switched");
        if is_wanted && context.settings.transcription.url_template.is_none() {
            tracing::warn!(room = %self.room, "no transcriber is known (transcription URL template)");
        }
        self.connects.transcribing = Some(is_wanted);
        self.connects.transcription_params = fields(&metadata["transcription"]["urlParams"]);
        self.connects.transcription_headers = fields(&metadata["transcription"]["httpHeaders"]);
        if !self.phase.is_joining() {
            // Who is alone is written down too.
            self.on_member_count(Leaving::ForGood, context);
        }
    }

    /// Participants that make the conference go on.
    pub(super) fn min_participants(&self, settings: &Settings) -> usize {
        if self.connects.is_transcribing() { 1 } else { settings.min_participants }
    }

    /// Tells bridges what changed. To be called when all else is done.
    pub(super) fn update_connects(&mut self, context: &mut Context<'_>) {
        if self.connects.is_idle() {
            return;
        }
        let sessions: BTreeSet<&String> = self.colibri.values().map(|session| &session.id).collect();
        self.connects.told.retain(|session, _| sessions.contains(session));
        self.connects.refused.retain(|session| sessions.contains(session));
        self.update_synthetic(context);
        self.choose_host(context.settings);
        let changes: Vec<_> = self
            .colibri
            .iter()
            .filter_map(|(bridge, session)| {
                let desired = self.desired_connects(bridge, session, context.settings);
                let told = self.connects.told.get(&session.id);
                let changes = differences(told, &desired);
                (!changes.is_empty()).then(|| (bridge.clone(), session.id.clone(), desired, changes))
            })
            .collect();
        for (bridge, session, desired, changes) in changes {
            let Some(meeting_id) = self.meeting_id.clone() else { return };
            self.note_told(&session, desired);
            let modify = ConferenceModify { connects: Some(changes), ..ConferenceModify::new(meeting_id) };
            let purpose = ConferencePurpose::UpdateConnects { bridge: bridge.clone(), session };
            self.request(&bridge, "get", modify.to_element(), purpose, context);
        }
    }

    /// What a bridge is told together with its first endpoint.
    pub(super) fn first_connects(&mut self, bridge: &Jid, settings: &Settings) -> Option<Vec<Connect>> {
        if self.connects.is_idle() {
            return None;
        }
        self.choose_host(settings);
        let session = self.colibri.get(bridge)?;
        let desired = self.desired_connects(bridge, session, settings);
        let session = session.id.clone();
        let changes = differences(None, &desired);
        self.note_told(&session, desired);
        (!changes.is_empty()).then_some(changes)
    }

    fn note_told(&mut self, session: &str, desired: Vec<Connect>) {
        if desired.is_empty() {
            self.connects.told.remove(session);
        } else {
            let by_id = desired.into_iter().filter_map(|connect| Some((connect.id.clone()?, connect)));
            self.connects.told.insert(session.to_owned(), by_id.collect());
        }
    }

    /// A bridge that cannot connect goes on without, and another one does it.
    pub(super) fn on_connects_updated(&mut self, bridge: &Jid, session: &str, outcome: &IqOutcome) {
        let Some(problem) = problem_of(outcome) else { return };
        // Without an answer it may be connected all the same; whether it is well is found out otherwise.
        if matches!(outcome, IqOutcome::Timeout) {
            return;
        }
        tracing::warn!(room = %self.room, %bridge, problem, "bridge does not connect to a transcriber or translator");
        if self.colibri.get(bridge).is_some_and(|known| known.id == session) {
            self.connects.told.remove(session);
            self.connects.refused.insert(session.to_owned());
        }
    }

    /// The first bridge, one of participants if there is, stays host until it is gone.
    fn choose_host(&mut self, settings: &Settings) {
        let is_single = settings.translation.mode == TranslationMode::SingleBridge && !self.connects.wanted.is_empty();
        if !self.connects.is_transcribing() && !is_single {
            self.connects.host = None;
            return;
        }
        let can = |session: &&ColibriSession| !self.connects.refused.contains(&session.id);
        let host = self.connects.host.as_ref();
        if host.and_then(|host| self.colibri.get(host)).filter(can).is_some() {
            return;
        }
        let able = || self.colibri.iter().filter(|(_, session)| can(session));
        let chosen = able().find(|(_, session)| !session.for_visitors).or_else(|| able().next());
        self.connects.host = chosen.map(|(bridge, _)| bridge.clone());
    }

    /// All connects that a bridge should have.
    fn desired_connects(&self, bridge: &Jid, session: &ColibriSession, settings: &Settings) -> Vec<Connect> {
        let mut desired = Vec::new();
        let Some(meeting) = self.meeting_id.as_ref().filter(|_| !self.connects.refused.contains(&session.id)) else {
            return desired;
        };
        let region = session.region.as_deref().unwrap_or_default();
        let is_host = self.connects.host.as_ref() == Some(bridge);
        let Connects { transcription_params, transcription_headers, translation_headers, .. } = &self.connects;
        let resolve =
            |template: &str| template.replace("{{MEETING_ID}}", meeting.as_str()).replace("{{REGION}}", region);
        if let (true, Some(template)) =
            (is_host && self.connects.is_transcribing(), &settings.transcription.url_template)
        {
            let url = with_params(resolve(template), transcription_params);
            let connect = Connect::new(TRANSCRIBER.to_owned(), url, ConnectType::Transcriber);
            desired.push(with_common(connect, &settings.transcription, transcription_headers));
        }
        let translation = &settings.translation;
        let Some(template) = &translation.connect.url_template else { return desired };
        let connect = |id: String, exports: Vec<SourceName>, requests: Vec<SourceName>| {
            let connect = Connect::new(id, resolve(template), ConnectType::Translator);
            let connect = with_common(connect, &translation.connect, translation_headers);
            Connect { exports, requests, ..connect }
        };
        let speakers = self.connects.synthetic.iter().filter_map(|(speaker, translations)| {
            let names: Vec<SourceName> = translations.values().map(|synthetic| synthetic.name.clone()).collect();
            Some((speaker, self.microphone(speaker)?, names))
        });
        match translation.mode {
            TranslationMode::SingleBridge if is_host => {
                let (mut exports, mut requests) = (Vec::new(), Vec::new());
                for (_, microphone, names) in speakers {
                    exports.push(microphone);
                    requests.extend(names);
                }
                if !exports.is_empty() {
                    desired.push(connect(TRANSLATOR.to_owned(), exports, requests));
                }
            }
            TranslationMode::SingleBridge => {}
            TranslationMode::PerSource => {
                let is_here = |speaker: &EndpointId| {
                    let allocation = self.participants.get(speaker).and_then(|known| known.session.allocation());
                    allocation.is_some_and(|allocation| allocation.bridge == *bridge)
                };
                for (_, microphone, names) in speakers.filter(|(speaker, ..)| is_here(speaker)) {
                    for (chunk, names) in names.chunks(translation.max_languages_per_connect.max(1)).enumerate() {
                        let id = format!("{TRANSLATOR}-{microphone}-{chunk}");
                        desired.push(connect(id, vec![microphone.clone()], names.to_vec()));
                    }
                }
            }
        }
        desired
    }

    /// The name of the first source of audio of a participant.
    fn microphone(&self, endpoint: &EndpointId) -> Option<SourceName> {
        let set = self.sources.get(endpoint)?;
        let audio = set.sources.iter().find(|known| known.media_type == MediaType::Audio)?;
        audio.source.name.clone().or_else(|| format!("{endpoint}-a0").parse().ok())
    }

    /// Gives each wanted translation a source, which it keeps, and takes away others. Bridges of those who send are told.
    fn update_synthetic(&mut self, context: &mut Context<'_>) {
        if context.settings.translation.connect.url_template.is_none() {
            return;
        }
        let before = std::mem::take(&mut self.connects.synthetic);
        let mut after: BTreeMap<EndpointId, BTreeMap<String, Synthetic>> = BTreeMap::new();
        let mut used: BTreeSet<Ssrc> = before.values().flat_map(BTreeMap::values).map(|known| known.ssrc).collect();
        for (speaker, languages) in &self.connects.wanted {
            let Some(microphone) = self.microphone(speaker) else { continue };
            for language in languages {
                let Ok(name) = format!("{microphone}.{language}").parse() else { continue };
                let known = before.get(speaker).and_then(|translations| translations.get(language));
                let ssrc = known.map(|known| known.ssrc).unwrap_or_else(|| {
                    let free = |ssrc: &Ssrc| ssrc.0 != 0 && !used.contains(ssrc) && !self.sources.has_ssrc(*ssrc);
                    std::iter::repeat_with(|| context.random_ssrc()).find(free).unwrap_or(Ssrc(1))
                });
                used.insert(ssrc);
                after.entry(speaker.clone()).or_default().insert(language.clone(), Synthetic { name, ssrc });
            }
        }
        self.connects.synthetic = after;
        let all: BTreeSet<&EndpointId> = before.keys().chain(self.connects.synthetic.keys()).collect();
        let is_changed = |speaker: &&&EndpointId| before.get(**speaker) != self.connects.synthetic.get(**speaker);
        let changed: Vec<EndpointId> = all.iter().filter(is_changed).map(|speaker| (*speaker).clone()).collect();
        for speaker in changed {
            self.update_sources(&speaker, context);
        }
    }

    /// The sources that translations of a participant come back as, for bridges.
    pub(super) fn synthetic_sources_of(&self, endpoint: &EndpointId) -> impl Iterator<Item = MediaSource> {
        let translations = self.connects.synthetic.get(endpoint).into_iter().flat_map(BTreeMap::values);
        translations.map(|Synthetic { name, ssrc }| MediaSource {
            media_type: MediaType::Audio,
            id: name.clone(),
            synthetic: true,
            sources: vec![Source { name: Some(name.clone()), ..Source::new(*ssrc) }],
            groups: Vec::new(),
        })
    }
}

/// What has to be said for a bridge that was `told` some connects to have the desired ones. Only what one is about can change
/// while it goes on; for all else it begins anew.
fn differences(told: Option<&IndexMap<String, Connect>>, desired: &[Connect]) -> Vec<Connect> {
    let mut changes = Vec::new();
    for connect in told.into_iter().flat_map(IndexMap::values) {
        let stays = desired.iter().any(|wanted| wanted.id == connect.id && is_same_connection(wanted, connect));
        if !stays {
            changes.push(Connect { expire: true, ..connect.clone() });
        }
    }
    for wanted in desired {
        let id = wanted.id.as_deref().unwrap_or_default();
        match told.and_then(|told| told.get(id)).filter(|known| is_same_connection(wanted, known)) {
            None => changes.push(Connect { create: true, ..wanted.clone() }),
            Some(known) if known == wanted => {}
            Some(_) => changes.push(wanted.clone()),
        }
    }
    changes
}

fn is_same_connection(a: &Connect, b: &Connect) -> bool {
    let of = |connect: &Connect| Connect { exports: Vec::new(), requests: Vec::new(), ..connect.clone() };
    of(a) == of(b)
}

/// With what an operator and the room say of the service; the room's headers stand for the operator's.
fn with_common(connect: Connect, settings: &ConnectSettings, of_room: &BTreeMap<String, String>) -> Connect {
    let general = settings.http_headers.iter().filter(|header| !of_room.contains_key(&header.name)).cloned();
    let special = of_room.iter().map(|(name, value)| HttpHeader { name: name.clone(), value: value.clone() });
    Connect { http_headers: general.chain(special).collect(), ping: settings.ping, ..connect }
}

fn with_params(url: String, params: &BTreeMap<String, String>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query: Vec<_> = params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    if query.is_empty() {
        return url;
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", query.join("&"))
}

/// An object of texts. What is too long, or no name of a header, is left out.
fn fields(object: &Value) -> BTreeMap<String, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let texts = object.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let fitting = texts.filter(|(name, value)| is_name(name) && name.len() + value.len() <= MAX_FIELD_BYTES);
    fitting.take(MAX_FIELDS).map(|(name, value)| (name.clone(), value.to_owned())).collect()
}

/// Languages by speaker.
fn wishes(object: &Value) -> BTreeMap<EndpointId, BTreeSet<String>> {
    let is_language = |text: &&str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !text.is_empty() && text.len() <= MAX_LANGUAGE_LEN && text.chars().all(is_word)
    };
    let wanted = object.as_object().into_iter().flatten().filter_map(|(speaker, languages)| {
        let texts = languages.as_array()?.iter().filter_map(Value::as_str).filter(is_language);
        let languages: BTreeSet<String> = texts.take(MAX_LANGUAGES).map(str::to_owned).collect();
        Some((speaker.parse().ok()?, languages)).filter(|(_, languages)| !languages.is_empty())
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_go_behind_those_that_are_there() {
        let params = BTreeMap::from([("a".to_owned(), "b c&d".to_owned()), ("e".to_owned(), "1".to_owned())]);
        assert_eq!(with_params("wss://x/y".to_owned(), &params), "wss://x/y?a=b%20c%26d&e=1");
        assert_eq!(with_params("wss://x/y?z=0".to_owned(), &params), "wss://x/y?z=0&a=b%20c%26d&e=1");
        assert_eq!(with_params("wss://x".to_owned(), &BTreeMap::new()), "wss://x");
    }

    #[test]
    fn nonsense_in_metadata_is_left_out() {
        let long = "x".repeat(MAX_FIELD_BYTES);
        let read = fields(&json!({ "Token": "t", "bad name": "x", "": "y", "Number": 5, "Long": long }));
        assert_eq!(read, BTreeMap::from([("Token".to_owned(), "t".to_owned())]));
        assert!(fields(&json!([1])).is_empty() && fields(&Value::Null).is_empty());
        let read = wishes(&json!({ "aaaa1111": ["de", "de", "a/b", 5, ""], "b b": ["fr"], "cccc3333": [], "d": "fr" }));
        assert_eq!(read, BTreeMap::from([("aaaa1111".parse().unwrap(), BTreeSet::from(["de".to_owned()]))]));
    }

    #[test]
    fn a_connection_that_changes_begins_anew_and_its_sources_do_not_need_to() {
        let connect = |url: &str, exports: &[&str]| Connect {
            exports: exports.iter().map(|name| name.parse().unwrap()).collect(),
            ..Connect::new("t".to_owned(), url.to_owned(), ConnectType::Translator)
        };
        let told = IndexMap::from([("t".to_owned(), connect("wss://x", &["a-a0"]))]);
        let flags = |desired: &[Connect]| {
            let changes = differences(Some(&told), desired).into_iter();
            changes.map(|change| (change.create, change.expire)).collect::<Vec<_>>()
        };
        assert_eq!(flags(&[connect("wss://x", &["a-a0"])]), []);
        assert_eq!(flags(&[connect("wss://x", &["b-a0"])]), [(false, false)]);
        assert_eq!(flags(&[connect("wss://y", &["a-a0"])]), [(false, true), (true, false)]);
        assert_eq!(flags(&[]), [(false, true)]);
    }
}
