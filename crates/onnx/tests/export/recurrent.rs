//! Graphs of recurrent operators, and of what they are made of.

use crate::net::{Case, Net};
use k2o_core::ops::{
    Binary, BinaryKind, Cast, Compare, CompareKind, Dense, Full, FullDim, Gru, Lstm, Recurrence, Reverse,
    Rnn, Scan, Select, Slice, Unary,
};
use k2o_core::{DType, Dim, GraphBuilder, Op, Operand, Shape, TensorType, ValueId};
use std::sync::Arc;

/// Which operator, with what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Gru { reset_after: bool },
    Lstm,
    Rnn,
}

impl Kind {
    pub const ALL: [Kind; 4] =
        [Kind::Gru { reset_after: false }, Kind::Gru { reset_after: true }, Kind::Lstm, Kind::Rnn];

    /// The number of gates and of states.
    pub fn sizes(self) -> (usize, usize) {
        match self {
            Kind::Gru { .. } => (3, 1),
            Kind::Lstm => (4, 2),
            Kind::Rnn => (1, 1),
        }
    }

    /// The operator with these functions; of `Rnn` only the first one is.
    pub fn op(self, functions: [Option<Unary>; 2], recurrence: Recurrence) -> Op {
        let [activation, recurrent_activation] = functions;
        match self {
            Kind::Gru { reset_after } => {
                Gru { activation, recurrent_activation, reset_after, recurrence }.into()
            }
            Kind::Lstm => Lstm { activation, recurrent_activation, recurrence }.into(),
            Kind::Rnn => Rnn { activation, recurrence }.into(),
        }
    }
}

/// The functions that ONNX assumes.
pub const USUAL: [Option<Unary>; 2] = [Some(Unary::Tanh), Some(Unary::Sigmoid)];

/// A mask of the steps before the lengths, which are an input.
fn mask(net: &mut Net, x: ValueId, lengths: ValueId) -> ValueId {
    net.layer("mask", "Masking", |net| {
        let steps = net.builder.type_of(x).shape[1].as_usize().unwrap();
        let places = net.literal("mask/places", &[1, steps], (0..steps).map(|t| t as f64).collect());
        let ends = net.builder.add(Cast { to: DType::F32 }, [lengths]).unwrap();
        net.builder.add(Compare { kind: CompareKind::Less }, [Operand::from(places), ends.into()]).unwrap()
    })
}

impl Net {
    /// A recurrent layer of so many units; its outputs are the operator's.
    pub fn recurrent(
        &mut self,
        path: &str,
        kind: Kind,
        (x, units): (ValueId, usize),
        functions: [Option<Unary>; 2],
        recurrence: Recurrence,
        rest: &[ValueId],
    ) -> Vec<ValueId> {
        let channels = self.builder.type_of(x).shape[2].as_usize().unwrap();
        let (gates, _) = kind.sizes();
        let columns = gates * units;
        let mut inputs: Vec<Operand> = vec![x.into()];
        inputs.push(self.weight(&format!("{path}/kernel"), &[channels, columns]).into());
        inputs.push(self.weight(&format!("{path}/recurrent_kernel"), &[units, columns]).into());
        if recurrence.has_bias {
            let after = kind == Kind::Gru { reset_after: true };
            let shape = if after { vec![2, columns] } else { vec![columns] };
            inputs.push(self.weight(&format!("{path}/bias"), &shape).into());
        }
        inputs.extend(rest.iter().map(|&value| Operand::from(value)));
        self.begin(path, "Recurrent", 0);
        self.builder.add_all(kind.op(functions, recurrence), inputs).unwrap()
    }
}

/// One layer of a kind, all of whose outputs are the model's.
pub fn single(name: &'static str, kind: Kind, functions: [Option<Unary>; 2], recurrence: Recurrence) -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 6 3");
    let mut rest = Vec::new();
    let mut sizes: Vec<&[usize]> = vec![&[4, 6, 3]];
    if recurrence.has_states {
        for state in 0..kind.sizes().1 {
            rest.push(net.input(&format!("state_{state}"), "batch 5"));
            sizes.push(&[4, 5]);
        }
    }
    if recurrence.has_mask {
        let lengths = net.typed_input("lengths", "batch 1", DType::I32);
        sizes.push(&[4, 1]);
        rest.push(mask(&mut net, x, lengths));
    }
    let outputs = net.recurrent("layer", kind, (x, 5), functions, recurrence, &rest);
    for (at, output) in outputs.into_iter().enumerate() {
        net.output(["y", "h", "c"][at], output);
    }
    net.done(name, &sizes)
}

