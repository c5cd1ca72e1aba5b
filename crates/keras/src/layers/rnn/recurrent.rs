//! `RNN(cell)`, and `SimpleRNN`, `LSTM`, `GRU`, `CuDNNLSTM`, `CuDNNGRU`, which are that with a cell of their own.
//! <https://keras.io/api/layers/recurrent_layers/rnn/>
//!
//! A masked step leaves the states as they are and gives the output of the step before once more (zeros where there is
//! none), or zeros with `zero_output_for_mask`. With `go_backwards`, outputs are in the order in which they are computed,
//! the mask that is passed on is not. With first states given in the call, Keras 3 does not heed the mask that came with
//! the input (`keras/src/layers/layer.py`, `__call__`), but passes it on.

use super::cell::{Cell, Steps, call_of, cell_object};
use super::{GruCell, LstmCell, SimpleRnnCell};
use crate::fields::missing;
use crate::layer::{LayerObject, Masks};
use crate::layers::expect_rank;
use crate::lowering::{Arg, Call, Lowering, Tensor};
use crate::{Error, Fields, KerasVersion, Layer, Result};
use k2o_core::ops::{Full, ReshapeDim, Reverse, Slice};
use k2o_core::{DType, Dim};
use serde_json::json;

/// A cell for every step.
#[derive(Debug)]
pub struct Recurrent {
    cell: LayerObject,
    pub(super) options: Options,
}

/// What all recurrent layers can be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    pub stateful: bool,
    pub unroll: bool,
    pub zero_output_for_mask: bool,
    /// Whether there may be a mask.
    pub takes_mask: bool,
}

/// What a recurrent layer is called with.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    pub x: Tensor,
    /// Empty where none are given.
    pub states: Vec<Tensor>,
    /// The mask to heed.
    pub mask: Option<Tensor>,
    /// The mask to pass on.
    pub passed: Option<Tensor>,
}

/// What running a recurrent layer gave.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    /// The output of every step at the step's place, if the layer returns them.
    pub sequence: Option<Tensor>,
    /// The output of the step that was run last.
    pub last: Tensor,
    pub states: Vec<Tensor>,
}

impl Options {
    fn take(fields: &mut Fields<'_, '_>) -> Result<Options> {
        fields.refuse("time_major", &[])?;
        fields.refuse("num_constants", &[json!(0)])?;
        // What early versions of Keras write.
        fields.ignore(&["input_dim", "input_length", "consume_less"]);
        Ok(Options {
            return_sequences: fields.bool(&["return_sequences"], false)?,
            return_state: fields.bool(&["return_state"], false)?,
            go_backwards: fields.bool(&["go_backwards"], false)?,
            stateful: fields.bool(&["stateful"], false)?,
            unroll: fields.bool(&["unroll"], false)?,
            zero_output_for_mask: fields.bool(&["zero_output_for_mask"], false)?,
            takes_mask: !fields.class().starts_with("CuDNN"),
        })
    }
}

impl Arguments {
    /// The arguments of a recurrent layer's call: the states behind the input, as second argument, or by keyword.
    pub fn of(cx: &mut Lowering, call: &Call) -> Result<Arguments> {
        for (name, arg) in &call.kwargs {
            let known = ["initial_state", "mask", "training", "sequences", "inputs"].contains(&name.as_str());
            if !known && !arg.is_none() {
                return Err(Error::unsupported(format!("the call argument `{name}` is not supported")));
            }
        }
        let named = |names: &[&str]| names.iter().find_map(|name| call.kwargs.get(*name));
        let [first, second, third] = [0, 1, 2].map(|at| call.args.get(at));
        let tensors = |arg: Option<&Arg>| {
            arg.map_or(Vec::new(), |arg| Call { args: vec![arg.clone()], ..Call::default() }.tensors())
        };
        let mut sequence = tensors(first.or(named(&["sequences", "inputs"])));
        if sequence.is_empty() {
            return Err(Error::malformed("a recurrent layer was called without a sequence"));
        }
        let x = sequence.remove(0);
        let mut states = sequence;
        states.extend(tensors(second));
        states.extend(tensors(named(&["initial_state"])));
        let explicit = tensors(third.or(named(&["mask"]))).first().copied();
        let is_keras3 = cx.version() >= KerasVersion::V3;
        let mask = match explicit {
            Some(mask) => Some(cx.truth_of(mask)?),
            None if is_keras3 && !states.is_empty() => None,
            None => x.mask(),
        };
        let passed = if is_keras3 { x.mask() } else { mask };
        let x = cx.to_float(x)?.with_mask(None);
        Ok(Arguments { x, states, mask, passed })
    }
}

