//! The frame of a STUN message: header and attributes (RFC 8489 §5, §14), without integrity and without allocation.

/// RFC 8489 §5: what ties a response to its request.
pub(crate) type TransactionId = [u8; 12];

/// A message whose header and length are right. Nothing of it is authenticated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StunFrame<'a> {
    /// Class and method.
    pub(crate) message_type: u16,
    pub(crate) transaction: TransactionId,
    pub(crate) attributes: Attributes<'a>,
}

impl<'a> StunFrame<'a> {
    /// `None`: no STUN message, or more or less than one.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, attributes) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *header;
        let is_whole = usize::from(u16::from_be_bytes([l0, l1])) == attributes.len();
        ([c0, c1, c2, c3] == MAGIC_COOKIE && is_whole).then_some(Self {
            message_type: u16::from_be_bytes([t0, t1]),
            transaction,
            attributes: Attributes(attributes),
        })
    }
}

/// Type and value of each attribute, up to the first that does not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a0, a1, l0, l1], rest) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..len)?;
        // RFC 8489 §14: values are padded to a multiple of four bytes. The last one may lack its padding here.
        self.0 = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([a0, a1]), value))
    }
}

pub(crate) const HEADER_LEN: usize = 20;
pub(crate) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub(crate) const BINDING_REQUEST: u16 = 0x0001;
pub(crate) const BINDING_SUCCESS: u16 = 0x0101;
pub(crate) const BINDING_ERROR: u16 = 0x0111;
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
