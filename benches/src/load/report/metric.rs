//! A figure with a name and a unit.

use super::format;

/// What a value is in. Values are in the base unit that is named here; [`Unit::format`] chooses another for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Seconds.
    Time,
    /// Nanoseconds of CPU.
    Nanoseconds,
    /// Part of a whole, 0 to 1; in percent for people.
    Part,
    /// Bits a second.
    Bitrate,
    /// Bytes.
    Memory,
    /// How many.
    Count,
    /// How many a second.
    PerSecond,
    /// How many a minute.
    PerMinute,
    /// CPU seconds a second.
    Cores,
}

impl Unit {
    /// The base unit, in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "s",
            Self::Nanoseconds => "ns",
            Self::Part => "ratio",
            Self::Bitrate => "bit/s",
            Self::Memory => "B",
            Self::Count => "1",
            Self::PerSecond => "1/s",
            Self::PerMinute => "1/min",
            Self::Cores => "cores",
        }
    }

    /// Units that an operator may write, with their size in the base unit. Empty: none is written.
    #[must_use]
    pub const fn spellings(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Time => &[("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("ns", 1e-9)],
            Self::Nanoseconds => &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6)],
            Self::Part => &[("%", 0.01)],
            Self::Bitrate => &[("bps", 1.0), ("kbps", 1e3), ("Mbps", 1e6), ("Gbps", 1e9)],
            Self::Memory => &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)],
            Self::Count | Self::PerSecond | Self::PerMinute | Self::Cores => &[],
        }
    }

    /// A value for people.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Time => format::seconds(value),
            Self::Nanoseconds => format!("{} ns", format::number(value)),
            Self::Part => format!("{} %", format::number(value * 100.0)),
            Self::Bitrate => {
                format::scaled(value, &[(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")])
            }
            Self::Memory => format::scaled(value, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")]),
            Self::Count => format::number(value),
            Self::PerSecond => format!("{}/s", format::number(value)),
            Self::PerMinute => format!("{}/min", format::number(value)),
            Self::Cores => format!("{} cores", format::number(value)),
        }
    }

    /// A value at a tick of an axis: without the zeros that a round number does not need, and without `cores`.
    #[must_use]
    pub(super) fn format_tick(self, value: f64) -> String {
        let text = if self == Self::Cores { format::number(value) } else { self.format(value) };
        let (number, unit) = text.split_once(' ').map_or((text.as_str(), None), |(number, unit)| (number, Some(unit)));
        let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
        unit.map_or_else(|| number.to_owned(), |unit| format!("{number} {unit}"))
    }
}

/// Which of two values an operator prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
    /// It depends.
    Neither,
}

/// A figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// In JSON and in expectations: lower case, digits and `_`.
    pub name: String,
    /// For people.
    pub label: String,
    /// Of [`Self::value`].
    pub unit: Unit,
    /// Which way is up.
    pub better: Better,
    /// `None` where nothing was measured that would give it.
    pub value: Option<f64>,
}

impl Metric {
    /// The value for people.
    #[must_use]
    pub fn text(&self) -> String {
        self.value.map_or_else(|| format::NOTHING.to_owned(), |value| self.unit.format(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_have_no_needless_zeros() {
        let texts = [
            Unit::Cores.format_tick(0.8),
            Unit::Part.format_tick(0.006),
            Unit::Time.format_tick(0.0015),
            Unit::Count.format_tick(100.0),
            Unit::Memory.format_tick(0.0),
        ];
        assert_eq!(texts, ["0.8", "0.6 %", "1.5 ms", "100", "0 B"]);
    }

    #[test]
    fn values_have_the_unit_that_people_expect() {
        let texts = [
            Unit::Time.format(0.0021),
            Unit::Nanoseconds.format(4210.0),
            Unit::Part.format(0.0012),
            Unit::Bitrate.format(12_300_000.0),
            Unit::Memory.format(512e6),
            Unit::Count.format(20.0),
            Unit::PerSecond.format(54_800.0),
            Unit::PerMinute.format(0.25),
            Unit::Cores.format(1.5),
        ];
        let expected =
            ["2.10 ms", "4,210 ns", "0.120 %", "12.3 Mbit/s", "512 MB", "20", "54,800/s", "0.250/min", "1.50 cores"];
        assert_eq!(texts, expected);
    }
}
