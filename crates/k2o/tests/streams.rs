//! Models on endless sequences: what comes out chunk by chunk is what one run gives, bit for bit, and a model that needs
//! all steps says which layer does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

use k2o::cpu::{StreamPlan, TensorView};
use k2o::{Array, ErrorKind, Model, OpenOptions};
use k2o_fixtures::{Input, case, cases};
use ndarray::{ArrayD, Axis};
use proptest::prelude::*;

fn open(name: &str) -> Model {
    Model::open(case(name).path("keras3.keras")).unwrap()
}

fn bits(array: impl IntoIterator<Item = f32>) -> Vec<u32> {
    array.into_iter().map(f32::to_bits).collect()
}

/// The outputs for `x`, `[batch, steps, ..]`, pushed in chunks of these sizes, over and over.
fn stream(plan: &StreamPlan, x: &ArrayD<f32>, chunks: &[usize]) -> Vec<ArrayD<f32>> {
    let mut session = plan.session();
    let mut parts: Vec<Vec<ArrayD<f32>>> = vec![Vec::new(); plan.outputs().len()];
    let mut take = |outputs: k2o::cpu::StreamOutputs<'_>| {
        for (parts, view) in parts.iter_mut().zip(outputs.iter()) {
            parts.push(
                ArrayD::from_shape_vec(view.shape().to_vec(), view.as_f32().unwrap().to_vec()).unwrap(),
            );
        }
    };
    let (mut at, mut sizes) = (0, chunks.iter().copied().cycle());
    while at < x.shape()[1] {
        let to = (at + sizes.next().unwrap()).min(x.shape()[1]);
        let chunk = x.slice_axis(Axis(1), (at..to).into()).as_standard_layout().into_owned();
        take(session.push(&[TensorView::f32(chunk.shape(), chunk.as_slice().unwrap()).unwrap()]).unwrap());
        at = to;
    }
    take(session.finish().unwrap());
    let joined = parts.into_iter().zip(plan.outputs()).map(|(mut parts, (_, has_steps))| match has_steps {
        true => {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            ndarray::concatenate(Axis(1), &views).unwrap()
        }
        false => parts.pop().unwrap(),
    });
    joined.collect()
}

#[track_caller]
fn check(name: &str, model: &Model, x: &ArrayD<f32>, chunks: &[usize]) {
    let streamed = stream(&model.stream_plan().unwrap(), x, chunks);
    let whole = model.predict(&[Array::F32(x.clone())]).unwrap();
    for (streamed, whole) in streamed.iter().zip(&whole) {
        assert_eq!(streamed.shape(), whole.shape(), "{name} in chunks of {chunks:?}");
        assert!(
            bits(streamed.iter().copied()) == bits(whole.iter().copied()),
            "{name} in chunks of {chunks:?}"
        );
    }
}

#[test]
fn every_model_that_can_be_streamed_gives_what_one_run_gives() {
    let mut streamed = Vec::new();
    for case in cases().iter().filter(|case| case.name != "advanced") {
        let form = case.forms().remove(0);
        let mut options = OpenOptions::default();
        options.weights = form.weights;
        let model = Model::open_with(&form.model, &options).unwrap();
        let [(_, Input::F32(x))] = case
            .inputs()
            .try_into()
            .unwrap_or_else(|_| [(String::new(), Input::I64(ArrayD::zeros(vec![0])))])
        else {
            continue;
        };
        match model.stream_plan() {
            Ok(_) => {
                for chunks in [&[1][..], &[3, 1], &[64]] {
                    check(&case.name, &model, &x, chunks);
                }
                streamed.push(case.name.clone());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{}: {error}", case.name);
            }
        }
    }
    for name in
        ["stream_tcn", "stream_conv_lstm", "stream_conv_gru", "masking_lstm_sequences", "lstm_any_length"]
    {
        assert!(streamed.iter().any(|streamed| streamed == name), "{name} is not among {streamed:?}");
    }
    assert!(streamed.len() > 100, "only {} models can be streamed", streamed.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn chunks_of_any_sizes_give_the_same_bits(
        name in prop::sample::select(vec!["stream_tcn", "stream_conv_lstm", "stream_conv_gru"]),
        (batch, steps) in (1usize..4, 20usize..150),
        chunks in prop::collection::vec(prop_oneof![Just(1usize), 0usize..4, 4usize..50], 1..10)
            .prop_filter("some steps", |chunks| chunks.iter().sum::<usize>() > 0),
        seed in any::<u32>(),
    ) {
        let model = open(name);
        let channels = model.inputs()[0].r#type.shape[2].as_usize().unwrap();
        let element = |i: usize| ((i as f32 + seed as f32 / 1e6) * 0.73).sin() * 2.0;
        let x = ArrayD::from_shape_vec(
            vec![batch, steps, channels],
            (0..batch * steps * channels).map(element).collect(),
        );
        check(name, &model, &x.unwrap(), &chunks);
    }
}

#[test]
fn a_model_that_needs_all_steps_names_the_layer() {
    let error = open("stream_refused").stream_plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let expected = "layer \"bidirectional/backward_gru/gru_cell\" (GRUCell): it cannot be streamed: it goes from the last \
                    step to the first";
    assert_eq!(error.to_string(), expected);
    let error = open("basic").stream_plan().unwrap_err();
    assert!(error.to_string().starts_with("layer \"flatten\" (Flatten): it cannot be streamed"), "{error}");
}

#[test]
fn a_model_says_how_long_it_waits() {
    let latency = |name: &str| open(name).stream_plan().unwrap().latency();
    assert_eq!(latency("stream_tcn"), 0);
    assert_eq!(latency("stream_conv_lstm"), 1);
    assert_eq!(latency("stream_conv_gru"), 2);
    // Eight frames of 64 samples, 16 apart.
    assert_eq!(latency("stream_audio"), 175);
}
