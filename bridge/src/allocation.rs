//! Who gets which sources, at which height, and what clients are told of it.
//!
//! Here: a receiver's constraints turned into its streams, and the demand of all receivers into what each sender is
//! asked for. Not here: the constraints themselves (`constraints`), which layer fulfils a height (`layers`).

mod bandwidth;
mod candidates;
mod division;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::bridge_channel::{
    AudioSourceMapping, AudioSourcesMap, BridgeMessage, ForwardedSources, SenderSourceConstraints, VideoSourceMapping,
    VideoSourcesMap,
};
use model::{EndpointId, SourceName, VideoType};

use crate::conference::{Conference, Context, tell};
use crate::constraints::MaxHeight;
use crate::endpoint::Endpoint;
use crate::keys::SourceId;
use crate::last_n::LastNLimits;
use crate::negotiated::{AudioSource, LayerSsrcs, Sources, VideoSource};
use crate::relay::Owner;
use crate::shard::bitrates::LayerReport;
use crate::shard::layers::{LayerCap, Wanted};
use crate::ssrc_slots::{Change, MAX_SLOTS, SlotMid, SlotNames};

/// All sources of a conference with their owners: videos of recent speakers first, audio of those who sent some last.
struct Available {
    videos: Vec<(Owner, VideoSource)>,
    audio: Vec<(Owner, AudioSource)>,
    /// Layers of the videos, as they come.
    layers: BTreeMap<SourceId, LayerReport>,
    owners: BTreeMap<Owner, EndpointId>,
    limits: LastNLimits,
}

/// A video that a receiver is to get, bandwidth permitting.
struct Selected<'a> {
    video: &'a VideoSource,
    max_height: MaxHeight,
    is_on_stage: bool,
    layers: LayerReport,
}

impl Conference {
    /// Decides again who gets which video and audio, and tells clients what changed for them. For changes of what there
    /// is to send: sources, endpoints that go, speakers.
    pub(crate) fn reallocate(&mut self, context: &mut Context<'_>) {
        let available = self.available();
        let videos = available.videos.iter().map(|(_, video)| video.id);
        let known: BTreeSet<SourceId> = videos.chain(available.audio.iter().map(|(_, audio)| audio.id)).collect();
        let mut demand: BTreeMap<SourceId, MaxHeight> = BTreeMap::new();
        for (_, receiver) in &mut self.endpoints {
            receiver.subscriptions.retain(|source| known.contains(&source));
            if let Some(slots) = &mut receiver.slots {
                slots.retain(&known);
            }
            receiver.allocate(&available, context);
            for (source, max_height) in &receiver.heights {
                let most = demand.entry(*source).or_insert(MaxHeight::NOTHING);
                *most = (*most).max(*max_height);
            }
        }
        for (owner, video) in &available.videos {
            let here = demand.get(&video.id).copied().unwrap_or(MaxHeight::NOTHING);
            let most = here.max(self.relay_demand(*owner, &video.name));
            self.constrain_sender(*owner, video, most, context);
        }
        self.subscribe_relays(context);
    }

    /// As [`reallocate`](Self::reallocate), where one receiver wants something else or is new.
    pub(crate) fn reallocate_receiver(&mut self, key: usize, context: &mut Context<'_>) {
        let available = self.available();
        let Some(receiver) = self.endpoints.get_mut(key) else { return };
        let before = std::mem::take(&mut receiver.heights);
        receiver.allocate(&available, context);
        let after = receiver.heights.clone();
        let height = |heights: &BTreeMap<SourceId, MaxHeight>, video: &VideoSource| {
            heights.get(&video.id).copied().unwrap_or(MaxHeight::NOTHING)
        };
        for (owner, video) in available.videos.iter().filter(|(owner, _)| *owner != Owner::Local(key)) {
            let (old, new) = (height(&before, video), height(&after, video));
            if old == new {
                continue;
            }
            let known = self.told_wanted(*owner, video);
            let most = match known {
                // Somebody else wants more.
                Some(most) if old < most && new < most => continue,
                Some(most) if new >= most => new,
                // It may have been the one who wanted most: only then all are asked.
                Some(_) | None => self.most_wanted(*owner, video),
            };
            self.constrain_sender(*owner, video, most, context);
        }
    }

