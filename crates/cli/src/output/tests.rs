//! Files that take their places, and all the ways in which they do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use super::*;
use crate::arrays::{self, Format};
use ndarray::ArrayD;
use tempfile::TempDir;

/// The names in a folder, sorted.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap()
}

type Stage = fn(&Path) -> io::Result<Staged>;

/// The ways to stage a file that this system and the file system of temporary files have.
fn ways() -> Vec<(&'static str, Stage)> {
    let ways: [(_, Stage); 2] = [("named", Staged::named), ("unnamed", Staged::unnamed)];
    let folder = TempDir::new().unwrap();
    ways.into_iter().filter(|(_, stage)| stage(folder.path()).is_ok()).collect()
}

/// Fails once `left` writes have succeeded; takes at most `most` bytes in each.
struct Sink {
    written: Vec<u8>,
    left: usize,
    most: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        let n = bytes.len().min(self.most);
        self.written.extend(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whichever_write_fails_the_failure_is_reported() {
    let model = k2o::Model::open(k2o_fixtures::case("conv_flatten_dense").path("keras3.keras")).unwrap();
    let export = model.to_onnx(&k2o::ExportOptions::default()).unwrap();
    let array = ArrayD::<f32>::from_elem(vec![40, 100], 0.5);
    let (one, two) = (vec!["a".to_string()], vec!["a".to_string(), "b".to_string()]);
    type Write<'a> = Box<dyn Fn(&mut Writer<'_>) -> Result<(), Failure> + 'a>;
    let writes: [(&str, Write<'_>); 5] = [
        // So little that all of it stays in the buffer.
        ("y", Box::new(|w| w.write_all(b"little").map_err(|error| Failure::io(Path::new("y"), error)))),
        (
            "y.onnx",
            Box::new(|w| {
                export.write_to(w).map(drop).map_err(|error| {
                    assert_eq!(error.kind(), k2o::onnx::ErrorKind::Io);
                    Failure::io(Path::new("y.onnx"), error)
                })
            }),
        ),
        (
            "y.npy",
            Box::new(|w| {
                arrays::write(Format::Npy, Path::new("y.npy"), &one, std::slice::from_ref(&array), w)
            }),
        ),
        (
            "y.csv",
            Box::new(|w| {
                arrays::write(Format::Csv, Path::new("y.csv"), &one, std::slice::from_ref(&array), w)
            }),
        ),
        (
            "y.npz",
            Box::new(|w| {
                arrays::write(Format::Npz, Path::new("y.npz"), &two, &[array.clone(), array.clone()], w)
            }),
        ),
    ];
    for (name, write) in &writes {
        let run = |left, most| {
            let mut sink = Sink { written: Vec::new(), left, most };
            (fill(&mut sink, Path::new(name), write), sink)
        };
        for most in [usize::MAX, 1000] {
            let (whole, sink) = run(usize::MAX, most);
            whole.unwrap();
            let count = usize::MAX - sink.left;
            assert!(count >= 1, "{name}");
            for left in 0..count {
                let (failed, part) = run(left, most);
                assert_eq!(failed.unwrap_err().status(), 6, "{name}: write {left} of {count}");
                assert!(sink.written.starts_with(&part.written) && part.written.len() < sink.written.len());
            }
            assert_eq!(run(usize::MAX, usize::MAX).1.written, sink.written, "{name}");
        }
    }
}

#[test]
fn a_staged_file_shows_up_when_it_is_put_in_its_place() {
    for (way, stage) in ways() {
        for old in [None, Some("old")] {
            let folder = TempDir::new().unwrap();
            let target = folder.path().join("y");
            if let Some(old) = old {
                std::fs::write(&target, old).unwrap();
            }
            let before = names(&folder);
            let staged = stage(folder.path()).unwrap();
            staged.file().write_all(b"half").unwrap();
            drop(staged);
            assert_eq!(names(&folder), before, "{way}: dropped");
            let staged = stage(folder.path()).unwrap();
            staged.file().write_all(b"new").unwrap();
            if let Some(old) = old {
                assert_eq!(read(&folder, "y"), old);
            }
            staged.replace(&target).unwrap();
            assert_eq!(
                (names(&folder), read(&folder, "y")),
                (vec!["y".to_string()], "new".to_string()),
                "{way}"
            );
        }
    }
}

#[test]
fn a_file_that_cannot_be_put_in_its_place_is_gone() {
    for (way, stage) in ways() {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("y")).unwrap();
        let staged = stage(folder.path()).unwrap();
        assert!(staged.replace(&folder.path().join("y")).is_err(), "{way}");
        assert_eq!(names(&folder), ["y"], "{way}");
    }
}

#[test]
fn data_stays_if_it_is_kept_or_was_there() {
    for (way, stage) in ways() {
        for keep in [false, true] {
            for (old, left) in
                [(None, keep.then_some("new")), (Some("NEW"), Some("NEW")), (Some("other"), Some("new"))]
            {
                let folder = TempDir::new().unwrap();
                let target = folder.path().join("data");
                if let Some(old) = old {
                    std::fs::write(&target, old).unwrap();
                }
                let staged = stage(folder.path()).unwrap();
                staged.file().write_all(b"new").unwrap();
                let placed = staged.place(&target).unwrap();
                if keep {
                    placed.keep();
                } else {
                    drop(placed);
                }
                let found = std::fs::read_to_string(&target).ok();
                assert_eq!(found.as_deref(), left, "{way} {keep} {old:?}");
            }
        }
    }
}

/// Writes a model `y` that names its data, `part`; what happens to the model is up to `write`.
fn pair(
    folder: &TempDir,
    inputs: &[PathBuf],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let data = |writer: &mut Writer<'_>| {
        writer.write_all(b"data").unwrap();
        Ok("part".to_string())
    };
    let model = |writer: &mut Writer<'_>, name: &str| {
        writer.write_all(name.as_bytes()).unwrap();
        write(writer)
    };
    write_with_data(&folder.path().join("y"), inputs, data, model)
}

