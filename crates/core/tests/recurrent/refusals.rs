//! Inputs that do not fit, and what is said of them.

use crate::Cell;
use k2o_core::ops::{Infer, Operator, Recurrence, Unary};
use k2o_core::{DType, Dim, ErrorKind, TensorType};

const ALL: Recurrence = Recurrence { reverse: false, has_bias: true, has_states: true, has_mask: true };

/// The types of the operands, of `batch` sequences of `steps` steps of 2 channels, for 3 units.
fn types(cell: Cell) -> Vec<TensorType> {
    let shapes = cell.shapes(ALL, [0, 0, 2, 3]);
    let last = shapes.len() - 1;
    let r#type = |(at, shape): (usize, Vec<usize>)| {
        let mut dims: Vec<Dim> = shape.iter().map(|&n| Dim::fixed(n as i64)).collect();
        if dims[0] == Dim::ZERO {
            dims[0] = Dim::symbol("batch");
        }
        if dims.get(1) == Some(&Dim::ZERO) {
            dims[1] = Dim::symbol("steps");
        }
        (if at == last { DType::Bool } else { DType::F32 }, dims).into()
    };
    shapes.into_iter().enumerate().map(r#type).collect()
}

fn dims(sizes: &[i64]) -> Vec<Dim> {
    let dim = |&n: &i64| match n {
        -1 => Dim::symbol("batch"),
        -2 => Dim::symbol("steps"),
        n => n.into(),
    };
    sizes.iter().map(dim).collect()
}

/// The error where the operand `at` has another shape. -1 is `batch`, -2 is `steps`.
#[track_caller]
fn check(cell: Cell, at: usize, sizes: &[i64], expected: &str) {
    let mut types = types(cell);
    types[at] = (types[at].dtype, dims(sizes)).into();
    check_types(cell, &types, expected);
}

