//! What a packet of video is: its layers, where its frame begins and ends, and the numbers that receivers get anew. Said once
//! for all of them.
//!
//! VP8 and VP9 tell it in their payload descriptors, which stay clear under end-to-end encryption; a dependency descriptor
//! beside those is not looked at, and not sent on. But libwebrtc leaves all out of the payload descriptor of VP8 that its
//! dependency descriptor tells: such packets, and those of all other codecs, are read by that. Where there is none it is what the
//! payload tells: of H.264 that a picture may be left out, of AV1 where a key frame begins.

use std::sync::Arc;
use std::time::Instant;

use codecs::{Av1Payload, H264Payload, Vp8Descriptor, Vp9Descriptor};
use model::{RtpTimestamp, SeqNum};
use rtp::{ExtensionElement, RtpView};

use super::dependencies::{Brings, Dependencies, DependencyReader};
use super::layers::{LayerActivity, MAX_SPATIAL};
use super::packet::{FrameLayer, Mark, Numbers};
use crate::counters::DropReason;
use crate::negotiated::Codec;

/// A packet with its place in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) view: &'a RtpView<'a>,
    /// Where it starts in its slot.
    pub(crate) start: usize,
    pub(crate) codec: Codec,
    /// Nothing that was sent after it came before it.
    pub(crate) is_newest: bool,
    /// Its dependency descriptor, if that was negotiated.
    pub(crate) dependency_descriptor: Option<ExtensionElement<'a>>,
    pub(crate) now: Instant,
}

/// What a packet is.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) frame: FrameLayer,
    pub(crate) numbers: Numbers,
    /// The structure that begins with it.
    pub(crate) structure: Option<Arc<Dependencies>>,
}

impl Described {
    const fn plain(frame: FrameLayer) -> Self {
        Self { frame, numbers: Numbers::None, structure: None }
    }
}

/// Reads the packets of one encoding.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    codec: Option<Codec>,
    /// Of the newest packet.
    last: Option<Last>,
    dependencies: Option<Box<DependencyReader>>,
}

/// The newest packet.
#[derive(Clone, Copy, Debug)]
struct Last {
    seq: SeqNum,
    timestamp: RtpTimestamp,
    marker: bool,
}

/// What came before a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The end of a picture: a new one begins.
    PictureEnd,
    /// Not known, but of another picture.
    OtherPicture,
    SamePicture,
}

impl Before {
    /// Whether a frame of a spatial layer that starts here is the first of its picture.
    fn starts_picture(self, spatial: u8) -> bool {
        match self {
            Self::PictureEnd => true,
            // Lower ones may have been lost.
            Self::OtherPicture => spatial == 0,
            Self::SamePicture => false,
        }
    }
}

impl FrameReader {
    /// Reads a packet with a payload, and notes what it tells of the layers of its source.
    pub(crate) fn read(
        &mut self,
        packet: &Arrived<'_>,
        encoding: u8,
        layers: Option<&mut LayerActivity>,
    ) -> Result<Described, DropReason> {
        let mut layers = layers;
        if packet.is_newest && self.codec != Some(packet.codec) && self.codec.replace(packet.codec).is_some() {
            // Structures are kept, for packets that were overtaken.
            if let Some(layers) = &mut layers {
                layers.reset();
            }
        }
        let before = self.before(packet);
        let is_new_time = before != Before::SamePicture;
        let mut told = Told { encoding, layers, now: packet.now };
        match (packet.codec, packet.dependency_descriptor) {
            (Codec::Vp8, element) => {
                let vp8 = Vp8Descriptor::parse(packet.view.payload()).map_err(|_| DropReason::Malformed)?;
                told.height(0, vp8.resolution.map(|resolution| resolution.height));
                match element.filter(|_| is_minimal(&vp8)) {
                    Some(element) => Ok(self.described(packet, &element, before, &mut told)),
                    None => Ok(plain_vp8(packet, &vp8)),
                }
            }
            (Codec::Vp9, _) => vp9(packet, before, &mut told),
            (Codec::Av1 | Codec::H264 | Codec::Other(_), Some(element)) => {
                Ok(self.described(packet, &element, before, &mut told))
            }
            (Codec::Av1, None) => Ok(av1(packet, is_new_time, &mut told)),
            (Codec::H264, None) => Ok(h264(packet, before, &mut told)),
            // Not looked into: a receiver that cannot decode asks for a key frame.
            (Codec::Other(_) | Codec::Opus | Codec::Red | Codec::Rtx(_), _) => {
                let frame = FrameLayer::default().with(Mark::KeyFrame, true);
                Ok(Described::plain(frame.with(Mark::PictureStart, is_new_time).with(Mark::FrameStart, is_new_time)))
            }
        }
    }

