//! The whole way: layers in, SBOM out, with a second look at layers where links make it necessary.

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::Sbom;

use crate::compose::{compose, missing};
use crate::error::{Fault, LayerError, Reason};
use crate::layer::{Also, Large, Layer, memory, read_layer_also};
use crate::limits::Limits;
use crate::manifest::LayerDescriptor;

/// Layers that were read before, by whomever.
pub trait LayerCache: Sync {
    /// The layer as it was left by an earlier reading, or else as `read` gives it, which is called at most once.
    fn layer(
        &self,
        layer: &LayerDescriptor,
        read: &mut dyn FnMut() -> Result<Layer, LayerError>,
    ) -> Result<Layer, LayerError>;
}

/// Knows no layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

impl LayerCache for NoCache {
    fn layer(
        &self,
        _: &LayerDescriptor,
        read: &mut dyn FnMut() -> Result<Layer, LayerError>,
    ) -> Result<Layer, LayerError> {
        read()
    }
}

/// Reads the layers of an image, the lowest first, on as many threads at once, and lists what is in it.
///
/// `open` is called once for each layer, and again for the few layers that hold a file which only a link
/// from elsewhere makes interesting (a symbolic link at `/var/lib/dpkg/status`, hard links into a package
/// store), or that need more than their share of the limits. The limits on paths and kept bytes hold for all
/// layers together. Neither the threads nor the cache make a difference in what is answered.
pub fn scan<R: Read>(
    layers: &[LayerDescriptor],
    limits: &Limits,
    threads: NonZero<usize>,
    cache: &dyn LayerCache,
    open: impl Fn(&LayerDescriptor) -> io::Result<R> + Sync,
) -> Result<Sbom, LayerError> {
    let reader = Reader { limits, cache, open, large: Large::default() };
    let mut read = reader.first_look(layers, threads)?;
    for _ in 0..limits.second_looks {
        let also = missing(&read);
        let again: Vec<usize> = (0..read.len()).filter(|&at| read[at].may_hold(&also)).collect();
        if again.is_empty() {
            break;
        }
        for at in again {
            let others = read.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, layer)| layer);
            let left = left(limits, others);
            let mut more = read[at].also.clone();
            more.extend(&also);
            read[at] = reader.read(&layers[at], &left, more)?;
        }
    }
    Ok(compose(&read))
}

/// As many threads as the machine has processors, and not more than help.
pub fn usual_threads() -> NonZero<usize> {
    const MOST: NonZero<usize> = NonZero::new(4).expect("it is not zero");
    thread::available_parallelism().map_or(NonZero::<usize>::MIN, |all| all.min(MOST))
}

struct Reader<'a, O> {
    limits: &'a Limits,
    cache: &'a dyn LayerCache,
    open: O,
    large: Large,
}

/// What the threads share that read layers ahead.
struct Ahead {
    next: AtomicUsize,
    /// Some layer could not be read: none behind it matters.
    failed: AtomicBool,
    /// Paths and kept bytes of what was read.
    used: Mutex<(usize, usize)>,
    read: Mutex<Vec<Option<Result<Layer, LayerError>>>>,
}

impl<R: Read, O: Fn(&LayerDescriptor) -> io::Result<R> + Sync> Reader<'_, O> {
    /// Each layer as it is read in its turn, within what the layers below leave of the limits. What was read ahead
    /// within other limits counts where it is the same.
    fn first_look(
        &self,
        layers: &[LayerDescriptor],
        threads: NonZero<usize>,
    ) -> Result<Vec<Layer>, LayerError> {
        let mut ahead = self.read_ahead(layers, threads.get().min(layers.len()));
        let mut read = Vec::with_capacity(layers.len());
        for (at, layer) in layers.iter().enumerate() {
            let left = left(self.limits, read.iter());
            match ahead.get_mut(at).and_then(Option::take) {
                Some(Ok(layer)) if layer.fits(&left) => read.push(layer),
                Some(Err(error)) if error.reason != Reason::LimitExceeded => return Err(error),
                _ => {
                    ahead.clear(); // There is not enough memory for both.
                    read.push(self.read(layer, &left, Also::default())?);
                }
            }
        }
        Ok(read)
    }

    fn read_ahead(
        &self,
        layers: &[LayerDescriptor],
        threads: usize,
    ) -> Vec<Option<Result<Layer, LayerError>>> {
        let ahead = Ahead {
            next: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            used: Mutex::default(),
            read: Mutex::new(layers.iter().map(|_| None).collect()),
        };
        let work = || {
            while !ahead.failed.load(Ordering::Relaxed) {
                let at = ahead.next.fetch_add(1, Ordering::Relaxed);
                let Some(layer) = layers.get(at) else { break };
                let share = share(self.limits, *lock(&ahead.used), threads);
                let result = self.cache.layer(layer, &mut || self.read(layer, &share, Also::default()));
                match &result {
                    Ok(layer) => {
                        let mut used = lock(&ahead.used);
                        *used = (used.0 + layer.paths(), used.1 + layer.kept_bytes());
                    }
                    Err(_) => ahead.failed.store(true, Ordering::Relaxed),
                }
                lock(&ahead.read)[at] = Some(result);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        ahead.read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, layer: &LayerDescriptor, limits: &Limits, also: Also) -> Result<Layer, LayerError> {
        let reader = (self.open)(layer).map_err(|e| Fault::read(e).of_layer(&layer.digest))?;
        read_layer_also(reader, layer, limits, &self.large, also)
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one of several threads may use while the others read, too. Windows that are larger than any usual
/// compressor makes are left to whoever reads alone.
fn share(limits: &Limits, (paths, kept): (usize, usize), threads: usize) -> Limits {
    const USUAL_WINDOW_LOG: u32 = 23;
    let window = if threads > 1 { USUAL_WINDOW_LOG } else { u32::MAX };
    Limits {
        paths: limits.paths.saturating_sub(paths) / threads,
        kept_bytes: limits.kept_bytes.saturating_sub(kept) / threads,
        executable_bytes: limits.executable_bytes.saturating_sub(memory(kept, paths)),
        zstd_window_log: limits.zstd_window_log.min(window),
        ..limits.clone()
    }
}

/// What one more layer may use.
fn left<'l>(limits: &Limits, others: impl Iterator<Item = &'l Layer>) -> Limits {
    let (paths, kept) = others.fold((0, 0), |(p, k), layer| (p + layer.paths(), k + layer.kept_bytes()));
    Limits {
        paths: limits.paths.saturating_sub(paths),
        kept_bytes: limits.kept_bytes.saturating_sub(kept),
        executable_bytes: limits.executable_bytes.saturating_sub(memory(kept, paths)),
        ..limits.clone()
    }
}
