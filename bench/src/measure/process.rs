//! What a process and the machine have used: CPU time, resident memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{Failure, Result};

/// CPU time (user and system) of a process since its start, threads that ended included.
///
/// The kernel's CPU clock of the process counts nanoseconds; `/proc/<pid>/stat`, in ticks of 10 ms, is read where that
/// clock is refused.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write only to the local variables that they are given.
    let read = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if read {
        return Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|error| Failure::new(format!("process {pid}: {error}")))?;
    parse_stat(&stat).ok_or_else(|| Failure::new(format!("process {pid}: its stat cannot be read")))
}

fn parse_stat(stat: &str) -> Option<Duration> {
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|error| Failure::new(format!("process {pid}: {error}")))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .ok_or_else(|| Failure::new(format!("process {pid} has no resident memory")))?;
    Ok(kib * 1024)
}

/// Time that all CPUs of the machine were busy since it started, in seconds.
fn machine_busy_s() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq
    let busy: u64 = ticks.iter().take(7).sum::<u64>() - ticks.iter().skip(3).take(2).sum::<u64>();
    busy as f64 / 100.0
}

/// What was used between the start and the end of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub wall_s: f64,
    /// Not a number if no server process was named.
    pub server_cpu_s: f64,
    /// CPUs that neither the server nor this process kept busy: the disturbance.
    pub others_cores: f64,
}

/// The processes whose CPU time and memory count, together: one server, the nodes of a cluster, or none that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Servers([Option<u32>; 3]);

impl Servers {
    pub fn one(pid: u32) -> Self {
        Self([Some(pid), None, None])
    }

    pub fn cluster(pids: [u32; 3]) -> Self {
        Self(pids.map(Some))
    }

    fn pids(self) -> impl Iterator<Item = u32> {
        self.0.into_iter().flatten()
    }

    fn are_known(self) -> bool {
        self.pids().next().is_some()
    }

    /// CPU time since their starts.
    fn cpu_time(self) -> Result<Option<Duration>> {
        let sum = self.pids().map(cpu_time).sum::<Result<Duration>>()?;
        Ok(self.are_known().then_some(sum))
    }

    /// Waits until they have nothing left to do of what came before, such as files to delete: less than a tenth of a CPU for a while, or
    /// for half a minute at most.
    pub fn wait_until_quiet(self) -> Result<()> {
        const WINDOW: Duration = Duration::from_millis(500);
        // Longer than the five seconds between two checkpoints of high watermarks.
        const WINDOWS: usize = 12;
        const WINDOWS_AT_MOST: usize = 60;
        let Some(mut before) = self.cpu_time()? else { return Ok(()) };
        let mut quiet = 0;
        for _ in 0..WINDOWS_AT_MOST {
            std::thread::sleep(WINDOW);
            let now = self.cpu_time()?.unwrap_or_default();
            quiet = if now - before < WINDOW / 10 { quiet + 1 } else { 0 };
            if quiet == WINDOWS {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(self) -> Result<Option<u64>> {
        let sum = self.pids().map(resident_bytes).sum::<Result<u64>>()?;
        Ok(self.are_known().then_some(sum))
    }
}

/// Begins a measurement; `stop` ends it.
pub struct Meter {
    servers: Servers,
    begun: Instant,
    server: Option<Duration>,
    own: Duration,
    machine_s: f64,
}

impl Meter {
    pub fn start(servers: Servers) -> Result<Self> {
        Ok(Self {
            servers,
            own: cpu_time(std::process::id())?,
            machine_s: machine_busy_s(),
            server: servers.cpu_time()?,
            begun: Instant::now(),
        })
    }

    pub fn stop(&self) -> Result<Usage> {
        let wall_s = self.begun.elapsed().as_secs_f64();
        let server_cpu_s = match (self.servers.cpu_time()?, self.server) {
            (Some(now), Some(before)) => (now - before).as_secs_f64(),
            _ => f64::NAN,
        };
        let own_s = (cpu_time(std::process::id())? - self.own).as_secs_f64();
        let server_s = if server_cpu_s.is_nan() { 0.0 } else { server_cpu_s };
        let others_s = machine_busy_s() - self.machine_s - own_s - server_s;
        Ok(Usage { wall_s, server_cpu_s, others_cores: (others_s / wall_s).max(0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_this_process_moves_forward() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut noise = crate::wire::batch::Noise::new(1);
        let sum = (0..1_000_000).fold(0u64, |sum, _| sum.wrapping_add(noise.next()));
        assert_ne!(sum, 0);
        assert!(cpu_time(pid).unwrap() > before);
    }

    #[test]
    fn stat_is_read_behind_any_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0";
        assert_eq!(parse_stat(stat), Some(Duration::from_millis(1750)));
        assert_eq!(parse_stat("42 (a"), None);
    }

    #[test]
    fn resident_memory_of_this_process_is_there() {
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(resident_bytes(u32::MAX / 2).is_err());
    }
}
