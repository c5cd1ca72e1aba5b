//! Writes recurrent operators as the scans that they are.

use super::Rebuild;
use crate::ops::{
    Binary, BinaryKind, Dense, Full, Gru, Lstm, Recurrence, RecurrentOperands, Reshape, ReshapeDim, Rnn,
    Scan, Select, Slice, Unary,
};
use crate::{
    Constant, ConstantExpr, DType, Dim, Error, Graph, GraphBuilder, Node, Op, Operand, Result, Shape,
    TensorType, ValueId,
};
use std::sync::Arc;

/// The graph with each recurrent operator (`Gru`, `Lstm`, `Rnn`) for which `which` holds written as a
/// [`Scan`] that computes the same but for rounding. The products of `x` with its weights are computed for all steps at
/// once, before the scan.
pub fn to_scans(graph: &Graph, which: &dyn Fn(&Node) -> bool) -> Result<Graph> {
    let mut rebuild = Rebuild::new(graph)?;
    for node in graph.nodes() {
        let cell: &dyn Cell = match &node.op {
            Op::Gru(op) => op,
            Op::Lstm(op) => op,
            Op::Rnn(op) => op,
            _ => {
                rebuild.copy(node)?;
                continue;
            }
        };
        if !which(node) {
            rebuild.copy(node)?;
            continue;
        }
        let inputs =
            node.inputs.iter().map(|&operand| rebuild.operand(operand)).collect::<Result<Vec<_>>>()?;
        rebuild.new.within(node.origin);
        let outputs = scan(cell, &inputs, &mut rebuild.new)?;
        for (&old, new) in node.outputs.iter().zip(outputs) {
            rebuild.replace(old, new);
        }
    }
    rebuild.finish()
}

/// What a recurrent operator does in one step.
trait Cell {
    fn name(&self) -> &'static str;
    fn recurrence(&self) -> Recurrence;
    fn states(&self) -> usize;

    /// The bias of the products of `x`, and what every step is given: weights and numbers.
    fn given(&self, operands: &RecurrentOperands<'_, Operand>, _outer: &mut GraphBuilder) -> Result<Given> {
        Ok(Given { bias: operands.bias.copied(), rest: vec![*operands.recurrent_kernel] })
    }

    /// The next states from the products of `x` and `h`'s predecessor.
    fn step(
        &self,
        body: &mut GraphBuilder,
        sums: ValueId,
        states: &[ValueId],
        given: &[ValueId],
    ) -> Result<Vec<ValueId>>;
}

/// What a scan has of a recurrent operator's weights.
struct Given {
    bias: Option<Operand>,
    rest: Vec<Operand>,
}

/// Adds the scan of `cell` and returns its outputs in the operator's order.
fn scan(cell: &dyn Cell, inputs: &[Operand], outer: &mut GraphBuilder) -> Result<Vec<ValueId>> {
    let (recurrence, states) = (cell.recurrence(), cell.states());
    let operands = recurrence.operands(cell.name(), states, inputs)?;
    let Given { bias, rest } = cell.given(&operands, outer)?;
    let sums = outer.add(Dense, [*operands.x, *operands.kernel].into_iter().chain(bias))?;

    let units = outer.type_of(*operands.recurrent_kernel).shape.dim(0)?.clone();
    let dtype = outer.type_of(*operands.x).dtype;
    let mut arguments: Vec<Operand> = operands.states.to_vec();
    if arguments.is_empty() {
        let n = units.as_fixed().ok_or_else(|| Error::shape("a state of unknown size"))?;
        let zeros = outer.add(Full::zeros_per_row(n, dtype), [*operands.x])?;
        arguments = vec![zeros.into(); states];
    }
    arguments.push(sums.into());
    arguments.extend(operands.mask);

    let mut body = GraphBuilder::new();
    let batch = Dim::symbol("batch");
    let per_row = |columns: Dim| TensorType::new(Shape::new([batch.clone(), columns]), dtype);
    let before = ["h", "c"].iter().take(states).map(|name| body.input(*name, per_row(units.clone())));
    let before = before.collect::<Result<Vec<ValueId>>>()?;
    let columns = outer.type_of(sums).shape.dim(2)?.clone();
    let x = body.input("x", per_row(columns))?;
    let mask = match operands.mask {
        Some(_) => Some(body.input("mask", TensorType::new(Shape::new([batch.clone()]), DType::Bool))?),
        None => None,
    };
    let mut given = Vec::new();
    for (at, operand) in rest.iter().enumerate() {
        given.push(body.input(format!("given_{at}"), outer.type_of(*operand))?);
    }
    let mut next = cell.step(&mut body, x, &before, &given)?;
    if let Some(mask) = mask {
        let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(1)];
        let mask = body.add(Reshape { target }, [mask])?;
        for (next, before) in next.iter_mut().zip(&before) {
            *next = body.add(Select, [mask, *next, *before])?;
        }
    }
    for (name, &value) in ["h", "c"].iter().zip(&next) {
        body.output(*name, value);
    }
    body.output("y", nth(&next, 0)?);
    arguments.extend(rest);

    let sequences = 1 + usize::from(recurrence.has_mask);
    let scan = Scan { body: Arc::new(body.finish()), states, sequences, reverse: recurrence.reverse };
    let mut outputs = outer.add_all(scan.into(), arguments)?;
    outputs.rotate_right(1);
    Ok(outputs)
}

