//! Numbers and times as people read them.

use std::time::{Duration, SystemTime};

use xmpp::datetime;

/// Stands where there is nothing to say.
pub(crate) const NOTHING: &str = "–";

/// Three digits that matter, no exponent.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NOTHING.to_owned()
    } else if size >= 1000.0 {
        // More digits than a float holds exactly do not occur.
        let whole = grouped(size.round() as u64);
        if value < 0.0 { format!("-{whole}") } else { whole }
    } else if size >= 99.95 || (size - size.round()).abs() <= size * 1e-9 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.9995 {
        format!("{value:.2}")
    } else if size >= 0.000_5 {
        format!("{value:.3}")
    } else {
        format!("{value:.5}")
    }
}

/// A count with a comma at each thousand.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With the unit that leaves few digits, of `units`: (factor, name) from the largest down.
pub(crate) fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // What would be rounded to a thousand of a unit takes the next.
    let unit = units.iter().find(|(factor, _)| value.abs() >= factor * 0.999_5).or(units.last());
    unit.map_or_else(|| number(value), |(factor, name)| format!("{} {name}", number(value / factor)))
}

/// Seconds.
pub(crate) fn seconds(value: f64) -> String {
    if value == 0.0 {
        return "0 s".to_owned();
    }
    scaled(value, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])
}

/// A time that may be missing.
pub(crate) fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| NOTHING.to_owned(), |time| seconds(time.as_secs_f64()))
}

/// `part` of `whole` in percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { NOTHING.to_owned() } else { format!("{} %", number(part as f64 / whole as f64 * 100.0)) }
}

/// Without control characters: a text of a server must not steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Hours, minutes and seconds since the start of something.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Date and time in UTC as of RFC 3339, to the millisecond. A time before 1970 is that of 1970.
pub(crate) fn utc(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    datetime::format_utc(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Date and time in UTC for people.
pub(crate) fn date(time: SystemTime) -> String {
    let text = utc(time);
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    format!("{} UTC", seconds.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        let texts = [0.0, 0.000_12, 0.012_34, 0.5, 1.234, 12.34, 99.99, 123.4, 1_234_567.0, -1500.0, 7.0].map(number);
        let expected = ["0", "0.00012", "0.012", "0.500", "1.23", "12.3", "100", "123", "1,234,567", "-1,500", "7"];
        assert_eq!(texts, expected);
        assert_eq!(number(f64::NAN), NOTHING);
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let texts = [0.0, 1.5, 0.0125, 0.000_31, 0.000_000_812, 0.999_9].map(seconds);
        assert_eq!(texts, ["0 s", "1.50 s", "12.5 ms", "310 µs", "812 ns", "1.00 s"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(utc(at(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(at(951_782_400_001)), "2000-02-29T00:00:00.001Z");
        assert_eq!(utc(at(4_107_542_399_999)), "2100-02-28T23:59:59.999Z");
        assert_eq!(date(at(1_795_905_226_789)), "2026-11-28 22:33:46 UTC");
    }

    #[test]
    fn a_part_of_nothing_is_not_said() {
        assert_eq!((percent(1, 8), percent(0, 0)), ("12.5 %".to_owned(), NOTHING.to_owned()));
        assert_eq!(
            (clock(Duration::from_secs(62)), clock(Duration::from_secs(3723))),
            ("1:02".into(), "1:02:03".into())
        );
    }
}
