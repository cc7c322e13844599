//! What a case saw: a line of PASS or FAIL for each thing, and the counts at its end.

use std::time::Instant;

/// Collects one case's results and prints them as they come.
pub struct Report {
    case: &'static str,
    started: Instant,
    passed: usize,
    failed: usize,
}

impl Report {
    /// An empty report.
    pub fn new(case: &'static str) -> Report {
        Report { case, started: Instant::now(), passed: 0, failed: 0 }
    }

    /// Something is as it should be.
    pub fn pass(&mut self, what: &str, detail: &str) {
        self.passed += 1;
        println!("PASS {}: {what}{}{detail}", self.case, if detail.is_empty() { "" } else { ": " });
    }

    /// Something is not.
    pub fn fail(&mut self, what: &str, detail: &str) {
        self.failed += 1;
        println!("FAIL {}: {what}: {detail}", self.case);
    }

    /// Something that cannot be looked at here.
    pub fn skip(&mut self, what: &str, why: &str) {
        println!("SKIP {}: {what}: {why}", self.case);
    }

    /// PASS with the detail, or FAIL with the error. Says whether it passed.
    pub fn check(&mut self, what: &str, result: Result<String, String>) -> bool {
        match &result {
            Ok(detail) => self.pass(what, detail),
            Err(error) => self.fail(what, error),
        }
        result.is_ok()
    }

    /// Takes over the lines `PASS what: detail`, `FAIL ...` and `SKIP ...` that a program of ours in another language printed.
    /// One that printed none of them did nothing.
    pub fn take_over(&mut self, printed: &str) {
        let before = self.passed + self.failed;
        for line in printed.lines() {
            let Some((verdict, rest)) = line.split_once(' ') else { continue };
            let (what, detail) = rest.split_once(": ").unwrap_or((rest, ""));
            match verdict {
                "PASS" => self.pass(what, detail),
                "FAIL" => self.fail(what, detail),
                "SKIP" => self.skip(what, detail),
                _ => {}
            }
        }
        if before == self.passed + self.failed {
            self.fail("the program", "it reported nothing");
        }
    }

    /// Prints the counts; says whether everything passed, and something was looked at.
    pub fn summary(&self) -> bool {
        println!(
            "{}: {} passed, {} failed, {} s",
            self.case,
            self.passed,
            self.failed,
            self.started.elapsed().as_secs()
        );
        self.failed == 0 && self.passed > 0
    }
}