#[test]
fn a_model_and_its_data_are_both_there_or_neither() {
    let folder = TempDir::new().unwrap();
    pair(&folder, &[], |_| Ok(())).unwrap();
    assert_eq!(names(&folder), ["part", "y"]);
    assert_eq!((read(&folder, "y"), read(&folder, "part")), ("part".to_string(), "data".to_string()));
    // Again, with the data that is there.
    pair(&folder, &[], |_| Ok(())).unwrap();
    assert_eq!(names(&folder), ["part", "y"]);

    let folder = TempDir::new().unwrap();
    let failed = pair(&folder, &[], |_| Err(Failure::Io("no".to_string())));
    assert_eq!((failed.unwrap_err().status(), names(&folder)), (6, vec![]));

    // The name of the model is taken by a folder while it is written.
    for data_is_there in [false, true] {
        let folder = TempDir::new().unwrap();
        if data_is_there {
            std::fs::write(folder.path().join("part"), "data").unwrap();
        }
        let failed = pair(&folder, &[], |_| {
            std::fs::create_dir(folder.path().join("y")).unwrap();
            Ok(())
        });
        assert_eq!(failed.unwrap_err().status(), 6);
        let left: &[&str] = if data_is_there { &["part", "y"] } else { &["y"] };
        assert_eq!(names(&folder), left);
    }
}

#[test]
fn data_never_replaces_an_input_nor_its_model() {
    let folder = TempDir::new().unwrap();
    let input = folder.path().join("weights");
    std::fs::write(&input, "weights").unwrap();
    std::fs::hard_link(&input, folder.path().join("part")).unwrap();
    let refused = pair(&folder, &[input], |_| Ok(()));
    assert_eq!((refused.unwrap_err().status(), read(&folder, "part")), (2, "weights".to_string()));
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("part");
    let refused = write_with_data(&target, &[], |_| Ok("part".to_string()), |_, _| Ok(()));
    assert_eq!((refused.unwrap_err().status(), names(&folder)), (2, vec![]));
    #[cfg(unix)]
    {
        let refused = write_with_data(Path::new("/dev/null"), &[], |_| Ok("part".to_string()), |_, _| Ok(()));
        assert_eq!(refused.unwrap_err().status(), 2);
    }
}

#[cfg(unix)]
mod signals {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    const FOLDER: &str = "K2O_TEST_FOLDER";
    const WAY: &str = "K2O_TEST_WAY";

    /// The process that the tests below interrupt.
    #[test]
    #[ignore = "waits for a signal; started by the other tests"]
    fn stage_and_wait() {
        let folder = std::env::var_os(FOLDER).unwrap();
        let way = std::env::var(WAY).unwrap();
        let (_, stage) = ways().into_iter().find(|(name, _)| *name == way).unwrap();
        let staged = stage(Path::new(&folder)).unwrap();
        staged.file().write_all(b"half").unwrap();
        println!("\nstaged");
        loop {
            std::thread::park();
        }
    }

    /// A process that has staged a file in `folder`, started by a shell after `first`.
    fn staging(folder: &TempDir, way: &str, first: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{first} exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "output::tests::signals::stage_and_wait", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(WAY, way)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "staged"));
        child
    }

    fn send(child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    #[test]
    fn a_signal_ends_the_process_and_leaves_nothing_behind() {
        for (way, _) in ways() {
            for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
                let folder = TempDir::new().unwrap();
                let mut child = staging(&folder, way, "");
                assert_eq!(names(&folder).len(), usize::from(way == "named"));
                send(&child, signal);
                assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()), "{way}");
                // Nobody can remove a name for a process that was killed.
                if signal != Signal::KILL || way == "unnamed" {
                    assert_eq!(names(&folder), [""; 0], "{way} {signal:?}");
                }
            }
        }
    }

    /// What is ignored shows in `/proc`.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_signal_that_the_process_was_started_to_ignore_is_ignored() {
        let folder = TempDir::new().unwrap();
        let mut child = staging(&folder, "named", "trap '' HUP;");
        send(&child, Signal::HUP);
        send(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
        assert_eq!(names(&folder), [""; 0]);
    }
}
