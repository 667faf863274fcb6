//! Sequence numbers of plaintext records that go out (RFC 6347 §4.1, §4.2.4).
//!
//! COMPAT: before it knows the version, dimpl 0.9 sends its ClientHello again under the record number of the first
//! time. A server with a replay window, such as OpenSSL's, drops every copy behind the first: a lost answer ended the
//! handshake. Plaintext records are authenticated by nothing that holds their number, so it can be set here; records
//! whose numbers go on as they should are left alone.

use crate::fragments::Record;

/// Gives each plaintext record a number of its own.
#[derive(Debug, Default)]
pub(crate) struct PlaintextNumbers {
    next: u64,
}

/// Where the epoch and the 48 bits of the number stand in a record.
const EPOCH_AND_NUMBER: std::ops::Range<usize> = 3..11;

impl PlaintextNumbers {
    /// Sets the numbers of a datagram that is about to leave.
    pub(crate) fn handle_datagram(&mut self, datagram: &mut [u8]) {
        let mut rest = datagram;
        while let Some(len) = Record::split(rest).map(|(record, _)| record.bytes.len()) {
            let Some((record, after)) = rest.split_at_mut_checked(len) else { return };
            rest = after;
            let Some(field) = record.get_mut(EPOCH_AND_NUMBER).and_then(|field| field.as_mut_array::<8>()) else {
                return;
            };
            let number = u64::from_be_bytes(*field);
            // Other epochs have the number in their encryption, and lie above 48 bits.
            if number >> 48 != 0 {
                continue;
            }
            let number = number.max(self.next);
            *field = number.to_be_bytes();
            self.next = number + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u16, number: u8) -> Vec<u8> {
        let [e0, e1] = epoch.to_be_bytes();
        vec![22, 0xfe, 0xfd, e0, e1, 0, 0, 0, 0, 0, number, 0, 2, 7, 7]
    }

    fn sent(numbers: &mut PlaintextNumbers, records: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut datagram = records.concat();
        numbers.handle_datagram(&mut datagram);
        datagram.chunks(15).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn a_number_that_came_before_is_replaced_and_others_stay() {
        let mut numbers = PlaintextNumbers::default();
        assert_eq!(sent(&mut numbers, &[record(0, 0), record(0, 1)]), [record(0, 0), record(0, 1)]);
        assert_eq!(sent(&mut numbers, &[record(0, 0), record(0, 1)]), [record(0, 2), record(0, 3)]);
        assert_eq!(sent(&mut numbers, &[record(0, 1)]), [record(0, 4)]);
        assert_eq!(sent(&mut numbers, &[record(0, 9), record(1, 0)]), [record(0, 9), record(1, 0)]);
        assert_eq!(sent(&mut numbers, &[record(1, 0)]), [record(1, 0)]);
    }
}
