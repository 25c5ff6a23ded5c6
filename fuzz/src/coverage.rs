//! Which code ran, where the compiler put counters in (`fuzz/guided`); nothing where it did not.
//!
//! LLVM's SanitizerCoverage with inline 8-bit counters: each module hands over its array of counters before `main`.

#![expect(unsafe_code, reason = "the counters are handed over as pointers")]

use std::collections::BTreeSet;
use std::sync::Mutex;

/// Where the counters are, as numbers: first and end of each array.
static ARRAYS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by the compiler's own code.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let array = (start as usize, end as usize);
    if let Ok(mut arrays) = ARRAYS.lock()
        && !arrays.contains(&array)
    {
        arrays.push(array);
    }
}

/// What was seen to run so far: of each counter the orders of its numbers, as bits.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<u8>);

impl Seen {
    /// Whether there are counters at all.
    pub(crate) fn is_guided() -> bool {
        ARRAYS.lock().is_ok_and(|arrays| !arrays.is_empty())
    }

    /// Sets all counters to zero.
    pub(crate) fn start() {
        arrays(|array| array.fill(0));
    }

    /// Takes in what ran since [`start`](Self::start). Says whether some of it is new, or ran another order of times.
    pub(crate) fn learn(&mut self) -> bool {
        let (mut is_new, mut first) = (false, 0);
        arrays(|array| {
            self.0.resize(self.0.len().max(first + array.len()), 0);
            for (counted, seen) in array.chunks(CHUNK).zip(self.0[first..].chunks_mut(CHUNK)) {
                if counted.iter().any(|&times| times != 0) {
                    is_new |= learn(counted, seen);
                }
            }
            first += array.len();
        });
        is_new
    }

    /// The places that ran since [`start`](Self::start).
    pub(crate) fn places() -> BTreeSet<usize> {
        let (mut places, mut first) = (BTreeSet::new(), 0);
        arrays(|array| {
            places.extend((first..).zip(array.iter()).filter(|(_, times)| **times != 0).map(|(at, _)| at));
            first += array.len();
        });
        places
    }
}

/// Most code does not run: so much of it is passed over at a time.
const CHUNK: usize = 64;

fn learn(counted: &[u8], seen: &mut [u8]) -> bool {
    let mut is_new = false;
    for (&times, seen) in counted.iter().zip(seen).filter(|(times, _)| **times != 0) {
        let order = 1 << times.ilog2();
        is_new |= *seen & order == 0;
        *seen |= order;
    }
    is_new
}

fn arrays(mut visit: impl FnMut(&mut [u8])) {
    let Ok(arrays) = ARRAYS.lock() else { return };
    for (start, end) in arrays.iter() {
        // SAFETY: the compiler's code handed over this array, which lives as long as the program. Between two inputs
        // no thread runs that was built with counters, but the one that watches: a wrong number there means nothing.
        visit(unsafe { std::slice::from_raw_parts_mut(*start as *mut u8, end - start) });
    }
}
