//! The suite as commands.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    cluster,
    goals::{self, Goal},
    plot, recovery, report,
    report::Table,
    restart, scoreboard, stall, startup,
    system::{Running, System, free_port},
    tools::{self, Tools},
    workload::{self, Workload},
};
use crate::{
    Failure, Result,
    args::Args,
    load::{groups::commits::Bulk, lasting},
    measure::{
        Metric,
        process::{cpu_time, resident_bytes},
    },
};

/// How long idle servers are watched.
const IDLE: Duration = Duration::from_secs(2);

/// A directory for the systems' files, deleted in the end.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(parent: Option<String>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("milena-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path: fs::canonicalize(path)? })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("bench: {}: {error}", self.path.display());
        }
    }
}

/// In one line.
fn brief(metrics: &[Metric]) -> String {
    let figures = metrics.iter().map(|metric| format!("{} {:.0} {}", metric.name, metric.value, metric.unit));
    figures.collect::<Vec<_>>().join(", ")
}

fn print(metrics: &[Metric]) {
    for metric in metrics.iter().filter(|metric| metric.value.is_finite()) {
        println!("{:28} {:12.3} {}", metric.name, metric.value, metric.unit);
    }
}

/// `bench startup`: medians of several starts.
pub fn startup(args: &mut Args) -> Result<()> {
    let formats = args.switch("--formats");
    let system = System::new("server", &args.required("--command")?, formats)?;
    let runs = args.or("--runs", 5)?;
    let scratch = Scratch::new(args.text("--dir")?)?;
    args.finish()?;
    let mut table = Table::default();
    let mut last = Vec::new();
    for run in 0..runs {
        last = startup::once(&system, &scratch.path, run)?;
        table.add("start", "server", run, &last);
    }
    for metric in &mut last {
        metric.value = table.median("start", metric.name, "server").unwrap_or(f64::NAN);
    }
    print(&last);
    Ok(())
}

/// `bench memory`: resident memory of a server that has just begun, and after the suite's batches and requests.
pub fn memory(args: &mut Args) -> Result<()> {
    let system = System::new("server", &args.required("--command")?, false)?;
    let scratch = Scratch::new(args.text("--dir")?)?;
    args.finish()?;
    let mut running = system.start(&scratch.path.join("server"), free_port()?)?;
    print(&idle(std::slice::from_ref(&running))?.remove(0));
    for workload in workload::all(true).iter().take(4) {
        workload::run(workload, running.target(), "bench-memory", &scratch.path)?;
    }
    print(&[resident("resident memory after load", &running)?]);
    running.stop()
}

fn resident(name: &'static str, running: &Running) -> Result<Metric> {
    Ok(Metric::new(name, "MB", resident_bytes(running.pid())? as f64 / 1e6))
}

/// Memory and CPU of servers that nobody asks for anything.
fn idle(running: &[Running]) -> Result<Vec<Vec<Metric>>> {
    let cpu = |running: &Running| cpu_time(running.pid());
    thread::sleep(Duration::from_secs(1));
    let before = running.iter().map(cpu).collect::<Result<Vec<_>>>()?;
    thread::sleep(IDLE);
    running
        .iter()
        .zip(before)
        .map(|(running, before)| {
            let used = cpu(running)? - before;
            let percent = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
            Ok(vec![resident("resident memory", running)?, Metric::new("CPU", "%", percent)])
        })
        .collect()
}

/// What the suite is made of. A run takes one part or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Produce, fetch, end to end, starts, idle memory.
    Speed,
    /// The same through librdkafka, as its users see it.
    User,
    /// Consumer groups and offsets.
    Groups,
    /// More and more of something, as lines.
    Growth,
    /// Starts after a kill, and on long logs.
    Recovery,
    /// Three brokers.
    Cluster,
    /// Compressed batches.
    Codecs,
    /// Bad input, and what others notice of it.
    Hostile,
    /// The tools that measure, as clients.
    Tools,
    /// The same load for an hour.
    Lasting,
}

impl Part {
    const ALL: [Part; 10] = [
        Part::Speed,
        Part::User,
        Part::Groups,
        Part::Growth,
        Part::Recovery,
        Part::Cluster,
        Part::Codecs,
        Part::Hostile,
        Part::Tools,
        Part::Lasting,
    ];

