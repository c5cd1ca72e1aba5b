//! Groups of weights by their rank: `layers/conv1d_4` is `layers/conv1d_2` if only `conv1d` and `conv1d_2` come before.
//!
//! Keras 2.12 and 2.13 come by every layer twice that has weights, and count it twice: their groups are `conv1d`,
//! `conv1d_2`, `conv1d_4`; a layer without weights counts once. The order is that of later versions, which count each
//! layer once.

use std::collections::{BTreeMap, BTreeSet};

/// The number at the end of a name such as `conv1d_2`, and what is before it; 0 where there is none.
fn split(name: &str) -> (&str, u64) {
    let numbered = name.rsplit_once('_').and_then(|(stem, number)| Some((stem, number.parse().ok()?)));
    numbered.unwrap_or((name, 0))
}

/// For each path the one in which every part's number is its rank among the parts of the same name beside it.
pub(crate) fn by_rank<'a>(paths: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let paths: BTreeSet<&str> = paths.into_iter().collect();
    // By the path up to there and the name: which numbers there are.
    let mut siblings: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for (parent, name, _) in paths.iter().flat_map(|path| parts(path)) {
        let (stem, number) = split(name);
        siblings.entry((parent, stem)).or_default().insert(number);
    }
    let ranked = |path: &'a str| {
        let mut ranked = String::new();
        for (parent, name, is_first) in parts(path) {
            let (stem, number) = split(name);
            let rank = siblings.get(&(parent, stem)).map_or(0, |numbers| numbers.range(..number).count());
            let slash = if is_first { "" } else { "/" };
            let suffix = if rank == 0 { String::new() } else { format!("_{rank}") };
            ranked += &format!("{slash}{stem}{suffix}");
        }
        (path, ranked)
    };
    paths.iter().map(|path| ranked(path)).collect()
}

/// Each part of a path with the path before it, and whether it is the first.
fn parts(path: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    let mut start = 0;
    path.split('/').map(move |name| {
        let parent = path.get(..start).unwrap_or_default();
        let is_first = start == 0;
        start += name.len() + 1;
        (parent, name, is_first)
    })
}

#[cfg(test)]
mod tests {
    use super::by_rank;

    #[test]
    fn every_level_is_counted_by_itself() {
        let cases = [
            ("layers/conv1d", "layers/conv1d"),
            ("layers/conv1d_2", "layers/conv1d_1"),
            ("layers/conv1d_10", "layers/conv1d_2"),
            ("layers/dense", "layers/dense"),
            ("layers/sequential_1/layers/dense", "layers/sequential/layers/dense"),
            ("layers/sequential_1/layers/dense_2", "layers/sequential/layers/dense_1"),
            ("layers/sequential_3/layers/dense", "layers/sequential_1/layers/dense"),
            ("", ""),
        ];
        let ranked = by_rank(cases.map(|(path, _)| path));
        for (path, expected) in cases {
            assert_eq!(ranked[path], expected);
        }
    }
}
