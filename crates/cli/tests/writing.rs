//! What is in the folders after a command wrote, failed, or was stopped in the middle.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod run;

use k2o_fixtures::{Case, case};
use ndarray_npy::WriteNpyExt;
use run::Run;
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;

fn k2o() -> &'static str {
    env!("CARGO_BIN_EXE_k2o")
}

fn small() -> Case {
    case("conv_only")
}

fn model(case: &Case) -> String {
    case.path("keras3.keras").display().to_string()
}

/// Every file below a folder with its bytes, sorted; links by what they lead to.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap() {
            kind if kind.is_dir() => found.extend(contents(&path)),
            kind if kind.is_symlink() => found.push((
                path.display().to_string(),
                path.read_link().unwrap().into_os_string().into_encoded_bytes(),
            )),
            _ => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// A folder with the same model in every form, and an array for it.
fn every_form() -> Run {
    let run = Run::new();
    let case = small();
    let copy = |from: &str, to: &str| std::fs::copy(case.path(from), run.path(to)).map(drop).unwrap();
    copy("keras3.keras", "net.keras");
    copy("keras2.h5", "whole.h5");
    copy("keras3.json", "net.json");
    copy("keras3.weights.h5", "net.weights.h5");
    copy("keras3.weights.h5", "apart");
    let mut zip = zip::ZipArchive::new(File::open(case.path("keras3.keras")).unwrap()).unwrap();
    zip.extract(run.path("folder")).unwrap();
    let x = case.inputs().remove(0).1.into_f32();
    x.write_npy(File::create(run.path("x.npy")).unwrap()).unwrap();
    run
}

#[test]
fn no_file_that_is_read_is_ever_written() {
    for (args, read) in [
        (vec!["convert", "net.keras"], vec!["net.keras"]),
        (vec!["convert", "whole.h5"], vec!["whole.h5"]),
        (vec!["convert", "net.json"], vec!["net.json", "net.weights.h5"]),
        (vec!["convert", "net.json", "--weights", "apart"], vec!["net.json", "apart"]),
        (
            vec!["convert", "folder"],
            vec!["folder", "folder/config.json", "folder/metadata.json", "folder/model.weights.h5"],
        ),
        (vec!["predict", "net.keras", "--input", "x.npy"], vec!["net.keras", "x.npy"]),
        (
            vec!["predict", "folder", "--input", "x.npy"],
            vec!["folder/config.json", "folder/model.weights.h5", "x.npy"],
        ),
    ] {
        for file in read {
            let run = every_form();
            std::fs::create_dir(run.path("links")).unwrap();
            symlink(run.path(""), run.path("links/root")).unwrap();
            symlink(run.path(file), run.path("links/soft")).unwrap();
            symlink("soft", run.path("links/softer")).unwrap();
            let mut targets = vec![
                file.to_string(),
                format!("./{file}"),
                run.path(file).display().to_string(),
                format!("links/root/{file}"),
                "links/soft".to_string(),
                "links/softer".to_string(),
            ];
            if run.path(file).is_file() {
                std::fs::hard_link(run.path(file), run.path("links/hard")).unwrap();
                targets.push("links/hard".to_string());
            }
            let before = contents(&run.path(""));
            for target in targets {
                let outcome = run.k2o(&[&args[..], &["--output", &target]].concat());
                assert_eq!(outcome.status, 2, "{args:?} -o {target}: {}", outcome.stderr);
                assert!(outcome.stderr.contains("is the input"), "{}", outcome.stderr);
                assert!(contents(&run.path("")) == before, "{args:?} -o {target}: files have changed");
            }
        }
    }
}

