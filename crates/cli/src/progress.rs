//! How far work is that takes long, shown on a terminal until the work is done.

use crate::commands::bytes;
use crate::console;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What takes less is not shown.
const DELAY: Duration = Duration::from_millis(500);

/// How often it is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// The most characters of a line, so that it fits most terminals.
const WIDTH: usize = 79;

/// The characters of a bar.
const BAR: usize = 30;

/// Work in progress: a line on standard error, if that is a terminal and the command talks, until this is dropped.
pub(crate) struct Progress {
    work: Arc<Work>,
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What the line says.
#[derive(Debug)]
struct Work {
    what: String,
    amount: Amount,
    done: AtomicU64,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Bytes(u64),
    Examples(u64),
    Unknown,
}

impl Progress {
    /// Work that writes about so many bytes.
    pub fn of_bytes(what: &str, bytes: u64) -> Progress {
        Progress::start(what, Amount::Bytes(bytes))
    }

    /// Work on so many examples.
    pub fn of_examples(what: &str, examples: u64) -> Progress {
        Progress::start(what, Amount::Examples(examples))
    }

    /// Work of which is known only that it goes on.
    pub fn of_time(what: &str) -> Progress {
        Progress::start(what, Amount::Unknown)
    }

    fn start(what: &str, amount: Amount) -> Progress {
        let work = Arc::new(Work { what: what.to_string(), amount, done: AtomicU64::new(0) });
        if !console::is_talking() || !io::stderr().is_terminal() {
            return Progress { work, drawing: None };
        }
        let (end, ended) = channel::<()>();
        let drawn = work.clone();
        // Without a thread nothing is shown, and the work goes on.
        let thread =
            std::thread::Builder::new().name("progress".to_string()).spawn(move || draw(&drawn, &ended));
        Progress { work, drawing: thread.ok().map(|thread| (end, thread)) }
    }

    /// Says how much is done.
    pub fn set(&self, done: u64) {
        self.work.done.store(done, Ordering::Relaxed);
    }

    /// A writer that counts the bytes that go through it.
    pub fn counting<'a, W: Write>(&'a self, writer: &'a mut W) -> impl Write + use<'a, W> {
        Counting { writer, done: &self.work.done }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.drawing.take() {
            drop(end);
            _ = thread.join();
        }
    }
}

struct Counting<'a, W> {
    writer: &'a mut W,
    done: &'a AtomicU64,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.done.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Draws the line over and over until the work has ended, and then takes it away.
fn draw(work: &Work, ended: &Receiver<()>) {
    let start = Instant::now();
    // What cannot be shown is not worth an error.
    let show = |text: &str| _ = io::stderr().write_all(text.as_bytes());
    let mut pause = DELAY;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        show(&format!("\r{:WIDTH$}", work.line(start.elapsed())));
        pause = INTERVAL;
    }
    if pause == INTERVAL {
        show(&format!("\r{:WIDTH$}\r", ""));
    }
}

impl Work {
    /// `lstm.onnx [=========>                    ] 4.2 MB/12.7 MB 3 s`, in no more characters than fit.
    fn line(&self, elapsed: Duration) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let seconds = elapsed.as_secs();
        let rest = match self.amount {
            // More may be written than was foretold.
            Amount::Bytes(all) => {
                format!(" {} {}/{} {seconds} s", bar(done, all), bytes(done), bytes(all.max(done)))
            }
            Amount::Examples(all) => format!(" {} {done}/{all} examples {seconds} s", bar(done, all)),
            Amount::Unknown => format!(" {seconds} s"),
        };
        let room = WIDTH.saturating_sub(rest.chars().count());
        let is_whole = self.what.chars().count() <= room;
        // The end of a path says more than its beginning.
        let mut end: Vec<char> =
            self.what.chars().rev().take(if is_whole { room } else { room.saturating_sub(1) }).collect();
        end.extend((!is_whole).then_some('…'));
        let what: String = end.into_iter().rev().collect();
        what + &rest
    }
}

/// How much of the work is done, drawn.
fn bar(done: u64, all: u64) -> String {
    let part = (done as f64 / all.max(1) as f64).min(1.0);
    let filled = (part * BAR as f64) as usize;
    let head = if filled < BAR { ">" } else { "" };
    format!("[{:BAR$}]", "=".repeat(filled) + head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, amount: Amount, done: u64) -> String {
        Work { what: what.to_string(), amount, done: AtomicU64::new(done) }.line(Duration::from_millis(3700))
    }

    #[test]
    fn a_line_says_what_is_done_and_how_much_of_it() {
        for (amount, done, expected) in [
            (Amount::Unknown, 0, "work 3 s"),
            (Amount::Bytes(4_000_000), 0, "work [>                             ] 0 B/4.0 MB 3 s"),
            (Amount::Bytes(4_000_000), 1_000_000, "work [=======>                      ] 1.0 MB/4.0 MB 3 s"),
            (Amount::Bytes(4_000_000), 5_000_000, "work [==============================] 5.0 MB/5.0 MB 3 s"),
            (Amount::Bytes(0), 0, "work [>                             ] 0 B/0 B 3 s"),
            (Amount::Examples(200), 200, "work [==============================] 200/200 examples 3 s"),
        ] {
            assert_eq!(line("work", amount, done), expected);
        }
    }

    #[test]
    fn a_line_fits_a_terminal_and_keeps_the_end_of_a_path() {
        for len in [40, 60, 200] {
            let path = "ä".repeat(len) + "/model.onnx";
            let line = line(&path, Amount::Bytes(5_000_000_000_000), 5_000_000_000_000);
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(line.contains("/model.onnx ["), "{line}");
        }
    }

    #[test]
    fn bytes_are_counted_as_they_are_written() {
        let progress = Progress::of_bytes("work", 10);
        let mut written = Vec::new();
        let mut writer = progress.counting(&mut written);
        writer.write_all(b"12345").unwrap();
        writer.write_all(b"678").unwrap();
        drop(writer);
        assert_eq!((progress.work.done.load(Ordering::Relaxed), &written[..]), (8, &b"12345678"[..]));
    }
}
