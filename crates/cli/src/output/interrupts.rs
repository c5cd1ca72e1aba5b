//! What happens to temporary names when a signal ends the process.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Names to remove, if the signals are watched for.
struct State {
    names: Vec<PathBuf>,
    watched: bool,
}

static STATE: Mutex<State> = Mutex::new(State { names: Vec::new(), watched: false });

/// Runs `work`, until whose end `SIGINT`, `SIGTERM` and `SIGHUP` wait. After it they remove the names that it adds to
/// the list, and end the process as they would have done.
///
/// Not to be nested. On systems without these signals it only runs `work`.
///
/// # Errors
/// Where signals cannot be watched for; `work` has not run then.
pub(super) fn deferred<T>(work: impl FnOnce(&mut Vec<PathBuf>) -> T) -> io::Result<T> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.watched {
        watch()?;
        state.watched = true;
    }
    Ok(work(&mut state.names))
}

#[cfg(unix)]
fn watch() -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(heeded())?;
    let watcher = move || {
        for signal in signals.forever() {
            // Held to the end, so that no name comes into being after these were removed.
            let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
            for name in &state.names {
                let _ = std::fs::remove_file(name);
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(watcher).map(drop)
}

#[cfg(not(unix))]
fn watch() -> io::Result<()> {
    Ok(())
}

/// The signals that would end the process: not those that it was started to ignore, as `nohup` does with `SIGHUP`, where
/// the system shows which these are.
#[cfg(unix)]
fn heeded() -> Vec<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| (ignored >> (signal - 1)) & 1 == 0).collect()
}