    fn name(self) -> &'static str {
        match self {
            Part::Speed => "speed",
            Part::User => "user",
            Part::Groups => "groups",
            Part::Growth => "growth",
            Part::Recovery => "recovery",
            Part::Cluster => "cluster",
            Part::Codecs => "codecs",
            Part::Hostile => "hostile",
            Part::Tools => "tools",
            Part::Lasting => "lasting",
        }
    }

    /// The parts whose switches stand there: `--groups`, or `--all`, which leaves out what takes an hour. The speed alone if there is none.
    fn of(args: &mut Args) -> Vec<Part> {
        let all = args.switch("--all");
        let switched =
            |part: &Part| args.switch(&format!("--{}", part.name())) || (all && *part != Part::Lasting);
        let parts: Vec<Part> = Part::ALL.into_iter().filter(switched).collect();
        if parts.is_empty() { vec![Part::Speed] } else { parts }
    }

    fn workloads(self, options: &Options) -> Vec<Workload> {
        let quick = options.quick;
        match self {
            Part::Speed => workload::all(quick),
            Part::User => {
                options.librdkafka.map(|programs| workload::user(programs, quick)).unwrap_or_default()
            }
            Part::Groups => workload::groups(quick),
            Part::Growth => workload::growth(quick),
            Part::Recovery | Part::Cluster | Part::Tools | Part::Lasting => Vec::new(),
            Part::Codecs => workload::codecs(quick),
            Part::Hostile => workload::hostile(quick),
        }
    }

    fn goals(self) -> &'static [Goal] {
        match self {
            Part::Speed => goals::SPEED,
            Part::User => goals::USER,
            Part::Groups => goals::GROUPS,
            Part::Growth => goals::GROWTH,
            Part::Recovery => goals::RECOVERY,
            Part::Cluster => goals::CLUSTER,
            Part::Codecs | Part::Tools => &[],
            Part::Hostile => goals::HOSTILE,
            Part::Lasting => goals::LASTING,
        }
    }
}

/// What stands on the command line for all parts.
struct Options {
    systems: Vec<System>,
    /// Whose tools run as clients.
    tools: Vec<Tools>,
    quick: bool,
    rounds: Option<usize>,
    only: Option<String>,
    json: Option<String>,
    /// Where tables, JSON and plots are put, and the command that this is.
    out: Option<(PathBuf, String)>,
    check: bool,
    /// How long the lasting load goes on.
    minutes: Option<usize>,
    /// A directory of a file system that may be frozen.
    freeze: Option<PathBuf>,
    /// Of `bench/client`.
    librdkafka: Option<workload::Programs>,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|words| words.split(',').any(|word| name.contains(word)))
    }
}

