//! Runs seeds, and says which failed and how to run it again: `cargo xtask simulate --help`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulator::{Counts, Failure, Planted, Report, Run, Scenario};

const HELP: &str = "\
cargo xtask simulate [options]

  --scenario NAME   only this one; otherwise all
  --seeds N         as many seeds of each (1000)
  --from SEED       the first of them (0)
  --seed SEED       only this one, with each of its events
  --planted BUG     with a bug in it: see crates/simulator/src/planted.rs
  --jobs N          threads (as many as there are processors)
";

struct Options {
    scenarios: Vec<Scenario>,
    seeds: u64,
    from: u64,
    verbose: bool,
    planted: Option<Planted>,
    jobs: usize,
}

fn options() -> Result<Option<Options>, String> {
    let mut options = Options {
        scenarios: Scenario::ALL.to_vec(),
        seeds: 1000,
        from: 0,
        verbose: false,
        planted: None,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--help" || name == "-h" {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is no number"));
        match name.as_str() {
            "--scenario" => options.scenarios = vec![value.parse()?],
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--seed" => (options.from, options.seeds, options.verbose) = (number()?, 1, true),
            "--planted" => {
                let planted: Planted = value.parse()?;
                options.planted = Some(planted);
                options.scenarios = vec![planted.scenario()];
            }
            "--jobs" => options.jobs = number()?.max(1) as usize,
            _ => return Err(format!("{name} is not known\n\n{HELP}")),
        }
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if options.verbose {
        // What the parts under test say stands between the events.
        let level = tracing_subscriber::filter::LevelFilter::INFO;
        tracing_subscriber::fmt().with_max_level(level).without_time().with_writer(std::io::stdout).init();
    }
    // A panic of what is under test is a finding, which is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = options.scenarios.iter().filter(|scenario| !run_all(&options, **scenario)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seeds of one scenario on all threads. Whether none failed.
fn run_all(options: &Options, scenario: Scenario) -> bool {
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let failures = std::sync::Mutex::new(Vec::<Failure>::new());
    let sum = std::sync::Mutex::new((Counts::default(), 0u64));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.seeds {
                break;
            }
            let seed = options.from + index;
            let run = Run { scenario, seed, planted: options.planted, verbose: options.verbose };
            match run.run() {
                Ok(Report { counts, events, .. }) => {
                    let mut sum = sum.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    sum.0 += counts;
                    sum.1 += events;
                }
                Err(failure) => {
                    let mut failures = failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    failures.push(*failure);
                    if failures.len() >= 5 {
                        next.store(options.seeds, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..options.jobs.min(options.seeds as usize)).map(|_| scope.spawn(work)).collect();
        let mut told = Instant::now();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                eprint!(
                    "\r{scenario}: {} of {} seeds",
                    next.load(Ordering::Relaxed).min(options.seeds),
                    options.seeds
                );
                let _ = std::io::stderr().flush();
            }
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (counts, events) = sum.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    eprint!("\r");
    println!(
        "{scenario}: {} seeds in {:.1} s: {events} events, {} writes acknowledged, {} comparisons, {} failed\n  {}",
        next.load(Ordering::Relaxed).min(options.seeds),
        start.elapsed().as_secs_f64(),
        counts.acknowledged,
        counts.checks,
        failures.len(),
        counts.faults
    );
    failures.sort_by_key(|failure| failure.run.seed);
    for failure in &failures {
        println!("\n{failure}");
    }
    failures.is_empty()
}
