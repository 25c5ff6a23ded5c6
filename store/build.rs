//! The migrations are compiled in, so a new file of theirs is a reason to build again.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
