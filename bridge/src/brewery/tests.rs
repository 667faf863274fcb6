//! The bridge's stanzas in its brewery, in virtual time.

use jitsi_protocol::colibri2::{EndpointModify, Reason};

use super::*;
use crate::shutdown::ShutdownState;

const ROOM: &str = "jvbbrewery@internal-muc.meet.jitsi";
const OCCUPANT: &str = "jvbbrewery@internal-muc.meet.jitsi/teranga";
const FOCUS: &str = "jvbbrewery@internal-muc.meet.jitsi/focus";

struct Scene {
    brewery: Brewery,
    now: Instant,
    /// When it wants to be woken.
    timeout: Option<Instant>,
}

impl Scene {
    fn new() -> Self {
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        settings.region = Some("eu".to_owned());
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let now = Instant::now();
        Self { brewery: Brewery::new(settings).unwrap(), now, timeout: None }
    }

    /// One that stands in the room.
    fn joined() -> Self {
        let mut scene = Self::new();
        scene.input(Input::LinkUp);
        scene.stanza(presence(OCCUPANT, None));
        scene
    }

    /// What it does at an input.
    fn input(&mut self, input: Input) -> Vec<Output> {
        self.brewery.handle_input(input, self.now);
        self.outputs()
    }

    fn stanza(&mut self, stanza: Element) -> Vec<Output> {
        self.input(Input::Stanza(stanza))
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.timeout = None;
        while let Some(output) = self.brewery.poll_output() {
            if let Output::Timeout(at) = output {
                self.timeout = Some(at);
                break;
            }
            outputs.push(output);
        }
        outputs
    }

    /// Lets it do what is due within `ms`; answers what it sends, each with when.
    fn run(&mut self, ms: u64) -> Vec<(u64, Element)> {
        let (start, end) = (self.now, self.now + Duration::from_millis(ms));
        let mut sent = Vec::new();
        while let Some(at) = self.timeout.filter(|at| *at <= end) {
            self.now = at;
            self.brewery.handle_timeout(at);
            let at_ms = at.duration_since(start).as_millis() as u64;
            sent.extend(sent_of(self.outputs()).into_iter().map(|stanza| (at_ms, stanza)));
        }
        self.now = end;
        sent
    }

    /// The only answer to a request from the focus.
    fn answer(&mut self, kind: &str, payload: Element) -> Element {
        self.answer_to(FOCUS, kind, payload)
    }

    fn answer_to(&mut self, from: &str, kind: &str, payload: Element) -> Element {
        let outputs = self.stanza(request(from, kind, Some(payload)));
        let [answer] = sent_of(outputs).try_into().unwrap();
        assert_eq!((answer.attr("id"), answer.attr("to")), (Some("q1"), Some(from)));
        answer
    }
}

fn sent_of(outputs: Vec<Output>) -> Vec<Element> {
    let sent = outputs.into_iter().map(|output| {
        let Output::Send(stanza) = output else { panic!("{output:?}") };
        stanza
    });
    sent.collect()
}

fn presence(from: &str, kind: Option<&str>) -> Element {
    Element::new("presence", ns::CLIENT).with_attr("from", from).with_opt_attr("type", kind)
}

fn request(from: &str, kind: &str, payload: Option<Element>) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", "q1")
        .with_attr("from", from)
        .with_attr("to", OCCUPANT)
        .with_children(payload)
}

fn condition(answer: &Element) -> Condition {
    assert_eq!(answer.attr("type"), Some("error"));
    StanzaError::of_stanza(answer).condition
}

fn stat(presence: &Element, name: &str) -> Option<String> {
    let stats = presence.child("stats", ns::COLIBRI)?;
    let stat = stats.children().find(|stat| stat.attr("name") == Some(name))?;
    stat.attr("value").map(str::to_owned)
}

#[test]
fn joins_with_its_load_when_the_link_comes_up() {
    let mut scene = Scene::new();
    assert!(scene.outputs().is_empty() && scene.timeout.is_none());
    let [join] = sent_of(scene.input(Input::LinkUp)).try_into().unwrap();
    assert_eq!((join.name(), join.attr("to")), ("presence", Some(OCCUPANT)));
    assert!(join.child("x", ns::MUC).is_some());
    for (name, value) in [("drain", "false"), ("healthy", "true"), ("region", "eu"), ("shutting_down", "false")] {
        assert_eq!(stat(&join, name).as_deref(), Some(value), "{name}");
    }
    assert!(stat(&join, "version").is_some() && stat(&join, "stress_level").is_some());
}