    /// Divides the bandwidth of some receivers again. What is asked of senders does not depend on it.
    pub(crate) fn divide_bandwidth(&mut self, receivers: &BTreeSet<usize>, context: &mut Context<'_>) {
        if receivers.is_empty() {
            return;
        }
        let available = self.available();
        for key in receivers {
            if let Some(receiver) = self.endpoints.get_mut(*key) {
                receiver.allocate(&available, context);
            }
        }
    }

    /// Divides what links to bridges like this one carry among the videos that are wanted behind them.
    pub(crate) fn divide_links(&mut self, context: &mut Context<'_>) {
        if !self.has_estimated_links() {
            return;
        }
        let available = self.available();
        let keys: Vec<usize> = self.relays.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(relay) = self.relays.get(key) else { continue };
            let wanted = available.videos.iter().filter(|(owner, _)| self.goes_to(*owner, relay));
            let shown = wanted.filter(|(_, video)| is_shown(video.video_type));
            let selected: Vec<Selected<'_>> = shown
                .map(|(_, video)| Selected {
                    video,
                    max_height: relay.demand(&video.name),
                    is_on_stage: false,
                    layers: available.layers.get(&video.id).copied().unwrap_or_default(),
                })
                .filter(|selected| selected.max_height > MaxHeight::NOTHING)
                .collect();
            if let Some(relay) = self.relays.get_mut(key) {
                relay.divide_bandwidth(&selected, context);
            }
        }
    }

    /// The tallest picture that anyone wants of a video, here or behind relays.
    pub(crate) fn most_wanted(&self, owner: Owner, video: &VideoSource) -> MaxHeight {
        let heights = self.endpoints.iter().filter_map(|(_, receiver)| receiver.heights.get(&video.id).copied());
        heights.max().unwrap_or(MaxHeight::NOTHING).max(self.relay_demand(owner, &video.name))
    }

    /// What the owner of a video was last told of that.
    fn told_wanted(&self, owner: Owner, video: &VideoSource) -> Option<MaxHeight> {
        let told = match owner {
            Owner::Local(key) => &self.endpoints.get(key)?.sender_constraints,
            Owner::Relayed(key) => &self.relayed.get(key)?.asked,
        };
        told.get(&video.name).copied()
    }

    /// Tells the owner of a source, or its bridge, the largest picture that anyone wants of it, if that is new.
    pub(crate) fn constrain_sender(
        &mut self,
        owner: Owner,
        video: &VideoSource,
        most: MaxHeight,
        context: &mut Context<'_>,
    ) {
        let owner = match owner {
            Owner::Local(owner) => owner,
            Owner::Relayed(owner) => return self.ask_of_relayed(owner, &video.name, most, context),
        };
        let Some(owner) = self.endpoints.get_mut(owner) else { return };
        if owner.sender_constraints.insert(video.name.clone(), most) != Some(most) {
            let message = SenderSourceConstraints { source_name: video.name.clone(), max_height: most.to_wire() };
            tell(owner, &BridgeMessage::SenderSourceConstraints(message), context);
        }
    }

    fn available(&self) -> Available {
        let speakers: BTreeMap<&EndpointId, usize> = self.speakers.by_recency().zip(0..).collect();
        let mut ranked: Vec<(usize, Owner, VideoSource)> = Vec::new();
        let mut audio = Vec::new();
        let mut owners = BTreeMap::new();
        let mut layers = BTreeMap::new();
        let mut add = |key, id: &EndpointId, sources: &Sources, last_audio, of: &BTreeMap<SourceId, LayerReport>| {
            let rank = speakers.get(id).copied().unwrap_or(speakers.len());
            ranked.extend(sources.video.iter().map(|video| (rank, key, video.clone())));
            audio.extend(sources.audio.iter().map(|audio| (last_audio, key, audio.clone())));
            layers.extend(of.iter().map(|(source, report)| (*source, *report)));
            owners.insert(key, id.clone());
        };
        for (key, endpoint) in &self.endpoints {
            add(Owner::Local(key), &endpoint.id, &endpoint.sources, endpoint.last_audio, &endpoint.layers);
        }
        for (key, endpoint) in &self.relayed {
            add(Owner::Relayed(key), &endpoint.id, &endpoint.sources, endpoint.last_audio, &endpoint.layers);
        }
        ranked.sort_by_key(|(rank, ..)| *rank);
        audio.sort_by_key(|(last_audio, ..)| Reverse(*last_audio));
        Available {
            videos: ranked.into_iter().map(|(_, key, video)| (key, video)).collect(),
            audio: audio.into_iter().map(|(_, key, audio)| (key, audio)).collect(),
            layers,
            owners,
            limits: self.limits.clone(),
        }
    }

    /// Tells a client with rewritten SSRCs what they stand for, all of them.
    pub(crate) fn tell_mapped(&mut self, key: usize, context: &mut Context<'_>) {
        let Some(slots) = self.endpoints.get(key).and_then(|endpoint| endpoint.slots.as_ref()) else { return };
        let (audio, video): (Vec<_>, Vec<_>) = (slots.audio.mapped().collect(), slots.video.mapped().collect());
        let available = self.available();
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        endpoint.tell_audio(&audio, &available, context);
        endpoint.tell_video(&video, &available, context);
    }
}

