//! Recurrent operators against their references, their scans, and themselves on parts of the batch and the steps.

use crate::testing::{Problem, UNIT, on_every_set, run, tensor, values};
use k2o_core::ops::{Gru, Lstm, Operator, Recurrence, Rnn, Unary};
use k2o_core::{Data, Op, Tensor, to_scans};
use proptest::prelude::*;

/// A recurrent operator with operands.
#[derive(Clone, Debug)]
struct Case {
    op: Op,
    recurrence: Recurrence,
    states: usize,
    operands: Vec<Tensor>,
}

/// Functions of slope 1 at most, none of whose values is larger than its argument but for those at most 1.
const FUNCTIONS: [Option<Unary>; 5] = [
    Some(Unary::Tanh),
    Some(Unary::Sigmoid),
    Some(Unary::HardSigmoid { slope: 0.2, offset: 0.5 }),
    Some(Unary::Relu),
    None,
];

#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    steps: usize,
    channels: usize,
    units: usize,
}

/// The operator number `which` (the last two are the forms of the GRU) with random operands.
fn case(
    which: usize,
    (activation, recurrent_activation): (usize, usize),
    recurrence: Recurrence,
    Sizes { batch, steps, channels, units }: Sizes,
    seed: u64,
) -> Case {
    let activation = FUNCTIONS[activation];
    let recurrent_activation = FUNCTIONS[recurrent_activation];
    let (op, gates, states): (Op, usize, usize) = match which {
        0 => (Rnn { activation, recurrence }.into(), 1, 1),
        1 => (Lstm { activation, recurrent_activation, recurrence }.into(), 4, 2),
        _ => (Gru { activation, recurrent_activation, reset_after: which == 2, recurrence }.into(), 3, 1),
    };
    let columns = gates * units;
    let numbers = |shape: &[usize], scale: f32, seed: u64| {
        let (shape, data) = values(shape, seed);
        tensor(&(shape, data.into_iter().map(|x| x * scale).collect()))
    };
    // Products of the size of the state, so that errors do not grow from step to step.
    let weight = |rows: usize| 1.0 / rows.max(1) as f32;
    let mut operands = vec![
        numbers(&[batch, steps, channels], 0.5, seed),
        numbers(&[channels, columns], weight(channels), seed + 1),
        numbers(&[units, columns], weight(units), seed + 2),
    ];
    if recurrence.has_bias {
        let shape = if which == 2 { vec![2, columns] } else { vec![columns] };
        operands.push(numbers(&shape, 0.25, seed + 3));
    }
    if recurrence.has_states {
        operands.extend((0..states).map(|state| numbers(&[batch, units], 0.5, seed + 4 + state as u64)));
    }
    if recurrence.has_mask {
        let truths = values(&[batch, steps], seed + 6).1.into_iter().map(|x| x > -1.0).collect();
        operands.push(Tensor::new([batch, steps], Data::Bool(truths)).unwrap());
    }
    Case { op, recurrence, states, operands }
}

fn recurrences() -> impl Strategy<Value = Recurrence> {
    any::<[bool; 4]>().prop_map(|[reverse, has_bias, has_states, has_mask]| Recurrence {
        reverse,
        has_bias,
        has_states,
        has_mask,
    })
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let batch = prop_oneof![4 => 0usize..5, 1 => 58usize..125];
    let steps = prop_oneof![4 => 0usize..9, 1 => 90usize..130];
    let units = prop_oneof![8 => 1usize..40, 1 => 126usize..140];
    (batch, steps, 0usize..40, units)
        .prop_map(|(batch, steps, channels, units)| Sizes { batch, steps, channels, units })
        .prop_filter("small", |sizes| sizes.batch * sizes.steps * sizes.units < 14000)
}

/// A number known to be at most so large, and to be off by at most so much.
#[derive(Clone, Copy)]
struct Estimate {
    magnitude: f64,
    error: f64,
}

impl Estimate {
    const ZERO: Estimate = Estimate { magnitude: 0.0, error: 0.0 };

    /// The result of one operation that is exact but for rounding.
    fn rounded(magnitude: f64, error: f64) -> Estimate {
        Estimate { magnitude, error: error + UNIT * (magnitude + error) }
    }

    fn add(self, other: Estimate) -> Estimate {
        Estimate::rounded(self.magnitude + other.magnitude, self.error + other.error)
    }

    fn mul(self, other: Estimate) -> Estimate {
        let error = self.error * (other.magnitude + other.error) + self.magnitude * other.error;
        Estimate::rounded(self.magnitude * other.magnitude, error)
    }

    /// A function of slope 1 at most, within 8 units of its value.
    fn apply(self, function: Option<Unary>) -> Estimate {
        let magnitude = match function {
            None | Some(Unary::Relu) => self.magnitude,
            _ => 1.0,
        };
        Estimate { magnitude, error: self.error + 8.0 * UNIT * (magnitude + self.error) }
    }

