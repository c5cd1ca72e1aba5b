//! From an archive to a graph.

use crate::archive::Archive;
use crate::build::Build;
use crate::layer::Kind;
use crate::lowering::Lowering;
use crate::weights::bind;
use crate::{Error, KerasVersion, Limits, Result};
use k2o_core::{Graph, Outline};
use serde_json::Value;
use std::collections::BTreeSet;

/// How to import.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// What a file may make this crate do.
    pub limits: Limits,
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What the model computes, layer by layer, not yet rewritten.
    pub graph: Graph,
    /// The layer calls that the graph came from.
    pub outline: Outline,
    /// The version of Keras whose meanings were used.
    pub version: KerasVersion,
}

/// The graph and outline of the model in `archive`; without weights if the archive has none.
///
/// # Errors
/// Everything that is wrong with the model at once: classes and config keys that are not supported, shapes that do
/// not fit, weights that are missing, left over or of another shape.
pub fn import(archive: &Archive, options: &ImportOptions) -> Result<Imported> {
    let version = KerasVersion::detect(archive.keras_version.as_deref(), &archive.config);
    let within = |error: Error| match error.problems() {
        [problem] if problem.place.is_empty() => error.within(&archive.config_part),
        _ => error,
    };
    let mut build = Build::new(version, options.limits.clone());
    let root = build.object(&archive.config, String::new()).map_err(within)?;
    let Kind::Model(model) = &root.kind else {
        let error = Error::all(std::mem::take(&mut build.errors));
        return Err(error.unwrap_or_else(|| {
            let class = archive.config.get("class_name").and_then(Value::as_str).unwrap_or("nothing");
            Error::unsupported(format!("the file holds a {class}, not a model")).within(&archive.config_part)
        }));
    };
    let mut cx = Lowering::new(version, &root.name);
    let outcome = model.lower_outermost(&mut cx);
    let Lowering { mut builder, mut outline, requests, errors: mut noted, .. } = cx;
    let mut errors = build.errors;
    errors.append(&mut noted);
    let complete = match outcome {
        Ok(outputs) => {
            let mut names = BTreeSet::new();
            let mut complete = true;
            for (name, tensor) in outputs {
                match tensor.value() {
                    Some(value) => builder.output(unique(&name, &mut names), value),
                    None => complete = false,
                }
            }
            complete
        }
        Err(error) => {
            errors.push(within(error));
            false
        }
    };
    // Weights that were not asked for because a layer failed would only hide what is wrong.
    if let Some(store) = &archive.weights {
        let problems = bind(&requests, &model.layer_names(), store, &mut outline);
        if errors.is_empty() {
            errors = problems;
        }
    }
    if let Some(error) = Error::all(errors) {
        return Err(error);
    }
    if !complete || builder.graph().outputs().is_empty() {
        return Err(Error::malformed("the model has no outputs").within(&archive.config_part));
    }
    Ok(Imported { graph: builder.finish(), outline, version })
}

/// The name, with `_1`, `_2`.. where it is taken.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_string();
    let mut n = 0;
    while !taken.insert(candidate.clone()) {
        n += 1;
        candidate = format!("{name}_{n}");
    }
    candidate
}
