//! The same numbers as another element type.

use super::{Infer, Operator, exactly};
use crate::{Cost, DType, Data, Result, Tensor, TensorType};

/// Every element as a number of type `to`. Floating-point numbers become integers towards zero; NaN becomes 0, and
/// what is past the type's range its end. Truth values become 0 and 1, and numbers other than 0 are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The new element type.
    pub to: DType,
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn infer(&self, inputs: &[TensorType], _: &mut Infer) -> Result<Vec<TensorType>> {
        let [x] = exactly("cast", inputs)?;
        Ok(vec![TensorType::new(x.shape.clone(), self.to)])
    }

    fn cost(&self, _: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
        let [y] = exactly("cast", outputs)?;
        Ok(Cost::element_ops(y.shape.elements()?))
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [x] = exactly("cast", inputs)?;
        let narrow = |n: i64| match self.to {
            DType::I8 => n.clamp(i8::MIN.into(), i8::MAX.into()),
            DType::U8 => n.clamp(0, u8::MAX.into()),
            DType::I16 => n.clamp(i16::MIN.into(), i16::MAX.into()),
            DType::U16 => n.clamp(0, u16::MAX.into()),
            DType::I32 => n.clamp(i32::MIN.into(), i32::MAX.into()),
            DType::U32 => n.clamp(0, u32::MAX.into()),
            DType::U64 => n.max(0),
            _ => n,
        };
        let data = match (x.data(), self.to) {
            (Data::F64(data), DType::Bool) => Data::Bool(data.iter().map(|&x| x != 0.0).collect()),
            (Data::I64(data), DType::Bool) => Data::Bool(data.iter().map(|&x| x != 0).collect()),
            (Data::F64(data), to) if to.is_integer() => {
                Data::I64(data.iter().map(|&x| narrow(x as i64)).collect())
            }
            (Data::I64(data), to) if to.is_integer() => Data::I64(data.iter().map(|&x| narrow(x)).collect()),
            (Data::Bool(data), to) if to.is_integer() => {
                Data::I64(data.iter().map(|&x| i64::from(x)).collect())
            }
            (Data::I64(data), _) => Data::F64(data.iter().map(|&x| x as f64).collect()),
            (Data::Bool(data), to) if to.is_float() => {
                Data::F64(data.iter().map(|&x| f64::from(u8::from(x))).collect())
            }
            (same, _) => same.clone(),
        };
        Ok(vec![Tensor::new(x.shape(), data)?])
    }
}
