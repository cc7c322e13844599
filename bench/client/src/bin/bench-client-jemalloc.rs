//! With jemalloc's `malloc`, for librdkafka as well.

// Linked, and not called by its own names.
use tikv_jemalloc_sys as _;

fn main() -> std::process::ExitCode {
    bench_client::main()
}