    fn before(&mut self, packet: &Arrived<'_>) -> Before {
        if !packet.is_newest {
            return Before::SamePicture;
        }
        let view = packet.view;
        let last = self.last.replace(Last { seq: view.seq(), timestamp: view.timestamp(), marker: view.marker() });
        match last {
            Some(last) if last.timestamp == view.timestamp() => Before::SamePicture,
            Some(last) if last.marker && last.seq.0.wrapping_add(1) == view.seq().0 => Before::PictureEnd,
            Some(_) | None => Before::OtherPicture,
        }
    }

    fn described(
        &mut self,
        packet: &Arrived<'_>,
        element: &ExtensionElement<'_>,
        before: Before,
        told: &mut Told<'_>,
    ) -> Described {
        // A slot has 1500 bytes.
        let start = u16::try_from(packet.start + element.offset).unwrap_or(u16::MAX);
        let reader = self.dependencies.get_or_insert_default();
        let read = reader.read(element.data, start, packet.is_newest);
        let Some(descriptor) = &read.descriptor else {
            return Described {
                frame: FrameLayer::default(),
                numbers: Numbers::Dependency(read.fields),
                structure: None,
            };
        };
        let has_structure = read.fields.brings == Brings::Structure;
        if has_structure
            && packet.is_newest
            && let Some(structure) = reader.structure()
        {
            let count = structure.templates().last().map_or(1, |last| last.spatial + 1);
            told.spatial_layers(count);
            for spatial in 0..count {
                told.height(spatial, structure.resolution(spatial).map(|resolution| resolution.height));
            }
        }
        if packet.is_newest && descriptor.active_decode_targets.is_some() {
            let sent = (0..=MAX_SPATIAL).rev().find(|spatial| reader.is_sent(*spatial));
            told.spatial_layers(sent.map_or(1, |top| top + 1));
        }
        let fields = descriptor.fields;
        let is_key = has_structure && fields.is_start_of_frame && descriptor.frame_diffs.as_slice().is_empty();
        let frame = FrameLayer::new(descriptor.spatial.min(MAX_SPATIAL), descriptor.temporal)
            .with(Mark::FrameStart, fields.is_start_of_frame)
            .with(Mark::FrameEnd, fields.is_end_of_frame)
            .with(Mark::PictureStart, fields.is_start_of_frame && before.starts_picture(descriptor.spatial))
            .with(Mark::KeyFrame, is_key)
            .with(Mark::NotForUpperSpatial, read.is_not_for_upper_spatial);
        Described { frame, numbers: Numbers::Dependency(read.fields), structure: read.structure }
    }
}

fn h264(packet: &Arrived<'_>, before: Before, told: &mut Told<'_>) -> Described {
    let is_new_time = before != Before::SamePicture;
    let marker = packet.view.marker();
    let marked = |frame: FrameLayer| {
        frame.with(Mark::FrameStart, is_new_time).with(Mark::PictureStart, is_new_time).with(Mark::FrameEnd, marker)
    };
    let Ok(payload) = H264Payload::parse(packet.view.payload()) else {
        return Described::plain(marked(FrameLayer::default()));
    };
    told.height(0, payload.resolution().map(|resolution| resolution.height));
    // Parameter sets come in front of the slices, where they come in the stream at all: none may have been lost.
    let is_key = payload.has_sps() || before == Before::PictureEnd && payload.is_key_frame_start();
    // Nothing refers to such a picture, so that the layer of them can begin anywhere.
    let temporal = u8::from(payload.is_discardable());
    let frame = FrameLayer::new(0, temporal).with(Mark::KeyFrame, is_key).with(Mark::SwitchingUp, true);
    Described::plain(marked(frame))
}

