//! Which frames of the encoding that a receiver gets go to it: spatial and temporal layers of VP8, VP9 and H.264 by their
//! place, those of anything with a dependency descriptor by its decode targets.
//!
//! A receiver goes down at once where it has all that the lower layers need, and up where it has all that the upper ones
//! need: at a key frame, and of temporal layers where the stream says so. Here: this choice for one stream to one receiver. Not
//! here: which layers it should get (`layers`), the switch between encodings and numbers (`send`).

use arrayvec::ArrayVec;
use model::{ExtSeqNum, PayloadType, Ssrc};

use super::dependencies::{Brings, Dependencies, DependencyFields};
use super::layers::MAX_SPATIAL;
use super::packet::{Descriptor, Mark, Numbers};

/// Pictures that a temporal layer waits for a place to begin at before a key frame is asked for: as long as two of the
/// longest patterns that encoders have.
const MAX_WAITING_PICTURES: u8 = 64;

/// Changes that late packets are told by: as many as may follow each other within the longest round trip.
const MAX_EARLIER: usize = 8;

/// The highest layers of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// All up to these layers.
    Layers(Limit),
    /// A decode target of one of the stream's structures.
    Target { structure: u8, target: u8 },
}

impl Admission {
    pub(crate) fn admits(self, packet: &Descriptor) -> bool {
        match (self, &packet.numbers) {
            (Self::Layers(limit), Numbers::None | Numbers::Vp8(_) | Numbers::Vp9(_)) => {
                let frame = packet.frame;
                frame.temporal <= limit.temporal
                    && (frame.spatial == limit.spatial
                        || frame.spatial < limit.spatial && !frame.is(Mark::NotForUpperSpatial))
            }
            (Self::Target { structure, target }, Numbers::Dependency(fields)) => {
                fields.structure == structure && fields.present >> target & 1 != 0
            }
            (Self::Layers(_), Numbers::Dependency(_))
            | (Self::Target { .. }, Numbers::None | Numbers::Vp8(_) | Numbers::Vp9(_)) => false,
        }
    }
}

/// What passes, and what it means for packets that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) admission: Admission,
    /// The spatial layer that ends each picture.
    pub(crate) top_spatial: u8,
    /// Decode targets that the receiver can decode, and the frame from which on that is so.
    pub(crate) targets: u32,
    pub(crate) targets_since: u16,
}

impl Pass {
    const fn layers(limit: Limit) -> Self {
        Self { admission: Admission::Layers(limit), top_spatial: limit.spatial, targets: u32::MAX, targets_since: 0 }
    }

    fn target(dependencies: &Dependencies, target: u8, fields: &DependencyFields) -> Self {
        let known = dependencies.target(target).copied().unwrap_or_default();
        Self {
            admission: Admission::Target { structure: dependencies.id, target },
            top_spatial: known.spatial.min(MAX_SPATIAL),
            targets: known.within,
            targets_since: fields.frame_number,
        }
    }
}

/// What passes from a packet on.
#[derive(Clone, Copy, Debug)]
struct Since {
    source: Ssrc,
    payload_type: PayloadType,
    seq: ExtSeqNum,
    pass: Pass,
}

impl Since {
    /// Whether a packet lies behind the begin.
    fn reaches(&self, packet: &Descriptor) -> bool {
        self.source == packet.ssrc && packet.seq >= self.seq
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to the receiver.
    Forward(Pass),
    /// It does not, on purpose.
    LeaveOut,
    /// It comes too late for anybody to know, or lies before all that the receiver got.
    Drop,
}

/// The choice for one stream to one receiver.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    current: Option<Since>,
    /// What passed before, the oldest first, for packets that come late.
    earlier: Option<Box<ArrayVec<Since, MAX_EARLIER>>>,
    /// Spatial layers of which the receiver got all frames since the last key frame, a bit each.
    held: u8,
    /// The picture that comes next can have temporal layers that were left out.
    can_move_up: bool,
    /// Pictures since a temporal layer waits for its begin.
    waiting: u8,
    /// The highest temporal layer that was seen since the last key frame.
    highest_temporal: u8,
    /// Nothing but a key frame brings what is wanted.
    needs_key_frame: bool,
    /// No frame has gone out yet that tells which decode targets are left.
    has_to_tell: bool,
    /// Of a stream with dependency descriptors.
    frames: Option<Box<FrameLog>>,
}

