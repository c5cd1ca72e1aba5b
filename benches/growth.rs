//! What layers cost as their work grows, along the steps and with the channels: `benches/README.md` says how it is read.

#![allow(missing_docs, reason = "a program")]

use k2o_benches::growth::{Along, CLIFF, LAYERS, Series};
use k2o_benches::machine::{Machine, today};
use k2o_benches::{plot, selection, write};
use serde_json::json;
use std::process::ExitCode;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    k2o_benches::run(growth)
}

fn growth() -> Result<(), String> {
    let known = LAYERS.map(|layer| layer.name);
    let chosen = selection::names("K2O_BENCH_LAYERS", &known, &selection::variable)?;
    let mut all = Vec::new();
    for along in Along::ALL {
        for layer in LAYERS.iter().filter(|layer| chosen.iter().any(|name| name == layer.name)) {
            let series = Series::measure(layer, along, ROUNDS)?;
            println!("{}", series.table());
            all.push(series);
        }
    }
    let cliffs = all.iter().map(|series| series.cliffs().len()).sum::<usize>();
    println!(
        "{cliffs} cliffs: a unit of work that costs more than {CLIFF} times what it does with less work"
    );
    let json = json!({
        "date": today(),
        "machine": Machine::this().json(),
        "series": all.iter().map(Series::json).collect::<Vec<_>>(),
    });
    let folder = k2o_benches::folder();
    write(&folder.join("growth.json"), &format!("{json:#}\n"))?;
    write(&folder.join("growth.svg"), &plot::costs(&all)?)
}