impl Endpoint {
    /// Gives the endpoint the streams that it wants.
    fn allocate(&mut self, available: &Available, context: &mut Context<'_>) {
        let others: Vec<&VideoSource> = available
            .videos
            .iter()
            .filter(|(owner, _)| *owner != Owner::Local(self.key))
            .map(|(_, video)| video)
            .collect();
        let shown: Vec<&VideoSource> = others.iter().copied().filter(|video| is_shown(video.video_type)).collect();
        let names: Vec<&SourceName> = shown.iter().map(|video| &video.name).collect();
        let most = if self.slots.is_some() { MAX_SLOTS } else { usize::MAX };
        let most = most.min(available.limits.most(others.len()));
        let selected: Vec<Selected<'_>> = self
            .constraints
            .select(&names)
            .into_iter()
            .filter_map(|(at, max_height)| {
                let video = *shown.get(at)?;
                let is_on_stage = self.constraints.is_on_stage(&video.name);
                let layers = available.layers.get(&video.id).copied().unwrap_or_default();
                Some(Selected { video, max_height, is_on_stage, layers })
            })
            .take(most)
            .collect();
        self.heights = selected.iter().map(|selected| (selected.video.id, selected.max_height)).collect();
        self.caps.retain(|source, _| self.heights.contains_key(source));
        self.divide_bandwidth(&selected, context);
        let videos = others.iter().map(|video| {
            let wanted = self.heights.get(&video.id).zip(self.cap(video.id));
            (video.id, wanted.map_or(Wanted::NOTHING, |(max_height, cap)| Wanted { max_height: *max_height, cap }))
        });
        let is_heard = |(owner, audio): &&(Owner, AudioSource)| *owner != Owner::Local(self.key) || audio.synthetic;
        let heard = available.audio.iter().filter(is_heard);
        let heard: Vec<_> = heard.map(|(_, audio)| (audio.id, self.audio.wants(audio))).collect();
        let videos: Vec<_> = videos.collect();
        let fitting = selected.iter().map(|selected| selected.video).filter(|video| self.cap(video.id).is_some());
        let fitting: Vec<_> = fitting.collect();
        let chosen: Vec<_> = fitting.iter().map(|video| video.id).collect();
        self.choose_slots(&chosen, &heard, available, context);
        let audio = heard.into_iter().map(|(source, is_wanted)| {
            // More microphones than slots: only those that are in use.
            let is_sent = is_wanted && self.slots.as_ref().is_none_or(|slots| slots.audio.has(source));
            (source, if is_sent { Wanted::up_to(MaxHeight::UNLIMITED) } else { Wanted::NOTHING })
        });
        let wanted: Vec<_> = videos.into_iter().chain(audio).collect();
        for (source, wanted) in wanted {
            self.subscribe(source, wanted, context);
        }
        let forwarded: Vec<SourceName> = fitting.iter().map(|video| video.name.clone()).collect();
        if self.forwarded.as_ref() != Some(&forwarded) {
            self.forwarded = Some(forwarded.clone());
            let message = BridgeMessage::ForwardedSources(ForwardedSources { forwarded_sources: forwarded });
            tell(self, &message, context);
        }
    }