impl Selection {
    /// Begins with a packet that starts a key frame.
    pub(crate) fn start(&mut self, packet: &Descriptor, limit: Limit, dependencies: Option<&Dependencies>) -> Pass {
        let pass = match (packet.dependency(), dependencies) {
            (Some(fields), Some(dependencies)) => {
                **self.frames.get_or_insert_default() = FrameLog::starting_at(fields.frame_number);
                Pass::target(dependencies, best_target(dependencies, fields, limit), fields)
            }
            (Some(_) | None, _) => Pass::layers(limit),
        };
        self.begin(packet, pass);
        pass
    }

    fn begin(&mut self, packet: &Descriptor, pass: Pass) {
        let Descriptor { ssrc: source, payload_type, seq, .. } = *packet;
        if let Some(before) = self.current.replace(Since { source, payload_type, seq, pass }) {
            let earlier = self.earlier.get_or_insert_default();
            if earlier.is_full() {
                earlier.remove(0);
            }
            earlier.push(before);
        }
        self.held = ((1_u16 << (pass.top_spatial + 1)) - 1) as u8;
        (self.can_move_up, self.waiting, self.needs_key_frame) = (false, 0, false);
        self.has_to_tell = true;
    }

    /// Decides about a packet of the encoding that is sent, or of the one before.
    pub(crate) fn select(&mut self, packet: &Descriptor, limit: Limit, dependencies: Option<&Dependencies>) -> Verdict {
        let is_current = self.current.is_some_and(|current| current.reaches(packet));
        if !is_current {
            let mut earlier = self.earlier.iter().flat_map(|earlier| earlier.iter().rev());
            let before = earlier.find(|before| before.reaches(packet));
            // One of another codec overtook the key frame that this begins with.
            return match before.filter(|before| before.payload_type == packet.payload_type) {
                Some(before) if before.pass.admission.admits(packet) => Verdict::Forward(before.pass),
                Some(_) => Verdict::LeaveOut,
                None => Verdict::Drop,
            };
        }
        if self.current.is_some_and(|current| current.payload_type != packet.payload_type) {
            return Verdict::Drop;
        }
        self.highest_temporal = self.highest_temporal.max(packet.frame.temporal);
        if packet.is_newest {
            match packet.dependency() {
                Some(fields) => self.select_target(packet, fields, limit, dependencies),
                None => self.select_layers(packet, limit),
            }
        }
        let Some(current) = &mut self.current else { return Verdict::Drop };
        let is_admitted = current.pass.admission.admits(packet);
        if !is_admitted && let Admission::Layers(passes) = current.pass.admission {
            if packet.frame.temporal > passes.temporal {
                // Whoever needs this frame cannot begin behind it.
                self.can_move_up = false;
            } else {
                // What is left out of a temporal layer, lower ones do not need; of a spatial layer all that follows does.
                self.held &= !(1 << packet.frame.spatial);
            }
        }
        if let (Some(fields), Some(frames)) = (packet.dependency(), &mut self.frames) {
            frames.note(fields.frame_number, is_admitted);
            if is_admitted && std::mem::take(&mut self.has_to_tell) {
                current.pass.targets_since = fields.frame_number;
            }
        }
        if is_admitted { Verdict::Forward(current.pass) } else { Verdict::LeaveOut }
    }

    /// Notes packets that went to the receiver in order up to the frame `frame_number`.
    pub(crate) fn note_forwarded(&mut self, frame_number: u16) {
        if let Some(frames) = &mut self.frames {
            frames.note_all_to(frame_number);
        }
    }

