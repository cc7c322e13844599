//! With the C library's `malloc`.

fn main() -> std::process::ExitCode {
    bench_client::main()
}
