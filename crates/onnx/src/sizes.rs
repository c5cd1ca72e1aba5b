//! The sizes that a caller fixes: what they make of the graph's symbols.

use crate::{Error, ExportOptions, Result};
use k2o_core::{Bindings, Dim, Graph, Port, Shape};

/// What the symbols of the inputs' shapes are for the options' shapes and batch.
pub(crate) fn bindings(graph: &Graph, options: &ExportOptions) -> Result<Bindings> {
    let mut bindings = Bindings::new();
    for (name, sizes) in &options.input_shapes {
        let named = |port: &&Port| port.name == *name;
        let port = graph.inputs().iter().find(named).ok_or_else(|| {
            let names: Vec<String> = graph.inputs().iter().map(|port| format!("{:?}", port.name)).collect();
            Error::input(format!("there is no input {name:?}; the model's are {}", names.join(", ")))
        })?;
        let shape = &graph.value(port.value).r#type.shape;
        let misfit = || {
            let sizes: Vec<String> = sizes.iter().map(text).collect();
            Error::input(format!("input {name:?} has shape {shape}, which cannot be [{}]", sizes.join(", ")))
        };
        if shape.rank() != sizes.len() {
            return Err(misfit());
        }
        for (dim, size) in shape.iter().zip(sizes) {
            let Some(size) = size else { continue };
            bind(dim, *size, &mut bindings)?.ok_or_else(misfit)?;
        }
    }
    let Some(batch) = options.batch else { return Ok(bindings) };
    for port in graph.inputs() {
        let shape = &graph.value(port.value).r#type.shape;
        let misfit = || misfit_of_batch(&port.name, shape, batch);
        let first = shape.first().ok_or_else(misfit)?;
        bind(first, batch, &mut bindings)?.ok_or_else(misfit)?;
    }
    Ok(bindings)
}

fn misfit_of_batch(name: &str, shape: &Shape, batch: usize) -> Error {
    Error::input(format!("input {name:?} has shape {shape}, which cannot have a batch of {batch}"))
}

fn text(size: &Option<usize>) -> String {
    size.map_or_else(|| "None".to_string(), |size| size.to_string())
}

/// Lets `dim` be `size`; `None` where it cannot.
fn bind(dim: &Dim, size: usize, bindings: &mut Bindings) -> Result<Option<()>> {
    let Some(size) = i64::try_from(size).ok().filter(|&size| size > 0) else { return Ok(None) };
    let dim = dim.substitute(bindings)?;
    if let Some(name) = dim.as_symbol() {
        bindings.insert(name.into(), size);
        return Ok(Some(()));
    }
    Ok((dim.as_fixed() == Some(size)).then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::{DType, GraphBuilder, TensorType};

    /// Inputs `a` `[batch, steps, 3]` and `b` `[batch, steps]`.
    fn graph() -> Graph {
        let mut builder = GraphBuilder::new();
        let (batch, steps) = (Dim::symbol("batch"), Dim::symbol("steps"));
        let shapes = [("a", vec![batch.clone(), steps.clone(), 3.into()]), ("b", vec![batch, steps])];
        for (name, shape) in shapes {
            builder.input(name, TensorType::new(Shape::new(shape), DType::F32)).unwrap();
        }
        builder.finish()
    }

    #[track_caller]
    fn check(options: ExportOptions, expected: Result<&[(&str, i64)], &str>) {
        let found = bindings(&graph(), &options);
        match expected {
            Ok(pairs) => {
                let expected = pairs.iter().map(|&(name, size)| (name.into(), size)).collect::<Bindings>();
                assert_eq!(found.unwrap(), expected);
            }
            Err(message) => assert_eq!(found.unwrap_err().message(), message),
        }
    }

    #[test]
    fn sizes_become_those_of_the_symbols() {
        let options = ExportOptions::default;
        check(options(), Ok(&[]));
        check(options().with_batch(4), Ok(&[("batch", 4)]));
        check(options().with_input_shape("b", [None, Some(7)]), Ok(&[("steps", 7)]));
        let both = options().with_input_shape("a", [Some(4), Some(7), Some(3)]);
        check(both.clone(), Ok(&[("batch", 4), ("steps", 7)]));
        check(
            both.clone().with_batch(4).with_input_shape("b", [Some(4), None]),
            Ok(&[("batch", 4), ("steps", 7)]),
        );
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused_by_name() {
        let options = ExportOptions::default;
        let none = "there is no input \"c\"; the model's are \"a\", \"b\"";
        check(options().with_input_shape("c", [None]), Err(none));
        let shape = "input \"a\" has shape [batch, steps, 3], which cannot be";
        for (sizes, text) in [
            (vec![Some(1), Some(2)], "[1, 2]"),
            (vec![Some(1), None, Some(4)], "[1, None, 4]"),
            (vec![Some(0), None, None], "[0, None, None]"),
            (vec![None, Some(usize::MAX), None], "[None, 18446744073709551615, None]"),
        ] {
            check(options().with_input_shape("a", sizes), Err(&format!("{shape} {text}")));
        }
        let two =
            options().with_input_shape("a", [None, Some(7), None]).with_input_shape("b", [None, Some(8)]);
        check(two, Err("input \"b\" has shape [batch, steps], which cannot be [None, 8]"));
        let batch = options().with_input_shape("b", [Some(2), None]).with_batch(3);
        check(batch, Err("input \"a\" has shape [batch, steps, 3], which cannot have a batch of 3"));
    }
}