    /// Whether nothing but a key frame can bring the layers that are wanted.
    pub(crate) const fn needs_key_frame(&self) -> bool {
        self.needs_key_frame
    }

    /// Whether what passes is all that `limit` allows, so that nothing is waited for.
    pub(crate) fn is_settled(&self, packet: &Descriptor, limit: Limit, dependencies: Option<&Dependencies>) -> bool {
        let admission = self.current.map(|current| current.pass.admission);
        match (admission, packet.dependency(), dependencies) {
            (Some(Admission::Layers(passes)), ..) => passes == limit,
            (Some(Admission::Target { structure, target }), Some(fields), Some(dependencies)) => {
                structure == fields.structure && best_target(dependencies, fields, limit) == target
            }
            (Some(Admission::Target { .. }) | None, ..) => false,
        }
    }

    fn select_layers(&mut self, packet: &Descriptor, wanted: Limit) {
        let Some(Since { pass: Pass { admission: Admission::Layers(passes), .. }, .. }) = self.current else { return };
        let frame = packet.frame;
        if frame.is(Mark::PictureStart) {
            if frame.is(Mark::KeyFrame) {
                if passes != wanted {
                    self.begin(packet, Pass::layers(wanted));
                }
                self.begin_held(wanted);
            } else {
                self.move_layers(packet, passes, wanted);
            }
        }
        let Some(Since { pass: Pass { admission: Admission::Layers(passes), .. }, .. }) = self.current else { return };
        if frame.is(Mark::FrameStart) && Admission::Layers(passes).admits(packet) {
            self.can_move_up = frame.is(Mark::SwitchingUp);
        }
    }

    fn begin_held(&mut self, limit: Limit) {
        self.highest_temporal = 0;
        self.held = ((1_u16 << (limit.spatial + 1)) - 1) as u8;
        self.needs_key_frame = false;
    }

    /// At a picture that is no key frame.
    fn move_layers(&mut self, packet: &Descriptor, passes: Limit, wanted: Limit) {
        let mut next = passes;
        if wanted.temporal <= passes.temporal {
            next.temporal = wanted.temporal;
            self.waiting = 0;
        } else if self.can_move_up {
            next.temporal = wanted.temporal;
        } else {
            let frame = packet.frame;
            if frame.temporal == passes.temporal + 1 && frame.is(Mark::LayerSync) {
                // With the highest that there is, all is there.
                let is_all = frame.temporal >= self.highest_temporal;
                next.temporal = if is_all { wanted.temporal } else { frame.temporal };
            }
            // Without a temporal layer above nothing is missed.
            let is_missed = frame.temporal > next.temporal;
            self.waiting = self.waiting.saturating_add(u8::from(self.waiting > 0 || is_missed));
        }
        let is_held = self.held >> wanted.spatial & 1 != 0;
        if wanted.spatial < passes.spatial && is_held {
            next.spatial = wanted.spatial;
        }
        if next.temporal == wanted.temporal {
            self.waiting = 0;
        }
        if next != passes {
            let held = self.held;
            let can_move_up = self.can_move_up;
            let waiting = self.waiting;
            self.begin(packet, Pass::layers(next));
            (self.held, self.can_move_up, self.waiting) = (held, can_move_up, waiting);
        }
        self.needs_key_frame = next.spatial != wanted.spatial || self.waiting >= MAX_WAITING_PICTURES;
    }

