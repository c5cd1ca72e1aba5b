//! A function of two arrays, element by element.

use super::broadcast::Broadcast;
use super::{Kernel, Operands};
use crate::Result;
use k2o_core::ops::{self, BinaryKind};

/// A function of the elements of operands 0 and 1, which are numbers.
pub(crate) struct Binary(pub ops::Binary);

impl Kernel for Binary {
    type Out = f32;
    type Bound = Broadcast<2>;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Broadcast<2>> {
        Ok(Broadcast::new(operands, output))
    }

    fn run(&self, bound: &Broadcast<2>, operands: &Operands<'_>, _: &mut [f32], out: &mut [f32]) {
        let (isa, arrays) = (operands.isa(), (operands.get::<f32>(0), operands.get::<f32>(1)));
        match self.0.kind {
            BinaryKind::Add => bound.map(isa, arrays, out, |a, b| a + b),
            BinaryKind::Sub => bound.map(isa, arrays, out, |a, b| a - b),
            BinaryKind::Mul => bound.map(isa, arrays, out, |a, b| a * b),
            BinaryKind::Div => bound.map(isa, arrays, out, |a, b| a / b),
            BinaryKind::Max | BinaryKind::Or => {
                bound.map(isa, arrays, out, |a, b| if a.is_nan() || a > b { a } else { b })
            }
            BinaryKind::Min | BinaryKind::And => {
                bound.map(isa, arrays, out, |a, b| if a.is_nan() || a < b { a } else { b })
            }
            BinaryKind::Prelu => bound.map(isa, arrays, out, |a, b| if a > 0.0 { a } else { a * b }),
        }
    }
}

/// Whether one or both of the truth values of operands 0 and 1 hold.
pub(crate) struct Logical {
    pub both: bool,
}

impl Kernel for Logical {
    type Out = i64;
    type Bound = Broadcast<2>;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Broadcast<2>> {
        Ok(Broadcast::new(operands, output))
    }

    fn run(&self, bound: &Broadcast<2>, operands: &Operands<'_>, _: &mut [f32], out: &mut [i64]) {
        let (isa, arrays) = (operands.isa(), (operands.get::<i64>(0), operands.get::<i64>(1)));
        match self.both {
            true => bound.map(isa, arrays, out, |a: i64, b: i64| a & b),
            false => bound.map(isa, arrays, out, |a: i64, b: i64| a | b),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_close, check_exact, kinds, shapes_that_meet, values};
    use k2o_core::ops::{Binary, BinaryKind};
    use proptest::prelude::*;

    const KINDS: [BinaryKind; 7] = [
        BinaryKind::Add,
        BinaryKind::Sub,
        BinaryKind::Mul,
        BinaryKind::Div,
        BinaryKind::Max,
        BinaryKind::Min,
        BinaryKind::Prelu,
    ];

    proptest! {
        #[test]
        fn broadcasts_are_the_reference(
            [a, b] in shapes_that_meet::<2>(),
            kind in 0usize..7,
            seed in 0u64..1 << 40,
        ) {
            let operands = [values(&a, seed), values(&b, seed + 1)];
            check_close(&Problem::new(Binary { kind: KINDS[kind] }, operands), 2.0, 0.0);
        }

        #[test]
        fn functions_of_truth_values_are_the_reference(
            shapes in shapes_that_meet::<2>(),
            kind in prop_oneof![Just(BinaryKind::And), Just(BinaryKind::Or)],
            seed in 0u64..1 << 40,
        ) {
            let truths = shapes.map(|shape| kinds(&values(&shape, seed + shape.len() as u64))[2].clone());
            check_exact(&Problem::of(Binary { kind }, truths));
        }
    }

    #[test]
    fn nan_and_infinity_follow_the_reference() {
        let all = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 2.0];
        for kind in KINDS {
            let operands = [(vec![6, 1], all.to_vec()), (vec![6], all.to_vec())];
            let y = Problem::new(Binary { kind }, operands).run();
            for (i, y) in y.iter().enumerate() {
                let expected = kind.apply(f64::from(all[i / 6]), f64::from(all[i % 6]));
                let same = f64::from(*y) == expected || y.is_nan() && expected.is_nan();
                assert!(same, "{kind:?} {} {}: {y}", all[i / 6], all[i % 6]);
            }
        }
    }
}
