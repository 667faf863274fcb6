//! Numbers of limited width without their wrap.

/// Before the first so many numbers have room.
const START: u64 = 1 << 32;

/// Extends numbers by the wrap nearest to the newest.
#[derive(Debug)]
pub(super) struct Extender {
    newest: Option<u64>,
}

impl Extender {
    pub(super) const fn new() -> Self {
        Self { newest: None }
    }

    /// A number of `width_bits`, at most 16.
    pub(super) fn extend(&mut self, number: u16, width_bits: u32) -> u64 {
        let (modulus, number) = (1_u64 << width_bits, u64::from(number));
        let newest = self.newest.unwrap_or(START + number);
        let ahead = number.wrapping_sub(newest) & (modulus - 1);
        let extended = if ahead < modulus / 2 { newest + ahead } else { (newest + ahead).saturating_sub(modulus) };
        self.newest = Some(newest.max(extended));
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_across_the_wrap_in_either_direction() {
        let mut extender = Extender::new();
        let extended: Vec<_> = [126, 127, 1, 0, 3].map(|number| extender.extend(number, 7) - START).to_vec();
        assert_eq!(extended, [126, 127, 129, 128, 131]);
    }
}