impl Recurrent {
    /// Zeros for each state that the cell has.
    fn zeros(&self, cx: &mut Lowering, sizes: &[usize], x: Tensor) -> Result<Vec<Tensor>> {
        let zeros = |&size: &usize| {
            let n = i64::try_from(size).map_err(|_| Error::limit(format!("a state of {size} elements")))?;
            cx.rearrange(Full::zeros_per_row(n, DType::F32), x)
        };
        sizes.iter().map(zeros).collect()
    }

    /// Demands that there are as many states as the cell has, or none.
    fn check_states(&self, cell: &dyn Cell, states: &[Tensor]) -> Result<()> {
        let (expected, given) = (cell.state_sizes().len(), states.len());
        match given == 0 || given == expected {
            true => Ok(()),
            false => {
                Err(Error::malformed(format!("{given} first states were given; the cell has {expected}")))
            }
        }
    }

    /// Runs the cell for every step; with `zero_output`, the outputs of masked steps are zeros. The states of a stateful
    /// layer are inputs and outputs of the model if the caller wants them to be.
    pub(super) fn run(&self, cx: &mut Lowering, mut given: Arguments, zero_output: bool) -> Result<Ran> {
        let cell = self.cell.as_cell().ok_or_else(|| Error::unsupported("a cell that cannot be read"))?;
        expect_rank(cx, given.x, 3)?;
        self.check_states(cell, &given.states)?;
        if given.mask.is_some() && !self.options.takes_mask {
            return Err(Error::unsupported("a layer of cuDNN takes no mask, in Keras as here"));
        }
        if !(self.options.stateful && given.states.is_empty() && cx.exposes_states()) {
            return self.run_from(cx, cell, &given, zero_output);
        }
        given.states = cx.state_inputs(given.x, &cell.state_sizes())?;
        let ran = self.run_from(cx, cell, &given, zero_output)?;
        cx.state_outputs(&ran.states);
        Ok(ran)
    }

    fn run_from(
        &self,
        cx: &mut Lowering,
        cell: &dyn Cell,
        given: &Arguments,
        zero_output: bool,
    ) -> Result<Ran> {
        let Options { return_sequences, go_backwards, .. } = self.options;
        let zero_output = zero_output && given.mask.is_some();
        // What a masked step gives is the last state unless that is another than the last output.
        let repeats_state =
            given.mask.is_none() || given.states.is_empty() && (return_sequences || !zero_output);
        if !cell.has_operator() || !repeats_state {
            return self.scan(cx, cell, given, zero_output);
        }
        let steps = Steps { x: given.x, states: &given.states, mask: given.mask, reverse: go_backwards };
        let over = cx.within_child(&self.cell, given.x, |cx| cell.over_steps(cx, &steps))?;
        let mut sequence = over.outputs;
        if let Some(mask) = given.mask.filter(|_| zero_output && return_sequences) {
            sequence = self.zero_masked(cx, sequence, mask)?;
        }
        let sequence = return_sequences.then_some(sequence);
        Ok(Ran { sequence, last: over.last, states: over.states })
    }