    fn max(self, other: Estimate) -> Estimate {
        Estimate { magnitude: self.magnitude.max(other.magnitude), error: self.error.max(other.error) }
    }
}

impl Case {
    fn given(&self) -> k2o_core::ops::RecurrentOperands<'_, Tensor> {
        self.recurrence.operands(self.op.name(), self.states, &self.operands).unwrap()
    }

    fn sizes(&self) -> Sizes {
        let given = self.given();
        let &[batch, steps, channels] = given.x.shape() else { unreachable!() };
        Sizes { batch, steps, channels, units: given.recurrent_kernel.shape()[0] }
    }

    /// How large the states may be and how far off, after all steps: the errors of each operation of a step, carried
    /// from step to step.
    fn estimate(&self) -> Estimate {
        let given = self.given();
        let largest = |x: &Tensor| x.as_f64().unwrap().iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let column_sum = |weights: &Tensor| {
            let (columns, data) = (weights.shape()[1], weights.as_f64().unwrap());
            let sum = |o: usize| data.iter().skip(o).step_by(columns).map(|w| w.abs()).sum::<f64>();
            (0..columns).map(sum).fold(0.0, f64::max)
        };
        // A sum of n products rounds each of them, and n times the sum so far.
        let product = |x: Estimate, weights: &Tensor| {
            let (n, sum) = (weights.shape()[0] as f64, column_sum(weights));
            let error = (x.error + (n + 2.0) * UNIT * (x.magnitude + x.error)) * sum;
            Estimate { magnitude: x.magnitude * sum, error }
        };
        let of = |magnitude: f64| Estimate { magnitude, error: 0.0 };
        let bias = of(given.bias.map_or(0.0, largest));
        let sums = product(of(largest(given.x)), given.kernel).add(bias);
        let weights = given.recurrent_kernel;
        let mut h = given.states.first().map_or(Estimate::ZERO, |h| of(largest(h)));
        let mut c = given.states.get(1).map_or(Estimate::ZERO, |c| of(largest(c)));
        let mut most = h.max(c);
        for _ in 0..self.sizes().steps {
            let (before, before_c) = (h, c);
            let gate = |function| sums.add(product(before, weights)).apply(function);
            match &self.op {
                Op::Rnn(op) => h = gate(op.activation),
                Op::Lstm(op) => {
                    let r = gate(op.recurrent_activation);
                    c = r.mul(c).add(r.mul(gate(op.activation)));
                    h = r.mul(c.apply(op.activation));
                }
                Op::Gru(op) => {
                    let gate = |function| sums.add(product(before, weights).add(bias)).apply(function);
                    let r = gate(op.recurrent_activation);
                    let inner = match op.reset_after {
                        true => r.mul(product(h, weights).add(bias)),
                        false => product(r.mul(h), weights),
                    };
                    let g = sums.add(inner).apply(op.activation);
                    h = r.mul(h).add(of(1.0).add(r).mul(g));
                }
                _ => unreachable!(),
            }
            // A masked step leaves the states as they are.
            (h, c) = (h.max(before), c.max(before_c));
            most = most.max(h).max(c);
        }
        most
    }

    fn problem(&self) -> Problem {
        Problem::of(self.op.clone(), self.operands.iter().cloned())
    }

    fn all(&self) -> Vec<usize> {
        (0..=self.states).collect()
    }

    /// All results, with all operands as inputs.
    fn run(&self) -> Vec<Tensor> {
        self.problem().run_some(0, &self.all()).unwrap()
    }

    /// The same operator on other operands.
    fn with(&self, operands: Vec<Tensor>) -> Case {
        Case { operands, ..self.clone() }
    }

    /// The same rows of everything but weights.
    fn rows(&self, first: usize, count: usize) -> Case {
        let weights = 1..3 + usize::from(self.recurrence.has_bias);
        let cut = self.operands.iter().enumerate().map(|(at, operand)| match weights.contains(&at) {
            true => operand.clone(),
            false => cut(operand, 0, first, count),
        });
        self.with(cut.collect())
    }

    /// The same steps of the sequence and the mask, with these first states.
    fn steps(&self, first: usize, count: usize, states: &[Tensor]) -> Case {
        let mut operands = self.operands.clone();
        operands[0] = cut(&operands[0], 1, first, count);
        let at = 3 + usize::from(self.recurrence.has_bias);
        operands[at..at + self.states].clone_from_slice(states);
        if self.recurrence.has_mask {
            let mask = operands.len() - 1;
            operands[mask] = cut(&operands[mask], 1, first, count);
        }
        self.with(operands)
    }

    /// Checks results that are exact but for rounding.
    #[track_caller]
    fn check(&self, given: &[Tensor]) {
        let bound = self.estimate().error;
        for (output, (y, exact)) in given.iter().zip(&self.problem().references()).enumerate() {
            assert_eq!(y.shape(), exact.shape());
            for (i, (y, exact)) in y.as_f64().unwrap().iter().zip(exact.as_f64().unwrap()).enumerate() {
                let error = (y - exact).abs();
                let text = format!("element {i} of output {output} is {y}, exactly {exact}");
                assert!(error <= bound, "{text}: off by {error:e}, more than {bound:e}");
            }
        }
    }
}

