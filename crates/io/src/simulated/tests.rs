use std::io::Write;
use std::path::PathBuf;

use super::{DiskFaults, SimulatedDisk};
use crate::fs::{self, File};

fn disk(seed: u64) -> (SimulatedDisk, PathBuf) {
    let disk = SimulatedDisk::new(seed);
    let dir = disk.path().join("dir");
    fs::create_dir_all(&dir).unwrap();
    fs::sync_dir(disk.path()).unwrap();
    (disk, dir)
}

/// What is left, by seed, of what `work` did before the power went.
fn left<T>(seeds: u64, work: impl Fn(&PathBuf), look: impl Fn(&PathBuf) -> T) -> Vec<T> {
    (0..seeds)
        .map(|seed| {
            let (disk, dir) = disk(seed);
            work(&dir);
            disk.lose_power();
            look(&dir)
        })
        .collect()
}

#[test]
fn what_was_synced_survives() {
    let contents = left(
        50,
        |dir| {
            let file = File::create(dir.join("file")).unwrap();
            file.write_all_at(b"synced", 0).unwrap();
            file.sync_data().unwrap();
            fs::sync_dir(dir).unwrap();
            file.write_all_at(b"-more", 6).unwrap();
        },
        |dir| String::from_utf8(fs::read(dir.join("file")).unwrap()).unwrap(),
    );
    // A page that is missing where the file grew is zeros.
    assert!(contents.iter().all(|content| content.starts_with("synced")
        && ("synced-more".starts_with(content) || content.contains('\0'))));
    assert!(contents.contains(&"synced".to_owned()));
    assert!(contents.contains(&"synced-more".to_owned()));
    assert!(contents.iter().any(|content| content.contains('\0')));
}

#[test]
fn a_long_write_is_torn() {
    let lengths = left(
        50,
        |dir| {
            let mut file = File::create(dir.join("file")).unwrap();
            fs::sync_dir(dir).unwrap();
            file.write_all(&[1; 10_000]).unwrap();
            file.write_all(&[2; 10_000]).unwrap();
        },
        |dir| fs::len(dir.join("file")).unwrap(),
    );
    assert!(lengths.contains(&0) && lengths.contains(&20_000));
    assert!(lengths.iter().any(|length| length % 10_000 != 0));
}

#[test]
fn a_name_survives_only_with_its_directory() {
    for synced in [false, true] {
        let found = left(
            50,
            |dir| {
                fs::write(dir.join("old"), "old").unwrap();
                File::open(dir.join("old")).unwrap().sync_all().unwrap();
                fs::sync_dir(dir).unwrap();
                fs::write(dir.join("new"), "new").unwrap();
                File::open(dir.join("new")).unwrap().sync_all().unwrap();
                fs::rename(dir.join("new"), dir.join("old")).unwrap();
                if synced {
                    fs::sync_dir(dir).unwrap();
                }
            },
            |dir| fs::read_to_string(dir.join("old")).unwrap(),
        );
        // Either one, whole: a rename is atomic.
        assert!(found.iter().all(|content| content == "old" || content == "new"));
        assert_eq!(found.contains(&"old".to_owned()), !synced);
        assert!(found.contains(&"new".to_owned()));
    }
}

#[test]
fn a_rename_without_a_sync_of_the_content_can_leave_nothing() {
    let found = left(
        50,
        |dir| {
            fs::write(dir.join("new"), "new").unwrap();
            fs::rename(dir.join("new"), dir.join("old")).unwrap();
            fs::sync_dir(dir).unwrap();
        },
        |dir| fs::read_to_string(dir.join("old")).unwrap(),
    );
    assert!(found.contains(&String::new()));
}

#[test]
fn a_killed_process_loses_its_files_and_nothing_else() {
    let (disk, dir) = disk(1);
    let file = File::create(dir.join("file")).unwrap();
    file.write_all_at(b"written", 0).unwrap();
    disk.kill();
    assert!(file.write_all_at(b"ghost", 0).is_err());
    assert!(file.sync_all().is_err());
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"written");
}

#[test]
fn a_node_stops_at_the_change_named() {
    let (disk, dir) = disk(1);
    let file = File::create(dir.join("file")).unwrap();
    disk.halt_after(1);
    file.write_all_at(b"one", 0).unwrap();
    assert!(file.write_all_at(b"two", 3).is_err());
    assert!(disk.is_halted());
    assert!(fs::read(dir.join("file")).is_err());
    assert!(fs::rename(dir.join("file"), dir.join("other")).is_err());
    disk.kill();
    let content = fs::read(dir.join("file")).unwrap();
    assert!(content.len() < 6 && b"onetwo".starts_with(&content[..]));
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, dir) = disk(1);
    disk.set_faults(DiskFaults { capacity: Some(10), ..DiskFaults::default() });
    let file = File::create(dir.join("file")).unwrap();
    file.write_all_at(b"123456", 0).unwrap();
    let error = file.write_all_at(b"789abc", 6).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"123456789a");
    assert_eq!(disk.damage().refused_for_room, 1);
    fs::remove_file(dir.join("file")).unwrap();
    fs::write(dir.join("other"), "fits again").unwrap();
}

#[test]
fn a_sync_that_failed_is_not_made_up_for() {
    let (disk, dir) = disk(1);
    let file = File::create(dir.join("file")).unwrap();
    fs::sync_dir(&dir).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    disk.set_faults(DiskFaults { sync_errors_per_million: 1_000_000, ..DiskFaults::default() });
    assert!(file.sync_all().is_err());
    disk.set_faults(DiskFaults::default());
    file.sync_all().unwrap();
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"lost");
    disk.lose_power();
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"");
}

#[test]
fn a_boot_ends_with_the_power_and_not_with_the_process() {
    let (disk, dir) = disk(1);
    let first = fs::boot_identity(&dir).unwrap();
    disk.kill();
    assert_eq!(fs::boot_identity(&dir).unwrap(), first);
    disk.lose_power();
    assert_ne!(fs::boot_identity(&dir).unwrap(), first);
}

#[test]
fn a_bit_flips_where_it_lies() {
    let (disk, dir) = disk(1);
    fs::write(dir.join("file"), "\0\0\0\0").unwrap();
    assert!(disk.flip_bit(dir.join("file")));
    assert!(!disk.flip_bit(dir.join("none")));
    let ones: u32 = fs::read(dir.join("file")).unwrap().iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones, 1);
    assert_eq!(disk.damage().flipped_bits, 1);
}

#[test]
fn directories_are_as_elsewhere() {
    let (disk, dir) = disk(1);
    assert!(fs::is_dir(&dir) && fs::exists(disk.path()) && !fs::exists(dir.join("file")));
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::write(dir.join("a/b/file"), "content").unwrap();
    let entries = fs::read_dir(&dir).unwrap();
    assert_eq!(entries.len(), 1);
    assert!(entries[0].is_dir && entries[0].name == "a" && entries[0].path == dir.join("a"));
    assert!(fs::remove_file(dir.join("a")).is_err());
    fs::rename(dir.join("a"), dir.join("c")).unwrap();
    assert_eq!(fs::read_to_string(dir.join("c/b/file")).unwrap(), "content");
    fs::remove_dir_all(dir.join("c")).unwrap();
    assert!(fs::read_dir(&dir).unwrap().is_empty());
    let path = disk.path().to_owned();
    drop((disk, dir));
    assert!(!fs::exists(path));
}
