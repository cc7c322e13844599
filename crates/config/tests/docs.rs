//! `docs/configuration.md` is what the tables make of it. `MILENA_BLESS=1 cargo test -p config` writes it.

use std::path::Path;

#[test]
fn the_committed_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = config::docs::markdown();
    if std::env::var_os("MILENA_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/configuration.md is not current: run MILENA_BLESS=1 cargo test -p config"
    );
}
