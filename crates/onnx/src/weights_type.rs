//! The type in which weights are stored.

use crate::named::named;
use k2o_core::DType;

named! {
    /// The type of a file's weights of two and more axes. In a narrower one than `f32` each goes through a `Cast` to
    /// `float32`, in which everything is computed; vectors, such as biases, stay `float32`.
    pub enum WeightsType "weights type" {
        /// Single precision, as they are.
        #[default]
        F32 = "f32",
        /// Half precision: 11 bits of precision, up to 65504.
        F16 = "f16",
        /// The upper half of single precision: 8 bits of precision, the same range.
        BF16 = "bf16",
    }
}

impl WeightsType {
    /// The narrower type, unless it is `f32`.
    pub const fn narrow(self) -> Option<DType> {
        match self {
            WeightsType::F32 => None,
            WeightsType::F16 => Some(DType::F16),
            WeightsType::BF16 => Some(DType::BF16),
        }
    }
}