/// One of a cell's states or of what it is given.
fn nth(values: &[ValueId], at: usize) -> Result<ValueId> {
    values.get(at).copied().ok_or_else(|| Error::shape(format!("a cell without its part {at}")))
}

fn binary(body: &mut GraphBuilder, kind: BinaryKind, a: ValueId, b: ValueId) -> Result<ValueId> {
    body.add(Binary { kind }, [a, b])
}

fn function(body: &mut GraphBuilder, function: Option<Unary>, x: ValueId) -> Result<ValueId> {
    match function {
        Some(function) => body.add(function, [x]),
        None => Ok(x),
    }
}

/// Equal parts of the last axis.
fn gates<const N: usize>(body: &mut GraphBuilder, x: ValueId) -> Result<[ValueId; N]> {
    let shape = body.type_of(x).shape;
    let axis = shape.rank() - 1;
    let all = shape.dim(axis)?.as_fixed().ok_or_else(|| Error::shape("gates of unknown size"))?;
    let units = all / N as i64;
    let mut gates = [x; N];
    for (gate, before) in gates.iter_mut().zip((0..).map(|i| i * units)) {
        *gate = body.add(Slice { axis, before, after: all - before - units }, [x])?;
    }
    Ok(gates)
}

/// `weights` along its last axis from `range.start` up to `range.end`: a smaller weight where it is one.
fn columns(
    outer: &mut GraphBuilder,
    weights: Operand,
    range: std::ops::Range<usize>,
    name: &str,
) -> Result<Operand> {
    let shape = outer.type_of(weights).shape;
    let axis = shape.rank() - 1;
    if let Operand::Constant(id) = weights {
        let constant = outer.graph().constant(id).clone();
        let layer = constant.name.rsplit_once('/').map_or("", |(layer, _)| layer);
        let name = if layer.is_empty() { name.to_string() } else { format!("{layer}/{name}") };
        let expr = constant.expr.slice(axis, range)?;
        return Ok(outer.constant(Constant { name, dtype: constant.dtype, expr })?.into());
    }
    let all = shape.dim(axis)?.as_usize().unwrap_or(range.end);
    let after = all.saturating_sub(range.end) as i64;
    Ok(outer.add(Slice { axis, before: range.start as i64, after }, [weights])?.into())
}

impl Cell for Rnn {
    fn name(&self) -> &'static str {
        "rnn"
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence
    }

    fn states(&self) -> usize {
        1
    }

    fn step(
        &self,
        body: &mut GraphBuilder,
        sums: ValueId,
        states: &[ValueId],
        given: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        let product = body.add(Dense, [nth(states, 0)?, nth(given, 0)?])?;
        let sum = binary(body, BinaryKind::Add, sums, product)?;
        Ok(vec![function(body, self.activation, sum)?])
    }
}

impl Cell for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence
    }

    fn states(&self) -> usize {
        2
    }

    fn step(
        &self,
        body: &mut GraphBuilder,
        sums: ValueId,
        states: &[ValueId],
        given: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        let product = body.add(Dense, [nth(states, 0)?, nth(given, 0)?])?;
        let sum = binary(body, BinaryKind::Add, sums, product)?;
        let [i, f, g, o] = gates(body, sum)?;
        let i = function(body, self.recurrent_activation, i)?;
        let f = function(body, self.recurrent_activation, f)?;
        let g = function(body, self.activation, g)?;
        let o = function(body, self.recurrent_activation, o)?;
        let kept = binary(body, BinaryKind::Mul, f, nth(states, 1)?)?;
        let new = binary(body, BinaryKind::Mul, i, g)?;
        let c = binary(body, BinaryKind::Add, kept, new)?;
        let shown = function(body, self.activation, c)?;
        let h = binary(body, BinaryKind::Mul, o, shown)?;
        Ok(vec![h, c])
    }
}

