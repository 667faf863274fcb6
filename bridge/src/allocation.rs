//! Who gets which sources, at which height, and what clients are told of it.
//!
//! Here: a receiver's constraints turned into its streams, and the demand of all receivers into what each sender is
//! asked for. Not here: the constraints themselves (`constraints`), which layer fulfils a height (`layers`).

use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::bridge_channel::{BridgeMessage, ForwardedSources, SenderSourceConstraints};
use model::{EndpointId, SourceName, VideoType};

use crate::conference::{Conference, Context, tell};
use crate::constraints::MaxHeight;
use crate::endpoint::Endpoint;
use crate::negotiated::{AudioSource, LayerSsrcs, SourceId, VideoSource};
use crate::send::SendStream;

/// All sources of a conference with their owners, videos of recent speakers first.
struct Available {
    videos: Vec<(usize, VideoSource)>,
    audio: Vec<(usize, AudioSource)>,
}

impl Conference {
    /// Decides again who gets which video and audio, and tells clients what changed for them. For changes of what there
    /// is to send: sources, endpoints, speakers.
    pub(crate) fn reallocate(&mut self, context: &mut Context<'_>) {
        let available = self.available();
        let videos = available.videos.iter().map(|(_, video)| video.id);
        let known: BTreeSet<SourceId> = videos.chain(available.audio.iter().map(|(_, audio)| audio.id)).collect();
        for (_, receiver) in &mut self.endpoints {
            // First what is gone: a source that comes in its place may have its SSRC, and goes on behind its numbers.
            receiver.send.retain(|source| known.contains(&source));
            receiver.allocate(&available, context);
        }
        self.constrain_senders(&available, |_| true, context);
    }

    /// As [`reallocate`](Self::reallocate), where one receiver wants something else.
    pub(crate) fn reallocate_receiver(&mut self, key: usize, context: &mut Context<'_>) {
        let available = self.available();
        let Some(receiver) = self.endpoints.get_mut(key) else { return };
        let changed = receiver.allocate(&available, context);
        self.constrain_senders(&available, |source| changed.contains(&source), context);
    }

    /// Tells the owners of some sources the largest picture that anyone wants of them.
    fn constrain_senders(
        &mut self,
        available: &Available,
        is_affected: impl Fn(SourceId) -> bool,
        context: &mut Context<'_>,
    ) {
        for (owner, video) in available.videos.iter().filter(|(_, video)| is_affected(video.id)) {
            let demands = self.endpoints.iter().filter_map(|(_, receiver)| receiver.send.get(video.id));
            let most = demands.map(SendStream::max_height).max().unwrap_or(MaxHeight::NOTHING);
            let Some(owner) = self.endpoints.get_mut(*owner) else { continue };
            if owner.sender_constraints.insert(video.name.clone(), most) != Some(most) {
                let message = SenderSourceConstraints { source_name: video.name.clone(), max_height: most.to_wire() };
                tell(owner, &BridgeMessage::SenderSourceConstraints(message), context);
            }
        }
    }

    fn available(&self) -> Available {
        let mut speakers: Vec<&EndpointId> = self.speakers.dominant().into_iter().collect();
        speakers.extend(self.speakers.recent());
        let rank = |endpoint: &Endpoint| {
            speakers.iter().position(|speaker| **speaker == endpoint.id).unwrap_or(speakers.len())
        };
        let mut ranked: Vec<(usize, usize, VideoSource)> = Vec::new();
        let mut audio = Vec::new();
        for (key, endpoint) in &self.endpoints {
            let rank = rank(endpoint);
            ranked.extend(endpoint.sources.video.iter().map(|video| (rank, key, video.clone())));
            audio.extend(endpoint.sources.audio.iter().map(|audio| (key, audio.clone())));
        }
        ranked.sort_by_key(|(rank, ..)| *rank);
        Available { videos: ranked.into_iter().map(|(_, key, video)| (key, video)).collect(), audio }
    }
}

impl Endpoint {
    /// Gives the endpoint the streams that it wants. Answers the videos of which it wants another height than before.
    fn allocate(&mut self, available: &Available, context: &mut Context<'_>) -> BTreeSet<SourceId> {
        let others: Vec<&VideoSource> =
            available.videos.iter().filter(|(owner, _)| *owner != self.key).map(|(_, video)| video).collect();
        let shown: Vec<&VideoSource> = others.iter().copied().filter(|video| is_shown(video.video_type)).collect();
        let names: Vec<&SourceName> = shown.iter().map(|video| &video.name).collect();
        let selected: Vec<(&VideoSource, MaxHeight)> = self
            .constraints
            .select(&names)
            .into_iter()
            .filter_map(|(at, max_height)| Some((*shown.get(at)?, max_height)))
            .collect();
        let heights: BTreeMap<SourceId, MaxHeight> =
            selected.iter().map(|(video, max_height)| (video.id, *max_height)).collect();
        let mut changed = BTreeSet::new();
        for video in others {
            let max_height = heights.get(&video.id).copied().unwrap_or(MaxHeight::NOTHING);
            let Some(ssrcs) = video.signaled() else { continue };
            let layers = || video.layers.iter().map(|layer| layer.primary).collect();
            let make = |first| SendStream::video(ssrcs, layers(), MaxHeight::NOTHING, first);
            if let Some(stream) = self.send.get_or_insert_with(video.id, ssrcs, make)
                && stream.set_max_height(max_height)
            {
                changed.insert(video.id);
            }
        }
        for (_, audio) in available.audio.iter().filter(|(owner, _)| *owner != self.key) {
            let max_height = if self.audio.wants(&audio.name) { MaxHeight::UNLIMITED } else { MaxHeight::NOTHING };
            let make = |first| SendStream::audio(audio.ssrc, max_height, first);
            let ssrcs = LayerSsrcs { primary: audio.ssrc, rtx: None };
            if let Some(stream) = self.send.get_or_insert_with(audio.id, ssrcs, make) {
                stream.set_max_height(max_height);
            }
        }
        let forwarded: Vec<SourceName> = selected.iter().map(|(video, _)| video.name.clone()).collect();
        if self.forwarded.as_ref() != Some(&forwarded) {
            self.forwarded = Some(forwarded.clone());
            let message = BridgeMessage::ForwardedSources(ForwardedSources { forwarded_sources: forwarded });
            tell(self, &message, context);
        }
        changed
    }
}

/// Whether receivers can be shown anything of such a source.
const fn is_shown(video_type: VideoType) -> bool {
    match video_type {
        VideoType::Camera | VideoType::Desktop | VideoType::DesktopHighFps => true,
        VideoType::Disabled | VideoType::None => false,
    }
}
