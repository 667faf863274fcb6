//! Values as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of a whole, from nothing to all; written `2.5%` or `0.025`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Fraction(f64);

/// A text or number that is no part of a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a part of a whole, like 1.5% or 0.015")]
pub struct InvalidFraction(String);

impl Fraction {
    /// Between 0 and 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = InvalidFraction;

    fn try_from(value: f64) -> Result<Self, InvalidFraction> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(InvalidFraction(value.to_string())) }
    }
}

impl FromStr for Fraction {
    type Err = InvalidFraction;

    fn from_str(text: &str) -> Result<Self, InvalidFraction> {
        let trimmed = text.trim();
        let number = match trimmed.strip_suffix('%') {
            Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
            None => trimmed.parse(),
        };
        let number = number.map_err(|_| InvalidFraction(text.to_owned()))?;
        Self::try_from(number).map_err(|_| InvalidFraction(text.to_owned()))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hundredths of a percent of a percent are the noise of floating point.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

impl From<Fraction> for String {
    fn from(fraction: Fraction) -> Self {
        fraction.to_string()
    }
}

/// As it stands in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl TryFrom<Written> for Fraction {
    type Error = InvalidFraction;

    fn try_from(written: Written) -> Result<Self, InvalidFraction> {
        match written {
            Written::Number(number) => Self::try_from(number),
            Written::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_and_parts_are_read_and_written() {
        for (text, value, written) in
            [("1%", 0.01, "1%"), (" 2.5 % ", 0.025, "2.5%"), ("0.1", 0.1, "10%"), ("0", 0.0, "0%")]
        {
            let fraction: Fraction = text.parse().unwrap();
            assert!((fraction.get() - value).abs() < 1e-12, "{text}");
            assert_eq!(fraction.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_part_of_a_whole_is_refused() {
        for text in ["101%", "-1%", "1.5", "a lot", "", "%", "NaN"] {
            assert!(text.parse::<Fraction>().is_err(), "{text}");
        }
    }
}
