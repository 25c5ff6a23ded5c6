//! `--exit-code-map`: an exit code of its own for each state in which a result is not to be trusted.
//!
//! 4 is the code of all of them, as pipelines know it. Who wants to tell them apart asks for it.

use std::str::FromStr;

use model::GapKind;

use super::failure::Exit;

/// The code that each state has when `states` is asked for. 4 at the front, so that they are seen to be of one class.
const USUAL: [(GapKind, u8); 7] = [
    (GapKind::NoFeeds, 40),
    (GapKind::UnknownDistro, 41),
    (GapKind::MissingFeed, 42),
    (GapKind::ThirdParty, 43),
    (GapKind::PartialScan, 44),
    (GapKind::EndOfLife, 45),
    (GapKind::LateFeed, 46),
];

/// Which state ends with which code; those without one end with 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ExitMap([Option<u8>; GapKind::ALL.len()]);

impl ExitMap {
    /// The code of a result with these states, of which the first counts.
    pub(super) fn exit(self, states: &[GapKind]) -> Exit {
        let code = states.first().and_then(|state| self.0[place(*state)]);
        code.map_or(Exit::Untrusted, Exit::Mapped)
    }
}

impl FromStr for ExitMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut map = Self::default();
        for pair in text.split(',') {
            if pair == "states" {
                USUAL.iter().for_each(|(state, code)| map.0[place(*state)] = Some(*code));
                continue;
            }
            let (word, code) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not STATE=CODE"))?;
            let state = GapKind::from_word(word).ok_or_else(|| {
                let words = GapKind::ALL.map(GapKind::as_str).join(", ");
                format!("{word:?} is no state: use {words}")
            })?;
            let code: u8 = code.parse().map_err(|_| format!("{code:?} is no exit code: use 0 to 255"))?;
            map.0[place(state)] = Some(code);
        }
        Ok(map)
    }
}

fn place(state: GapKind) -> usize {
    GapKind::ALL.iter().position(|known| *known == state).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_code_that_it_was_given_and_else_the_one_of_all() {
        let exit = |map: &str, states: &[GapKind]| map.parse::<ExitMap>().unwrap().exit(states).code();
        let both = [GapKind::UnknownDistro, GapKind::PartialScan];
        assert_eq!(ExitMap::default().exit(&both).code(), 4);
        assert_eq!(exit("partial-scan=0", &both), 4, "the worst counts");
        assert_eq!(exit("states", &both), 41);
        assert_eq!(exit("states,unknown-distro=9", &both), 9);
        let usual: Vec<u8> = GapKind::ALL.iter().map(|state| exit("states", &[*state])).collect();
        assert_eq!(usual, [40, 41, 45, 42, 46, 43, 44]);
        for wrong in ["clean=0", "partial-scan", "partial-scan=256", ""] {
            assert!(wrong.parse::<ExitMap>().is_err(), "{wrong}");
        }
    }
}
