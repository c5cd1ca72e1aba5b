//! Numbers that Keras computes, and some that can be computed by hand.

use crate::{Cell, run};
use k2o_core::Tensor;
use k2o_core::ops::{Recurrence, Unary};

const ALL: Recurrence = Recurrence { reverse: false, has_bias: true, has_states: true, has_mask: false };
const TANH_SIGMOID: [Option<Unary>; 2] = [Some(Unary::Tanh), Some(Unary::Sigmoid)];

/// `((i * factor) % modulus - modulus / 2) * scale` for every element `i`.
fn pattern(shape: &[usize], factor: usize, modulus: usize, scale: f64) -> Tensor {
    let number = |i: usize| ((i * factor % modulus) as f64 - (modulus / 2) as f64) * scale;
    Tensor::f64(shape, (0..shape.iter().product()).map(number).collect()).unwrap()
}

/// Two sequences of three steps with weights, biases and first states, as the script below has them.
#[track_caller]
fn check(cell: Cell, expected: &[&[f64]]) {
    let columns = 2 * cell.gates();
    let mut operands = vec![
        pattern(&[2, 3, 2], 3, 7, 0.25),
        pattern(&[2, columns], 5, 11, 0.125),
        pattern(&[2, columns], 4, 9, 0.25),
        pattern(&cell.bias(2), 2, 5, 0.25),
    ];
    operands.extend((0..cell.states()).map(|state| pattern(&[2, 2], 3 + state, 5, 0.5)));
    let outputs = run(cell.op(TANH_SIGMOID, ALL), ALL, &operands);
    assert_eq!(outputs.len(), expected.len());
    for (output, expected) in outputs.iter().zip(expected) {
        let output = output.as_f64().unwrap();
        assert_eq!(output.len(), expected.len());
        for (x, expected) in output.iter().zip(*expected) {
            assert!((x - expected).abs() < 1e-11, "{output:?} instead of {expected:?}");
        }
    }
}

// Printed by Keras 3.15.1 on TensorFlow 2.21.0, each layer being `class(2, return_sequences=True, return_state=True,
// dtype="float64")` with `set_weights([kernel, recurrent_kernel, bias])`, called with `initial_state`.

#[test]
fn an_lstm_computes_what_keras_does() {
    let y = [
        -0.181040113653,
        0.585454175384,
        -0.209907449458,
        0.234114267372,
        -0.10051818569,
        -0.038816359511,
        0.050873026796,
        -0.007757052198,
        0.099290073281,
        -0.020251273265,
        0.100561145989,
        -0.063519427867,
    ];
    let h = [-0.10051818569, -0.038816359511, 0.100561145989, -0.063519427867];
    let c = [-0.200922750562, -0.066626454051, 0.214539885858, -0.093522099562];
    check(Cell::Lstm, &[&y, &h, &c]);
}

#[test]
fn a_gru_that_resets_after_the_product_computes_what_keras_does() {
    let y = [
        -0.865962007319,
        0.334720538247,
        -0.398698679989,
        0.128246598617,
        -0.1320147051,
        0.034483648913,
        -0.329649617161,
        0.681625395304,
        -0.233067365806,
        -0.067808837152,
        -0.189305849583,
        -0.294732566775,
    ];
    check(Cell::GruAfter, &[&y, &[-0.1320147051, 0.034483648913, -0.189305849583, -0.294732566775]]);
}

#[test]
fn a_gru_that_resets_before_the_product_computes_what_keras_does() {
    let y = [
        -0.848702890012,
        0.226046174445,
        -0.270738550874,
        0.002805601146,
        0.117539178533,
        -0.100813500648,
        -0.222356991167,
        0.596662760415,
        -0.029527651166,
        -0.236180127859,
        0.083846701051,
        -0.463771797811,
    ];
    check(Cell::GruBefore, &[&y, &[0.117539178533, -0.100813500648, 0.083846701051, -0.463771797811]]);
}

#[test]
fn an_rnn_computes_what_keras_does() {
    let y = [
        0.899338734805,
        -0.124353001772,
        -0.973156959624,
        0.062257625758,
        -0.089346524176,
        0.046901158316,
        0.358357398351,
        -0.154990730372,
        -0.496460682861,
        -0.0549469191,
        0.388696616167,
        -0.048724656265,
    ];
    check(Cell::Rnn, &[&y, &[-0.089346524176, 0.046901158316, 0.388696616167, -0.048724656265]]);
}

/// One unit, one step, one channel and no functions: weights are gates.
#[track_caller]
fn check_linear(cell: Cell, weights: [&[f64]; 3], states: &[f64], expected: &[f64]) {
    let columns = cell.gates();
    let shapes = [vec![1, columns], vec![1, columns], cell.bias(1)];
    let mut operands = vec![Tensor::f64([1, 1, 1], vec![1.0]).unwrap()];
    operands.extend(shapes.into_iter().zip(weights).map(|(s, w)| Tensor::f64(s, w.to_vec()).unwrap()));
    operands.extend(states.iter().map(|&state| Tensor::f64([1, 1], vec![state]).unwrap()));
    let outputs = run(cell.op([None, None], ALL), ALL, &operands);
    let first = outputs.iter().map(|output| output.as_f64().unwrap()[0]);
    assert_eq!(first.collect::<Vec<_>>(), expected, "{cell:?}");
}

#[test]
fn gates_are_where_their_weights_are() {
    // c = 3 * 11 + 2 * 5, h = 7 c.
    check_linear(Cell::Lstm, [&[2., 3., 5., 7.], &[0.; 4], &[0.; 4]], &[1., 11.], &[301., 301., 43.]);
    // The state 1 opens the gates instead of x.
    check_linear(Cell::Lstm, [&[0.; 4], &[2., 3., 5., 7.], &[0.; 4]], &[1., 11.], &[301., 301., 43.]);
    check_linear(Cell::Lstm, [&[0.; 4], &[0.; 4], &[2., 3., 5., 7.]], &[1., 11.], &[301., 301., 43.]);
    // g = 5 + (3 * 2) * 7, h = 11 * 2 + (1 - 11) g.
    let weights: [&[f64]; 3] = [&[11., 3., 5.], &[0., 0., 7.], &[0.; 3]];
    check_linear(Cell::GruBefore, weights, &[2.], &[-448., -448.]);
    // g = 5 + 100 + 3 * (2 * 7 + 1000), h = 11 * 2 + (1 - 11) g.
    let weights: [&[f64]; 3] = [&[11., 3., 5.], &[0., 0., 7.], &[0., 0., 100., 0., 0., 1000.]];
    check_linear(Cell::GruAfter, weights, &[2.], &[-31448., -31448.]);
    // z and r add both rows of the bias.
    let weights: [&[f64]; 3] = [&[1., 1., 5.], &[0., 0., 7.], &[4., 1., 0., 6., 1., 0.]];
    check_linear(Cell::GruAfter, weights, &[2.], &[-448., -448.]);
    check_linear(Cell::Rnn, [&[2.], &[3.], &[5.]], &[7.], &[28., 28.]);
}
