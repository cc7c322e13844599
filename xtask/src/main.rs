//! Every task of the project: `cargo xtask help`.

mod apache;
mod ci;
mod interop;
mod project;
mod schema;
mod tidy;
mod vectors;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask ci                    what CI runs: tests, formatting, clippy, tidy, the interop smoke
cargo xtask tidy                  file lengths, layers, links, words: what no compiler checks
cargo xtask interop [OPTION] [CASE...]
                                  other people's software against ours; `cargo xtask interop help` lists the cases
cargo xtask simulate [--scenario NAME] [--seeds N] [--seed SEED]
                                  thousands of simulated runs, or one of them with all its events
cargo xtask bench [--speed] [--user] [--groups] [--growth] [--recovery] [--cluster] [--codecs] [--hostile] [--tools] [--lasting [--minutes N]] [--all] [--quick] [--apache] [--record]
                                  builds milena and the load generator and runs the suite, beside Apache Kafka; its tables and
                                  plots go into docs/performance
cargo xtask bench --client [--megabytes N] [--rounds N] [--record]
                                  our client beside librdkafka, which is built for it
cargo xtask apache-server DIR PORT
cargo xtask apache-node DIR PROPERTIES CLUSTER-ID
                                  Apache Kafka on 127.0.0.1:PORT, its data in DIR
cargo xtask apache-tool NAME ARGUMENT...
                                  a command-line tool of Apache Kafka
cargo xtask vectors               remakes the golden bytes with Apache Kafka's own classes
cargo xtask schema                remakes crates/protocol/schema from Apache Kafka's published jars
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let result = match task {
        "ci" => ci::ci(),
        "simulate" => ci::simulate(rest),
        "bench" => ci::bench(rest),
        "tidy" => tidy::check(&project::root()).map(|report| println!("{report}")),
        "apache-server" => interop::become_apache(rest),
        "apache-node" => interop::become_apache_node(rest),
        "apache-tool" => interop::become_apache_tool(rest),
        "interop" => interop::run(rest),
        "schema" => vectors::schema(),
        "vectors" => vectors::vectors(),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no task {other:?}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