/// Elements `first` and on along an axis.
fn cut(x: &Tensor, axis: usize, first: usize, count: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    let (n, run) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    fn part<T: Copy>(data: &[T], block: usize, [first, count]: [usize; 2]) -> Vec<T> {
        let blocks = data.chunks_exact(block.max(1));
        blocks.flat_map(|block| block[first..][..count].iter().copied()).collect()
    }
    let range = [first * run, count * run];
    shape[axis] = count;
    let data = match x.data() {
        Data::F64(data) => Data::F64(part(data, n * run, range)),
        Data::I64(data) => Data::I64(part(data, n * run, range)),
        Data::Bool(data) => Data::Bool(part(data, n * run, range)),
    };
    Tensor::new(shape, data).unwrap()
}

fn bits(x: &Tensor) -> Vec<u64> {
    x.as_f64().unwrap().iter().map(|x| x.to_bits()).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    (0usize..4, (0usize..5, 0usize..3), recurrences(), sizes(), 0u64..1 << 40).prop_map(
        |(which, functions, recurrence, sizes, seed)| case(which, functions, recurrence, sizes, seed),
    )
}

proptest! {
    #[test]
    fn recurrences_and_their_scans_are_the_reference(case in cases(), constants in 0usize..8) {
        let constants = constants.min(case.operands.len());
        on_every_set(|| {
            let given = case.problem().run_some(constants, &case.all()).unwrap();
            case.check(&given);
            let (graph, inputs) = case.problem().graph(constants, &case.all());
            case.check(&run(&to_scans(&graph, &|_| true).unwrap(), &inputs).unwrap());
            // Neither constants nor outputs that nothing reads change a bit.
            let same = case.run();
            for (at, given) in given.iter().enumerate() {
                assert_eq!(bits(given), bits(&same[at]));
                let alone = case.problem().run_some(constants, &[at]).unwrap();
                assert_eq!(bits(given), bits(&alone[0]));
            }
        });
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch(case in cases(), first in 0usize..1000, count in 0usize..130) {
        let batch = case.sizes().batch;
        let first = first % (batch + 1);
        let count = count.min(batch - first);
        on_every_set(|| {
            let (all, part) = (case.run(), case.rows(first, count).run());
            for (all, part) in all.iter().zip(&part) {
                assert_eq!(bits(&cut(all, 0, first, count)), bits(part));
            }
        });
    }

    #[test]
    fn pieces_of_a_sequence_have_the_bits_of_the_whole(case in cases(), at in 0usize..1000) {
        if !case.recurrence.has_states {
            return Ok(());
        }
        let steps = case.sizes().steps;
        let at = at % (steps + 1);
        on_every_set(|| {
            let whole = case.run();
            let mut pieces = [(0, at), (at, steps - at)];
            if case.recurrence.reverse {
                pieces.reverse();
            }
            let mut states = case.given().states.to_vec();
            for (first, count) in pieces {
                let piece = case.steps(first, count, &states).run();
                assert_eq!(bits(&cut(&whole[0], 1, first, count)), bits(&piece[0]));
                states = piece[1..].to_vec();
            }
            for (state, whole) in states.iter().zip(&whole[1..]) {
                assert_eq!(bits(state), bits(whole));
            }
        });
    }

    #[test]
    fn nan_and_infinity_go_where_the_reference_takes_them(
        case in cases(),
        bad in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        at in 0usize..1000,
    ) {
        let Data::F64(x) = case.operands[0].data() else { return Ok(()) };
        if x.is_empty() {
            return Ok(());
        }
        let mut x = x.clone();
        let at = at % x.len();
        x[at] = bad;
        let mut operands = case.operands.clone();
        operands[0] = Tensor::f64(case.operands[0].shape(), x).unwrap();
        let case = case.with(operands);
        on_every_set(|| {
            for (y, exact) in case.run().iter().zip(&case.problem().references()) {
                for (y, exact) in y.as_f64().unwrap().iter().zip(exact.as_f64().unwrap()) {
                    let same = y == exact || y.is_nan() && exact.is_nan() || y.is_finite() && exact.is_finite();
                    assert!(same, "{} for {}", y, exact);
                }
            }
        });
    }
}
