//! Whose turn it is: lanes take turns by their shares, evenly spread.

/// Smooth weighted turns: with shares 60, 30 and 10, of ten turns the lanes have six, three and one, and
/// never all of one in a row.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    lanes: Vec<(i64, i64)>,
}

impl Turns {
    pub(super) fn new(shares: impl Iterator<Item = u32>) -> Self {
        Self { lanes: shares.map(|share| (i64::from(share.max(1)), 0)).collect() }
    }

    /// These lanes, the one whose turn it is first and the rest by urgency.
    pub(super) fn next(&mut self, among: &[usize]) -> Vec<usize> {
        let all: i64 = among.iter().map(|lane| self.lanes[*lane].0).sum();
        for lane in among {
            let (share, credit) = &mut self.lanes[*lane];
            *credit += *share;
        }
        // The first of those with most credit: the more urgent.
        let turn = among.iter().copied().rev().max_by_key(|lane| self.lanes[*lane].1);
        let mut order = Vec::with_capacity(among.len());
        if let Some(turn) = turn {
            self.lanes[turn].1 -= all;
            order.push(turn);
        }
        order.extend(among.iter().copied().filter(|lane| Some(*lane) != turn));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_turns(turns: &mut Turns, among: &[usize], count: usize) -> Vec<usize> {
        (0..count).map(|_| turns.next(among)[0]).collect()
    }

    #[test]
    fn turns_follow_shares_and_none_starves() {
        let mut turns = Turns::new([60, 30, 10].into_iter());
        let firsts = first_turns(&mut turns, &[0, 1, 2], 100);
        let of = |lane| firsts.iter().filter(|first| **first == lane).count();
        assert_eq!((of(0), of(1), of(2)), (60, 30, 10));
        assert!(firsts.windows(4).all(|w| w.iter().any(|lane| *lane != 0)), "{firsts:?}");
    }

    #[test]
    fn the_rest_follows_by_urgency() {
        let mut turns = Turns::new([1, 1, 1].into_iter());
        assert_eq!(turns.next(&[0, 1, 2]), [0, 1, 2]);
        assert_eq!(turns.next(&[0, 1, 2]), [1, 0, 2]);
        assert_eq!(turns.next(&[0, 1, 2]), [2, 0, 1]);
        assert_eq!(first_turns(&mut turns, &[2], 2), [2, 2]);
    }
}
