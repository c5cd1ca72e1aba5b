//! What a model is like, before it is run: what it costs, how far its layers see, which inputs it takes, what is odd.

mod advice;
mod cost;
mod field;
mod length;
mod non_finite;

pub use cost::{Bound, Costs, LayerCost};
pub use field::ReceptiveField;
pub use non_finite::NonFinite;

use crate::{Error, ErrorKind, Model, Result, Summary};
use k2o_core::Bindings;

/// The length that is taken for sizes that a file leaves open, if it is not said and fits.
const USUAL_LENGTH: i64 = 100;

/// For which sizes costs are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CostOptions {
    /// The number of examples.
    pub batch: u32,
    /// What stands for sizes that the file leaves open; 100, or the next greater one that fits, if nothing is said.
    pub length: Option<u32>,
}

impl Default for CostOptions {
    fn default() -> CostOptions {
        CostOptions { batch: 1, length: None }
    }
}

impl Model {
    /// What the rows of a summary cost to run: multiply-adds and other operations, bytes of weights and of what is read
    /// and written, as the layers say, before they are fused.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where no length fits, [`Limit`](ErrorKind::Limit) where a number is past 64 bits.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// let model = k2o::Model::open(path)?;
    /// let costs = model.costs(&model.summary(), &k2o::CostOptions::default())?;
    /// // 98 steps, 32 filters, windows of 3 steps of 1 channel.
    /// assert_eq!(costs.rows[0].multiply_adds, 98 * 32 * 3);
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn costs(&self, summary: &Summary, options: &CostOptions) -> Result<Costs> {
        let sizes = self.sizes(options)?;
        cost::costs(self.graph(), self.outline(), &summary.rows, &sizes)
            .map_err(|error| self.core_error(&error))
    }

    /// What the sizes that the file leaves open, the batch among them, stand for where costs are counted.
    ///
    /// # Errors
    /// As [`costs`](Model::costs).
    pub fn sizes(&self, options: &CostOptions) -> Result<Bindings> {
        let graph = self.graph();
        let length = match options.length {
            Some(length) => i64::from(length),
            None => length::shortest_from(graph, USUAL_LENGTH)
                .or_else(|| self.shortest_input().and_then(|length| i64::try_from(length).ok()))
                .unwrap_or(USUAL_LENGTH),
        };
        let bindings = length::bindings(graph, i64::from(options.batch), length);
        for constraint in graph.constraints() {
            match constraint.holds(&bindings) {
                Ok(Some(false)) => return Err(self.core_error(&constraint.violation(&bindings))),
                Ok(_) => {}
                Err(error) => return Err(self.core_error(&error)),
            }
        }
        Ok(bindings)
    }

    /// The receptive field of the first output of each row of a summary; `None` where there are no steps.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// let model = k2o::Model::open(path)?;
    /// let fields = model.receptive_fields(&model.summary());
    /// // A convolution of 3 steps, pooling of 2, and again a convolution of 3.
    /// assert_eq!(fields[2].map(|field| (field.steps(), field.stride)), Some((8.0, 2.0)));
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn receptive_fields(&self, summary: &Summary) -> Vec<Option<ReceptiveField>> {
        let fields = field::receptive_fields(self.graph());
        let of_row = |row: &crate::SummaryRow| {
            let call = row.own_calls.last()?;
            let tap = self.graph().taps().iter().find(|tap| tap.call == *call && tap.output == 0)?;
            fields.get(tap.value?.0 as usize).copied().flatten()
        };
        summary.rows.iter().map(of_row).collect()
    }

    /// The shortest input that the model takes, where its file leaves the length open: the least number for which
    /// every layer has an output, used for all sizes that are not known. `None` where all sizes are known.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/symbolic_time/keras3.keras");
    /// assert!(k2o::Model::open(path)?.shortest_input().is_some());
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn shortest_input(&self) -> Option<u64> {
        length::shortest_from(self.graph(), 1).and_then(|length| u64::try_from(length).ok())
    }

    /// What is odd about the model, a sentence for each: layers that hold most of the parameters, windows that read
    /// padding or drop steps, layers in an order that is seldom meant.
    pub fn advice(&self) -> Vec<String> {
        advice::advice(self.graph(), self.outline())
    }

    /// The weights in which there are elements that are no numbers, or infinite in single precision; of a healthy model,
    /// none. Reads all weights, some thousands of elements at a time where storage allows it.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) or [`Io`](ErrorKind::Io) where weights cannot be read, [`Limit`](ErrorKind::Limit)
    /// where one takes more memory than is allowed.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/basic/keras3.keras");
    /// assert!(k2o::Model::open(path)?.non_finite_weights()?.is_empty());
    /// # Ok::<(), k2o::Error>(())
    /// ```
    pub fn non_finite_weights(&self) -> Result<Vec<NonFinite>> {
        non_finite::non_finite(self.outline()).map_err(|error| self.core_error(&error))
    }

    /// The weights of this model's layers that another one, of the same layers on other inputs, has in other sizes:
    /// a sentence for each.
    ///
    /// # Errors
    /// [`Input`](ErrorKind::Input) where the layers are others.
    pub fn weights_that_differ(&self, other: &Model) -> Result<Vec<String>> {
        let (ours, theirs) = (&self.outline().calls, &other.outline().calls);
        if ours.len() != theirs.len() || ours.iter().zip(theirs).any(|(a, b)| a.path != b.path) {
            return Err(Error::new(ErrorKind::Input, "the models have different layers"));
        }
        let calls = ours.iter().zip(theirs).filter(|(call, _)| call.repetition == 0);
        let pairs = calls.flat_map(|(a, b)| a.weights.iter().zip(&b.weights).map(move |pair| (a, pair)));
        let differing = pairs.filter(|(_, (a, b))| a.shape != b.shape);
        let sentence =
            |(call, (a, b)): (&k2o_core::LayerCall, (&k2o_core::WeightInfo, &k2o_core::WeightInfo))| {
                format!("{} ({}): {} {:?} instead of {:?}", call.path, call.class, a.name, b.shape, a.shape)
            };
        Ok(differing.map(sentence).collect())
    }
}