/// `bench suite`: every workload over every system, in turns.
pub fn suite(args: &mut Args) -> Result<()> {
    let mut systems = vec![System::floor()?];
    let mut tools = Vec::new();
    if let Some(binary) = args.text("--milena")? {
        systems.push(System::milena(&binary)?);
        tools.push(Tools::milena(&binary));
    }
    if let Some(command) = args.text("--apache-tool")? {
        tools.push(Tools::new("apache", &command));
    }
    for pair in args.texts("--system")? {
        let (name, command) =
            pair.split_once('=').ok_or_else(|| Failure::new(format!("--system {pair}: not NAME=COMMAND")))?;
        systems.push(System::new(name, command, false)?);
    }
    if let Some(command) = args.text("--apache")? {
        let apache = System::new("apache", &command, true)?;
        systems.push(match args.text("--apache-node")? {
            Some(command) => apache.with_node_command(&command),
            None => apache,
        });
    }
    let parts = Part::of(args);
    let options = Options {
        systems,
        tools,
        quick: args.switch("--quick"),
        rounds: args.optional("--rounds")?,
        only: args.text("--only")?,
        json: args.text("--json")?,
        out: match args.text("--out")? {
            Some(dir) => Some((
                PathBuf::from(dir),
                args.text("--command")?.unwrap_or_else(|| "bench suite".to_owned()),
            )),
            None => None,
        },
        check: args.switch("--check"),
        minutes: args.optional("--minutes")?,
        freeze: args.text("--freeze")?.map(PathBuf::from),
        librdkafka: args.text("--librdkafka")?.map(workload::Programs::new),
    };
    let realtime = args.switch("--realtime");
    let dir = args.text("--dir")?;
    args.finish()?;
    if options.json.is_some() && parts.len() > 1 {
        return Err(Failure::new("--json takes one part of the suite"));
    }
    if realtime {
        take_realtime_priority()?;
    }
    let mut failed = Vec::new();
    for part in parts {
        let mut run = Run::new(part, &options, Scratch::new(dir.clone())?);
        match part {
            Part::Codecs => run.loads(false)?,
            Part::User if options.librdkafka.is_none() => {
                failed.push("user: --librdkafka names no program".to_owned());
                continue;
            }
            Part::User => run.loads(false)?,
            Part::Hostile => {
                run.loads(false)?;
                if let Some(own) = options.freeze.as_ref().filter(|_| options.wants(STALLED)) {
                    run.systems.retain(System::takes_properties);
                    let duration = Duration::from_secs(if options.quick { 4 } else { 15 });
                    run.anew(STALLED, |system, dir| stall::once(system, dir, own, duration));
                }
            }
            Part::Speed => {
                if options.wants("start") {
                    run.starts();
                }
                run.loads(options.wants("idle"))?;
            }
            Part::Groups => {
                run.loads(false)?;
                if options.wants(LOADING) {
                    run.coordinators(if options.quick { QUICK_BULK } else { BULK });
                }
            }
            Part::Growth => {
                run.loads(false)?;
                for count in PARTITIONS {
                    if options.wants(&partitions_name(count)) {
                        run.restarts(&partitions_name(count), |system, dir, starts| {
                            restart::partitions(system, dir, count, starts)
                        });
                    }
                }
            }
            Part::Lasting => run.lasting(options.minutes.unwrap_or(if options.quick { 2 } else { 60 })),
            Part::Cluster => run.clusters(&options),
            Part::Tools => run.tools(&options),
            Part::Recovery => {
                let share = if options.quick { 8 } else { 1 };
                let (partitions, bytes) = KILLED;
                for (what, cold) in [(WARM, false), (COLD, true)] {
                    if options.wants(what) {
                        run.anew(what, |system, dir| {
                            recovery::after_kill(system, dir, partitions, bytes / share, cold)
                        });
                    }
                }
                for mb in LENGTHS_MB.map(|mb| mb / share) {
                    let what = format!("log of {mb} MB");
                    if options.wants(&what) {
                        run.anew(&what, |system, dir| recovery::length(system, dir, mb * 1_000_000));
                    }
                }
            }
        }
        // What fails in one part is no reason to go without the others.
        failed.extend(run.report(&options).err().map(|failure| format!("{}: {failure}", part.name())));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("; "))) }
}

/// A million offsets.
const BULK: Bulk = Bulk { groups: 1_000, partitions: 1_000 };
const QUICK_BULK: Bulk = Bulk { groups: 200, partitions: 500 };
/// Idle partitions.
const PARTITIONS: [i32; 3] = [1, 1_000, 10_000];

fn partitions_name(count: i32) -> String {
    match count {
        1_000.. => format!("idle partitions: {},000", count / 1_000),
        _ => format!("idle partitions: {count}"),
    }
}

/// After a kill, by whether the page cache has the logs.
pub const WARM: &str = "killed in mid-write, page cache warm";
pub const COLD: &str = "killed in mid-write, page cache cold";
/// Partitions and bytes of that; bytes of long logs, in megabytes.
const KILLED: (i32, usize) = (100, 10_000_000_000);
const LENGTHS_MB: [usize; 3] = [100, 1_000, 10_000];

const LOADING: &str = "load a coordinator";
/// One of two log directories does not answer.
pub const STALLED: &str = "a disk that stalls";

/// What all requests together may take while an attack goes on.
const REQUEST_MEMORY: &str = "queued.max.request.bytes=268435456";
/// Retention is looked at more often than every five minutes, so that it deletes in a short run too.
const OFTEN_DELETED: &str = "log.retention.check.interval.ms=15000";
/// As the node of Apache Kafka has it, and as Kafka's own `server.properties` does.
const NO_REBALANCE_DELAY: &str = "group.initial.rebalance.delay.ms=0";
/// The load that goes on and on.
pub const LASTING: &str = "40 k/s x 1 KiB while retention deletes";

struct Run {
    part: Part,
    systems: Vec<System>,
    workloads: Vec<Workload>,
    scratch: Scratch,
    rounds: usize,
    table: Table,
    failures: Vec<String>,
}