#[test]
fn a_folder_that_is_read_takes_other_files() {
    let run = every_form();
    for _ in 0..2 {
        let outcome = run.k2o(&["convert", "folder", "-o", "folder/net.onnx"]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    }
}

#[test]
fn a_new_file_has_the_permissions_of_new_files_and_an_old_one_keeps_its_own() {
    let mode = |run: &Run| run.path("y.onnx").metadata().unwrap().permissions().mode() & 0o7777;
    for umask in [0o022, 0o002, 0o077, 0o000] {
        for old in [None, Some(0o600), Some(0o640), Some(0o755)] {
            let run = Run::new();
            if let Some(old) = old {
                std::fs::write(run.path("y.onnx"), "old").unwrap();
                std::fs::set_permissions(run.path("y.onnx"), Permissions::from_mode(old)).unwrap();
            }
            let script = format!("umask {umask:o}; exec \"$0\" \"$@\"");
            let outcome = run.run("sh", &["-c", &script, k2o(), "convert", &model(&small()), "-o", "y.onnx"]);
            assert_eq!(outcome.status, 0, "{}", outcome.stderr);
            assert_eq!(mode(&run), old.unwrap_or(0o666 & !umask), "umask {umask:o}, {old:?}");
        }
    }
}

#[test]
fn a_file_that_is_protected_from_writing_is_not_replaced() {
    let run = Run::new();
    std::fs::write(run.path("y.onnx"), "old").unwrap();
    std::fs::set_permissions(run.path("y.onnx"), Permissions::from_mode(0o444)).unwrap();
    let model = model(&small());
    let command = [k2o(), "convert", &model, "-o", "y.onnx"];
    // Permissions mean nothing to root, who has to give up the capability.
    let is_root = File::options().write(true).open(run.path("y.onnx")).is_ok();
    let outcome = match is_root {
        true => run.run("setpriv", &[&["--bounding-set=-dac_override"], &command[..]].concat()),
        false => run.run(command[0], &command[1..]),
    };
    assert_eq!(outcome.status, 6, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("error: y.onnx: "), "{}", outcome.stderr);
    assert_eq!(std::fs::read(run.path("y.onnx")).unwrap(), b"old");
    assert_eq!(run.files(), ["y.onnx"]);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let model = model(&small());
    let expected = Run::new();
    assert_eq!(expected.k2o(&["convert", &model, "-o", "y.onnx"]).status, 0);
    let expected = std::fs::read(expected.path("y.onnx")).unwrap();
    for old in [true, false] {
        let run = Run::new();
        std::fs::create_dir(run.path("far")).unwrap();
        if old {
            std::fs::write(run.path("far/real"), "old").unwrap();
        }
        symlink("near", run.path("y.onnx")).unwrap();
        symlink("far/real", run.path("near")).unwrap();
        let outcome = run.k2o(&["convert", &model, "-o", "y.onnx"]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(run.path("y.onnx").is_symlink() && run.path("near").is_symlink());
        assert!(!run.path("far/real").is_symlink());
        assert!(std::fs::read(run.path("far/real")).unwrap() == expected);
        assert_eq!(run.files(), ["far", "near", "y.onnx"]);
    }
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let run = Run::new();
    std::fs::create_dir(run.path("folder")).unwrap();
    std::fs::write(run.path("file"), "old").unwrap();
    symlink("loop", run.path("loop")).unwrap();
    symlink("no/where", run.path("lost")).unwrap();
    let before = contents(&run.path(""));
    for (target, words) in [
        ("folder", "is a folder"),
        ("folder/", "is a folder"),
        ("..", "is a folder"),
        ("no/such/y.onnx", "there is no folder no/such"),
        ("lost", "there is no folder no"),
        ("file/y.onnx", "file/y.onnx"),
        ("new/", "not the name of a file"),
        ("loop", "loop"),
        ("/dev/full", "/dev/full: "),
    ] {
        let outcome = run.k2o(&["convert", &model(&small()), "-o", target]);
        assert_eq!(outcome.status, 6, "{target}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with(&format!("error: {target}: ")), "{target}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{target}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{target}");
        assert!(contents(&run.path("")) == before, "{target}");
    }
}

#[test]
fn devices_and_pipes_are_written_to_and_stay_what_they_are() {
    let model = model(&small());
    let run = Run::new();
    assert_eq!(run.k2o(&["convert", &model, "-o", "y.onnx"]).status, 0);
    let expected = std::fs::read(run.path("y.onnx")).unwrap();

    let outcome = run.k2o(&["convert", &model, "-o", "/dev/null"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains(" -> /dev/null ("), "{}", outcome.stdout);
    assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());

    let script = "mkfifo pipe && { cat pipe > copy & } && \"$0\" convert \"$1\" -o pipe && wait";
    let outcome = run.run("sh", &["-c", script, k2o(), &model]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(std::fs::read(run.path("copy")).unwrap() == expected);
    assert!(run.path("pipe").metadata().unwrap().file_type().is_fifo());
}

#[test]
fn standard_output_as_the_target_holds_nothing_else() {
    let run = every_form();
    for (args, target) in
        [(vec!["convert", "net.keras"], "y.onnx"), (vec!["predict", "net.keras", "-i", "x.npy"], "y.npy")]
    {
        let outcome = run.k2o(&[&args[..], &["-o", target]].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let line = outcome.stdout;
        let expected = std::fs::read(run.path(target)).unwrap();
        for redirection in ["| cat > copy", "> copy", ">> copy"] {
            std::fs::write(run.path("copy"), "before").unwrap();
            let script = format!("\"$0\" \"$@\" {redirection}");
            let outcome =
                run.run("sh", &[&["-c", &script, k2o()], &args[..], &["-o", "/dev/stdout"]].concat());
            assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
            let written = std::fs::read(run.path("copy")).unwrap();
            let before: &[u8] = if redirection.starts_with(">>") { b"before" } else { b"" };
            assert!(written == [before, &expected].concat(), "{args:?} {redirection}");
            assert!(outcome.stderr.contains("/dev/stdout") && line.contains(target), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_closed_standard_output_does_not_keep_a_model_from_being_written() {
    let run = Run::new();
    let outcome = run.run("sh", &["-c", "\"$0\" convert \"$1\" -o y.onnx >&-", k2o(), &model(&small())]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(run.files(), ["y.onnx"]);
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly() {
    let model = model(&case("advanced"));
    let script = "{ sleep 0.1; \"$0\" \"$@\"; echo status $? >&2; } | true";
    for args in [
        vec!["summary", &model],
        vec!["summary", &model, "--json"],
        vec!["convert", &model, "-q", "-o", "-"],
        vec!["plot", &model, "-q", "--format", "svg", "-o", "-"],
        vec!["man"],
    ] {
        let run = Run::new();
        let outcome = run.run("sh", &[&["-c", script, k2o()], &args[..]].concat());
        assert_eq!(outcome.stderr, "status 0\n", "{args:?}");
        assert!(run.files().is_empty(), "{args:?}");
    }
}

/// Scripts that run the command `"$@"` in the folder `./here` with too little room for the result.
const FULL: [(&str, &str); 2] = [
    (
        "a file system that is full",
        "mount -t tmpfs -o size=256k none here && cp y.onnx here/ 2>/dev/null; cd here && \"$@\"",
    ),
    (
        "a limit on the size of files",
        "cp y.onnx here/ 2>/dev/null; cd here && trap '' XFSZ && ulimit -f 64 && \"$@\"",
    ),
];

#[test]
fn without_room_the_old_file_stays_and_nothing_is_left_behind() {
    let mountable = std::process::Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .status()
        .is_ok_and(|status| status.success());
    if !mountable {
        eprintln!("file systems cannot be mounted here: only the limit on the size of files is tested");
    }
    let model = model(&case("advanced"));
    for (what, script) in FULL {
        let mounts = script.starts_with("mount");
        if mounts && !mountable {
            continue;
        }
        for old in [None, Some("old")] {
            let run = Run::new();
            std::fs::create_dir(run.path("here")).unwrap();
            if let Some(old) = old {
                std::fs::write(run.path("y.onnx"), old).unwrap();
            }
            let script = format!("{script}; echo status $?; ls -A; cat y.onnx 2>/dev/null; true");
            let command = ["bash", "-c", &script, "bash", k2o(), "convert", &model, "-o", "y.onnx"];
            let outcome = match mounts {
                true => run.run("unshare", &[&["-rm"], &command[..]].concat()),
                false => run.run(command[0], &command[1..]),
            };
            let expected = match old {
                Some(old) => format!("status 6\ny.onnx\n{old}"),
                None => "status 6\n".to_string(),
            };
            assert_eq!(outcome.stdout, expected, "{what}: {}", outcome.stderr);
            assert!(outcome.stderr.starts_with("error: y.onnx: "), "{what}: {}", outcome.stderr);
        }
    }
}