#[test]
fn a_join_without_answer_is_tried_again() {
    let mut scene = Scene::new();
    scene.input(Input::LinkUp);
    let again = scene.run(7000);
    assert_eq!(again.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2000, 4000, 6000]);
    assert!(again.iter().all(|(_, join)| join.child("x", ns::MUC).is_some()));
}

#[test]
fn a_refused_join_and_a_kick_are_tried_again() {
    let mut scene = Scene::new();
    scene.input(Input::LinkUp);
    let error = StanzaError::new(Condition::Conflict).to_element();
    assert!(scene.stanza(presence(OCCUPANT, Some("error")).with_child(error)).is_empty());
    assert_eq!(scene.run(2000).len(), 1);
    scene.stanza(presence(OCCUPANT, None));
    scene.run(1000);
    assert!(scene.stanza(presence(OCCUPANT, Some("unavailable"))).is_empty());
    let again = scene.run(2000);
    assert_eq!(again.len(), 1);
    assert!(again[0].1.child("x", ns::MUC).is_some());
}

#[test]
fn presence_is_repeated_each_five_seconds_without_a_join() {
    let mut scene = Scene::joined();
    let repeated = scene.run(21_000);
    assert_eq!(repeated.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5000, 10_000, 15_000, 20_000]);
    assert!(repeated.iter().all(|(_, presence)| presence.child("x", ns::MUC).is_none()));
}

#[test]
fn presence_of_others_means_nothing() {
    let mut scene = Scene::joined();
    for kind in [None, Some("unavailable"), Some("error")] {
        assert!(scene.stanza(presence(FOCUS, kind)).is_empty());
    }
    assert_eq!(scene.run(5000).len(), 1);
}

#[test]
fn says_nothing_while_the_link_is_down_and_joins_when_it_is_up_again() {
    let mut scene = Scene::joined();
    assert!(scene.input(Input::LinkDown).is_empty());
    assert!(scene.timeout.is_none() && scene.run(60_000).is_empty());
    let [join] = sent_of(scene.input(Input::LinkUp)).try_into().unwrap();
    assert!(join.child("x", ns::MUC).is_some());
}