impl Run {
    fn new(part: Part, options: &Options, scratch: Scratch) -> Self {
        let workloads = part.workloads(options);
        let rounds = match (part, options.quick) {
            (Part::Speed | Part::User, false) => 5,
            (Part::Speed | Part::User, true) => 3,
            (Part::Tools, false) => 4,
            (Part::Tools, true) => 2,
            (Part::Lasting, _) => 1,
            // A group waits for heartbeats, whatever the machine does.
            (_, false) => 3,
            (_, true) => 1,
        };
        Self {
            part,
            // The floor knows of nothing but logs.
            systems: options
                .systems
                .iter()
                .filter(|system| {
                    matches!(part, Part::Speed | Part::User | Part::Codecs) || system.name != "floor"
                })
                .filter(|system| part != Part::Cluster || system.clusters())
                .cloned()
                .map(|system| match part {
                    Part::Hostile => system.with_property(REQUEST_MEMORY),
                    Part::Lasting => system.with_property(OFTEN_DELETED),
                    Part::Tools => system.with_property(NO_REBALANCE_DELAY),
                    _ => system,
                })
                .collect(),
            workloads: workloads.into_iter().filter(|workload| options.wants(workload.name)).collect(),
            scratch,
            rounds: options.rounds.unwrap_or(rounds),
            table: Table::default(),
            failures: Vec::new(),
        }
    }

    fn record(&mut self, what: &str, system: &str, round: usize, done: Result<Vec<Metric>>) {
        match done {
            // The first round warms up: caches, branch predictors, and a JVM's compiler.
            Ok(_) if round == 0 && self.rounds > 1 => {}
            Ok(metrics) => self.table.add(what, system, round, &metrics),
            Err(failure) => {
                eprintln!("bench: {what}, {system}: {failure}");
                self.failures.push(format!("{what}, {system}, round {round}: {failure}"));
            }
        }
    }

    fn starts(&mut self) {
        for round in 0..self.rounds {
            eprintln!("bench: starts, round {round}");
            for index in order(self.systems.len(), round) {
                let system = self.systems[index].clone();
                let dir = self.scratch.path.join(&system.name);
                let done = startup::once(&system, &dir, round);
                self.record("start", &system.name, round, done);
            }
        }
    }

    fn coordinators(&mut self, bulk: Bulk) {
        let what = format!("{LOADING}: {} k offsets", bulk.groups * bulk.partitions as usize / 1000);
        self.restarts(&what, |system, dir, starts| restart::coordinator(system, dir, bulk, starts));
    }

    /// One load for a long time, in one round. All systems have theirs at the same time: what disturbs one of them disturbs the others.
    fn lasting(&mut self, minutes: usize) {
        eprintln!("bench: {LASTING}, {minutes} minutes");
        let dir = |system: &System| self.scratch.path.join(&system.name).join("lasting");
        let one = |system: &System| {
            let mut running = system.start(&dir(system), free_port()?)?;
            let done = lasting::run(running.target(), minutes, |minute, metrics| {
                eprintln!("bench: minute {minute}, {}: {}", system.name, brief(metrics));
            });
            running.stop().and(done)
        };
        let done: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = self.systems.iter().map(|system| scope.spawn(|| one(system))).collect();
            started.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for (system, done) in self.systems.clone().iter().zip(done) {
            match done.unwrap_or_else(|_| Err(Failure::new("the load panicked".to_owned()))) {
                Ok((each, together)) => {
                    for (minute, metrics) in (1..).zip(&each) {
                        self.table.add(&format!("{LASTING}, minute: {minute}"), &system.name, 0, metrics);
                    }
                    self.table.add(LASTING, &system.name, 0, &together);
                }
                Err(failure) => self.failures.push(format!("{LASTING}, {}: {failure}", system.name)),
            }
        }
    }

    /// Something that is set up anew for each measurement.
    fn anew(&mut self, what: &str, measure: impl Fn(&System, &Path) -> Result<Vec<Metric>>) {
        for round in 0..self.rounds {
            for index in order(self.systems.len(), round) {
                let system = self.systems[index].clone();
                eprintln!("bench: {what}, round {round}, {}", system.name);
                let dir = self.scratch.path.join(&system.name).join(what.replace([' ', ',', ':'], "-"));
                let done = measure(&system, &dir);
                self.record(what, &system.name, round, done);
                if let Err(error) = fs::remove_dir_all(&dir) {
                    eprintln!("bench: {}: {error}", dir.display());
                }
            }
        }
    }

