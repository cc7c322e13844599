//! What only the start of a broker needed is given back.
//!
//! Its memory: the allocator keeps what was freed for a while, and asks nobody when that is over. Its code: that stays in the page
//! cache, which is everybody's, and what is used again is mapped again. The kernel maps sixteen pages for each that is touched, so
//! that a broker which has just started has nearly all of the program in its resident memory.

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

unsafe extern "C" {
    /// The allocator's own: gives freed memory back to the operating system.
    fn mi_collect(force: bool);
}

/// Gives back freed memory, and unmaps the pages of code until they are used: where the operating system says what is mapped.
pub(crate) fn release() {
    // SAFETY: the function takes no pointer and may be called by any thread at any time; it is part of the allocator that the
    // program is linked with.
    unsafe { mi_collect(true) };
    for (start, end) in std::fs::read_to_string("/proc/self/maps").iter().flat_map(|maps| code(maps)) {
        // SAFETY: what lies there is the unchanged content of a file, for the mapping can be executed and not written: the next
        // access finds the same bytes. Nothing of Rust's lies there but code.
        let advised = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
        if let Err(error) = advised {
            tracing::debug!("the pages of start-up code stay: {error}");
        }
    }
}

/// The mappings of files that can be executed and were never writable.
fn code(maps: &str) -> impl Iterator<Item = (usize, usize)> {
    maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (range, permissions, _, _, inode) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        if permissions != "r-xp" || inode == "0" {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_files_is_given_back() {
        let maps = "\
557b44a4b000-557b44e39000 r--p 00000000 fe:00 10390492                   /usr/bin/milena
557b44e39000-557b45687000 r-xp 003ed000 fe:00 10390492                   /usr/bin/milena
557b45687000-557b456fb000 r--p 00c3a000 fe:00 10390492                   /usr/bin/milena
557b456fb000-557b45710000 rwxp 00c3a000 fe:00 10390492                   /usr/bin/milena
7ffd3b5f1000-7ffd3b5f3000 r-xp 00000000 00:00 0                          [vdso]
";
        assert_eq!(code(maps).collect::<Vec<_>>(), [(0x557b_44e3_9000, 0x557b_4568_7000)]);
    }

    #[test]
    fn the_program_goes_on_without_it() {
        release();
        assert_eq!("still here".len(), 10);
    }
}
