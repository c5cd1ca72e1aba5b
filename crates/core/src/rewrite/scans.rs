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
use std::ops::Range;
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

    let sequences = if recurrence.has_mask { 2 } else { 1 };
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
    let (axis, columns) = last_axis(&body.type_of(x).shape)?;
    let mut gates = [x; N];
    for (gate, range) in gates.iter_mut().zip(parts::<N>(columns)) {
        *gate = slice(body, x.into(), (axis, columns), range)?;
    }
    Ok(gates)
}

/// The last axis of what has gates, and its size.
fn last_axis(shape: &Shape) -> Result<(usize, usize)> {
    let unknown = || Error::shape(format!("gates of unknown size: {shape}"));
    let axis = shape.rank().checked_sub(1).ok_or_else(unknown)?;
    Ok((axis, shape.dim(axis)?.as_usize().ok_or_else(unknown)?))
}

/// The ranges of `N` equal parts, one after the other.
fn parts<const N: usize>(all: usize) -> [Range<usize>; N] {
    let size = all.checked_div(N).unwrap_or(0);
    let mut end = 0usize;
    // The ends are at most `all`.
    std::array::from_fn(|_| {
        let start = end;
        end = start.saturating_add(size);
        start..end
    })
}

/// What is in a range of an axis of this size.
fn slice(
    builder: &mut GraphBuilder,
    x: Operand,
    (axis, size): (usize, usize),
    range: Range<usize>,
) -> Result<ValueId> {
    let misfit = || Error::shape(format!("elements {range:?} of {size} along axis {axis}"));
    let after = size.checked_sub(range.end).ok_or_else(misfit)?;
    builder.add(Slice { axis, before: signed(range.start)?, after: signed(after)? }, [x])
}

fn signed(size: usize) -> Result<i64> {
    i64::try_from(size).map_err(|_| Error::limit(format!("the size {size} does not fit a 64-bit integer")))
}

/// `weights` along its last axis from `range.start` up to `range.end`: a smaller weight where it is one.
fn columns(outer: &mut GraphBuilder, weights: Operand, range: Range<usize>, name: &str) -> Result<Operand> {
    let (axis, columns) = last_axis(&outer.type_of(weights).shape)?;
    if let Operand::Constant(id) = weights {
        let constant = outer.graph().constant(id).clone();
        let layer = constant.name.rsplit_once('/').map_or("", |(layer, _)| layer);
        let name = if layer.is_empty() { name.to_string() } else { format!("{layer}/{name}") };
        let expr = constant.expr.slice(axis, range)?;
        return Ok(outer.constant(Constant { name, dtype: constant.dtype, expr })?.into());
    }
    Ok(slice(outer, weights, (axis, columns), range)?.into())
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
        let one = Constant {
            name: "one".into(),
            dtype: outer.type_of(*operands.x).dtype,
            expr: ConstantExpr::filled(&[1], 1.0)?,
        };
        let mut rest = vec![outer.constant(one)?.into()];
        if !self.reset_after {
            let (_, all) = last_axis(&outer.type_of(weights).shape)?;
            let [update, reset, new] = parts(all);
            rest.push(columns(outer, weights, update.start..reset.end, "recurrent_kernel_gates")?);
            rest.push(columns(outer, weights, new, "recurrent_kernel_new")?);
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
    let (_, columns) = last_axis(&outer.type_of(weights).shape)?;
    let mut rows = [weights; 2];
    for ((at, row), range) in rows.iter_mut().enumerate().zip(parts::<2>(2)) {
        *row = match weights {
            Operand::Constant(id) => {
                let constant = outer.graph().constant(id).clone();
                let name = format!("{}_{at}", constant.name);
                let expr = constant.expr.slice(0, range)?.reshape(&[columns])?;
                outer.constant(Constant { name, dtype: constant.dtype, expr })?.into()
            }
            value => {
                let row = slice(outer, value, (0, 2), range)?;
                outer.add(Reshape { target: vec![ReshapeDim::Fixed(signed(columns)?)] }, [row])?.into()
            }
        };
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_an_axis_of_unknown_size_have_no_gates() {
        for dims in [vec![], vec![Dim::symbol("columns")]] {
            let mut builder = GraphBuilder::new();
            let x = builder.input("x", (DType::F32, dims).into()).unwrap();
            let message = match gates::<4>(&mut builder, x) {
                Ok(_) => panic!("gates"),
                Err(error) => error.message().to_string(),
            };
            assert!(message.starts_with("gates of unknown size: ["), "{message}");
            assert!(columns(&mut builder, x.into(), 0..0, "gates").is_err());
        }
    }

    #[test]
    fn parts_are_equal_and_side_by_side() {
        assert_eq!(parts(12), [0..4, 4..8, 8..12]);
        assert_eq!(parts(0), [0..0, 0..0]);
    }
}
