//! The house rules that no compiler checks, with every `cargo test`.

#[path = "../../../xtask/src/tidy.rs"]
mod tidy;

#[test]
fn the_repository_is_tidy() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if let Err(problems) = tidy::check(root) {
        panic!("{problems}");
    }
}
