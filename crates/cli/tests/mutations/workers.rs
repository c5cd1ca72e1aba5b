//! Processes that do numbered jobs, so that one that ends the process, or never ends, is found and named.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// The variable with the numbers of a worker's jobs, the first and the one behind the last.
const JOBS: &str = "K2O_MUTATIONS_OF_WORKER";
/// What a worker's line begins with when it begins a job, and when it is done.
const BEGIN: &str = "@begin ";
const DONE: &str = "@done ";

/// How jobs are done.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The test of this program that is the worker.
    pub worker: &'static str,
    /// How long one job may take.
    pub patience: Duration,
    /// KiB of addresses that a worker may have, where the system can limit that.
    pub addresses: u64,
    /// How many jobs a process does.
    pub at_a_time: u64,
}

/// What became of all jobs.
#[derive(Debug, Default)]
pub struct Report {
    /// How many jobs came to each result.
    pub results: BTreeMap<String, u64>,
    /// The jobs that ended their process or took too long, and what was said last.
    pub failures: BTreeMap<u64, String>,
    /// The longest time of a job, and its number.
    pub slowest: (Duration, u64),
}

/// Does the jobs before `end` from `start` on in as many processes as there are processors.
pub fn run(start: u64, end: u64, terms: &Terms) -> Report {
    let (report, next) = (Mutex::new(Report::default()), AtomicU64::new(start));
    let processes = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..processes {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(terms.at_a_time, Ordering::Relaxed);
                    if from >= end || report.lock().unwrap().failures.len() >= 50 {
                        break;
                    }
                    share(from, end.min(from + terms.at_a_time), terms, &report);
                }
            });
        }
    });
    report.into_inner().unwrap()
}

/// Does jobs in one process, and in another one those behind a job that ended the first.
fn share(mut from: u64, end: u64, terms: &Terms, report: &Mutex<Report>) {
    while from < end {
        let mut child = start(from, end, terms);
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let (mut current, mut said) = (None, Vec::new());
        let failure = loop {
            let patience = match current {
                Some((_, began)) => terms.patience.saturating_sub(Instant::elapsed(&began)),
                None => terms.patience * 3,
            };
            match lines.recv_timeout(patience) {
                Ok(line) => {
                    if let Some(number) = line.strip_prefix(BEGIN) {
                        current = Some((number.parse().unwrap(), Instant::now()));
                        said.clear();
                    } else if let (Some(result), Some((number, began))) = (line.strip_prefix(DONE), current) {
                        let mut report = report.lock().unwrap();
                        *report.results.entry(result.to_owned()).or_default() += 1;
                        report.slowest = report.slowest.max((began.elapsed(), number));
                        from = number + 1;
                        current = None;
                    } else {
                        said.push(line.chars().take(300).collect::<String>());
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => break format!("not done in {:?}", terms.patience),
                // The process is at its end, or will be.
                Err(mpsc::RecvTimeoutError::Disconnected) if from == end => break String::new(),
                Err(mpsc::RecvTimeoutError::Disconnected) => break "the process ended".to_owned(),
            }
        };
        let status = stop(&mut child);
        if from < end {
            let number = current.map_or(from, |(number, _)| number);
            let last = said.len().saturating_sub(12);
            let text = format!("{failure} ({status}): {}", said[last..].join("\n  "));
            report.lock().unwrap().failures.insert(number, text);
            from = number + 1;
        }
    }
}

fn start(from: u64, end: u64, terms: &Terms) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = if cfg!(unix) {
        // An allocation past the limit ends the process.
        let script = format!("ulimit -v {} 2>/dev/null; ulimit -c 0; exec \"$0\" \"$@\"", terms.addresses);
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(["--exact", terms.worker, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(JOBS, format!("{from}..{end}")).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Ends the process if it has not ended, and says how it did.
fn stop(child: &mut Child) -> String {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.to_string();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    "killed".to_owned()
}

/// In the worker: does the jobs that the process was started for. A panic in any thread ends the process.
pub fn work(mut job: impl FnMut(u64) -> String) {
    let jobs = std::env::var(JOBS).unwrap();
    let (from, end) = jobs.split_once("..").unwrap();
    std::panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        std::process::abort();
    }));
    for number in from.parse().unwrap()..end.parse().unwrap() {
        eprintln!("{BEGIN}{number}");
        let result = job(number);
        eprintln!("{DONE}{result}");
    }
}
