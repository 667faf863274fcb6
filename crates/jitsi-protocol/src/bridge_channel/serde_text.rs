//! Identifiers and kinds of `model` as JSON text.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use model::{SourceName, VideoType};
use serde::{Deserialize, Deserializer, Serializer, de};

/// A value by its `Display` and `FromStr`, with `#[serde(with = "serde_text")]`.
pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The counterpart of [`serialize`].
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// An optional value; a bad, blank or null one reads as none.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
    }
}

/// A list of names; those that are none are left out.
pub(super) mod list {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(T::to_string))
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }
}

/// A list that may be absent, which differs from an empty one.
pub(super) mod optional_list {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        list: &Option<Vec<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match list {
            Some(list) => super::list::serialize(list, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<T>>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?;
        Ok(texts.map(|texts| texts.iter().filter_map(|text| text.parse().ok()).collect()))
    }
}

/// An object by source name that may be absent.
pub(super) mod optional_by_source {
    use super::{BTreeMap, Deserialize, Deserializer, Serializer, SourceName};

    pub(in super::super) fn serialize<T: serde::Serialize, S: Serializer>(
        map: &Option<BTreeMap<SourceName, T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match map {
            Some(map) => serializer.collect_map(map.iter().map(|(name, value)| (name.as_str(), value))),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeMap<SourceName, T>>, D::Error> {
        let map = Option::<BTreeMap<String, T>>::deserialize(deserializer)?;
        Ok(map.map(|map| map.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect()))
    }
}

/// A video type; clients say `camera`, bridges `CAMERA` (JVB writes enum names), and both read either.
pub(super) mod video_type {
    use super::{Deserialize, Deserializer, Serializer, VideoType, de};

    pub(in super::super) fn serialize<S: Serializer>(value: &VideoType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_str())
    }

    pub(in super::super) fn serialize_upper<S: Serializer>(
        value: &VideoType,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.as_str().to_ascii_uppercase())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VideoType, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `active` of `EndpointConnectivityStatusChangeEvent`: `"true"` or `"false"` as text, which is what clients compare.
pub(super) mod bool_text {
    use super::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
