//! Gateways to telephones and transcribers by what they say in their brewery, and which one a call gets
//! (`jicofo: JigasiDetector.kt`).

use std::collections::BTreeSet;

use indexmap::IndexMap;
use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::Jid;

/// Gateways of one brewery.
const MAX_INSTANCES: usize = 4096;

/// What a gateway is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JigasiTask {
    /// To call a telephone.
    Sip,
    /// To write down what is said.
    Transcription,
}

/// The gateways of a brewery.
#[derive(Debug, Default)]
pub(crate) struct JigasiDetector {
    instances: IndexMap<Jid, Instance>,
}

#[derive(Debug)]
struct Instance {
    supports_sip: bool,
    supports_transcription: bool,
    is_in_graceful_shutdown: bool,
    participants: u32,
    region: Option<String>,
}

impl Instance {
    fn new(stats: &BridgeStats) -> Self {
        let text = |wanted: &str| stats.others.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let is = |name| text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Self {
            supports_sip: is("supports_sip"),
            supports_transcription: is("supports_transcription"),
            is_in_graceful_shutdown: stats.graceful_shutdown.unwrap_or(false),
            participants: text("participants").and_then(|count| count.parse().ok()).unwrap_or(0),
            region: stats.region.clone(),
        }
    }

    const fn can(&self, task: JigasiTask) -> bool {
        match task {
            JigasiTask::Sip => self.supports_sip,
            JigasiTask::Transcription => self.supports_transcription,
        }
    }
}

impl JigasiDetector {
    /// A gateway said how it is.
    pub(crate) fn update(&mut self, jigasi: &Jid, stats: &BridgeStats) {
        if !self.instances.contains_key(jigasi) {
            if self.instances.len() >= MAX_INSTANCES {
                return tracing::warn!(%jigasi, "gateway ignored, there are {MAX_INSTANCES} already");
            }
            tracing::info!(%jigasi, "gateway added");
        }
        self.instances.insert(jigasi.clone(), Instance::new(stats));
    }

    pub(crate) fn remove(&mut self, jigasi: &Jid) {
        if self.instances.shift_remove(jigasi).is_some() {
            tracing::info!(%jigasi, "gateway removed");
        }
    }

    pub(crate) fn clear(&mut self) {
        self.instances.clear();
    }

    /// The gateway with the fewest participants that can do `task` and is not among those tried: in a region of `near` if
    /// there is one, else in a region of one of their groups, else in the focus's own, else anywhere.
    pub(crate) fn select(
        &self,
        task: JigasiTask,
        tried: &[Jid],
        near: &BTreeSet<String>,
        groups: &[Vec<String>],
        local_region: Option<&str>,
    ) -> Option<Jid> {
        let fits = |(jid, instance): &(&Jid, &Instance)| {
            instance.can(task) && !instance.is_in_graceful_shutdown && !tried.contains(jid)
        };
        let candidates: Vec<(&Jid, &Instance)> = self.instances.iter().filter(fits).collect();
        let is_near = |region: &str| near.contains(region);
        let is_in_group = |region: &str| {
            let has = |group: &&Vec<String>| group.iter().any(|known| known == region);
            groups.iter().filter(has).any(|group| group.iter().any(|known| near.contains(known)))
        };
        let is_local = |region: &str| local_region == Some(region);
        let steps: [&dyn Fn(&str) -> bool; 3] = [&is_near, &is_in_group, &is_local];
        let least = |is_wanted: &dyn Fn(Option<&str>) -> bool| {
            let wanted = candidates.iter().filter(|(_, instance)| is_wanted(instance.region.as_deref()));
            wanted.min_by_key(|(_, instance)| instance.participants).map(|(jid, _)| (*jid).clone())
        };
        steps.into_iter().find_map(|step| least(&|region| region.is_some_and(step))).or_else(|| least(&|_| true))
    }

    /// How many can call telephones, how many of these are about to end, and how many can transcribe.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let count =
            |is_counted: fn(&Instance) -> bool| self.instances.values().filter(|known| is_counted(known)).count();
        [
            count(|instance| instance.supports_sip),
            count(|instance| instance.supports_sip && instance.is_in_graceful_shutdown),
            count(|instance| instance.supports_transcription),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(nick: &str) -> Jid {
        format!("jigasibrewery@internal-muc.meet.jitsi/{nick}").parse().unwrap()
    }

    fn stats(participants: u32, region: &str, can: &str) -> BridgeStats {
        let others = [(can.to_owned(), "true".to_owned()), ("participants".to_owned(), participants.to_string())];
        BridgeStats { region: Some(region.to_owned()), others: others.to_vec(), ..BridgeStats::default() }
    }

    fn detector() -> JigasiDetector {
        let mut detector = JigasiDetector::default();
        detector.update(&jid("eu"), &stats(5, "eu-west", "supports_sip"));
        detector.update(&jid("eu-2"), &stats(3, "eu-central", "supports_sip"));
        detector.update(&jid("us"), &stats(1, "us", "supports_sip"));
        detector.update(&jid("scribe"), &stats(0, "us", "supports_transcription"));
        let ending = BridgeStats { graceful_shutdown: Some(true), ..stats(0, "eu-west", "supports_sip") };
        detector.update(&jid("ending"), &ending);
        detector
    }

    #[test]
    fn goes_by_region_then_group_then_own_region_then_load() {
        let detector = detector();
        let groups = [vec!["eu-west".to_owned(), "eu-central".to_owned()]];
        let near = |region: &str| BTreeSet::from([region.to_owned()]);
        let select = |tried: &[Jid], near: &BTreeSet<String>, local| {
            detector.select(JigasiTask::Sip, tried, near, &groups, local).unwrap().resource().unwrap().to_owned()
        };
        assert_eq!(select(&[], &near("eu-west"), None), "eu");
        assert_eq!(select(&[jid("eu")], &near("eu-west"), None), "eu-2");
        assert_eq!(select(&[], &near("asia"), Some("eu-central")), "eu-2");
        assert_eq!(select(&[], &BTreeSet::new(), None), "us");
        assert_eq!(select(&[jid("us")], &BTreeSet::new(), None), "eu-2");
    }

    #[test]
    fn only_those_who_can_and_stay_are_taken() {
        let mut detector = detector();
        let none = BTreeSet::new();
        let scribe = detector.select(JigasiTask::Transcription, &[], &none, &[], None);
        assert_eq!(scribe, Some(jid("scribe")));
        assert_eq!(detector.counts(), [4, 1, 1]);
        detector.remove(&jid("scribe"));
        assert_eq!(detector.select(JigasiTask::Transcription, &[], &none, &[], None), None);
        detector.clear();
        assert_eq!(detector.select(JigasiTask::Sip, &[], &none, &[], None), None);
    }
}
