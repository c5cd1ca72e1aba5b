//! What a scan computes, by a body written by hand, and what it says to bodies and inputs that do not fit.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{
    Binary, BinaryKind, Cast, Compare, CompareKind, Concat, Full, Identity, Infer, Operator, Scan, Slice,
};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Data, Dim, ErrorKind, Graph, GraphBuilder, Op, Operand, Tensor,
    TensorType, run_reference,
};
use std::sync::Arc;

const F32: DType = DType::F32;

fn dims(names: &[&str]) -> Vec<Dim> {
    names.iter().map(|name| name.parse().map_or_else(|_| Dim::symbol(name), Dim::fixed)).collect()
}

fn r#type(dtype: DType, names: &[&str]) -> TensorType {
    (dtype, dims(names)).into()
}

fn binary(builder: &mut GraphBuilder, kind: BinaryKind, a: Operand, b: Operand) -> Operand {
    builder.add(Binary { kind }, [a, b]).unwrap().into()
}

/// States `total` and `before`, sequences `a` and the whole numbers `n`, given `scale` and `bonus`:
/// `total' = total + a scale + n` and `before' = a`; of each step `total'`, `a - before + bonus`, `n` and
/// `a > before`.
fn body() -> Graph {
    let mut body = GraphBuilder::new();
    let per_row = |dtype| r#type(dtype, &["batch"]);
    let inputs = [
        ("total", per_row(F32)),
        ("before", per_row(F32)),
        ("a", per_row(F32)),
        ("n", per_row(DType::I64)),
        ("scale", r#type(F32, &["1"])),
        ("bonus", per_row(F32)),
    ];
    let [total, before, a, n, scale, bonus] =
        inputs.map(|(name, r#type)| Operand::from(body.input(name, r#type).unwrap()));
    let scaled = binary(&mut body, BinaryKind::Mul, a, scale);
    let number = body.add(Cast { to: F32 }, [n]).unwrap();
    let sum = binary(&mut body, BinaryKind::Add, total, scaled);
    let sum = binary(&mut body, BinaryKind::Add, sum, number.into());
    let difference = binary(&mut body, BinaryKind::Sub, a, before);
    let difference = binary(&mut body, BinaryKind::Add, difference, bonus);
    let same = body.add(Identity, [n]).unwrap();
    let rises = body.add(Compare { kind: CompareKind::Greater }, [a, before]).unwrap();
    let outputs =
        [("total", sum), ("before", a), ("sum", sum), ("difference", difference), ("n", same.into())];
    for (name, value) in outputs {
        body.output(name, value.value().unwrap());
    }
    body.output("rises", rises);
    body.finish()
}

fn scan(reverse: bool) -> Scan {
    Scan { body: Arc::new(body()), states: 2, sequences: 2, reverse }
}

fn floats(shape: &[usize], data: &[f64]) -> Tensor {
    Tensor::f64(shape, data.to_vec()).unwrap()
}

fn inputs(steps: usize) -> [Tensor; 5] {
    let [a, n] = [[[1, 2, 4], [0, -1, 5]], [[1, 2, 3], [10, 20, 30]]]
        .map(|rows| rows.iter().flat_map(|row| &row[..steps]).copied().collect::<Vec<i64>>());
    [
        floats(&[2], &[0., 100.]),
        floats(&[2], &[1., 0.]),
        floats(&[2, steps], &a.iter().map(|&x| x as f64).collect::<Vec<_>>()),
        Tensor::new([2, steps], Data::I64(n)).unwrap(),
        floats(&[2], &[0.5, 0.]),
    ]
}

/// A graph of the scan after a constant that it does not read; its scale is the constant 10, and its bonus is computed
/// before it.
fn graph(reverse: bool) -> Graph {
    let mut graph = GraphBuilder::new();
    let mut constant = |name: &str, value| {
        let expr = ConstantExpr::filled(&[1], value).unwrap();
        graph.constant(Constant { name: name.into(), dtype: F32, expr }).unwrap()
    };
    let [_, scale] = [constant("unread", 7.), constant("scale", 10.)];
    let rows = r#type(F32, &["rows"]);
    let types = [
        ("total", rows.clone()),
        ("before", rows.clone()),
        ("a", r#type(F32, &["rows", "steps"])),
        ("n", r#type(DType::I64, &["rows", "length"])),
        ("half", rows),
    ];
    let [total, before, a, n, bonus] =
        types.map(|(name, r#type)| Operand::from(graph.input(name, r#type).unwrap()));
    let bonus = graph.add(Identity, [bonus]).unwrap();
    graph.within(Some(CallId(5)));
    let outputs =
        graph.add_all(scan(reverse).into(), vec![total, before, a, n, scale.into(), bonus.into()]).unwrap();
    for (at, output) in outputs.into_iter().enumerate() {
        graph.output(format!("y{at}"), output);
    }
    graph.finish()
}

#[track_caller]
fn check(reverse: bool, steps: usize, expected: [Data; 6]) {
    let graph = graph(reverse);
    let run = run_reference(&graph, &inputs(steps), &[]).unwrap();
    for (at, (output, expected)) in run.outputs.iter().zip(expected).enumerate() {
        let shape = if at < 2 { vec![2] } else { vec![2, steps] };
        assert_eq!(output, &Tensor::new(shape, expected).unwrap(), "output {at}");
        let r#type = &graph.value(graph.outputs()[at].value).r#type;
        assert_eq!(r#type.shape.to_string(), if at < 2 { "[rows]" } else { "[rows, steps]" });
    }
}

#[test]
fn states_are_carried_and_what_is_computed_of_a_step_is_kept() {
    let expected = [
        Data::F64(vec![76., 200.]),
        Data::F64(vec![4., 5.]),
        Data::F64(vec![11., 33., 76., 110., 120., 200.]),
        Data::F64(vec![0.5, 1.5, 2.5, 0., -1., 6.]),
        Data::I64(vec![1, 2, 3, 10, 20, 30]),
        Data::Bool(vec![false, true, true, false, false, true]),
    ];
    check(false, 3, expected);
}

#[test]
fn a_reverse_scan_starts_at_the_last_step_and_keeps_each_step_at_its_place() {
    let expected = [
        Data::F64(vec![76., 200.]),
        Data::F64(vec![1., 0.]),
        Data::F64(vec![76., 65., 43., 200., 190., 180.]),
        Data::F64(vec![-0.5, -1.5, 3.5, 1., -6., 5.]),
        Data::I64(vec![1, 2, 3, 10, 20, 30]),
        Data::Bool(vec![false, false, true, true, false, true]),
    ];
    check(true, 3, expected);
}

#[test]
fn a_scan_of_no_steps_returns_the_first_states_and_empty_sequences() {
    for reverse in [false, true] {
        let expected = [
            Data::F64(vec![0., 100.]),
            Data::F64(vec![1., 0.]),
            Data::F64(vec![]),
            Data::F64(vec![]),
            Data::I64(vec![]),
            Data::Bool(vec![]),
        ];
        check(reverse, 0, expected);
    }
}

#[test]
fn sequences_of_different_lengths_are_found_when_symbols_are_bound() {
    let graph = graph(false);
    let texts: Vec<String> = graph.constraints().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["steps = length"]);
    let [total, before, a, _, bonus] = inputs(3);
    let [_, _, _, n, _] = inputs(2);
    let error = run_reference(&graph, &[total, before, a, n, bonus], &[]).unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Shape, Some(CallId(5))));
    let expected = "a scan over sequences of steps and length steps: steps = length does not hold (it is 3)";
    assert_eq!(error.message(), expected);
}

#[test]
fn the_body_within_a_graph_has_its_constants_under_their_own_ids() {
    let graph = graph(false);
    let node = graph.nodes().iter().find(|node| matches!(node.op, Op::Scan(_))).unwrap();
    let within = scan(false).body_within(&graph, node).unwrap();
    let names = |graph: &Graph| graph.inputs().iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&within), ["total", "before", "a", "n", "bonus"]);
    assert_eq!(within.constants().len(), graph.constants().len());
    let constants = within.constants().iter().zip(graph.constants());
    assert!(constants.into_iter().all(|(new, old)| new.name == old.name && new.shape() == old.shape()));
    let reads = |id: Operand| within.nodes().iter().any(|node| node.inputs.contains(&id));
    assert!(reads(node.inputs[4]), "the scale");

    let step = |at: usize| floats(&[2], &[at as f64, 3.]);
    let n = Tensor::new([2], Data::I64(vec![4, 5])).unwrap();
    let others = [step(0), step(1), step(2), n];
    let given = run_reference(&within, &[&others[..], &[step(3)]].concat(), &[]).unwrap().outputs;
    let all = [&others[..], &[floats(&[1], &[10.]), step(3)]].concat();
    assert_eq!(given, run_reference(&body(), &all, &[]).unwrap().outputs);
}

#[test]
fn constants_among_states_and_sequences_stay_inputs_of_the_body() {
    let mut builder = GraphBuilder::new();
    let mut constant = |shape: &[usize], dtype| {
        let expr = ConstantExpr::literal(Tensor::zeros(shape, dtype).unwrap());
        Operand::from(builder.constant(Constant { name: "w".into(), dtype, expr }).unwrap())
    };
    let all = vec![
        constant(&[2], F32),
        constant(&[2], F32),
        constant(&[2, 3], F32),
        constant(&[2, 3], DType::I64),
        constant(&[1], F32),
        constant(&[2], F32),
    ];
    builder.add_all(scan(false).into(), all).unwrap();
    let graph = builder.finish();
    let within = scan(false).body_within(&graph, &graph.nodes()[0]).unwrap();
    let names: Vec<&str> = within.inputs().iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["total", "before", "a", "n"]);
}

/// The error for the hand-written body where one input has another type.
#[track_caller]
fn check_refused(at: usize, given: TensorType, expected: &str) {
    let mut types = fitting();
    types[at] = given;
    let error = scan(false).infer(&types, &mut Infer::default()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

fn fitting() -> Vec<TensorType> {
    vec![
        r#type(F32, &["4"]),
        r#type(F32, &["4"]),
        r#type(F32, &["4", "7"]),
        r#type(DType::I64, &["4", "7"]),
        r#type(F32, &["1"]),
        r#type(F32, &["4"]),
    ]
}

#[test]
fn inputs_must_be_what_the_body_says() {
    let mut infer = Infer::default();
    let outputs = scan(false).infer(&fitting(), &mut infer).unwrap();
    let texts: Vec<String> = outputs.iter().map(ToString::to_string).collect();
    let sums = "float32 [4, 7]";
    assert_eq!(texts, ["float32 [4]", "float32 [4]", sums, sums, "int64 [4, 7]", "bool [4, 7]"]);
    assert_eq!(infer.into_constraints(), []);

    check_refused(2, r#type(F32, &["4"]), "a scan over the steps of [4]");
    check_refused(3, r#type(DType::I64, &["4", "6"]), "a scan over sequences of 7 and 6 steps");
    check_refused(
        3,
        r#type(F32, &["4", "7"]),
        "the scan's \"n\" is [batch] in its body; [4, 7] was given of float32",
    );
    check_refused(
        2,
        r#type(F32, &["4", "7", "2"]),
        "the scan's \"a\" is [batch] in its body; [4, 7, 2] was given of float32",
    );
    check_refused(
        0,
        r#type(F32, &["4", "1"]),
        "the scan's \"total\" is [batch] in its body; [4, 1] was given of float32",
    );
    check_refused(
        0,
        r#type(DType::Bool, &["4"]),
        "the scan's \"total\" is [batch] in its body; [4] was given of bool",
    );
    check_refused(2, r#type(F32, &["5", "7"]), "the scan's \"a\" is [batch] in its body; [5, 7] was given");
    check_refused(4, r#type(F32, &["2"]), "the scan's \"scale\" is [1] in its body; [2] was given");
    check_refused(5, r#type(F32, &["1"]), "the scan's \"bonus\" is [batch] in its body; [1] was given");
}

#[test]
fn there_are_as_many_inputs_as_the_body_has() {
    let types = fitting();
    let error = |types: &[TensorType]| {
        scan(false).infer(types, &mut Infer::default()).unwrap_err().message().to_string()
    };
    assert_eq!(error(&types[..5]), "a scan takes 6 inputs; 5 were given");
    assert_eq!(error(&[&types[..], &types[..1]].concat()), "a scan takes 6 inputs; 7 were given");
    assert_eq!(error(&[]), "a scan takes 6 inputs; 0 were given");
}

#[track_caller]
fn check_body(body: Graph, [states, sequences]: [usize; 2], expected: &str) {
    let types: Vec<TensorType> =
        body.inputs().iter().map(|port| body.value(port.value).r#type.clone()).collect();
    let scan = Scan { body: Arc::new(body), states, sequences, reverse: false };
    let error = scan.infer(&types, &mut Infer::default()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

/// A body with a state `h` `[batch, 2]` and a sequence `x` `[batch, 2]`, whose next state `next` makes.
fn simple(next: impl FnOnce(&mut GraphBuilder, [Operand; 2]) -> Operand) -> Graph {
    let mut body = GraphBuilder::new();
    let [h, x] = ["h", "x"].map(|name| body.input(name, r#type(F32, &["batch", "2"])).unwrap().into());
    let next = next(&mut body, [h, x]).value().unwrap();
    body.output("h", next);
    body.finish()
}

#[test]
fn a_body_must_be_one_of_a_scan() {
    let add = |body: &mut GraphBuilder, [h, x]: [Operand; 2]| binary(body, BinaryKind::Add, h, x);
    let sizes = |states, sequences| {
        format!("a scan of {states} states and {sequences} sequences with a body of 2 inputs and 1 outputs")
    };
    check_body(simple(add), [2, 1], &sizes(2, 1));
    check_body(simple(add), [1, 2], &sizes(1, 2));
    check_body(simple(add), [1, 0], &sizes(1, 0));
    check_body(simple(add), [2, 0], &sizes(2, 0));
    check_body(simple(add), [usize::MAX, 1], &sizes(usize::MAX, 1));
    let constant = simple(|body, [h, _]| {
        let expr = ConstantExpr::filled(&[1], 1.0).unwrap();
        let one = body.constant(Constant { name: "one".into(), dtype: F32, expr }).unwrap();
        binary(body, BinaryKind::Add, h, one.into())
    });
    check_body(constant, [1, 1], "the body of a scan has constants of its own");
    let shorter =
        simple(|body, [h, _]| body.add(Slice { axis: 1, before: 1, after: 0 }, [h]).unwrap().into());
    check_body(shorter, [1, 1], "a scan makes a state [batch, 2] of float32 one [batch, 1] of float32");
    let truth = simple(|body, both| body.add(Compare { kind: CompareKind::Less }, both).unwrap().into());
    check_body(truth, [1, 1], "a scan makes a state [batch, 2] of float32 one [batch, 2] of bool");
    let mut scalar = GraphBuilder::new();
    let x = scalar.input("x", r#type(F32, &["batch"])).unwrap();
    let one = scalar.add(Full { dims: vec![], value: 1.0, dtype: F32 }, [x]).unwrap();
    scalar.output("one", one);
    check_body(scalar.finish(), [0, 1], "a scan cannot stack its scalar \"one\"");
}

/// A body whose sizes depend on symbols of its own: `y = [h, x without its first channel]`, and `h` stays.
fn symbolic() -> Scan {
    let mut body = GraphBuilder::new();
    let h = body.input("h", r#type(F32, &["batch", "units"])).unwrap();
    let x = body.input("x", r#type(F32, &["batch", "channels"])).unwrap();
    let rest = body.add(Slice { axis: 1, before: 1, after: 0 }, [x]).unwrap();
    let y = body.add(Concat { axis: 1 }, [h, rest]).unwrap();
    body.output("h", h);
    body.output("y", y);
    Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: false }
}

// The outer graph's symbols bear the names of the body's, in other places.
#[test]
fn the_bodys_symbols_stand_for_the_sizes_that_are_given() {
    let mut infer = Infer::default();
    let given = [r#type(F32, &["units", "channels"]), r#type(F32, &["units", "batch", "steps"])];
    let outputs = symbolic().infer(&given, &mut infer).unwrap();
    let texts: Vec<String> = outputs.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["float32 [units, channels]", "float32 [units, batch, channels + steps - 1]"]);
    let rules: Vec<String> = infer.into_constraints().iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["steps >= 1"]);
    let given = [r#type(F32, &["n", "3"]), r#type(F32, &["m", "9", "0"])];
    let error = symbolic().infer(&given, &mut Infer::default()).unwrap_err();
    let expected = "1 and 0 elements cannot be dropped from axis 1 of an input [batch, channels]";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

#[test]
fn a_symbol_that_no_input_tells_is_refused() {
    let mut body = GraphBuilder::new();
    let twice = Dim::symbol("units").mul_const(2).unwrap();
    let x = body.input("x", (F32, vec![Dim::symbol("batch"), twice]).into()).unwrap();
    body.output("x", x);
    let scan = Scan { body: Arc::new(body.finish()), states: 0, sequences: 1, reverse: false };
    let error = scan.infer(&[r#type(F32, &["batch", "steps", "6"])], &mut Infer::default()).unwrap_err();
    let expected = "no input of the scan says what the \"units\" of its body is";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, expected));
}

#[test]
fn the_work_of_a_scan_is_its_bodys_for_every_step() {
    let mut body = GraphBuilder::new();
    let h = body.input("h", r#type(F32, &["b", "u"])).unwrap();
    let x = body.input("x", r#type(F32, &["b", "u"])).unwrap();
    let sum = binary(&mut body, BinaryKind::Add, h.into(), x.into());
    body.output("h", sum.value().unwrap());
    let scan = Scan { body: Arc::new(body.finish()), states: 1, sequences: 1, reverse: false };
    let given = [r#type(F32, &["u", "3"]), r#type(F32, &["u", "steps", "3"])];
    let outputs = scan.infer(&given, &mut Infer::default()).unwrap();
    let cost = scan.cost(&given, &outputs).unwrap();
    assert_eq!((cost.multiply_adds, cost.element_ops.to_string()), (Dim::ZERO, "3*steps*u".to_string()));
}