/// Every kind with every combination of a bias, states, a mask and a direction.
pub fn combinations() -> Vec<Case> {
    let names = ["gru", "gru_reset_after", "lstm", "rnn"];
    let mut cases = Vec::new();
    for (kind, name) in Kind::ALL.into_iter().zip(names) {
        for bits in 0..16 {
            let bit = |at: u32| bits >> at & 1 == 1;
            let recurrence =
                Recurrence { reverse: bit(0), has_bias: bit(1), has_states: bit(2), has_mask: bit(3) };
            let mut full_name = name.to_string();
            for (has, word) in [(bit(0), "reverse"), (bit(1), "bias"), (bit(2), "states"), (bit(3), "mask")] {
                if has {
                    full_name = format!("{full_name}_{word}");
                }
            }
            cases.push(single(full_name.leak(), kind, USUAL, recurrence));
        }
    }
    cases
}

/// Every kind with every function, as the activation and as that of the gates.
pub fn functions() -> Vec<Case> {
    let functions = [
        ("linear", None),
        ("elu", Some(Unary::Elu { alpha: 0.7 })),
        ("hard_sigmoid", Some(Unary::HardSigmoid { slope: 0.2, offset: 0.4 })),
        ("leaky_relu", Some(Unary::LeakyRelu { slope: 0.3 })),
        ("relu", Some(Unary::Relu)),
        ("sigmoid", Some(Unary::Sigmoid)),
        ("softplus", Some(Unary::Softplus)),
        ("softsign", Some(Unary::Softsign)),
        ("tanh", Some(Unary::Tanh)),
        ("selu", Some(Unary::Selu)),
        ("gelu", Some(Unary::Gelu { approximate: false })),
    ];
    let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
    let mut cases = Vec::new();
    for (kind, name) in Kind::ALL.into_iter().zip(["gru", "gru_reset_after", "lstm", "rnn"]) {
        for (word, function) in functions {
            let as_activation = format!("{name}_activation_{word}");
            cases.push(single(as_activation.leak(), kind, [function, USUAL[1]], recurrence));
            if kind != Kind::Rnn {
                let as_gates = format!("{name}_gates_{word}");
                cases.push(single(as_gates.leak(), kind, [USUAL[0], function], recurrence));
            }
        }
    }
    cases
}

/// Two layers on top of each other, forwards and back, of which the second one's steps are not used.
pub fn stacked() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 3");
    let forwards = Recurrence { has_bias: true, ..Recurrence::default() };
    let back = Recurrence { reverse: true, ..forwards };
    let a = net.recurrent("a", Kind::Lstm, (x, 4), USUAL, forwards, &[])[0];
    let b = net.recurrent("b", Kind::Gru { reset_after: true }, (a, 3), USUAL, back, &[])[0];
    let c = net.recurrent("c", Kind::Lstm, (b, 2), USUAL, forwards, &[])[1];
    net.output("c", c);
    net.done("stacked", &[&[2, 5, 3]])
}

/// A layer called twice, whose weights are in the file once.
pub fn shared() -> Case {
    let mut net = Net::new();
    let (x, y) = (net.input("x", "batch steps 3"), net.input("y", "batch steps 3"));
    let kernel = net.weight("lstm/kernel", &[3, 8]);
    let recurrent = net.weight("lstm/recurrent_kernel", &[2, 8]);
    let bias = net.weight("lstm/bias", &[8]);
    let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
    for (repetition, input) in [x, y].into_iter().enumerate() {
        net.begin("lstm", "LSTM", repetition);
        let inputs = vec![input.into(), kernel.into(), recurrent.into(), bias.into()];
        let outputs = net.builder.add_all(Kind::Lstm.op(USUAL, recurrence), inputs).unwrap();
        net.output(["a", "b"][repetition], outputs[1]);
    }
    net.done("shared_lstm", &[&[2, 4, 3], &[2, 4, 3]])
}

/// A scan of two states and two sequences, of which the body gives one state on as it is, twice, with a weight and a
/// tensor from around it.
pub fn scan(name: &'static str, reverse: bool) -> Case {
    let mut net = Net::new();
    let (x, other) = (net.input("x", "batch steps 3"), net.input("other", "batch steps 2"));
    let (h, n, around) =
        (net.input("h", "batch 2"), net.input("n", "batch 1"), net.input("around", "batch 2"));
    let weight = net.weight("scan/weight", &[3, 2]);

    let mut body = GraphBuilder::new();
    let rows =
        |columns: i64| TensorType::new(Shape::new([Dim::symbol("batch"), Dim::fixed(columns)]), DType::F32);
    let before = body.input("h", rows(2)).unwrap();
    let count = body.input("n", rows(1)).unwrap();
    let a = body.input("x", rows(3)).unwrap();
    let b = body.input("other", rows(2)).unwrap();
    let kernel = TensorType::new(Shape::new([Dim::fixed(3), Dim::fixed(2)]), DType::F32);
    let kernel = body.input("weight", kernel).unwrap();
    let given = body.input("around", rows(2)).unwrap();
    let product = body.add(Dense, [a, kernel]).unwrap();
    let mut add = |a, b| body.add(Binary { kind: BinaryKind::Add }, [a, b]).unwrap();
    let sum = add(product, before);
    let sum = add(sum, b);
    let sum = add(sum, given);
    let next = body.add(Unary::Tanh, [sum]).unwrap();
    for (name, value) in [("h", next), ("n", count), ("steps", next), ("again", next), ("counts", count)] {
        body.output(name, value);
    }
    net.begin("scan", "RNN", 0);
    let scan = Scan { body: Arc::new(body.finish()), states: 2, sequences: 2, reverse };
    let inputs: Vec<Operand> = vec![h.into(), n.into(), x.into(), other.into(), weight.into(), around.into()];
    let outputs = net.builder.add_all(scan.into(), inputs).unwrap();
    for (at, output) in outputs.into_iter().enumerate().filter(|(at, _)| *at != 3) {
        net.output(&format!("output_{at}"), output);
    }
    net.done(name, &[&[2, 4, 3], &[2, 4, 2], &[2, 2], &[2, 1], &[2, 2]])
}

