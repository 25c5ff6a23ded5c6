//! What `starling dev` tells people, on standard output.

use std::io::Write;

/// Prints one line. A closed pipe is no reason to stop a cluster.
pub(super) fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
