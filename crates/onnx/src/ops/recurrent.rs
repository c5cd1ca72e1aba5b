//! Placeholders.

use super::{Emit, Layouts, Lower, Tie, keras_layouts};
use crate::draft::TensorId;
use crate::layout::assign::Site;
use crate::{Error, Result};
use k2o_core::ops::{Compare, Full, Gru, Lstm, Operator, Reverse, Rnn, Scan, Select};

macro_rules! unsupported {
    ($($op:ident),*) => {$(
        impl Lower for $op {
            fn tie(&self) -> Tie {
                Tie::Free
            }

            fn layouts(&self, site: &Site<'_>) -> Result<Layouts> {
                keras_layouts(site)
            }

            fn emit(&self, _: &mut Emit<'_>) -> Result<TensorId> {
                Err(Error::unsupported(self.name()))
            }
        }
    )*};
}

unsupported!(Compare, Full, Gru, Lstm, Reverse, Rnn, Scan, Select);
