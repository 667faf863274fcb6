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
use crate::keys::SourceId;
use crate::negotiated::{AudioSource, VideoSource};

/// All sources of a conference with their owners, videos of recent speakers first.
struct Available {
    videos: Vec<(usize, VideoSource)>,
    audio: Vec<(usize, AudioSource)>,
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

    /// Tells the owner of a source the largest picture that anyone wants of it, if that is new.
    fn constrain_sender(&mut self, owner: usize, video: &VideoSource, most: MaxHeight, context: &mut Context<'_>) {
        let Some(owner) = self.endpoints.get_mut(owner) else { return };
        if owner.sender_constraints.insert(video.name.clone(), most) != Some(most) {
            let message = SenderSourceConstraints { source_name: video.name.clone(), max_height: most.to_wire() };
            tell(owner, &BridgeMessage::SenderSourceConstraints(message), context);
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
    /// Gives the endpoint the streams that it wants.
    fn allocate(&mut self, available: &Available, context: &mut Context<'_>) {
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
        self.heights = selected.iter().map(|(video, max_height)| (video.id, *max_height)).collect();
        let videos = others.iter().map(|video| {
            let max_height = self.heights.get(&video.id).copied().unwrap_or(MaxHeight::NOTHING);
            (video.id, max_height)
        });
        let audio = available.audio.iter().filter(|(owner, _)| *owner != self.key).map(|(_, audio)| {
            let is_wanted = self.audio.wants(&audio.name);
            (audio.id, if is_wanted { MaxHeight::UNLIMITED } else { MaxHeight::NOTHING })
        });
        let wanted: Vec<_> = videos.chain(audio).collect();
        for (source, max_height) in wanted {
            self.subscribe(source, max_height, context);
        }
        let forwarded: Vec<SourceName> = selected.iter().map(|(video, _)| video.name.clone()).collect();
        if self.forwarded.as_ref() != Some(&forwarded) {
            self.forwarded = Some(forwarded.clone());
            let message = BridgeMessage::ForwardedSources(ForwardedSources { forwarded_sources: forwarded });
            tell(self, &message, context);
        }
    }
}

impl Endpoint {
    /// Tells the data plane what the endpoint wants of a source, if that is new.
    fn subscribe(&mut self, source: SourceId, max_height: MaxHeight, context: &mut Context<'_>) {
        let before = match self.subscriptions.binary_search_by_key(&source, |(source, _)| *source) {
            Ok(at) => self.subscriptions.get_mut(at).map(|known| std::mem::replace(&mut known.1, max_height)),
            Err(_) if max_height == MaxHeight::NOTHING => None,
            Err(at) => {
                self.subscriptions.insert(at, (source, max_height));
                Some(MaxHeight::NOTHING)
            }
        };
        if let Some(before) = before.filter(|before| *before != max_height) {
            context.data_plane.subscribe(self.route, source, before, max_height);
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
