//! Rounds weights to a narrower type, in which they take less room in a file.

use super::Rebuild;
use crate::{Constant, DType, Graph, Operand, Result};

/// The same graph with its single-precision weights of two and more axes rounded to the type `narrow`, `F16` or
/// `BF16`. It computes in single precision as before.
///
/// Vectors, such as biases, and scalars stay as they are: they take little room, and statistics of data, which are
/// among them, may be past what a half-precision number can be.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for another type. A weight that is too large is an error when it is
/// evaluated.
pub fn round_weights(graph: &Graph, narrow: DType) -> Result<Graph> {
    let mut rebuild = Rebuild::new(graph)?;
    for node in graph.nodes() {
        for &operand in &node.inputs {
            let Operand::Constant(id) = operand else { continue };
            let constant = graph.constant(id);
            let narrows = constant.dtype == DType::F32 && constant.shape().len() >= 2;
            if narrows && !rebuild.constants.contains_key(&id) {
                let rounded = Constant { expr: constant.expr.rounded(narrow)?, ..constant.clone() };
                let new = rebuild.new.constant(rounded)?;
                rebuild.constants.insert(id, new);
            }
        }
        rebuild.copy(node)?;
    }
    rebuild.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Dense;
    use crate::{ConstantExpr, GraphBuilder, Shape, Tensor, TensorType, run_reference};

    #[test]
    fn matrices_are_rounded_and_vectors_are_not() {
        let third = 1.0 / 3.0;
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", TensorType::new(Shape::of(&[1, 1]).unwrap(), DType::F32)).unwrap();
        let mut constant = |name: &str, shape: &[usize]| {
            let expr = ConstantExpr::filled(shape, third).unwrap();
            builder.constant(Constant { name: name.into(), dtype: DType::F32, expr }).unwrap()
        };
        let (kernel, bias) = (constant("kernel", &[1, 1]), constant("bias", &[1]));
        // Read twice, rounded once.
        let y = builder.add(Dense, [Operand::from(x), kernel.into(), bias.into()]).unwrap();
        let y = builder.add(Dense, [Operand::from(y), kernel.into()]).unwrap();
        builder.output("y", y);
        let graph = builder.finish();
        let rounded = round_weights(&graph, DType::BF16).unwrap();
        assert_eq!(rounded.constants().len(), 2);
        let run = |graph| run_reference(graph, &[Tensor::f64([1, 1], vec![1.0]).unwrap()], &[]).unwrap();
        let kernel = f64::from(half::bf16::from_f64(third).to_f32());
        assert_eq!(run(&rounded).outputs[0].as_f64().unwrap(), [(kernel + third) * kernel]);
        assert_eq!(run(&graph).outputs[0].as_f64().unwrap(), [(third + third) * third]);
        assert!(round_weights(&graph, DType::I64).is_err());
    }
}
