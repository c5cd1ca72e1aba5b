//! Operators of `keras.ops` that stand in a model's graph beside its layers: those with which Keras 3 writes down how it makes
//! masks. <https://keras.io/api/ops/>

use super::{SupportedLayer, axis_from_front};
use crate::lowering::{Arg, Call, Lowering, Tensor};
use crate::{Error, Fields, Layer, Result};
use k2o_core::ops::{
    Binary, BinaryKind, Compare, CompareKind, Concat, Full, FullDim, Reduce, ReduceKind, ReshapeDim,
};
use k2o_core::{DType, Data, Operand, Tensor as Array};

macro_rules! operators {
    ($($class:ident => $from_config:expr;)*) => {
        /// Every supported operator, in alphabetical order.
        pub(crate) const OPERATORS: &[SupportedLayer] = &[$(SupportedLayer {
            class: stringify!($class),
            aliases: &[],
            refused: "",
            from_config: |fields| {
                let operator: fn(&mut Fields<'_, '_>) -> Result<Operator> = $from_config;
                Ok(Box::new(operator(fields)?))
            },
        },)*];
    };
}

operators! {
    Any => |fields| {
        let axis = fields.int(&["axis"])?.ok_or_else(|| Error::unsupported("`any` over all axes"))?;
        Ok(Operator::Any { axis, keep_dims: fields.bool(&["keepdims"], false)? })
    };
    Concatenate => |fields| Ok(Operator::Concatenate { axis: fields.int(&["axis"])?.unwrap_or(0) });
    ExpandDims => |fields| Ok(Operator::ExpandDims { axis: fields.int(&["axis"])?.unwrap_or(-1) });
    LogicalOr => |_| Ok(Operator::LogicalOr);
    NotEqual => |_| Ok(Operator::NotEqual);
    OnesLike => |fields| like(fields, 1.0);
    ZerosLike => |fields| like(fields, 0.0);
}

#[derive(Debug)]
enum Operator {
    Any { axis: i64, keep_dims: bool },
    Concatenate { axis: i64 },
    ExpandDims { axis: i64 },
    Like { value: f64, dtype: Option<DType> },
    LogicalOr,
    NotEqual,
}

/// The tensor of `value` in the shape of another.
fn like(fields: &mut Fields<'_, '_>, value: f64) -> Result<Operator> {
    let dtype = fields.text(&["dtype"])?.map(|name| match DType::from_name(name) {
        Some(dtype @ (DType::Bool | DType::F32 | DType::I32 | DType::I64)) => Ok(dtype),
        _ => Err(Error::unsupported(format!("`dtype` = {name:?} is not supported"))),
    });
    Ok(Operator::Like { value, dtype: dtype.transpose()? })
}

/// Operands of one element type; a number in the config is of the tensors'.
fn operands(cx: &mut Lowering, call: &Call) -> Result<Vec<Operand>> {
    let tensors = call.tensors();
    let first = tensors.first().ok_or_else(|| Error::malformed("no tensor was given"))?;
    let dtype = cx.type_of(*first)?.dtype;
    let mut operands = Vec::new();
    for arg in &call.args {
        operands.push(match arg {
            Arg::Tensor(tensor) => cx.any_operand(*tensor)?,
            Arg::Constant(value) => {
                let number =
                    value.as_f64().ok_or_else(|| Error::unsupported(format!("the argument {value}")))?;
                let data = match dtype.is_float() {
                    true => Data::F64(vec![f64::from(number as f32)]),
                    false if dtype.is_integer() && number.fract() == 0.0 => Data::I64(vec![number as i64]),
                    false => {
                        return Err(Error::unsupported(format!(
                            "the number {number} beside a tensor of {dtype}"
                        )));
                    }
                };
                let constant = Array::new(Vec::new(), data)?;
                cx.literal_of("number", dtype, constant)?
            }
            Arg::List(_) => return Err(Error::unsupported("a list of tensors is not supported here")),
        });
    }
    Ok(operands)
}

impl Layer for Operator {
    fn from_config(_: &mut Fields<'_, '_>) -> Result<Self> {
        Err(Error::unsupported("an operator without a name"))
    }

    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>> {
        let tensors = call.tensors();
        let first = *tensors.first().ok_or_else(|| Error::malformed("no tensor was given"))?;
        let rank = cx.shape(first)?.rank();
        let y = match *self {
            Operator::Any { axis, keep_dims } => {
                let axes = vec![axis_from_front(axis, rank)?];
                let numbers = cx.to_float(first)?;
                let any = cx.apply(Reduce { kind: ReduceKind::Max, axes, keep_dims }, numbers)?;
                cx.truth_of(any)?
            }
            Operator::Concatenate { axis } => {
                let axis = axis_from_front(axis, rank)?;
                let operands =
                    tensors.iter().map(|&tensor| cx.any_operand(tensor)).collect::<Result<Vec<_>>>()?;
                cx.add(Concat { axis }, &operands)?
            }
            Operator::ExpandDims { axis } => {
                let axis = axis_from_front(axis, rank + 1)?;
                let target = (0..axis).map(ReshapeDim::Of).chain([ReshapeDim::Fixed(1)]);
                cx.reshape(target.chain((axis..rank).map(ReshapeDim::Of)).collect(), first, None)?
            }
            Operator::Like { value, dtype } => {
                let dtype = dtype.map_or_else(|| Ok(cx.type_of(first)?.dtype), Ok::<_, Error>)?;
                let dims = (0..rank).map(FullDim::Of).collect();
                cx.rearrange(Full { dims, value, dtype }, first)?
            }
            Operator::LogicalOr => {
                let operands = operands(cx, call)?;
                cx.add(Binary { kind: BinaryKind::Or }, &operands)?
            }
            Operator::NotEqual => {
                let operands = operands(cx, call)?;
                cx.add(Compare { kind: CompareKind::NotEqual }, &operands)?
            }
        };
        Ok(vec![y])
    }
}
