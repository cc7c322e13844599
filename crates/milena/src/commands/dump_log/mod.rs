//! `milena dump-log`, which is `kafka-dump-log.sh` (`org.apache.kafka.tools.DumpLogSegments`).

mod indexes;
mod log;
mod payload;
mod snapshots;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use protocol::json::CoordinatorLog;

pub(super) use log::BatchReader;

use crate::report::failure;

/// Show what is in segments, indexes and snapshots
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The files: .log, .checkpoint, .index, .timeindex, .txnindex and .snapshot, with commas
    #[arg(long, value_name = "file1, file2, ...", required_unless_present = "version")]
    files: Option<String>,
    /// Show keys and values
    #[arg(long)]
    print_data_log: bool,
    /// Look into the batches
    #[arg(long)]
    deep_iteration: bool,
    /// Check the entries of indexes against the log, and show none
    #[arg(long)]
    verify_index_only: bool,
    /// Check indexes as a broker does when it starts, and show none
    #[arg(long)]
    index_sanity_check: bool,
    /// The largest batch that an index may point at
    #[arg(long, value_name = "size", default_value_t = 5 * 1024 * 1024)]
    max_message_size: i32,
    /// Read no more of a log than this
    #[arg(long, value_name = "size", default_value_t = i32::MAX)]
    max_bytes: i32,
    /// Show keys and values alone
    #[arg(long)]
    skip_record_metadata: bool,
    /// The log is one of __consumer_offsets
    #[arg(long)]
    offsets_decoder: bool,
    /// The log is one of __transaction_state
    #[arg(long)]
    transaction_log_decoder: bool,
    /// The log is __cluster_metadata
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// The log is one of __share_group_state
    #[arg(long)]
    share_group_state_decoder: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    key_decoder_class: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    value_decoder_class: Option<String>,
    /// Print the version
    #[arg(long)]
    version: bool,
}

/// What records hold.
#[derive(Clone, Copy, PartialEq)]
enum Decoder {
    Text,
    Metadata,
    Coordinator(CoordinatorLog),
}

/// The decoders of Kafka's that a class name may ask for: texts are what is shown anyway.
const STRING_DECODERS: [&str; 3] =
    ["", "org.apache.kafka.tools.api.StringDecoder", "kafka.serializer.StringDecoder"];

/// What is wrong with the files, told at the end on standard error.
#[derive(Default)]
struct Problems(Vec<(String, Vec<String>)>);

impl Problems {
    fn add(&mut self, what: &str, file: &Path, line: String) {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let title = format!("{what}{}", file.display());
        match self.0.iter_mut().find(|(known, _)| *known == title) {
            Some((_, lines)) => lines.push(line),
            None => self.0.push((title, vec![line])),
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return super::client_tool::print_version();
    }
    let classes = [&arguments.key_decoder_class, &arguments.value_decoder_class];
    if let Some(class) =
        classes.into_iter().flatten().find(|class| !STRING_DECODERS.contains(&class.as_str()))
    {
        return failure(format_args!("Failed to load decoder class: there is no Java here to run {class}"));
    }
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let dumped = arguments.dump_all(&mut out).and_then(|problems| {
        out.flush().map_err(|error| error.to_string())?;
        Ok(problems)
    });
    match dumped {
        Ok(problems) => {
            for (title, lines) in problems.0 {
                eprintln!("{title}");
                lines.iter().for_each(|line| eprintln!("{line}"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            // What was shown so far stays; whoever closed the pipe has seen enough.
            let _ = out.flush();
            if error.contains("Broken pipe") { ExitCode::SUCCESS } else { failure(error) }
        }
    }
}

impl Arguments {
    fn decoder(&self) -> Decoder {
        if self.offsets_decoder {
            Decoder::Coordinator(CoordinatorLog::Group)
        } else if self.transaction_log_decoder {
            Decoder::Coordinator(CoordinatorLog::Transaction)
        } else if self.cluster_metadata_decoder {
            Decoder::Metadata
        } else if self.share_group_state_decoder {
            Decoder::Coordinator(CoordinatorLog::Share)
        } else {
            Decoder::Text
        }
    }

    fn dump_all(&self, out: &mut impl Write) -> Result<Problems, String> {
        let mut problems = Problems::default();
        for name in self.files.as_deref().unwrap_or_default().split(',') {
            let file = PathBuf::from(name);
            self.dump(&file, out, &mut problems).map_err(|error| match error.kind() {
                // What is wrong inside a file is said with its name, or in Kafka's words.
                io::ErrorKind::Other => error.to_string(),
                _ => format!("{name}: {error}"),
            })?;
        }
        Ok(problems)
    }

    fn dump(&self, file: &Path, out: &mut impl Write, problems: &mut Problems) -> io::Result<()> {
        writeln!(out, "Dumping {}", file.display())?;
        let end = file.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
        let prints = self.print_data_log
            || self.decoder() != Decoder::Text
            || self.key_decoder_class.is_some()
            || self.value_decoder_class.is_some();
        match end.as_str() {
            "log" | "checkpoint" => {
                let options = log::Options {
                    contents: prints,
                    deep: prints || self.deep_iteration,
                    skip_metadata: self.skip_record_metadata,
                    max_bytes: self.max_bytes,
                    decoder: self.decoder(),
                };
                log::dump(file, &options, out, problems)
            }
            "index" => indexes::dump_offsets(file, self, out, problems),
            "timeindex" => indexes::dump_times(file, self, out, problems),
            "txnindex" => snapshots::dump_aborted(file, out),
            "snapshot" => snapshots::dump_producers(file, out),
            _ => {
                out.flush()?;
                eprintln!("Ignoring unknown file {}", file.display());
                Ok(())
            }
        }
    }
}

/// The offset in a file's name; segments and their indexes have it.
fn base_offset(file: &Path) -> io::Result<i64> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| io::Error::other(format!("For input string: \"{digits}\"")))
}