    /// Any cell, step by step.
    fn scan(&self, cx: &mut Lowering, cell: &dyn Cell, given: &Arguments, zero_output: bool) -> Result<Ran> {
        let Options { return_sequences, go_backwards, .. } = self.options;
        // The output of the last step that was run is carried along where masked steps repeat it, or where it can be had in no
        // other way: as one of the states, or as the step at the end of a known number of them.
        let steps = cx.shape(given.x)?.get(1).and_then(Dim::as_fixed).filter(|&steps| steps > 0);
        let is_repeated = given.mask.is_some() && !zero_output;
        let as_state = cell.output_state().filter(|_| given.mask.is_none());
        let is_carried = is_repeated || !return_sequences && as_state.is_none() && steps.is_none();
        let is_kept = return_sequences || !is_carried && as_state.is_none();
        let carried = if is_carried { self.zeros(cx, &[cell.output_size()], given.x)? } else { Vec::new() };
        let mut states = carried.clone();
        match given.states.is_empty() {
            true => states.extend(self.zeros(cx, &cell.state_sizes(), given.x)?),
            false => states.extend(&given.states),
        }
        let sequences: Vec<Tensor> = [Some(given.x), given.mask].into_iter().flatten().collect();
        let scanned = cx.scan(&states, &sequences, go_backwards, |cx, before, steps| {
            let (output_before, before) = before.split_at(carried.len());
            let &x = steps.first().ok_or_else(|| Error::malformed("a scan over no sequence"))?;
            let mut next = cx.call_child(&self.cell, &call_of(x, before))?;
            if next.len() != before.len() + 1 {
                return Err(Error::malformed("the cell could not be added"));
            }
            let mut output = next.remove(0);
            if let Some(&mask) = steps.get(1) {
                output = match output_before.first().filter(|_| !zero_output) {
                    Some(&before) => cx.select(mask, output, before)?,
                    None => cx.select_or(mask, output, 0.0)?,
                };
                for (next, &before) in next.iter_mut().zip(before) {
                    *next = cx.select(mask, *next, before)?;
                }
            }
            if is_carried {
                next.insert(0, output);
            }
            Ok((next, if is_kept { vec![output] } else { Vec::new() }))
        })?;
        let mut states = scanned.states;
        let mut sequence = scanned.outputs.first().copied();
        let last = match (as_state.and_then(|at| states.get(at)), sequence, steps) {
            _ if is_carried => states.remove(0),
            (Some(state), _, _) => *state,
            (None, Some(sequence), Some(steps)) if !return_sequences => {
                let (before, after) = if go_backwards { (0, steps - 1) } else { (steps - 1, 0) };
                let last = cx.rearrange(Slice { axis: 1, before, after }, sequence)?;
                cx.reshape(vec![ReshapeDim::Keep, ReshapeDim::Of(2)], last, None)?
            }
            // Nobody asks for it.
            (None, Some(sequence), _) => sequence,
            (None, None, _) => return Err(Error::malformed("the cell has no output")),
        };
        if let (Some(aligned), Some(mask), true) = (sequence, given.mask, zero_output && self.options.unroll)
        {
            sequence = Some(self.zero_masked(cx, aligned, mask)?);
        }
        Ok(Ran { sequence: sequence.filter(|_| return_sequences), last, states })
    }

    /// The outputs with zeros where the mask does not hold. An unrolled layer that goes backwards takes the mask in the
    /// order of the steps and the outputs in the order in which they were computed.
    fn zero_masked(&self, cx: &mut Lowering, sequence: Tensor, mask: Tensor) -> Result<Tensor> {
        if !(self.options.unroll && self.options.go_backwards) {
            return cx.select_or(mask, sequence, 0.0);
        }
        let reversed = cx.rearrange(Reverse { axis: 1 }, sequence)?;
        let zeroed = cx.select_or(mask, reversed, 0.0)?;
        cx.rearrange(Reverse { axis: 1 }, zeroed)
    }

    /// The outputs in the order in which they were computed, or, where `flipped`, in the other.
    pub(super) fn in_order(&self, cx: &mut Lowering, sequence: Tensor, flipped: bool) -> Result<Tensor> {
        match self.options.go_backwards != flipped {
            true => cx.rearrange(Reverse { axis: 1 }, sequence),
            false => Ok(sequence),
        }
    }
}

impl Layer for Recurrent {
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self> {
        let options = Options::take(fields)?;
        let (class, cell): (_, Box<dyn Layer>) = match fields.class() {
            "SimpleRNN" => ("SimpleRNNCell", Box::new(SimpleRnnCell::from_config(fields)?)),
            "LSTM" => ("LSTMCell", Box::new(LstmCell::from_config(fields)?)),
            "GRU" => ("GRUCell", Box::new(GruCell::from_config(fields)?)),
            "CuDNNLSTM" => ("LSTMCell", Box::new(LstmCell::of_cudnn(fields)?)),
            "CuDNNGRU" => ("GRUCell", Box::new(GruCell::of_cudnn(fields)?)),
            _ => {
                let cell = fields.take(&["cell"]).ok_or_else(|| missing("cell"))?;
                return Ok(Recurrent { cell: cell_object(fields, cell, "cell")?, options });
            }
        };
        let mut cell = fields.part(class, "cell", cell)?;
        // In Keras, layers of cuDNN have no cell: the weights are their own.
        if fields.class().starts_with("CuDNN")
            && let Some(own) = cell.store.strip_suffix("/cell")
        {
            cell.store = own.to_string();
        }
        Ok(Recurrent { cell, options })
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        if self.cell.is_broken() {
            return Ok(Vec::new());
        }
        let given = Arguments::of(cx, call)?;
        let ran = self.run(cx, given.clone(), self.options.zero_output_for_mask)?;
        let output = match ran.sequence {
            Some(sequence) => self.in_order(cx, sequence, false)?.with_mask(given.passed),
            None => ran.last,
        };
        let mut outputs = vec![output];
        if self.options.return_state {
            outputs.extend(ran.states);
        }
        Ok(outputs)
    }

    fn masks(&self, _: KerasVersion) -> Masks {
        Masks::Handled
    }

    fn as_recurrent(&self) -> Option<&Recurrent> {
        Some(self)
    }
}
