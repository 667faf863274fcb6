//! Which packets of a stream were taken already (RFC 3711 §3.3.2).

use crate::error::SrtpError;

/// How far back the window remembers. The RFC asks for 64 at least; video at 2 000 packets a second reordered by half a
/// second must still pass.
pub const REPLAY_WINDOW_PACKETS: u64 = 1024;

const WORDS: usize = (REPLAY_WINDOW_PACKETS / 64) as usize;

/// Bit of a number: its place modulo the window. Bits are kept for `highest` and the 1023 numbers below it.
#[derive(Clone, Debug)]
pub(crate) struct ReplayWindow {
    highest: u64,
    bits: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen one packet.
    pub(crate) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, bits: [0; WORDS] };
        window.mark(index);
        window
    }

    /// The highest number taken.
    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether a packet with this number may be looked at. Changes nothing: it is not authenticated yet.
    pub(crate) fn check(&self, index: u64) -> Result<(), SrtpError> {
        match self.highest.checked_sub(index) {
            None => Ok(()),
            Some(age) if age >= REPLAY_WINDOW_PACKETS => Err(SrtpError::TooOld),
            Some(_) if self.is_marked(index) => Err(SrtpError::Replayed),
            Some(_) => Ok(()),
        }
    }

    /// Takes the number of a packet that passed [`Self::check`] and was authenticated.
    pub(crate) fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= REPLAY_WINDOW_PACKETS {
                self.bits = [0; WORDS];
            } else {
                // The places between stood for numbers that now fall out of the window.
                for skipped in self.highest + 1..index {
                    self.clear(skipped);
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn is_marked(&self, index: u64) -> bool {
        self.bits[place(index)] & bit(index) != 0
    }

    fn mark(&mut self, index: u64) {
        self.bits[place(index)] |= bit(index);
    }

    fn clear(&mut self, index: u64) {
        self.bits[place(index)] &= !bit(index);
    }
}

/// Below `WORDS` by the modulus.
const fn place(index: u64) -> usize {
    (index / 64 % WORDS as u64) as usize
}

const fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_number_once_in_any_order() {
        let mut window = ReplayWindow::starting_at(5000);
        let mut order: Vec<u64> = (4500..5400).filter(|index| *index != 5000).collect();
        let len = order.len();
        for i in 0..len {
            order.swap(i, i * 7919 % len);
        }
        for index in &order {
            assert_eq!(window.check(*index), Ok(()), "{index}");
            window.accept(*index);
            assert_eq!(window.check(*index), Err(SrtpError::Replayed));
        }
        assert!(order.iter().all(|index| window.check(*index).is_err()));
    }

    #[test]
    fn remembers_exactly_its_width() {
        let mut window = ReplayWindow::starting_at(10);
        window.accept(10 + REPLAY_WINDOW_PACKETS - 1);
        assert_eq!(window.check(10), Err(SrtpError::Replayed));
        assert_eq!(window.check(11), Ok(()));
        window.accept(10 + REPLAY_WINDOW_PACKETS);
        assert_eq!(window.check(10), Err(SrtpError::TooOld));
    }

    #[test]
    fn a_jump_forgets_what_fell_out_and_nothing_else() {
        let mut window = ReplayWindow::starting_at(0);
        for index in 1..2000 {
            window.accept(index);
        }
        window.accept(2100);
        for index in 2000..2100 {
            assert_eq!(window.check(index), Ok(()));
        }
        for index in 2101 - REPLAY_WINDOW_PACKETS..2000 {
            assert_eq!(window.check(index), Err(SrtpError::Replayed));
        }
        window.accept(1 << 40);
        assert_eq!(window.check((1 << 40) - 1), Ok(()));
        assert_eq!(window.check(1 << 40), Err(SrtpError::Replayed));
    }

    #[test]
    fn checking_changes_nothing() {
        let window = ReplayWindow::starting_at(7);
        assert_eq!(window.check(1 << 47), Ok(()));
        assert_eq!(window.check(8), Ok(()));
        assert_eq!(window.highest(), 7);
    }
}
