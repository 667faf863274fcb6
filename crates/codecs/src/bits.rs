//! Bits, the most significant first.

/// The bytes end inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBits;

/// Reads bits.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// From the bit `at` on.
    pub(crate) const fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Bits read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Result<bool, OutOfBits> {
        let byte = self.bytes.get(self.at / 8).ok_or(OutOfBits)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit != 0)
    }

    /// `f(n)`, `u(n)`: up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, OutOfBits> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// Up to 8 bits.
    pub(crate) fn small(&mut self, count: u32) -> Result<u8, OutOfBits> {
        self.bits(count).map(|value| value as u8)
    }

    /// `ns(n)`: a number below `n`, which is at least 1 (AOM RTP payload format, appendix A.8.2).
    pub(crate) fn non_symmetric(&mut self, n: u32) -> Result<u32, OutOfBits> {
        let (width, shorter) = non_symmetric_shape(n);
        let value = self.bits(width - 1)?;
        if value < shorter {
            return Ok(value);
        }
        Ok((value << 1 | u32::from(self.flag()?)) - shorter)
    }

    /// `ue(v)`, Exp-Golomb (ITU-T H.264 §9.1); also `uvlc()` of AV1 §4.10.3.
    pub(crate) fn exp_golomb(&mut self) -> Result<u32, OutOfBits> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(OutOfBits);
            }
        }
        Ok((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)` (ITU-T H.264 §9.1.1).
    pub(crate) fn signed_exp_golomb(&mut self) -> Result<i32, OutOfBits> {
        let code = i64::from(self.exp_golomb()?);
        Ok(if code & 1 == 1 { (code + 1) / 2 } else { -code / 2 } as i32)
    }
}

/// Writes bits into a buffer of the caller. What has no room is counted and left out.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    dest: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) const fn new(dest: &'a mut [u8]) -> Self {
        Self { dest, at: 0 }
    }

    /// One bit.
    pub(crate) fn flag(&mut self, is_set: bool) {
        if let Some(byte) = self.dest.get_mut(self.at / 8) {
            let mask = 0x80 >> (self.at % 8);
            *byte = if is_set { *byte | mask } else { *byte & !mask };
        }
        self.at += 1;
    }

    /// The low `count` bits of a value.
    pub(crate) fn bits(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            self.flag(value >> bit & 1 != 0);
        }
    }

    /// As [`BitReader::non_symmetric`] reads it.
    pub(crate) fn non_symmetric(&mut self, n: u32, value: u32) {
        let (width, shorter) = non_symmetric_shape(n);
        match value.checked_sub(shorter) {
            None => self.bits(width - 1, value),
            Some(_) => self.bits(width, value + shorter),
        }
    }

    /// Fills the last byte with zeros; answers how many bytes there are, of which some may have had no room.
    pub(crate) fn finish(mut self) -> usize {
        while !self.at.is_multiple_of(8) {
            self.flag(false);
        }
        self.at / 8
    }
}

/// Bits of the longer numbers below `n`, and how many numbers take one bit less.
const fn non_symmetric_shape(n: u32) -> (u32, u32) {
    let width = u32::BITS - n.leading_zeros();
    (width, (1 << width) - n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_symmetric_numbers_are_read_as_written() {
        for n in 1..=33 {
            for value in 0..n {
                let mut bytes = [0; 2];
                let mut writer = BitWriter::new(&mut bytes);
                writer.non_symmetric(n, value);
                writer.bits(3, 0b101);
                assert!(writer.finish() <= 2);
                let mut reader = BitReader::new(&bytes);
                assert_eq!(reader.non_symmetric(n), Ok(value));
                assert_eq!(reader.bits(3), Ok(0b101), "{n} {value}");
            }
        }
    }

    #[test]
    fn exp_golomb_of_the_standard() {
        // ITU-T H.264 table 9-2: 1, 010, 011, 00100.
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0000]);
        let codes: Vec<_> = (0..4).map(|_| reader.exp_golomb()).collect();
        assert_eq!(codes, [Ok(0), Ok(1), Ok(2), Ok(3)]);
        let mut signed = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<_> = (0..5).map(|_| signed.signed_exp_golomb()).collect();
        assert_eq!(codes, [Ok(0), Ok(1), Ok(-1), Ok(2), Ok(-2)]);
        assert_eq!(BitReader::new(&[0; 8]).exp_golomb(), Err(OutOfBits));
    }

    #[test]
    fn a_writer_counts_what_has_no_room() {
        let mut byte = [0xff; 1];
        let mut writer = BitWriter::new(&mut byte);
        writer.bits(12, 0x123);
        assert_eq!(writer.finish(), 2);
        assert_eq!(byte, [0x12]);
    }
}
