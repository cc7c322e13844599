//! Both libraries in turns, and what is told of it.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Admin, ClientConfig, NewTopic};

use crate::{PARTITIONS, Result};

const LIBRARIES: [&str; 2] = ["milena", "librdkafka"];
const SIZES: [usize; 2] = [100, 1024];
/// `batch.size` of both; none is each one's default.
const BATCHES: [Option<&str>; 3] = [None, Some("16384"), Some("1000000")];
/// What is consumed was produced in batches of this size.
const CONSUMED: usize = 1;
const START_LIMIT: Duration = Duration::from_secs(60);

/// A broker of this run's own, gone with it.
struct Broker {
    child: Child,
    dir: PathBuf,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn start(milena: &str) -> Result<(Broker, String)> {
    let dir = std::env::temp_dir().join(format!("milena-bench-client-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let properties = dir.join("server.properties");
    let data = dir.join("data");
    // What a measurement has written is gone before the next one, with the memory that it filled and the disk's work for it.
    let text = format!(
        "node.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\nlog.segment.delete.delay.ms=0\n",
        data.display()
    );
    std::fs::write(&properties, text)?;
    let log = std::fs::File::create(dir.join("output.log"))?;
    let child = Command::new(milena)
        .arg("server-start")
        .arg(&properties)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let broker = Broker { child, dir };
    let address = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + START_LIMIT;
    // It answers before it is one of the cluster's brokers.
    while TcpStream::connect(&address).is_err() || !is_registered(&address) {
        if Instant::now() > deadline {
            return Err(format!("{milena} does not answer at {address}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((broker, address))
}

fn is_registered(address: &str) -> bool {
    admin(address, async |admin| Ok(admin.describe_cluster().await?)).is_ok_and(|brokers| !brokers.is_empty())
}

struct Figures {
    seconds: f64,
    cpu: f64,
    /// CPU seconds of the broker, where it is ours.
    broker: f64,
}

impl Broker {
    /// CPU seconds so far.
    fn cpu(&self) -> Result<f64> {
        Ok(crate::cpu_time_of(self.child.id())?.as_secs_f64())
    }
}

/// Touches so many bytes of memory and lets go of them. A virtual machine may give memory back to its host as soon as it has been
/// free for some seconds, and then its next touch costs several times as much: what a library finds would be luck.
fn warm(bytes: usize) {
    drop(std::hint::black_box(vec![1_u8; bytes]));
}

/// What one library takes, with as much memory at hand as the broker and the client are going to fill.
fn measure(broker: Option<&Broker>, arguments: &[&str], megabytes: usize) -> Result<Figures> {
    warm(3 * megabytes * 1_000_000);
    let before = broker.map_or(Ok(f64::NAN), Broker::cpu)?;
    let output = Command::new(std::env::current_exe()?).arg("run").args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(seconds)), Some(Ok(cpu))) => {
            let broker = broker.map_or(Ok(f64::NAN), Broker::cpu)? - before;
            Ok(Figures { seconds, cpu, broker })
        }
        _ => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The figures of one row: of each library, in each round.
struct Row {
    name: String,
    bytes: f64,
    records: f64,
    rounds: Vec<[Figures; 2]>,
}

impl Row {
    fn write(&self, table: &mut String) -> Result<()> {
        let of = |library: usize, figure: &dyn Fn(&Figures) -> f64| {
            median(self.rounds.iter().map(|round| figure(&round[library])).collect())
        };
        let ratio = |figure: &dyn Fn(&Figures) -> f64| {
            median(self.rounds.iter().map(|[ours, theirs]| figure(ours) / figure(theirs)).collect())
        };
        let rate = |figures: &Figures| self.records / figures.seconds / 1000.0;
        let cost = |figures: &Figures| figures.cpu / self.bytes * 1e9;
        let broker = |figures: &Figures| figures.broker / self.bytes * 1e9;
        writeln!(
            table,
            "| {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            self.name,
            of(0, &rate),
            of(1, &rate),
            ratio(&rate),
            of(0, &cost),
            of(1, &cost),
            ratio(&cost),
            of(0, &broker),
            of(1, &broker),
        )?;
        Ok(())
    }
}

pub fn run(options: &HashMap<String, String>) -> Result<()> {
    let number = |name: &str, default: usize| options.get(name).map_or(Ok(default), |text| text.parse());
    let (megabytes, rounds) = (number("megabytes", 500)?, number("rounds", 5)?);
    let (broker, bootstrap) = match (options.get("milena"), options.get("bootstrap")) {
        (Some(milena), _) => start(milena).map(|(broker, address)| (Some(broker), address))?,
        (None, Some(address)) => (None, address.clone()),
        (None, None) => return Err("--milena or --bootstrap says where the broker is".into()),
    };
    let command =
        options.get("command").map_or("`bench-client suite`".to_owned(), |command| format!("`{command}`"));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let mut rows: Vec<Row> = Vec::new();
    for size in SIZES {
        for batch in BATCHES {
            let name =
                batch.map_or("batch.size by default".to_owned(), |batch| format!("batch.size={batch}"));
            rows.push(Row::of(&format!("produce, {size} B, {name}"), megabytes, size));
            if batch == BATCHES[CONSUMED] {
                rows.push(Row::of(&format!("consume, {size} B"), megabytes, size));
            }
        }
    }
    // The first round is not counted.
    for round in 0..=rounds {
        let mut row = 0;
        for size in SIZES {
            let records = (megabytes * 1_000_000 / size).to_string();
            let size_text = size.to_string();
            for batch in BATCHES {
                let topics: Vec<String> =
                    LIBRARIES.iter().map(|library| format!("{library}-{size}-{row}-{round}")).collect();
                let figures = turns(round, |library| {
                    create(&bootstrap, &topics[library])?;
                    let mut arguments = vec!["--library", LIBRARIES[library], "--job", "produce"];
                    arguments.extend(["--bootstrap", &bootstrap, "--topic", &topics[library]]);
                    arguments.extend(["--records", &records, "--size", &size_text]);
                    arguments.extend(batch.iter().flat_map(|batch| ["--batch-size", *batch]));
                    measure(broker.as_ref(), &arguments, megabytes)
                })?;
                rows[row].add(round, figures);
                row += 1;
                if batch == BATCHES[CONSUMED] {
                    // Both read what milena's client wrote.
                    let figures = turns(round, |library| {
                        let mut arguments = vec!["--library", LIBRARIES[library], "--job", "consume"];
                        arguments.extend(["--bootstrap", &bootstrap, "--topic", &topics[0]]);
                        arguments.extend(["--records", &records, "--size", &size_text]);
                        measure(broker.as_ref(), &arguments, megabytes)
                    })?;
                    rows[row].add(round, figures);
                    row += 1;
                }
                for topic in &topics {
                    delete(&bootstrap, topic)?;
                }
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    let version = rdkafka::util::get_rdkafka_version().1;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut page = format!(
        "# milena's client beside librdkafka {version}\n\n\
         {command} on {cores} cores: {rounds} rounds of {megabytes} MB after one that is not counted, on one broker (milena). Load average \
         when it began: {load}.\n\n\
         | | milena, 1000 records/s | librdkafka | ratio | milena, CPU s/GB | librdkafka | ratio | the broker, CPU s/GB: with milena | with librdkafka |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in &rows {
        row.write(&mut page)?;
    }
    page.push_str(
        "\nRecords per second, and CPU seconds of the client's process, and of the broker's, for a GB of values: medians, and the medians of the ratios \
         within each round. Above 1 milena's is faster, below 1 it is cheaper. The default of `batch.size` is 16,384 in milena's client, \
         as in Java's, and 1,000,000 in librdkafka. milena's client runs on a `tokio` runtime with one worker. On a machine that is busy with other things, believe the CPU time.\n",
    );
    print!("{page}");
    match options.get("out") {
        Some(file) => Ok(std::fs::write(Path::new(file), page)?),
        None => Ok(()),
    }
}

impl Row {
    fn of(name: &str, megabytes: usize, size: usize) -> Row {
        let records = (megabytes * 1_000_000 / size) as f64;
        Row { name: name.to_owned(), bytes: records * size as f64, records, rounds: Vec::new() }
    }

    fn add(&mut self, round: usize, figures: [Figures; 2]) {
        if round > 0 {
            self.rounds.push(figures);
        }
    }
}

/// Each library once; who is first changes with the round.
fn turns(round: usize, run: impl Fn(usize) -> Result<Figures>) -> Result<[Figures; 2]> {
    if round.is_multiple_of(2) {
        let ours = run(0)?;
        return Ok([ours, run(1)?]);
    }
    let theirs = run(1)?;
    Ok([run(0)?, theirs])
}

fn admin<T>(bootstrap: &str, work: impl AsyncFnOnce(Admin) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(Admin::new(ClientConfig::new(bootstrap))))
}

fn create(bootstrap: &str, topic: &str) -> Result<()> {
    admin(bootstrap, async |admin| {
        let topic = NewTopic {
            name: topic.to_owned(),
            partitions: Some(PARTITIONS),
            replication_factor: Some(1),
            ..NewTopic::default()
        };
        for result in admin.create_topics(&[topic], false).await? {
            result?;
        }
        Ok(())
    })
}

fn delete(bootstrap: &str, topic: &str) -> Result<()> {
    admin(bootstrap, async |admin| {
        for result in admin.delete_topics(&[topic.to_owned()]).await? {
            result?;
        }
        Ok(())
    })
}
