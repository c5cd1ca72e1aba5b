//! Receptive fields are where a NaN in the input comes from: it spoils each step of a layer that reads it, and no other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::core::DType;
use k2o::{Model, ReceptiveField};
use k2o_fixtures::cases;
use ndarray::{Array3, s};

/// Models with longer inputs are left out: there are as many runs as steps.
const LONGEST: usize = 64;

/// The number of steps and channels, if the model has but one input of these; 24 steps where the file leaves that open.
fn input(model: &Model) -> Option<(usize, usize)> {
    let [port] = model.inputs().try_into().ok()?;
    let shape = port.r#type.shape;
    let (steps, channels) = (shape.get(1)?, shape.get(2)?.as_usize()?);
    let is_wanted = port.r#type.dtype == DType::F32 && shape.rank() == 3;
    let steps = steps.as_usize().unwrap_or(24);
    (is_wanted && steps <= LONGEST && shape.first()?.as_usize().is_none_or(|batch| batch == 1))
        .then_some((steps, channels))
}

/// Which steps of the output each step of the input spoils: `[input step][output step]`.
fn spoilt(model: &Model, (steps, channels): (usize, usize)) -> Option<Vec<Vec<bool>>> {
    let of_step = |step: usize| {
        let mut x = Array3::<f32>::from_elem((1, steps, channels), 0.5);
        x.slice_mut(s![0, step, ..]).fill(f32::NAN);
        let outputs = model.predict(&[x.into()]).ok()?;
        let output = outputs.first()?.clone().into_dimensionality::<ndarray::Ix3>().ok()?;
        Some(output.outer_iter().next()?.outer_iter().map(|row| row.iter().any(|x| x.is_nan())).collect())
    };
    (0..steps).map(of_step).collect()
}

/// Whether both ends of what step `at` reads are steps of an input of `steps`, so that both are read.
fn is_inside(field: ReceptiveField, at: usize, steps: usize) -> bool {
    let [first, last] = [field.first, field.last].map(|end| end + at as f64 * field.stride);
    first.fract() == 0.0 && last.fract() == 0.0 && first >= 0.0 && last < steps as f64
}

/// The first and the last step of an input of `steps` that step `at` of an output reads; nothing in padding alone.
fn expected(field: ReceptiveField, at: usize, steps: usize) -> Option<(usize, usize)> {
    let end = steps as f64 - 1.0;
    // Behind upsampling several steps are at the same place.
    let moved = (at as f64 * field.stride).floor();
    let (first, last) = ((field.first + moved).max(0.0), (field.last + moved).min(end));
    (first <= last).then_some((first.ceil() as usize, last.floor() as usize))
}

#[test]
fn a_step_depends_on_the_steps_of_its_receptive_field() {
    let (mut layers, mut models) = (0, 0);
    for case in cases() {
        let Some(form) = case.forms().into_iter().find(|form| form.weights.is_none()) else { continue };
        let Ok(model) = Model::open(&form.model) else { continue };
        let Some(sizes) = input(&model) else { continue };
        models += 1;
        let summary = model.summary();
        for (row, field) in summary.rows.iter().zip(model.receptive_fields(&summary)) {
            // Upsampling makes the ends of windows behind it differ from step to step.
            let Some(field) = field.filter(|field| field.stride >= 1.0) else { continue };
            let Ok(part) = model.until(&row.name) else { continue };
            let Some(spoilt) = spoilt(&part, sizes) else { continue };
            let outputs = spoilt.first().map_or(0, Vec::len);
            for at in 0..outputs {
                let reads: Vec<usize> = (0..sizes.0).filter(|&step| spoilt[step][at]).collect();
                let found = reads.first().copied().zip(reads.last().copied());
                let (case, layer) = (&case.name, &row.name);
                let expected = expected(field, at, sizes.0);
                let is_right = match (found, expected) {
                    // How much is padded before may depend on the length, which the file leaves open.
                    (Some((first, last)), _) if model.shortest_input().is_some() => {
                        (last - first + 1) as f64 <= field.steps()
                    }
                    _ if is_inside(field, at, sizes.0) => found == expected,
                    (Some(found), Some(expected)) => found.0 >= expected.0 && found.1 <= expected.1,
                    (found, _) => found.is_none(),
                };
                assert!(is_right, "{case} {layer}: step {at} reads {found:?}, not {expected:?} of {field:?}");
                layers += usize::from(found == expected);
            }
        }
    }
    // Windows with gaps may have an end in the padding and the next tap inside; most steps reach both ends.
    assert!(models > 100 && layers > 3000, "{models} models, {layers} steps with both ends");
}
