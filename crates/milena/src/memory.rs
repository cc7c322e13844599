//! What is not needed any more is given back to the operating system.
//!
//! Memory that was freed: the allocator (mimalloc) keeps it for a second, and looks whether that is over when the next one allocates or
//! frees. After a load nobody does, so it is asked from time to time. Besides, a thread would take over each page in which it frees
//! something that it once allocated, and then keep it until it allocates such a thing again, while others free the rest: connections are
//! made by one thread and end on another, so that each thousand of them left megabytes behind.
//!
//! What of the program only the start needed, code and tables: it stays in the page cache, which is everybody's, and what is used again
//! is mapped again. The kernel maps sixteen pages for each that is touched, so that a broker which has just started has nearly all of the
//! program in its resident memory.

use std::ffi::{c_int, c_long, c_void};
use std::time::Duration;

use rustix::mm::{Advice, madvise};

unsafe extern "C" {
    /// The allocator's own: gives freed memory back to the operating system; if not forced, what is over its time.
    fn mi_collect(force: bool);
    /// The allocator's own: gives an option its value.
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_page_reclaim_on_free`; -1: no thread takes over the page of what it frees.
const PAGE_RECLAIM_ON_FREE: c_int = 35;

/// `mi_option_purge_delay`, in ms: how long freed memory is kept.
const PURGE_DELAY: c_int = 15;
/// The allocator's default, which spares those who allocate again and again the way to the operating system.
const KEPT_MS: c_long = 1000;

/// How often somebody should call [`give_back`].
pub(crate) const GIVE_BACK_EVERY: Duration = Duration::from_secs(2);

/// Lets the allocator give back what many threads shared, and during the start what was freed at once: the start frees much that is
/// needed once, and what lies behind it would stay where it is.
pub(crate) fn configure() {
    set(PAGE_RECLAIM_ON_FREE, -1);
    set(PURGE_DELAY, 0);
}

fn set(option: c_int, value: c_long) {
    // SAFETY: the options exist, as the test sees, and may be set at any time by any thread.
    unsafe { mi_option_set(option, value) };
}

/// Gives back what was freed a while ago.
pub(crate) fn give_back() {
    // SAFETY: as in `give_back_all`.
    unsafe { mi_collect(false) };
}

/// Gives back all that the calling thread has freed.
pub(crate) fn give_back_all() {
    // SAFETY: the function takes no pointer and may be called by any thread at any time; it is part of the allocator that the
    // program is linked with.
    unsafe { mi_collect(true) };
}

/// After the start: gives back freed memory, and unmaps the program's pages until they are used: where the operating system says what
/// is mapped.
pub(crate) fn release_start() {
    give_back_all();
    set(PURGE_DELAY, KEPT_MS);
    for (start, end) in std::fs::read_to_string("/proc/self/maps").iter().flat_map(|maps| unchanged(maps)) {
        // SAFETY: what lies there is the unchanged content of a file: the next access finds the same bytes. Nothing of Rust's lies
        // there but code and constants.
        let advised = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
        if let Err(error) = advised {
            tracing::debug!("the pages of start-up code stay: {error}");
        }
    }
}

/// The mappings of programs and libraries that were never writable: code, and what lies straight before it, which is a file's first part with
/// its constants. What lies behind it may have been written by the dynamic linker before it was made read-only (RELRO).
fn unchanged(maps: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut before = None;
    for line in maps.lines() {
        let Some(mapping) = Mapping::of(line) else { continue };
        if mapping.permissions == "r-xp" {
            let constants = before
                .take()
                .filter(|before: &Mapping<'_>| before.end == mapping.start && before.inode == mapping.inode);
            found.extend(constants.map(|constants| (constants.start, constants.end)));
            found.push((mapping.start, mapping.end));
        }
        before = (mapping.permissions == "r--p" && mapping.offset == 0).then_some(mapping);
    }
    found
}

/// A line of `/proc/self/maps`, of what is a file's.
struct Mapping<'m> {
    start: usize,
    end: usize,
    permissions: &'m str,
    offset: u64,
    inode: &'m str,
}

impl Mapping<'_> {
    fn of(line: &str) -> Option<Mapping<'_>> {
        let mut words = line.split_whitespace();
        let (range, permissions, offset, _, inode) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let (start, end) = range.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let offset = u64::from_str_radix(offset, 16).ok()?;
        (inode != "0").then_some(Mapping { start, end, permissions, offset, inode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, c_char};
    use std::sync::Mutex;

    unsafe extern "C" {
        fn mi_options_print_out(out: extern "C" fn(*const c_char, *mut c_void), argument: *mut c_void);
    }

    /// The options are the process's, and so of all tests.
    static OPTIONS: Mutex<()> = Mutex::new(());

    extern "C" fn collect(text: *const c_char, into: *mut c_void) {
        // SAFETY: the caller hands in a text that ends with 0, and what it was given, which is a `String`.
        let (text, into) = unsafe { (CStr::from_ptr(text), &mut *into.cast::<String>()) };
        into.push_str(&text.to_string_lossy());
    }

    #[test]
    fn the_allocator_has_the_options() {
        let _alone = OPTIONS.lock();
        configure();
        let mut options = String::new();
        // SAFETY: `collect` takes the argument for what it is.
        unsafe { mi_options_print_out(collect, (&raw mut options).cast()) };
        assert!(options.contains("'page_reclaim_on_free': -1"), "{options}");
        assert!(options.contains("'purge_delay': 0"), "{options}");
    }

    #[test]
    fn only_what_nobody_can_have_written_is_given_back() {
        let maps = "\
557b44a4b000-557b44e39000 r--p 00000000 fe:00 10390492                   /usr/bin/milena
557b44e39000-557b45687000 r-xp 003ed000 fe:00 10390492                   /usr/bin/milena
557b45687000-557b456fb000 r--p 00c3a000 fe:00 10390492                   /usr/bin/milena
557b456fb000-557b45710000 rwxp 00c3a000 fe:00 10390492                   /usr/bin/milena
7fdca59d9000-7fdca59ff000 r--p 00000000 fe:00 326269                     /usr/share/locale
7fdca59ff000-7fdca5b55000 r-xp 00000000 fe:00 326591                     /usr/lib/libm.so.6
7ffd3b5f1000-7ffd3b5f3000 r-xp 00000000 00:00 0                          [vdso]
";
        let of_the_program = [(0x557b_44a4_b000, 0x557b_44e3_9000), (0x557b_44e3_9000, 0x557b_4568_7000)];
        assert_eq!(
            unchanged(maps),
            [of_the_program.as_slice(), &[(0x7fdc_a59f_f000, 0x7fdc_a5b5_5000)]].concat()
        );
    }

    #[test]
    fn the_program_goes_on_without_it() {
        let _alone = OPTIONS.lock();
        let kept: Vec<u32> = (0..1_000_000).collect();
        drop(vec![7; 1_000_000]);
        release_start();
        give_back();
        give_back_all();
        assert!(kept.into_iter().eq(0..1_000_000));
    }
}
