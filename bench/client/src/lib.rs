//! milena's client beside librdkafka: the same records to and from the same broker, in turns.
//!
//! `bench-client suite` starts itself as `bench-client run` for every measurement, so that each has a process of its own whose
//! CPU time is read: of all its threads, from the first record to the last. What it takes to connect is not in it.
//!
//! `librdkafka-batches` is what the suite of the brokers sees them with (`bench suite --user`). `bench-client-jemalloc` is the same
//! with jemalloc's `malloc`: where the C library's is one lock for a client's two threads, they wait for each other, and for no broker.

mod batches;
mod librdkafka;
mod milena;
mod suite;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
bench-client suite (--milena PATH | --bootstrap HOST:PORT) [--megabytes N] [--rounds N] [--out FILE] [--command TEXT]
bench-client run --library milena|librdkafka|librdkafka-batches --job produce|consume --bootstrap HOST:PORT --topic NAME
                 --records N --size BYTES [--batch-size BYTES]: prints the seconds that it took, and its CPU seconds
";

/// What one process is to do.
pub struct Job {
    pub bootstrap: String,
    pub topic: String,
    pub records: usize,
    pub size: usize,
    /// `batch.size`; the library's default where there is none.
    pub batch_size: Option<String>,
}

/// How many partitions the topics have.
pub const PARTITIONS: i32 = 4;

/// The values of the records: random, so that they do not compress, and made before the clock runs.
pub struct Values {
    pool: Vec<u8>,
    size: usize,
    at: usize,
}

impl Values {
    pub fn new(size: usize) -> Values {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut pool = Vec::with_capacity(1 << 20);
        while pool.len() < 1 << 20 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            pool.extend_from_slice(&seed.to_le_bytes());
        }
        Values { pool, size, at: 0 }
    }

    pub fn value(&mut self) -> &[u8] {
        self.at = (self.at + 61) % (self.pool.len() - self.size);
        &self.pool[self.at..self.at + self.size]
    }
}

/// Wall clock and CPU time of this process, from when it was made.
pub struct Clock {
    started: Instant,
    cpu: Duration,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: Instant::now(), cpu: cpu_time() }
    }

    /// Seconds, and CPU seconds.
    pub fn read(&self) -> (f64, f64) {
        (self.started.elapsed().as_secs_f64(), (cpu_time() - self.cpu).as_secs_f64())
    }
}

fn cpu_time() -> Duration {
    read_clock(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default()
}

/// CPU time of another process, of all its threads.
pub fn cpu_time_of(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    // SAFETY: the call writes only to the local variable that it is given.
    match unsafe { libc::clock_getcpuclockid(libc::pid_t::try_from(pid)?, &raw mut clock) } {
        0 => read_clock(clock),
        code => Err(std::io::Error::from_raw_os_error(code).into()),
    }
}

fn read_clock(clock: libc::clockid_t) -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes only to the local variable that it is given.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

fn options(arguments: &[String]) -> Result<HashMap<String, String>> {
    let mut options = HashMap::new();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} has no value\n{HELP}", pair[0]).into()) };
        options.insert(name.trim_start_matches('-').to_owned(), value.clone());
    }
    Ok(options)
}

fn run(options: &HashMap<String, String>) -> Result<()> {
    let get = |name: &str| options.get(name).cloned().ok_or_else(|| format!("--{name} is missing\n{HELP}"));
    let job = Job {
        bootstrap: get("bootstrap")?,
        topic: get("topic")?,
        records: get("records")?.parse()?,
        size: get("size")?.parse()?,
        batch_size: options.get("batch-size").cloned(),
    };
    let (library, what) = (get("library")?, get("job")?);
    let (seconds, cpu) = match (library.as_str(), what.as_str()) {
        ("milena", "produce") => milena::produce(&job)?,
        ("milena", "consume") => milena::consume(&job)?,
        ("librdkafka", "produce") => librdkafka::produce(&job)?,
        ("librdkafka", "consume") => librdkafka::consume(&job)?,
        ("librdkafka-batches", "produce") => batches::produce(&job)?,
        ("librdkafka-batches", "consume") => batches::consume(&job)?,
        _ => return Err(format!("there is no {what} with {library}\n{HELP}").into()),
    };
    println!("{seconds} {cpu}");
    Ok(())
}

/// What the programs do.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, rest)) if command == "suite" => options(rest).and_then(|options| suite::run(&options)),
        Some((command, rest)) if command == "run" => options(rest).and_then(|options| run(&options)),
        _ => Err(HELP.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-client: {error}");
            ExitCode::FAILURE
        }
    }
}
