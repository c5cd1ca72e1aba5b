//! Weights as Keras 1 and Keras 2 with Theano stored them.
//!
//! The rules are those of `preprocess_weights_for_loading` (`keras/src/saving/legacy/hdf5_format.py` in Keras 2.15,
//! `keras/engine/saving.py` in Keras 2.2). Theano turns the kernel of a convolution round, all others do not.
//! Keras 2 names its backend, Keras 1 does not; but TensorFlow ends every name with `:0`, and Theano does not.

use crate::archive::StoredWeight;
use crate::{Error, Result};
use k2o_core::{DType, StoredTensor};
use std::sync::Arc;

/// What Keras 1 called the weight `name` of a layer, behind the layer's own name and `_`.
pub(crate) fn name_in_keras1(name: &str) -> Option<&'static str> {
    Some(match name {
        "kernel" | "embeddings" => "W",
        "recurrent_kernel" => "U",
        "bias" => "b",
        "alpha" => "alphas",
        "gamma" => "gamma",
        "beta" => "beta",
        "moving_mean" => "running_mean",
        // It holds the variance.
        "moving_variance" => "running_std",
        _ => return None,
    })
}

/// How the elements that are stored become those of the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    /// `[size, 1, channels, filters]`: an axis of size 1 goes.
    OneAxisLess,
    /// `[filters, channels, size, 1]`, as in Keras 1.1.
    FiltersLast,
}

/// A weight that is laid out otherwise in the file.
#[derive(Debug)]
struct Converted {
    stored: StoredWeight,
    shape: Vec<usize>,
    conversion: Option<Conversion>,
    /// Whether the first axis runs backwards.
    turned: bool,
}

/// The weight `name` of a layer of `class` as today's Keras lays it out, if `stored` can be read as that; `backend`
/// is what the file names. A shape that does not fit is given back as it is.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a kernel of which it is not sure that it is the right way round.
pub(crate) fn in_todays_layout(
    stored: &StoredWeight,
    class: &str,
    name: &str,
    shape: &[usize],
    backend: Option<&str>,
) -> Result<Arc<dyn StoredTensor>> {
    let as_it_is = || Arc::new(stored.clone());
    let &[size, channels, filters] = shape else { return Ok(as_it_is()) };
    if name != "kernel" && !name.ends_with("_kernel") {
        return Ok(as_it_is());
    }
    let conversion = match stored.shape() {
        given if class != "Conv1D" || given == shape => None,
        given if given == [size, 1, channels, filters] => Some(Conversion::OneAxisLess),
        given if given == [filters, channels, size, 1] => Some(Conversion::FiltersLast),
        _ => return Ok(as_it_is()),
    };
    let is_theanos = backend == Some("theano") && size > 1;
    if is_theanos && class != "Conv1D" {
        let message = format!(
            "weight {name:?} was saved with Theano as backend, which is not supported for this layer"
        );
        return Err(
            Error::unsupported(message).help("load the model in Keras with TensorFlow and save it again")
        );
    }
    if conversion.is_some() && backend.is_none() && size > 1 && !stored.path().contains(':') {
        let message = format!(
            "weight {name:?} was saved by Keras 1 with Theano as backend, which turns kernels round; Keras 2 does not \
             know of it, so that the file means one thing to Keras 1 and another to Keras 2"
        );
        let help = "load the model in Keras 2 with the backend it is meant for and save it again";
        return Err(Error::unsupported(message).help(help));
    }
    if conversion.is_none() && !is_theanos {
        return Ok(as_it_is());
    }
    Ok(Arc::new(Converted { stored: stored.clone(), shape: shape.to_vec(), conversion, turned: is_theanos }))
}

impl StoredTensor for Converted {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.stored.dtype()
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        let mut bytes = self.stored.read()?;
        if self.conversion == Some(Conversion::FiltersLast) {
            bytes = filters_last(&bytes, &self.shape, self.dtype().size());
        }
        if self.turned {
            let step = bytes.len() / self.shape.first().copied().unwrap_or(1).max(1);
            bytes = bytes.chunks_exact(step.max(1)).rev().flatten().copied().collect();
        }
        Ok(bytes)
    }
}