    /// Three nodes of each system, set up anew in each round.
    fn clusters(&mut self, options: &Options) {
        let partitions = if options.quick { 1_000 } else { 10_000 };
        for round in 0..self.rounds {
            for index in order(self.systems.len(), round) {
                let system = self.systems[index].clone();
                eprintln!("bench: three brokers, round {round}, {}", system.name);
                // They stay until the end: for a minute ext4 leaves inodes alone that were deleted, and passes each of them
                // for every new one. Behind a deletion 1,000 partitions took 1.8 s of CPU in the place of 0.1.
                let dir = self.scratch.path.join(&system.name).join(format!("cluster-{round}"));
                let wants = |name: &str| options.wants(name);
                match cluster::run(&system, &dir, options.quick, partitions, wants) {
                    Ok(found) => {
                        for (what, done) in found {
                            self.record(what, &system.name, round, done);
                        }
                    }
                    Err(failure) => self.record("three brokers", &system.name, round, Err(failure)),
                }
            }
        }
    }

    /// Everybody's tools, with each broker in turn.
    fn tools(&mut self, options: &Options) {
        let mut running = Vec::new();
        for system in &self.systems {
            let dir = self.scratch.path.join(&system.name).join("tools");
            match free_port().and_then(|port| system.start(&dir, port)) {
                Ok(server) => running.push(server),
                Err(failure) => self.failures.push(format!("start, {}: {failure}", system.name)),
            }
        }
        for round in 0..self.rounds {
            for work in tools::all(options.quick).into_iter().filter(|work| options.wants(work.name)) {
                for index in order(running.len(), round) {
                    let server = &running[index];
                    eprintln!("bench: round {round}, {}, {}'s broker", work.name, server.name);
                    let order = order(options.tools.len(), round);
                    for (what, whose, done) in tools::run(&options.tools, server, work, round, &order) {
                        self.record(&what, &whose, round, done);
                    }
                }
            }
        }
        for server in &mut running {
            if let Err(failure) = server.stop() {
                self.failures.push(format!("stop, {}: {failure}", server.name));
            }
        }
    }

    /// Something that is set up once, and measured at each start on it.
    fn restarts(&mut self, what: &str, measure: impl Fn(&System, &Path, usize) -> Result<Vec<Vec<Metric>>>) {
        for system in self.systems.clone() {
            eprintln!("bench: {what}, {}", system.name);
            let dir = self.scratch.path.join(&system.name).join(what.replace([' ', ',', ':'], "-"));
            match measure(&system, &dir, self.rounds.max(2)) {
                // The first start warms up, as the first round does.
                Ok(starts) => {
                    for (round, metrics) in starts.into_iter().enumerate().skip(1) {
                        self.table.add(what, &system.name, round, &metrics);
                    }
                }
                Err(failure) => self.failures.push(format!("{what}, {}: {failure}", system.name)),
            }
            if let Err(error) = fs::remove_dir_all(&dir) {
                eprintln!("bench: {}: {error}", dir.display());
            }
        }
    }

    fn loads(&mut self, with_idle: bool) -> Result<()> {
        if self.workloads.is_empty() && !with_idle {
            return Ok(());
        }
        let mut running = Vec::new();
        for system in &self.systems {
            let dir = self.scratch.path.join(&system.name).join("load");
            match system.start(&dir, free_port()?) {
                Ok(server) => running.push(server),
                Err(failure) => self.failures.push(format!("start, {}: {failure}", system.name)),
            }
        }
        // Rounds that count begin with 1.
        let counted = usize::from(self.rounds > 1);
        if with_idle {
            for (server, metrics) in running.iter().zip(idle(&running)?) {
                self.table.add("idle", &server.name, counted, &metrics);
            }
        }
        for round in 0..self.rounds {
            for number in 0..self.workloads.len() {
                let workload = self.workloads[number];
                eprintln!("bench: round {round}, {}", workload.name);
                for index in order(running.len(), round) {
                    let server = &running[index];
                    let topic = format!("bench-{round}-{number}");
                    let done = workload::run(&workload, server.target(), &topic, &self.scratch.path);
                    self.record(workload.name, &server.name, round, done);
                }
            }
        }
        if with_idle {
            for server in &running {
                let memory = resident("resident memory", server);
                self.record("after load", &server.name, counted, memory.map(|metric| vec![metric]));
            }
        }
        for server in &mut running {
            server.stop()?;
        }
        Ok(())
    }