/// Comparisons, choices and values of one size or another.
pub fn choices() -> Case {
    let mut net = Net::new();
    let (x, y) = (net.input("x", "batch steps 3"), net.input("y", "batch steps 3"));
    let two = net.literal("two", &[3], vec![0.5, 0.0, -0.5]);
    let mut all = Vec::new();
    for kind in CompareKind::ALL {
        let name = format!("{kind:?}");
        let by = if kind == CompareKind::Greater { Operand::from(two) } else { y.into() };
        let holds = net.op(&name, "Compare", Compare { kind }, [x.into(), by]);
        let chosen =
            net.op(&format!("{name}_chosen"), "Select", Select, [holds.into(), Operand::from(x), two.into()]);
        net.output(&format!("{name}_chosen"), chosen);
        all.push(holds);
    }
    let both = net.binary("both", BinaryKind::And, all[2], all[4]);
    let either = net.binary("either", BinaryKind::Or, all[0], both);
    net.output("either", either);
    let ordered = net.op("ordered", "Compare", Compare { kind: CompareKind::Less }, [either, all[1]]);
    net.output("ordered", ordered);
    let reversed = net.op("reversed", "Reverse", Reverse { axis: 1 }, [x]);
    net.output("reversed", reversed);
    let sliced = net.op("sliced", "Slice", Slice { axis: 1, before: 1, after: 0 }, [reversed]);
    net.output("sliced", sliced);
    let full = |dims: Vec<FullDim>, value, dtype| Full { dims, value, dtype };
    let dims = vec![FullDim::Of(1), FullDim::Fixed(2), FullDim::Of(0)];
    let moved = net.op("moved", "Full", full(dims, 2.5, DType::F32), [x]);
    net.output("moved", moved);
    let known = net.op("known", "Full", full(vec![FullDim::Fixed(2), FullDim::Of(2)], 1.0, DType::Bool), [x]);
    net.output("known", known);
    net.done("choices", &[&[2, 4, 3], &[2, 4, 3]])
}

/// One output only, of a layer of every kind with steps or a batch of unknown size.
pub fn one_output() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, name) in Kind::ALL.into_iter().zip(["gru", "gru_reset_after", "lstm", "rnn"]) {
        for (output, reverse) in [(0, false), (1, false), (1, true), (kind.sizes().1, false)] {
            for dims in ["batch 6 3", "4 steps 3", "4 6 3"] {
                let mut net = Net::new();
                let x = net.input("x", dims);
                let recurrence = Recurrence { has_bias: true, reverse, ..Recurrence::default() };
                let y = net.recurrent("layer", kind, (x, 5), USUAL, recurrence, &[])[output];
                let y = net.op("scaled", "Activation", Unary::LeakyRelu { slope: 0.5 }, [y]);
                net.output("y", y);
                let direction = if reverse { "back" } else { "forth" };
                let name = format!("{name}_output_{output}_{direction}_{}", dims.replace(' ', "_"));
                cases.push(net.done(name.leak(), &[&[4, 6, 3]]));
            }
        }
    }
    cases
}

/// One output only, of a layer with a mask.
pub fn one_masked_output(name: &'static str, output: usize) -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 6 3");
    let lengths = net.typed_input("lengths", "batch 1", DType::I32);
    let mask = mask(&mut net, x, lengths);
    let recurrence = Recurrence { has_mask: true, ..Recurrence::default() };
    let y = net.recurrent("layer", Kind::Lstm, (x, 5), USUAL, recurrence, &[mask])[output];
    net.output("y", y);
    net.done(name, &[&[4, 6, 3], &[4, 1]])
}

/// Every case.
pub fn all() -> Vec<Case> {
    let few = vec![choices(), scan("scan", false), scan("scan_reverse", true), shared(), stacked()];
    let masked = vec![one_masked_output("masked_steps", 0), one_masked_output("masked_state", 2)];
    [few, masked, combinations(), functions(), one_output()].into_iter().flatten().collect()
}
