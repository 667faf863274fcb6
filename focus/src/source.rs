//! Sources: what each endpoint sends, what may be added, and what the others are told.
//!
//! Here: pure sets and their forms in Jingle and Colibri2. Not here: sessions (`conference`).

mod encode;
mod endpoint_source_set;
mod signaling;
mod validating;

pub(crate) use encode::{encode_json, encode_xml, media_sources, of_contents};
pub(crate) use endpoint_source_set::{EndpointSource, EndpointSourceSet};
pub(crate) use signaling::{SourceChange, SourceSignaling, visible_to};
pub(crate) use validating::{SourceLimits, ValidatingConferenceSourceMap, ValidationFailed};