    /// The highest layers of a video that fit. `None`: not even the lowest.
    fn cap(&self, video: SourceId) -> Option<LayerCap> {
        self.caps.get(&video).copied().unwrap_or(Some(LayerCap::UNLIMITED))
    }
}

/// With rewritten SSRCs.
impl Endpoint {
    /// Gives the sources that the endpoint gets their SSRCs, and tells the client before anything comes under them.
    fn choose_slots(
        &mut self,
        videos: &[SourceId],
        audio: &[(SourceId, bool)],
        available: &Available,
        context: &mut Context<'_>,
    ) {
        let Some(slots) = &mut self.slots else { return };
        let plane = &mut *context.data_plane;
        let heard = audio.iter().filter(|(_, is_wanted)| *is_wanted).map(|(source, _)| *source);
        let audio = slots.audio.choose(heard, || LayerSsrcs { primary: plane.random_ssrc(), rtx: None });
        let video = slots.video.choose(videos.iter().copied(), || LayerSsrcs {
            primary: plane.random_ssrc(),
            rtx: Some(plane.random_ssrc()),
        });
        let told = |changes: &[Change]| changes.iter().map(|change| (change.source, change.names)).collect::<Vec<_>>();
        self.tell_audio(&told(&audio), available, context);
        self.tell_video(&told(&video), available, context);
        for Change { source, names, before } in audio.into_iter().chain(video) {
            if let Some(before) = before {
                self.subscribe(before, Wanted::NOTHING, context);
                context.data_plane.rename(self.connection.route, before, None);
            }
            context.data_plane.rename(self.connection.route, source, Some(names));
        }
    }

    fn tell_audio(&mut self, mapped: &[(SourceId, SlotNames)], available: &Available, context: &mut Context<'_>) {
        let mapped_sources = mapped.iter().filter_map(|(id, names)| {
            let (owner, source) = available.audio.iter().find(|(_, audio)| audio.id == *id)?;
            let owner = available.owners.get(owner).cloned();
            let (ssrc, mid) = (names.ssrcs.primary, names.mid.and_then(SlotMid::to_mid));
            Some(AudioSourceMapping { source: source.name.clone(), owner, ssrc, mid })
        });
        let mapped_sources: Vec<_> = mapped_sources.collect();
        if !mapped_sources.is_empty() {
            tell(self, &BridgeMessage::AudioSourcesMap(AudioSourcesMap { mapped_sources }), context);
        }
    }

    fn tell_video(&mut self, mapped: &[(SourceId, SlotNames)], available: &Available, context: &mut Context<'_>) {
        let mapped_sources = mapped.iter().filter_map(|(id, names)| {
            let (owner, source) = available.videos.iter().find(|(_, video)| video.id == *id)?;
            let owner = available.owners.get(owner).cloned();
            let LayerSsrcs { primary: ssrc, rtx } = names.ssrcs;
            let (source, video_type) = (source.name.clone(), source.video_type);
            let mid = names.mid.and_then(SlotMid::to_mid);
            Some(VideoSourceMapping { source, owner, ssrc, rtx, video_type, mid })
        });
        let mapped_sources: Vec<_> = mapped_sources.collect();
        if !mapped_sources.is_empty() {
            tell(self, &BridgeMessage::VideoSourcesMap(VideoSourcesMap { mapped_sources }), context);
        }
    }
}

impl Endpoint {
    /// Tells the data plane what the endpoint gets of a source, if that is new.
    fn subscribe(&mut self, source: SourceId, wanted: Wanted, context: &mut Context<'_>) {
        self.subscriptions.set(self.connection.route, source, wanted, context.data_plane);
    }
}

/// Whether receivers can be shown anything of such a source.
const fn is_shown(video_type: VideoType) -> bool {
    match video_type {
        VideoType::Camera | VideoType::Desktop | VideoType::DesktopHighFps => true,
        VideoType::Disabled | VideoType::None => false,
    }
}
