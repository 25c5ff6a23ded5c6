//! Where programs are.

use std::env;
use std::path::{Path, PathBuf};

/// A program of the PostgreSQL server.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    coordinator::dev::postgres::find(None).expect("PostgreSQL is installed").join(name)
}

/// The Valkey server.
pub(crate) fn valkey_program() -> PathBuf {
    coordinator::dev::valkey::find(None).expect("Valkey is installed")
}

/// Docker's registry, where it is on `PATH`.
pub(crate) fn registry_program() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("docker-registry")).find(|program| program.is_file())
}

/// The binary under test: `STARLING_TEST_BIN`, else the one beside the test's own folder in `target`.
///
/// # Panics
/// When it is not there, saying how to build it.
pub(crate) fn starling() -> PathBuf {
    let binary = env::var_os("STARLING_TEST_BIN").map_or_else(beside_the_test, PathBuf::from);
    assert!(
        binary.is_file(),
        "{} is not there: build it with `cargo build -p coordinator --features failpoints`, \
         or name it in STARLING_TEST_BIN",
        binary.display()
    );
    binary
}

/// `target/debug/deps/flows-…` → `target/debug/starling`.
fn beside_the_test() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own binary");
    test.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps").join("starling")
}