#[test]
fn load_is_told_with_the_next_presence() {
    let mut scene = Scene::joined();
    let load = Load { conferences: 3, endpoints: 7, stress: 0.5, is_healthy: false };
    assert!(scene.input(Input::Load(load)).is_empty());
    let (_, presence) = scene.run(5000).pop().unwrap();
    for (name, value) in [("stress_level", "0.5"), ("conferences", "3"), ("endpoints", "7"), ("healthy", "false")] {
        assert_eq!(stat(&presence, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn the_focus_is_told_at_once_that_the_bridge_drains_or_ends() {
    let mut scene = Scene::joined();
    scene.run(1000);
    let until = scene.now;
    for (readiness, told) in [
        (Readiness { drain: true, ..Readiness::default() }, ["true", "false", "false"]),
        (Readiness { drain: false, shutdown: ShutdownState::GracefulShutdown { until } }, ["false", "true", "false"]),
        (Readiness { drain: false, shutdown: ShutdownState::ShuttingDown { until } }, ["false", "false", "true"]),
        (Readiness { drain: false, shutdown: ShutdownState::Over }, ["false", "false", "true"]),
    ] {
        let [presence] = sent_of(scene.input(Input::Readiness(readiness))).try_into().unwrap();
        assert!(presence.child("x", ns::MUC).is_none());
        for (name, value) in ["drain", "graceful_shutdown", "shutting_down"].iter().zip(told) {
            assert_eq!(stat(&presence, name).as_deref(), Some(value), "{name} of {readiness:?}");
        }
    }
    assert_eq!(
        scene.run(6000).iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [5000],
        "the next one is due from then on"
    );
}

#[test]
fn readiness_is_told_with_the_join_when_there_is_no_room_yet() {
    let mut scene = Scene::new();
    assert!(scene.input(Input::Readiness(Readiness { drain: true, ..Readiness::default() })).is_empty());
    let [join] = sent_of(scene.input(Input::LinkUp)).try_into().unwrap();
    assert_eq!(stat(&join, "drain").as_deref(), Some("true"));
}

#[test]
fn health_is_that_of_the_media_thread() {
    let mut scene = Scene::joined();
    let healthcheck = || Element::new("healthcheck", ns::HEALTHCHECK);
    assert_eq!(scene.answer("get", healthcheck()).attr("type"), Some("result"));
    scene.input(Input::Load(Load::UNKNOWN));
    assert_eq!(condition(&scene.answer("get", healthcheck())), Condition::InternalServerError);
    let (_, presence) = scene.run(5000).pop().unwrap();
    assert_eq!(stat(&presence, "healthy").as_deref(), Some("false"));
    scene.input(Input::Load(Load::IDLE));
    assert_eq!(scene.answer("get", healthcheck()).attr("type"), Some("result"));
}

#[test]
fn tells_its_version_and_features() {
    let mut scene = Scene::joined();
    let version = scene.answer("get", Element::new("query", ns::VERSION));
    let version = version.child("query", ns::VERSION).unwrap();
    assert!(["name", "version", "os"].iter().all(|part| version.child(part, ns::VERSION).is_some()));
    let disco = scene.answer("get", Element::new("query", ns::DISCO_INFO));
    let disco = disco.child("query", ns::DISCO_INFO).unwrap();
    let features: Vec<&str> = disco.children().filter_map(|child| child.attr("var")).collect();
    assert_eq!(features, FEATURES);
    assert_eq!(scene.answer("get", Element::new("ping", ns::PING)).attr("type"), Some("result"));
}

#[test]
fn takes_orders_from_its_room_only() {
    let mut scene = Scene::joined();
    let modify = || ConferenceModify::new("m".parse().unwrap()).to_element();
    for stranger in ["mallory@meet.jitsi/x", "other@internal-muc.meet.jitsi/focus", "meet.jitsi", "not a jid@@/"] {
        assert_eq!(condition(&scene.answer_to(stranger, "get", modify())), Condition::Forbidden, "{stranger}");
    }
    assert!(matches!(scene.stanza(request(FOCUS, "get", Some(modify())))[..], [Output::Colibri(..)]));
    assert!(matches!(scene.stanza(request(FOCUS, "set", Some(modify())))[..], [Output::Colibri(..)]));
}

#[test]
fn an_unknown_request_is_answered_and_anything_else_ignored() {
    let mut scene = Scene::joined();
    let unknown = scene.answer("set", Element::new("graceful-shutdown", "http://jitsi.org/protocol/colibri"));
    assert_eq!(condition(&unknown), Condition::FeatureNotImplemented);
    let [empty] = sent_of(scene.stanza(request(FOCUS, "get", None))).try_into().unwrap();
    assert_eq!(condition(&empty), Condition::BadRequest);
    for kind in ["result", "error"] {
        assert!(scene.stanza(request(FOCUS, kind, None)).is_empty(), "an answer is not answered");
    }
    let message = Element::new("message", ns::CLIENT).with_attr("from", FOCUS).with_attr("type", "groupchat");
    assert!(scene.stanza(message).is_empty());
}

#[test]
fn malformed_colibri_is_a_bad_request() {
    let mut scene = Scene::joined();
    let without_meeting = Element::new("conference-modify", ns::COLIBRI2);
    assert_eq!(condition(&scene.answer("get", without_meeting)), Condition::BadRequest);
    let bad_flag = Element::new("conference-modify", ns::COLIBRI2)
        .with_attr("meeting-id", "m")
        .with_child(Element::new("endpoint", ns::COLIBRI2).with_attr("id", "a1b2c3d4").with_attr("create", "maybe"));
    assert_eq!(condition(&scene.answer("get", bad_flag)), Condition::BadRequest);
}

#[test]
fn answers_of_the_bridge_go_to_who_asked() {
    let mut scene = Scene::joined();
    let mut modify = ConferenceModify::new("m".parse().unwrap());
    modify.endpoints.push(EndpointModify::new("a1b2c3d4".parse().unwrap()));
    let ask = |scene: &mut Scene, modify: &ConferenceModify| {
        let mut outputs = scene.stanza(request(FOCUS, "get", Some(modify.to_element())));
        let Some(Output::Colibri(pending, asked)) = outputs.pop() else { panic!("{outputs:?}") };
        assert_eq!(asked, *modify);
        pending
    };
    let pending = ask(&mut scene, &modify);
    let [answer] = sent_of(scene.input(Input::Answer(pending, Ok(ConferenceModified::default())))).try_into().unwrap();
    assert_eq!((answer.attr("type"), answer.attr("to")), (Some("result"), Some(FOCUS)));
    assert!(answer.child("conference-modified", ns::COLIBRI2).is_some());
    let pending = ask(&mut scene, &modify);
    let refusal = ColibriError::new(Condition::ItemNotFound, Some(Reason::ConferenceNotFound), "gone");
    let [answer] = sent_of(scene.input(Input::Answer(pending, Err(refusal.clone())))).try_into().unwrap();
    assert_eq!(ColibriError::from_stanza_error(&StanzaError::of_stanza(&answer)), refusal);
    assert_eq!(ROOM, scene.brewery.settings.brewery.as_str());
}