/// Whether the payload descriptor leaves everything to a dependency descriptor.
const fn is_minimal(vp8: &Vp8Descriptor) -> bool {
    vp8.picture_id.is_none() && vp8.temporal_layer.is_none()
}

fn plain_vp8(packet: &Arrived<'_>, vp8: &Vp8Descriptor) -> Described {
    let (temporal, is_layer_sync) = vp8.temporal_layer.map_or((0, false), |layer| (layer.id, layer.is_layer_sync));
    let is_start = vp8.is_frame_start();
    let frame = FrameLayer::new(0, temporal)
        .with(Mark::FrameStart, is_start)
        .with(Mark::PictureStart, is_start)
        .with(Mark::FrameEnd, packet.view.marker())
        .with(Mark::KeyFrame, vp8.is_key_frame_start)
        .with(Mark::LayerSync, is_layer_sync);
    Described { frame, numbers: Numbers::Vp8(vp8.picture()), structure: None }
}

fn vp9(packet: &Arrived<'_>, before: Before, told: &mut Told<'_>) -> Result<Described, DropReason> {
    let vp9 = Vp9Descriptor::parse(packet.view.payload()).map_err(|_| DropReason::Malformed)?;
    if let Some(structure) = vp9.structure.filter(|_| packet.is_newest) {
        told.spatial_layers(structure.spatial_layers());
        for spatial in 0..structure.spatial_layers() {
            told.height(spatial, structure.resolution(spatial).map(|resolution| resolution.height));
        }
    }
    let (temporal, is_switching_up) =
        vp9.layer.map_or((0, false), |layer| (layer.temporal, layer.is_switching_up_point));
    let frame = FrameLayer::new(vp9.spatial().min(MAX_SPATIAL), temporal)
        .with(Mark::FrameStart, vp9.is_frame_start)
        .with(Mark::FrameEnd, vp9.is_frame_end)
        .with(Mark::PictureStart, vp9.is_frame_start && before.starts_picture(vp9.spatial()))
        .with(Mark::KeyFrame, vp9.is_key_frame_start())
        .with(Mark::SwitchingUp, is_switching_up)
        .with(Mark::NotForUpperSpatial, vp9.is_not_reference_for_upper_spatial);
    Ok(Described { frame, numbers: Numbers::Vp9(vp9.picture()), structure: None })
}

fn av1(packet: &Arrived<'_>, is_new_time: bool, told: &mut Told<'_>) -> Described {
    let payload = Av1Payload::parse(packet.view.payload()).ok();
    told.height(0, payload.and_then(|payload| payload.resolution()).map(|resolution| resolution.height));
    let frame = FrameLayer::default()
        .with(Mark::FrameStart, is_new_time)
        .with(Mark::PictureStart, is_new_time)
        .with(Mark::FrameEnd, packet.view.marker())
        .with(Mark::KeyFrame, payload.is_some_and(|payload| payload.is_key_frame_start()));
    Described::plain(frame)
}

/// Where what a packet tells of layers is noted.
struct Told<'a> {
    encoding: u8,
    layers: Option<&'a mut LayerActivity>,
    now: Instant,
}

impl Told<'_> {
    fn height(&mut self, spatial: u8, height: Option<u16>) {
        if let (Some(height), Some(layers)) = (height, &mut self.layers) {
            layers.set_height(self.encoding, spatial, height);
        }
    }

    fn spatial_layers(&mut self, count: u8) {
        if let Some(layers) = &mut self.layers {
            layers.set_spatial_layers(self.encoding, count, self.now);
        }
    }
}
