//! How far work is that takes long, shown on a terminal until the work is done.

use crate::console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What takes less is not shown.
const DELAY: Duration = Duration::from_millis(500);

/// How often it is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// Work in progress: a line on standard error, if that is a terminal and the command talks, until this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Work that writes about so many bytes.
    pub fn of_bytes(what: &str, bytes: u64) -> Progress {
        let template = "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {elapsed}";
        Progress::start(
            ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden()),
            what,
            template,
        )
    }

    /// Work on so many examples.
    pub fn of_examples(what: &str, examples: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(examples), ProgressDrawTarget::hidden());
        Progress::start(bar, what, "{msg} [{bar:30}] {pos}/{len} examples {elapsed}")
    }

    /// Work of which is known only that it goes on.
    pub fn of_time(what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Progress::start(bar, what, "{spinner} {msg} {elapsed}")
    }

    fn start(bar: ProgressBar, what: &str, template: &str) -> Progress {
        if !console::is_talking() || !io::stderr().is_terminal() {
            return Progress { bar, drawing: None };
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_string());
        let (end, ended) = channel::<()>();
        let drawn = bar.clone();
        let draw = move || {
            if ended.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
                drawn.set_draw_target(ProgressDrawTarget::stderr());
                drawn.enable_steady_tick(INTERVAL);
            }
        };
        // Without a thread nothing is shown, and the work goes on.
        let thread = std::thread::Builder::new().name("progress".to_string()).spawn(draw);
        Progress { bar, drawing: thread.ok().map(|thread| (end, thread)) }
    }

    /// Says how much is done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// A writer that counts the bytes that go through it.
    pub fn counting<'a, W: Write>(&'a self, writer: &'a mut W) -> impl Write + use<'a, W> {
        self.bar.wrap_write(writer)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.drawing.take() {
            drop(end);
            let _ = thread.join();
            self.bar.finish_and_clear();
        }
    }
}
