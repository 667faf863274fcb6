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
use crate::negotiated::{AudioSource, LayerSsrcs, VideoSource};
use crate::shard::bitrates::LayerReport;
use crate::shard::layers::{LayerCap, Wanted};
use crate::ssrc_slots::{Change, MAX_SLOTS, SlotMid, SlotNames};

/// All sources of a conference with their owners: videos of recent speakers first, audio of those who sent some last.
struct Available {
    videos: Vec<(usize, VideoSource)>,
    audio: Vec<(usize, AudioSource)>,
    /// Layers of the videos, as they come.
    layers: BTreeMap<SourceId, LayerReport>,
    /// Names of endpoints by their places.
    owners: BTreeMap<usize, EndpointId>,
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
            receiver.subscriptions.retain(|(source, _)| known.contains(source));
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
            let most = demand.get(&video.id).copied().unwrap_or(MaxHeight::NOTHING);
            self.constrain_sender(*owner, video, most, context);
        }
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
        for (owner, video) in available.videos.iter().filter(|(owner, _)| *owner != key) {
            let (old, new) = (height(&before, video), height(&after, video));
            if old == new {
                continue;
            }
            let known = self.endpoints.get(*owner).and_then(|owner| owner.sender_constraints.get(&video.name).copied());
            let most = match known {
                // Somebody else wants more.
                Some(most) if old < most && new < most => continue,
                Some(most) if new >= most => new,
                // It may have been the one who wanted most: only then all are asked.
                Some(_) | None => {
                    let demands = self.endpoints.iter().map(|(_, receiver)| height(&receiver.heights, video));
                    demands.max().unwrap_or(MaxHeight::NOTHING)
                }
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

    /// Tells the owner of a source the largest picture that anyone wants of it, if that is new.
    fn constrain_sender(&mut self, owner: usize, video: &VideoSource, most: MaxHeight, context: &mut Context<'_>) {
        let Some(owner) = self.endpoints.get_mut(owner) else { return };
        if owner.sender_constraints.insert(video.name.clone(), most) != Some(most) {
            let message = SenderSourceConstraints { source_name: video.name.clone(), max_height: most.to_wire() };
            tell(owner, &BridgeMessage::SenderSourceConstraints(message), context);
        }
    }

    fn available(&self) -> Available {
        let speakers: BTreeMap<&EndpointId, usize> = self.speakers.by_recency().zip(0..).collect();
        let rank = |endpoint: &Endpoint| speakers.get(&endpoint.id).copied().unwrap_or(speakers.len());
        let mut ranked: Vec<(usize, usize, VideoSource)> = Vec::new();
        let mut audio = Vec::new();
        let mut owners = BTreeMap::new();
        let mut layers = BTreeMap::new();
        for (key, endpoint) in &self.endpoints {
            let rank = rank(endpoint);
            ranked.extend(endpoint.sources.video.iter().map(|video| (rank, key, video.clone())));
            audio.extend(endpoint.sources.audio.iter().map(|audio| (endpoint.last_audio, key, audio.clone())));
            layers.extend(endpoint.layers.iter().map(|(source, report)| (*source, *report)));
            owners.insert(key, endpoint.id.clone());
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
        let others: Vec<&VideoSource> =
            available.videos.iter().filter(|(owner, _)| *owner != self.key).map(|(_, video)| video).collect();
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
        let heard = available.audio.iter().filter(|(owner, _)| *owner != self.key);
        let heard: Vec<_> = heard.map(|(_, audio)| (audio.id, self.audio.wants(&audio.name))).collect();
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
                context.data_plane.rename(self.route, before, None);
            }
            context.data_plane.rename(self.route, source, Some(names));
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
        let before = match self.subscriptions.binary_search_by_key(&source, |(source, _)| *source) {
            Ok(at) => self.subscriptions.get_mut(at).map(|known| std::mem::replace(&mut known.1, wanted)),
            Err(_) if wanted.is_nothing() => None,
            Err(at) => {
                self.subscriptions.insert(at, (source, wanted));
                Some(Wanted::NOTHING)
            }
        };
        if let Some(before) = before.filter(|before| *before != wanted) {
            context.data_plane.subscribe(self.route, source, before, wanted);
        }
    }
}

/// Whether receivers can be shown anything of such a source.
const fn is_shown(video_type: VideoType) -> bool {
    match video_type {
        VideoType::Camera | VideoType::Desktop | VideoType::DesktopHighFps => true,
        VideoType::Disabled | VideoType::None => false,
    }
}