    fn select_target(
        &mut self,
        packet: &Descriptor,
        fields: &DependencyFields,
        wanted: Limit,
        dependencies: Option<&Dependencies>,
    ) {
        let Some(Since { pass, .. }) = self.current else { return };
        let Admission::Target { structure, target } = pass.admission else { return };
        let Some(dependencies) = dependencies.filter(|_| fields.structure != 0) else {
            self.needs_key_frame = true;
            return;
        };
        if !packet.frame.is(Mark::FrameStart) {
            return;
        }
        let best = best_target(dependencies, fields, wanted);
        if packet.frame.is(Mark::KeyFrame) {
            **self.frames.get_or_insert_default() = FrameLog::starting_at(fields.frame_number);
            return self.begin(packet, Pass::target(dependencies, best, fields));
        }
        if fields.structure != structure {
            self.needs_key_frame = true;
            return;
        }
        if best == target {
            (self.needs_key_frame, self.waiting) = (false, 0);
            return;
        }
        let is_picture_start = packet.frame.is(Mark::PictureStart);
        let is_down = pass.targets >> best & 1 != 0;
        let has_same_spatial = dependencies.target(best).is_some_and(|target| target.spatial == pass.top_spatial);
        let is_up = fields.switching >> best & 1 != 0
            && (is_picture_start || has_same_spatial)
            && self.frames.as_ref().is_some_and(|frames| frames.can_decode(fields, dependencies, best));
        if is_picture_start && is_down || is_up {
            return self.begin(packet, Pass::target(dependencies, best, fields));
        }
        // Only temporal layers begin without a key frame, and they do so before long.
        self.waiting = self.waiting.saturating_add(u8::from(is_picture_start));
        let is_lower = has_same_spatial || is_down;
        self.needs_key_frame = !is_lower || self.waiting >= MAX_WAITING_PICTURES;
    }
}

fn best_target(dependencies: &Dependencies, fields: &DependencyFields, limit: Limit) -> u8 {
    dependencies.best(fields.active, limit.spatial, limit.temporal)
}

/// Which of the last frames of a stream the receiver was sent. What never came does not count: it might have been left out.
#[derive(Debug, Default)]
struct FrameLog {
    newest: u16,
    /// The lowest bit is for the newest.
    sent: u128,
}

impl FrameLog {
    const fn starting_at(frame_number: u16) -> Self {
        Self { newest: frame_number, sent: 1 }
    }

    fn note(&mut self, frame_number: u16, is_sent: bool) {
        let ahead = frame_number.wrapping_sub(self.newest);
        let behind = self.newest.wrapping_sub(frame_number);
        if ahead != 0 && ahead < 1 << 15 {
            self.sent = self.sent.checked_shl(u32::from(ahead)).unwrap_or(0) | u128::from(is_sent);
            self.newest = frame_number;
        } else if behind < u128::BITS as u16 {
            self.sent |= u128::from(is_sent) << behind;
        }
    }

    /// As [`note`](Self::note), with all frames from the newest on.
    fn note_all_to(&mut self, frame_number: u16) {
        let ahead = frame_number.wrapping_sub(self.newest);
        self.note(frame_number, true);
        if ahead < u128::BITS as u16 {
            self.sent |= (1 << ahead) - 1;
        }
    }

    /// Whether the receiver was sent a frame.
    fn has(&self, frame_number: u16) -> bool {
        let behind = self.newest.wrapping_sub(frame_number);
        behind < u128::BITS as u16 && self.sent >> behind & 1 != 0
    }

    /// Whether it has all that a frame refers to, and the chain of a target up to it.
    fn can_decode(&self, fields: &DependencyFields, dependencies: &Dependencies, target: u8) -> bool {
        let has = |diff: u16| diff != u16::MAX && self.has(fields.frame_number.wrapping_sub(diff));
        let chain = dependencies.target(target).and_then(|target| target.chain);
        let is_chain_whole =
            chain.is_none_or(|chain| fields.chain_diff(chain).is_some_and(|diff| diff == 0 || has(diff)));
        is_chain_whole && fields.references().all(has)
    }
}

/// Whether a packet may follow another without a look at the choice: it brings nothing that changes it.
pub(crate) fn is_plain(packet: &Descriptor) -> bool {
    !packet.frame.is(Mark::KeyFrame) && packet.dependency().is_none_or(|fields| fields.brings == Brings::Nothing)
}