impl Cell for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence
    }

    fn states(&self) -> usize {
        1
    }

    /// The number 1, then the recurrent weights: with the bias of their product where the reset gate comes after it,
    /// else those of the gates and those of what is new.
    fn given(&self, operands: &RecurrentOperands<'_, Operand>, outer: &mut GraphBuilder) -> Result<Given> {
        let weights = *operands.recurrent_kernel;
        let units = outer.type_of(weights).shape.dim(0)?.as_usize();
        let units = units.ok_or_else(|| Error::shape("gates of unknown size"))?;
        let one = Constant {
            name: "one".into(),
            dtype: outer.type_of(*operands.x).dtype,
            expr: ConstantExpr::filled(&[1], 1.0)?,
        };
        let mut rest = vec![outer.constant(one)?.into()];
        if !self.reset_after {
            rest.push(columns(outer, weights, 0..2 * units, "recurrent_kernel_gates")?);
            rest.push(columns(outer, weights, 2 * units..3 * units, "recurrent_kernel_new")?);
            return Ok(Given { bias: operands.bias.copied(), rest });
        }
        rest.push(weights);
        let Some(&bias) = operands.bias else { return Ok(Given { bias: None, rest }) };
        let [outer_bias, inner_bias] = rows(outer, bias)?;
        rest.push(inner_bias);
        Ok(Given { bias: Some(outer_bias), rest })
    }

    fn step(
        &self,
        body: &mut GraphBuilder,
        sums: ValueId,
        states: &[ValueId],
        given: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        use BinaryKind::{Add, Mul, Sub};
        let (h, one) = (nth(states, 0)?, nth(given, 0)?);
        let [xz, xr, xg] = gates(body, sums)?;
        let (hz, hr, hg) = if self.reset_after {
            let product = body.add(Dense, std::iter::once(h).chain(given.iter().skip(1).copied()))?;
            let [hz, hr, hg] = gates(body, product)?;
            (hz, hr, Some(hg))
        } else {
            let product = body.add(Dense, [h, nth(given, 1)?])?;
            let [hz, hr] = gates(body, product)?;
            (hz, hr, None)
        };
        let z = binary(body, Add, xz, hz)?;
        let z = function(body, self.recurrent_activation, z)?;
        let r = binary(body, Add, xr, hr)?;
        let r = function(body, self.recurrent_activation, r)?;
        let inner = match hg {
            Some(hg) => binary(body, Mul, r, hg)?,
            None => {
                let kept = binary(body, Mul, r, h)?;
                body.add(Dense, [kept, nth(given, 2)?])?
            }
        };
        let g = binary(body, Add, xg, inner)?;
        let g = function(body, self.activation, g)?;
        let old = binary(body, Mul, z, h)?;
        let rest = binary(body, Sub, one, z)?;
        let new = binary(body, Mul, rest, g)?;
        Ok(vec![binary(body, Add, old, new)?])
    }
}

/// The two rows of a weight, each a vector.
fn rows(outer: &mut GraphBuilder, weights: Operand) -> Result<[Operand; 2]> {
    let n = outer.type_of(weights).shape.last().and_then(Dim::as_usize);
    let n = n.ok_or_else(|| Error::shape("gates of unknown size"))?;
    let mut rows = [weights; 2];
    for (at, row) in rows.iter_mut().enumerate() {
        *row = match weights {
            Operand::Constant(id) => {
                let constant = outer.graph().constant(id).clone();
                let name = format!("{}_{at}", constant.name);
                let expr = constant.expr.slice(0, at..at + 1)?.reshape(&[n])?;
                outer.constant(Constant { name, dtype: constant.dtype, expr })?.into()
            }
            value => {
                let (before, after) = (at as i64, 1 - at as i64);
                let row = outer.add(Slice { axis: 0, before, after }, [value])?;
                outer.add(Reshape { target: vec![ReshapeDim::Fixed(n as i64)] }, [row])?.into()
            }
        };
    }
    Ok(rows)
}
