//! Weights that are no numbers any more.

use k2o_core::{CallId, Constant, DType, LayerCall, Outline, Result, WeightInfo};

/// A weight with elements that are NaN or infinite in single precision.
///
/// What is computed with a NaN is what the layers say. So it is with an infinity, except in weights that a batch normalization
/// is [folded](k2o_core::rewrite) into: there NaN may come out where the layers give infinity, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The layer call that has it.
    pub call: CallId,
    /// The layer's path.
    pub layer: String,
    /// The layer's name for it, such as `kernel`.
    pub weight: String,
    /// How many elements are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
}

impl NonFinite {
    /// How many elements are either.
    pub fn count(&self) -> u64 {
        self.nan + self.infinite
    }
}

/// `dense: kernel holds 1 NaN and 2 infinite numbers`
impl std::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers = if self.infinite == 1 { "number" } else { "numbers" };
        let nan = (self.nan > 0).then(|| format!("{} NaN", self.nan));
        let infinite = (self.infinite > 0).then(|| format!("{} infinite {numbers}", self.infinite));
        let parts: Vec<String> = nan.into_iter().chain(infinite).collect();
        write!(f, "{}: {} holds {}", self.layer, self.weight, parts.join(" and "))
    }
}

/// Those among the weights that were found in the file, each once.
pub(super) fn non_finite(outline: &Outline) -> Result<Vec<NonFinite>> {
    let calls = outline.calls.iter().enumerate().filter(|(_, call)| call.repetition == 0);
    let weights =
        calls.flat_map(|(id, call)| call.weights.iter().map(move |weight| (CallId(id), call, weight)));
    let found = weights.filter(|(_, _, weight)| weight.bound).map(|(id, call, weight)| of(id, call, weight));
    found.filter(|found| found.as_ref().map_or(true, |found| found.count() > 0)).collect()
}

fn of(call: CallId, layer: &LayerCall, weight: &WeightInfo) -> Result<NonFinite> {
    let (mut nan, mut infinite) = (0, 0);
    let constant = Constant {
        name: format!("{}/{}", layer.path, weight.name),
        dtype: DType::F32,
        expr: weight.expr.clone(),
    };
    constant.visit_rows(1, |some| {
        // Nearly always there are none, which is found out faster than how many.
        if some.iter().fold(true, |all, x| all & x.is_finite()) {
            return;
        }
        nan += some.iter().filter(|x| x.is_nan()).count() as u64;
        infinite += some.iter().filter(|x| x.is_infinite()).count() as u64;
    })?;
    Ok(NonFinite { call, layer: layer.path.clone(), weight: weight.name.clone(), nan, infinite })
}
