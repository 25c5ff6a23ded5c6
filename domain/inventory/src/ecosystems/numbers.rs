//! Numbers in the byte order of the machine that an executable is for.

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    #[default]
    LittleEndian,
    BigEndian,
}

impl Order {
    /// The number of `width` bytes (8 at most) at a place.
    pub(crate) fn number(self, bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        let field = bytes.get(at..at.checked_add(width)?).filter(|_| width <= 8)?;
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self {
            Self::LittleEndian => field.iter().rev().fold(0, append),
            Self::BigEndian => field.iter().fold(0, append),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_read_and_nothing_beyond_the_end() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(Order::LittleEndian.number(&bytes, 1, 2), Some(0x0302));
        assert_eq!(Order::BigEndian.number(&bytes, 1, 2), Some(0x0203));
        assert_eq!(Order::BigEndian.number(&bytes, 3, 2), None);
        assert_eq!(Order::BigEndian.number(&bytes, usize::MAX, 2), None);
        assert_eq!(Order::BigEndian.number(&[1; 9], 0, 9), None);
    }
}
