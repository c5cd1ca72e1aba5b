//! Which contests are run, as environment variables say.

use crate::BATCHES;

/// The models of the contest, by the names of their fixtures.
pub const PEER_MODELS: [&str; 5] = ["basic", "advanced", "tcn", "separable", "convbilstm"];

/// The other runtimes of the contest.
pub const PEERS: [&str; 4] = ["onnxruntime", "openvino", "rten", "tract"];

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The models.
    pub models: Vec<String>,
    /// The other runtimes.
    pub peers: Vec<String>,
    /// The batch sizes.
    pub batches: Vec<usize>,
    /// The numbers of threads.
    pub threads: Vec<usize>,
    /// The rounds of each contest.
    pub rounds: usize,
    /// Whether the table in the README is rewritten.
    pub readme: bool,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            models: PEER_MODELS.map(String::from).to_vec(),
            peers: PEERS.map(String::from).to_vec(),
            batches: BATCHES.to_vec(),
            threads: vec![1, 2],
            rounds: 5,
            readme: false,
        }
    }
}

impl Selection {
    /// What `variable` says, which returns the value of an environment variable:
    ///
    /// - `K2O_BENCH_MODELS`, `K2O_BENCH_PEERS`, `K2O_BENCH_BATCHES` and `K2O_BENCH_THREADS`, lists with commas, and
    ///   `K2O_BENCH_ROUNDS` restrict what is run,
    /// - `K2O_BENCH_README=1` rewrites the table in the README, of a run of everything only.
    ///
    /// # Errors
    /// Names the variable whose value cannot be meant.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Selection, String> {
        let mut selection = Selection::default();
        let numbers = |name: &str| {
            let number = |item: &String| match item.parse::<usize>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{name}: {item:?} is no number above 0")),
            };
            list(name, &variable)
                .map(|items| items.iter().map(number).collect::<Result<Vec<_>, _>>())
                .transpose()
        };
        selection.models = names("K2O_BENCH_MODELS", &PEER_MODELS, &variable)?;
        selection.peers = names("K2O_BENCH_PEERS", &PEERS, &variable)?;
        if let Some(batches) = numbers("K2O_BENCH_BATCHES")? {
            selection.batches = batches;
        }
        if let Some(threads) = numbers("K2O_BENCH_THREADS")? {
            selection.threads = threads;
        }
        if let Some(rounds) = numbers("K2O_BENCH_ROUNDS")? {
            let [rounds] = rounds[..] else { return Err("K2O_BENCH_ROUNDS: is one number".to_string()) };
            selection.rounds = rounds;
        }
        let is_whole = selection == Selection::default();
        selection.readme = match variable("K2O_BENCH_README").as_deref() {
            None | Some("" | "0") => false,
            Some("1") if is_whole => true,
            Some("1") => return Err("K2O_BENCH_README: the table is of a run of everything".to_string()),
            Some(other) => return Err(format!("K2O_BENCH_README: {other:?} is neither 0 nor 1")),
        };
        Ok(selection)
    }
}

/// The value of an environment variable.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The items of a list with commas; `None` where the variable is not set, or empty.
fn list(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let text = variable(name).filter(|text| !text.is_empty())?;
    Some(text.split(',').map(|item| item.trim().to_string()).collect())
}

/// Those of the `known` names that the variable `name` lists; all, where it is not set.
///
/// # Errors
/// Where it lists others.
pub fn names(
    name: &str,
    known: &[&str],
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let all = || known.iter().map(|item| item.to_string()).collect();
    let items = list(name, variable).unwrap_or_else(all);
    match items.iter().find(|item| !known.contains(&item.as_str())) {
        Some(unknown) => Err(format!("{name}: {unknown:?} is none of {}", known.join(", "))),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(variables: &[(&str, &str)]) -> Result<Selection, String> {
        let value =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        Selection::new(value)
    }

    #[test]
    fn everything_is_run_unless_a_variable_says_less() {
        assert_eq!(select(&[]), Ok(Selection::default()));
        assert_eq!(select(&[("K2O_BENCH_MODELS", "")]), Ok(Selection::default()));
        let less = [
            ("K2O_BENCH_MODELS", "tcn, basic"),
            ("K2O_BENCH_PEERS", "rten"),
            ("K2O_BENCH_BATCHES", "7"),
            ("K2O_BENCH_THREADS", "1,3"),
            ("K2O_BENCH_ROUNDS", "2"),
        ];
        let expected = Selection {
            models: vec!["tcn".to_string(), "basic".to_string()],
            peers: vec!["rten".to_string()],
            batches: vec![7],
            threads: vec![1, 3],
            rounds: 2,
            readme: false,
        };
        assert_eq!(select(&less), Ok(expected));
    }

    #[test]
    fn the_readme_is_rewritten_by_a_whole_run_only() {
        assert!(select(&[("K2O_BENCH_README", "1")]).unwrap().readme);
        assert!(!select(&[("K2O_BENCH_README", "0")]).unwrap().readme);
        let error = select(&[("K2O_BENCH_README", "1"), ("K2O_BENCH_ROUNDS", "1")]).unwrap_err();
        assert!(error.contains("a run of everything"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_an_error() {
        for (name, value, message) in [
            ("K2O_BENCH_MODELS", "basics", "\"basics\" is none of basic, advanced"),
            ("K2O_BENCH_PEERS", "tracts", "\"tracts\" is none of onnxruntime"),
            ("K2O_BENCH_BATCHES", "1,0", "\"0\" is no number above 0"),
            ("K2O_BENCH_THREADS", "all", "\"all\" is no number"),
            ("K2O_BENCH_ROUNDS", "1,2", "is one number"),
            ("K2O_BENCH_README", "yes", "\"yes\" is neither 0 nor 1"),
        ] {
            let error = select(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(name) && error.contains(message), "{error}");
        }
    }
}
