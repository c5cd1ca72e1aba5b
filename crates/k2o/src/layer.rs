//! Finds a layer by what a user calls it.

use crate::{Error, ErrorKind, Result};
use k2o_core::{CallId, Outline};

/// How many names an error lists.
const LISTED: usize = 5;

/// The layer call that `name` means: a path, or a path and the number of the call, as in `dense#2`.
pub(crate) fn find(outline: &Outline, name: &str) -> Result<CallId> {
    let error = |message: String| Error::new(ErrorKind::Input, message);
    let calls = |path: &str| -> Vec<CallId> {
        let is_called = |(_, call): &(usize, &k2o_core::LayerCall)| call.path == path;
        outline.calls.iter().enumerate().filter(is_called).map(|(id, _)| CallId(id)).collect()
    };
    let choices = |path: &str, count: usize| {
        let numbered: Vec<String> = (1..=count.min(LISTED)).map(|n| format!("{path}#{n}")).collect();
        let more = if count > LISTED { ", .." } else { "" };
        format!("{}{more}", numbered.join(", "))
    };
    match calls(name).as_slice() {
        [call] => return Ok(*call),
        [] => {}
        several => {
            let (n, choices) = (several.len(), choices(name, several.len()));
            return Err(error(format!("the layer {name:?} is called {n} times; say which call: {choices}")));
        }
    }
    let numbered = name.rsplit_once('#').and_then(|(path, n)| Some((path, n.parse::<usize>().ok()?)));
    if let Some((path, n)) = numbered
        && let several @ [_, ..] = calls(path).as_slice()
    {
        let found = n.checked_sub(1).and_then(|at| several.get(at)).copied();
        let choices = choices(path, several.len());
        return found
            .ok_or_else(|| error(format!("the layer {path:?} has no call {n}; there are: {choices}")));
    }
    let mut names: Vec<(usize, &str)> =
        outline.calls.iter().map(|call| (unlikeness(&call.path, name), call.path.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<&str> = names.into_iter().take(LISTED).map(|(_, name)| name).collect();
    Err(error(format!("the model has no layer {name:?}\n  help: there are: {}", names.join(", "))))
}

/// How little a path is like what was asked for: the number of letters to change, in the layer's own name if that
/// is closer.
fn unlikeness(path: &str, name: &str) -> usize {
    let own = path.rsplit('/').next().unwrap_or(path);
    edits(path, name).min(edits(own, name))
}

/// The number of letters to insert, delete or replace that make one text the other (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::LayerCall;

    #[test]
    fn layers_are_found_by_path_and_call() {
        let call = |path: &&str| LayerCall {
            path: path.to_string(),
            name: String::new(),
            class: String::new(),
            parent: None,
            object: 0,
            repetition: 0,
            outputs: Vec::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
        };
        let paths = ["x", "conv1d", "block", "block/conv1d", "block/pool", "twice", "twice", "odd#2"];
        let outline = Outline { name: String::new(), calls: paths.iter().map(call).collect() };
        for (name, expected) in [
            ("x", Ok(0)),
            ("conv1d", Ok(1)),
            ("conv1d#1", Ok(1)),
            ("block/conv1d", Ok(3)),
            ("twice#1", Ok(5)),
            ("twice#2", Ok(6)),
            ("odd#2", Ok(7)),
            ("odd#2#1", Ok(7)),
            ("twice", Err("the layer \"twice\" is called 2 times; say which call: twice#1, twice#2")),
            ("twice#3", Err("the layer \"twice\" has no call 3; there are: twice#1, twice#2")),
            ("twice#0", Err("the layer \"twice\" has no call 0; there are: twice#1, twice#2")),
            (
                "pool",
                Err(
                    "the model has no layer \"pool\"\n  help: there are: block/pool, block, x, block/conv1d, conv1d",
                ),
            ),
            (
                "conv1",
                Err("the model has no layer \"conv1\"\n  \
                    help: there are: block/conv1d, conv1d, block/pool, block, odd#2"),
            ),
        ] {
            let found = find(&outline, name).map(|CallId(id)| id).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_string), "{name}");
        }
    }
}