/// Elements of `[filters, channels, size]`, `width` bytes each, in the order of `[size, channels, filters]`.
fn filters_last(bytes: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let &[size, channels, filters] = shape else { return out };
    for step in 0..size {
        for channel in 0..channels {
            for filter in 0..filters {
                let at = ((filter * channels + channel) * size + step) * width;
                out.extend(bytes.get(at..at + width).unwrap_or_default());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::hdf5_writer::{Dataset, Group};
    use crate::archive::{Archive, Limits, Source};

    /// The weight `name` of a file.
    fn stored(name: &str, shape: &[u64], elements: &[f32]) -> StoredWeight {
        let group =
            Group::default().strings("weight_names", &[name]).dataset(name, Dataset::f32(shape, elements));
        let file = Group::default().strings("layer_names", &["c"]).group("c", group).file();
        let config =
            Source::from_bytes("c.json", br#"{"class_name": "Sequential", "config": []}"#.as_slice());
        let weights = Source::from_bytes("w.h5", file);
        let archive = Archive::read_parts(&config, None, Some(&weights), &Limits::default()).unwrap();
        archive.weights.unwrap().named()[0].weights[0].1.clone()
    }

    #[track_caller]
    fn check(weight: &StoredWeight, class: &str, backend: Option<&str>, shape: &[usize], elements: &[f32]) {
        let found = in_todays_layout(weight, class, "kernel", shape, backend).unwrap();
        assert_eq!(found.shape(), shape);
        let expected: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(found.read().unwrap(), expected);
    }

    const ELEMENTS: [f32; 12] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.];

    #[test]
    fn kernels_of_keras1_have_one_axis_more_in_one_order_or_the_other() {
        check(&stored("c_W:0", &[3, 1, 2, 2], &ELEMENTS), "Conv1D", None, &[3, 2, 2], &ELEMENTS);
        // Filter 0 is 0 to 5, and its channel 0 is 0 to 2.
        let first = stored("c_W:0", &[2, 2, 3, 1], &ELEMENTS);
        let expected = [0., 6., 3., 9., 1., 7., 4., 10., 2., 8., 5., 11.];
        check(&first, "Conv1D", None, &[3, 2, 2], &expected);
    }

    #[test]
    fn what_is_no_kernel_of_keras1_stays_as_it_is() {
        let plain = stored("kernel:0", &[3, 2, 2], &ELEMENTS);
        check(&plain, "Conv1D", Some("tensorflow"), &[3, 2, 2], &ELEMENTS);
        for (class, shape) in [("Conv1D", [2, 2, 2]), ("Dense", [3, 2, 2])] {
            let other = stored("c_W:0", &[3, 1, 2, 2], &ELEMENTS);
            let found = in_todays_layout(&other, class, "kernel", &shape, None).unwrap();
            assert_eq!(found.shape(), [3, 1, 2, 2]);
        }
    }

    #[test]
    fn theanos_kernels_are_turned() {
        let kernel = stored("kernel", &[3, 2, 2], &ELEMENTS);
        let expected = [8., 9., 10., 11., 4., 5., 6., 7., 0., 1., 2., 3.];
        check(&kernel, "Conv1D", Some("theano"), &[3, 2, 2], &expected);
        let point = stored("kernel", &[1, 6, 2], &ELEMENTS);
        check(&point, "SeparableConv1D", Some("theano"), &[1, 6, 2], &ELEMENTS);
    }

    #[track_caller]
    fn check_refused(weight: &StoredWeight, class: &str, name: &str, backend: Option<&str>, expected: &str) {
        let error = in_todays_layout(weight, class, name, &[3, 2, 2], backend).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.problems()[0].help.is_some());
    }

    #[test]
    fn weights_that_may_mean_something_else_are_refused() {
        let kernel = stored("c_W", &[3, 1, 2, 2], &ELEMENTS);
        check_refused(&kernel, "Conv1D", "kernel", None, "by Keras 1 with Theano");
        let kernel = stored("kernel", &[3, 2, 2], &ELEMENTS);
        check_refused(
            &kernel,
            "SeparableConv1D",
            "depthwise_kernel",
            Some("theano"),
            "with Theano as backend",
        );
    }
}
