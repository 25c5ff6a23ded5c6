//! Layers and images as a whole: made by hand, made at random, and real ones.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests and their helpers")]

mod bad_images;
mod composing;
mod executables;
mod hostile;
mod layers;
mod overlay_model;
mod package_databases;
mod purl_spec;
mod real_images;
mod second_opinion;
mod support;
mod tar;