#[track_caller]
fn check_types(cell: Cell, types: &[TensorType], expected: &str) {
    let op = cell.op([Some(Unary::Tanh), Some(Unary::Sigmoid)], ALL);
    let error = op.infer(types, &mut Infer::default()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

const X: usize = 0;
const KERNEL: usize = 1;
const RECURRENT_KERNEL: usize = 2;
const BIAS: usize = 3;
const STATE: usize = 4;

#[test]
fn operands_that_fit_demand_nothing_of_symbols() {
    for cell in Cell::ALL {
        let mut infer = Infer::default();
        let outputs = cell.op([None, None], ALL).infer(&types(cell), &mut infer).unwrap();
        let texts: Vec<String> = outputs.iter().map(ToString::to_string).collect();
        let mut expected = vec!["float32 [batch, steps, 3]"];
        expected.extend(vec!["float32 [batch, 3]"; cell.states()]);
        assert_eq!(texts, expected);
        assert_eq!(infer.into_constraints(), []);
    }
}

#[test]
fn weights_must_fit_the_input_and_each_other() {
    check(Cell::Lstm, KERNEL, &[5, 12], "an input [batch, steps, 2] for a kernel [5, 12]: 2 and 5 differ");
    check(Cell::Lstm, KERNEL, &[2, 9], "9 columns of weights for 4 gates of 3 units");
    check(Cell::GruBefore, RECURRENT_KERNEL, &[3, 12], "12 columns of weights for 3 gates of 3 units");
    check(Cell::GruAfter, RECURRENT_KERNEL, &[4, 9], "9 columns of weights for 3 gates of 4 units");
    check(Cell::Rnn, RECURRENT_KERNEL, &[3, 4], "4 columns of weights for 1 gates of 3 units");
    check(Cell::Lstm, X, &[-1, 2], "lstm of [batch, 2] with kernels [2, 12] and [3, 12]");
    check(Cell::Rnn, KERNEL, &[2, 3, 1], "rnn of [batch, steps, 2] with kernels [2, 3, 1] and [3, 3]");
    check(Cell::GruAfter, RECURRENT_KERNEL, &[9], "gru of [batch, steps, 2] with kernels [2, 9] and [9]");
}

#[test]
fn a_bias_must_have_its_operators_shape() {
    check(Cell::Lstm, BIAS, &[11], "lstm with a bias [11]; [12] fits");
    check(Cell::Lstm, BIAS, &[2, 12], "lstm with a bias [2, 12]; [12] fits");
    check(Cell::GruBefore, BIAS, &[2, 9], "gru with a bias [2, 9]; [9] fits");
    check(Cell::GruAfter, BIAS, &[9], "gru with a bias [9]; [2, 9] fits");
    check(Cell::GruAfter, BIAS, &[1, 9], "gru with a bias [1, 9]; [2, 9] fits");
    check(Cell::Rnn, BIAS, &[4], "rnn with a bias [4]; [3] fits");
}

#[test]
fn states_must_have_a_row_for_each_sequence() {
    check(Cell::Lstm, STATE, &[-1, 4], "lstm with a state [batch, 4]; [batch, 3] fits");
    check(Cell::Lstm, STATE + 1, &[-1, 4], "lstm with a state [batch, 4]; [batch, 3] fits");
    check(Cell::GruAfter, STATE, &[-1, -2, 3], "gru with a state [batch, steps, 3]; [batch, 3] fits");
    check(Cell::Rnn, STATE, &[3], "rnn with a state [3]; [batch, 3] fits");
    let mut types = types(Cell::Rnn);
    types[X] = (DType::F32, dims(&[5, -2, 2])).into();
    types[STATE] = (DType::F32, dims(&[4, 3])).into();
    check_types(Cell::Rnn, &types, "rnn with a state [4, 3]; [5, 3] fits");
}

#[test]
fn a_mask_has_a_truth_value_for_each_step() {
    for cell in Cell::ALL {
        let name = cell.op([None, None], ALL).name();
        let mask = types(cell).len() - 1;
        let mut numbers = types(cell);
        numbers[mask].dtype = DType::F32;
        check_types(cell, &numbers, &format!("{name} with a mask of float32"));
        check(cell, mask, &[-1], &format!("{name} with a mask [batch]"));
        check(cell, mask, &[-1, -2, 1], &format!("{name} with a mask [batch, steps, 1]"));
        let mut longer = types(cell);
        longer[X] = (DType::F32, dims(&[-1, 4, 2])).into();
        longer[mask] = (DType::Bool, dims(&[-1, 5])).into();
        check_types(cell, &longer, &format!("{name} of [batch, 4, 2] with a mask [batch, 5]"));
    }
}

#[test]
fn operands_of_other_element_types_are_refused() {
    let others: [(usize, DType, &str); 5] = [
        (X, DType::I32, "lstm of int32 with kernels of float32 and float32"),
        (KERNEL, DType::Bool, "lstm of float32 with kernels of bool and float32"),
        (RECURRENT_KERNEL, DType::I64, "lstm of float32 with kernels of float32 and int64"),
        (BIAS, DType::I64, "lstm with a bias of int64"),
        (STATE + 1, DType::Bool, "lstm of float32 with a state of bool"),
    ];
    for (at, dtype, expected) in others {
        let mut types = types(Cell::Lstm);
        types[at].dtype = dtype;
        check_types(Cell::Lstm, &types, expected);
    }
}

#[test]
fn the_number_of_operands_is_as_many_as_the_recurrence_says() {
    for cell in Cell::ALL {
        let op = cell.op([None, None], ALL);
        let mut types = types(cell);
        let (name, count) = (op.name(), types.len());
        let more = [types.clone(), vec![types[0].clone()]].concat();
        check_types(cell, &more, &format!("this {name} takes {count} inputs; {} were given", count + 1));
        types.pop();
        check_types(cell, &types, &format!("this {name} takes {count} inputs; {} were given", count - 1));
        let bare = cell.op([None, None], Recurrence::default());
        let error = bare.infer(&types, &mut Infer::default()).unwrap_err();
        assert_eq!(error.message(), format!("this {name} takes 3 inputs; {} were given", types.len()));
        let error = bare.infer(&[], &mut Infer::default()).unwrap_err();
        assert_eq!(error.message(), format!("this {name} takes 3 inputs; 0 were given"));
    }
}

#[test]
fn sizes_of_symbols_become_constraints() {
    let mut types = types(Cell::Lstm);
    types[BIAS] = (DType::F32, vec![Dim::symbol("n")]).into();
    types[STATE] = (DType::F32, vec![Dim::symbol("rows"), 3.into()]).into();
    let mask = types.len() - 1;
    types[mask] = (DType::Bool, vec![Dim::symbol("batch"), Dim::symbol("length")]).into();
    let mut infer = Infer::default();
    assert!(Cell::Lstm.op([None, None], ALL).infer(&types, &mut infer).is_ok());
    let texts: Vec<String> = infer.into_constraints().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["n = 12", "rows = batch", "length = steps"]);
}