    fn report(self, options: &Options) -> Result<()> {
        let names: Vec<String> = match self.part {
            Part::Tools => options.tools.iter().map(|tools| tools.name.clone()).collect(),
            _ => self.systems.iter().map(|system| system.name.clone()).collect(),
        };
        let shown =
            |workload: &str, figure: &str| match self.workloads.iter().find(|known| known.name == workload) {
                Some(known) => known.figures.contains(&figure),
                // It has a column of its own.
                None => figure != "others",
            };
        println!(
            "{}",
            self.table.markdown(&names, |workload, figure| is_row(workload) && shown(workload, figure))
        );
        let goals = match names.iter().any(|name| name == "milena") {
            true => goals::verdicts(self.part.goals(), &self.table, "milena"),
            false => Vec::new(),
        };
        if !goals.is_empty() {
            println!("{}", report::goals_markdown(&goals));
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        if let Some((dir, command)) = &options.out {
            self.publish(dir, command, &names, &shown, &goals)?;
        }
        if let Some(path) = &options.json {
            let counted = self.rounds.saturating_sub(1).max(1);
            let value = self.table.json(&names, counted, &goals, &self.failures);
            fs::write(path, format!("{value:#}\n"))?;
        }
        if !self.failures.is_empty() {
            return Err(Failure::new(format!("{} pieces of work failed", self.failures.len())));
        }
        if options.check && goals.iter().any(|goal| !goal.met) {
            return Err(Failure::new("not every goal is met"));
        }
        Ok(())
    }
}

impl Run {
    /// Writes the table, the figures of each round and the plots of a part.
    fn publish(
        &self,
        dir: &Path,
        command: &str,
        names: &[String],
        shown: &impl Fn(&str, &str) -> bool,
        goals: &[goals::Verdict],
    ) -> Result<()> {
        fs::create_dir_all(dir)?;
        let name = self.part.name();
        let counted = self.rounds.saturating_sub(1).max(1);
        let row = |workload: &str, figure: &str| is_row(workload) && shown(workload, figure);
        let json = self.table.json(names, counted, goals, &self.failures);
        fs::write(dir.join(format!("{name}.json")), format!("{json:#}\n"))?;
        let mut plots = Vec::new();
        if let Some(to) = names.iter().position(|name| name == "apache") {
            let title = format!("{name}: medians, as ratios to Apache Kafka in the same run");
            fs::write(
                dir.join(format!("{name}.svg")),
                plot::ratios(&title, names, to, &self.table.bars(names, row)),
            )?;
            plots.push(format!("{name}.svg"));
        }
        let lines = self.table.growth(names, shown);
        if !lines.is_empty() {
            fs::write(dir.join(format!("{name}-lines.svg")), plot::growth(&lines))?;
            plots.push(format!("{name}-lines.svg"));
        }
        let mut page = format!(
            "# {name}\n\nMade by `{command}`, {counted} rounds that count, on {}.\n",
            report::machine()
        );
        if self.part == Part::Tools {
            page.push_str(&format!("\n{}\n", tools::PREFACE));
        }
        for plot in plots {
            page.push_str(&format!("\n![{name}]({plot})\n"));
        }
        page.push_str(&format!("\n{}\n", self.table.markdown(names, row)));
        if !goals.is_empty() {
            page.push_str(&format!("{}\n", report::goals_markdown(goals)));
        }
        for failure in &self.failures {
            page.push_str(&format!("Failed: {failure}\n"));
        }
        fs::write(dir.join(format!("{name}.md")), page.trim_end().to_owned() + "\n")?;
        scoreboard::write(dir)
    }
}

/// Whether a figure stands in the table, and not on a line alone: an hour has sixty minutes.
fn is_row(workload: &str) -> bool {
    !workload.starts_with(&format!("{LASTING}, minute: "))
}

/// The order of the systems alternates, so that none always runs after the same one.
fn order(count: usize, round: usize) -> Vec<usize> {
    let forward = 0..count;
    if round.is_multiple_of(2) { forward.collect() } else { forward.rev().collect() }
}

/// Gives this process, and so the servers that it starts, a priority above everything ordinary on the machine.
fn take_realtime_priority() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads only the local variable that it is given.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(Failure::new(format!("--realtime: {}", std::io::Error::last_os_error()))),
    }
}
