//! A digest of bytes that have come, so that what comes again is known without a copy of it.
//!
//! Only compared within one answer, so it need not stay the same between versions. No guard against
//! a server that wants two texts to have the same digest: such a server can send what it likes.

/// The digest of these bytes. Two lanes are kept, because one multiplication waits for the one before
/// it: an event of many megabytes is read at the speed of memory.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut last = [0; 32];
    last[..rest.len()].copy_from_slice(rest);
    let [mut even, mut odd] = [0, 1];
    for [a, b, c, d] in blocks.iter().chain([&last]).map(words) {
        (even, odd) = (mix(even ^ a, b), mix(odd ^ c, d));
    }
    mix(mix(even, odd), bytes.len() as u64)
}

fn words(block: &[u8; 32]) -> [u64; 4] {
    let (words, _) = block.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

/// Both halves of the product count: in one of them alone, the last bits of a word would reach few.
fn mix(a: u64, b: u64) -> u64 {
    let a = u128::from(a ^ 0x9e37_79b9_7f4a_7c15);
    let product = a * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::digest;
    use std::collections::HashSet;

    #[test]
    fn every_bit_counts_wherever_it_stands() {
        let text = |len: u8| (0..len).collect::<Vec<u8>>();
        let mut seen = HashSet::new();
        for len in [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100] {
            assert!(seen.insert(digest(&text(len))), "{len} bytes");
            for at in 0..usize::from(len) {
                let mut other = text(len);
                for bit in 0..8 {
                    other[at] ^= 1 << bit;
                    assert!(seen.insert(digest(&other)), "bit {bit} of byte {at} of {len}");
                    other[at] ^= 1 << bit;
                }
            }
        }
        assert_ne!(digest(b"a"), digest(b"a\0"), "white space and zeros count too");
        assert_eq!(digest(&text(100)), digest(&text(100)));
    }
}
