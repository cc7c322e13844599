//! A disk that stalls, and what those notice of it who do not need it.
//!
//! One of two log directories lies on a file system of its own, which is frozen: whoever writes there waits in the kernel. An
//! end-to-end load of 1,000 messages a second on the other one runs alone first, and then beside producers for the frozen one.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::system::{System, free_port};
use crate::{
    Failure, Result,
    load::{end_to_end, hostile::P99_RATIO},
    measure::Metric,
    wire::{
        batch::{self, Noise},
        connection::{Connection, expect_no_error},
        replies, requests,
    },
};

/// More than there are threads that serve connections.
const PRODUCERS: usize = 16;
const TOPICS: [&str; 2] = ["bench-stall-a", "bench-stall-b"];

/// Latency alone, and while the disk stalls. `own` is a directory of a file system that nobody else needs.
pub fn once(system: &System, dir: &Path, own: &Path, duration: Duration) -> Result<Vec<Metric>> {
    let theirs = own.join("data");
    if theirs.exists() {
        fs::remove_dir_all(&theirs)?;
    }
    let both = format!("log.dirs={},{}", dir.join("data").display(), theirs.display());
    let mut running = system.clone().with_property(&both).start(dir, free_port()?)?;
    let target = running.target();
    let mut connection = Connection::open(target.address)?;
    for topic in TOPICS {
        connection.create_topic(topic, 1, &[])?;
    }
    let lies_there = |topic: &&&str| theirs.join(format!("{topic}-0")).exists();
    let found: Vec<&&str> = TOPICS.iter().filter(lies_there).collect();
    let [stalling] = found[..] else {
        return Err(Failure::new("the topics do not lie in a directory each"));
    };
    let healthy = TOPICS.iter().find(|topic| *topic != stalling).unwrap_or(stalling);
    let load = end_to_end::Options::ordinary(healthy, duration);
    let alone = end_to_end::run(target, &load)?;

    let stop = AtomicBool::new(false);
    let under_way = AtomicUsize::new(0);
    let beside = thread::scope(|scope| {
        let produce = || -> Result<()> {
            let mut connection = Connection::open(target.address)?;
            let mut frame = requests::produce(stalling, 0, 1, &batch::build(1, 100, &mut Noise::new(1)));
            while !stop.load(Ordering::Relaxed) {
                under_way.fetch_add(1, Ordering::Relaxed);
                let (reply, id) = connection.call(&mut frame)?;
                expect_no_error("Produce", replies::produce(reply, id)?.0)?;
                under_way.fetch_sub(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let producers: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(produce)).collect();
        let beside = Frozen::new(own).and_then(|_frozen| {
            thread::sleep(Duration::from_millis(500));
            if under_way.load(Ordering::Relaxed) < PRODUCERS {
                return Err(Failure::new("the frozen disk takes records"));
            }
            end_to_end::run(target, &load)
        });
        stop.store(true, Ordering::Relaxed);
        // What waited for the disk is taken, all of it.
        for producer in producers {
            producer.join().map_err(|_| Failure::new("a producer panicked"))??;
        }
        beside
    })?;
    running.stop()?;
    Ok(vec![
        Metric::new("p99 alone", "us", alone.latency.micros(0.99)),
        Metric::new("p99", "us", beside.latency.micros(0.99)),
        Metric::new(P99_RATIO, "x", beside.latency.micros(0.99) / alone.latency.micros(0.99)),
        Metric::new("p50", "us", beside.latency.micros(0.5)),
        Metric::new("others", "cores", alone.usage.others_cores),
    ])
}

/// From `linux/fs.h`: nobody writes to the file system any more, and everybody does again.
const FIFREEZE: libc::c_ulong = 0xC004_5877;
const FITHAW: libc::c_ulong = 0xC004_5878;

/// A file system that is frozen, until this is dropped.
struct Frozen(File);

impl Frozen {
    fn new(dir: &Path) -> Result<Frozen> {
        let dir = File::open(dir)?;
        control(&dir, FIFREEZE)?;
        Ok(Frozen(dir))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = control(&self.0, FITHAW) {
            eprintln!("bench: the file system stays frozen: {error}");
        }
    }
}

fn control(dir: &File, what: libc::c_ulong) -> std::io::Result<()> {
    // SAFETY: the descriptor is open, and these two take no argument.
    match unsafe { libc::ioctl(dir.as_raw_fd(), what, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
