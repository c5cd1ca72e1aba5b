//! Endless sequences: a graph run chunk by chunk, each step computed once.
//!
//! The graph is cut into stages. Within a stage, every operator computes a step of its output of the same step of what it
//! reads; between stages lie queues, which hold the steps that a window or a later operand still needs. Recurrent
//! operators keep their states. What comes out has the same bits as a run on the whole sequence, whatever the chunks.

mod parts;
mod queue;
mod session;
mod stages;

pub use session::StreamSession;

use crate::table::Table;
use crate::{Error, Plan, PlanOptions, Result, TensorView};
use k2o_core::{CallId, Graph, TensorType};
use stages::{Stage, Stages};
use std::fmt;
use std::sync::Arc;

/// A graph made ready to run on endless sequences.
///
/// ```
/// # use k2o_core::{DType, Dim, GraphBuilder, Padding, Shape, TensorType, Window, ops};
/// # use k2o_cpu::{PlanOptions, StreamPlan, TensorView};
/// # let mut builder = GraphBuilder::new();
/// # let shape = Shape::new([Dim::symbol("batch"), Dim::symbol("steps"), 1.into()]);
/// # let x = builder.input("x", TensorType::new(shape, DType::F32))?;
/// # let window = Window::new(3, 1, 1, Padding::Explicit(2, 0))?;
/// # let y = builder.add(ops::Pool { kind: ops::PoolKind::Max, windows: vec![window] }, [x])?;
/// # builder.output("y", y);
/// # let graph = builder.finish();
/// let plan = StreamPlan::new(&graph, &PlanOptions::default())?;
/// assert_eq!(plan.latency(), 0);
/// let mut session = plan.session();
/// let outputs = session.push(&[TensorView::f32(&[1, 2, 1], &[5.0, 1.0])?])?;
/// assert_eq!(outputs.get(0).and_then(|y| y.as_f32()), Some([5.0, 5.0].as_slice()));
/// let outputs = session.push(&[TensorView::f32(&[1, 2, 1], &[2.0, 0.0])?])?;
/// assert_eq!(outputs.get(0).and_then(|y| y.as_f32()), Some([5.0, 2.0].as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StreamPlan {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub stages: Stages,
    pub options: PlanOptions,
    pub plans: Table<Stage, Plan>,
    /// Computes what does not depend on the steps; none where there is nothing of it.
    pub fixed: Option<Plan>,
    /// Computes what depends on last states only; none where there is nothing of it.
    pub latest: Option<Plan>,
}

impl StreamPlan {
    /// The plan of a graph, which should have been [rewritten](k2o_core::rewrite).
    ///
    /// The sequences are the inputs of which axis 1 is a symbol, or, if there are none, all of rank 3 and more; the others
    /// are given once. Taps are not kept, and the limit of memory is that of each stage.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) with the [origin](Error::origin) of the first operator that needs all
    /// steps of a sequence, and why; otherwise as [`Plan::new`].
    pub fn new(graph: &Graph, options: &PlanOptions) -> Result<StreamPlan> {
        let stages = Stages::new(graph)?;
        let options = PlanOptions { keep_taps: false, ..options.clone() };
        let plan = |graph: &Graph| Plan::new(graph, &options);
        let plans = stages.stages.try_map(|stage| plan(&stages.graph_of(stage, 0)?))?;
        let fixed = stages.fixed_graph()?.map(|graph| plan(&graph)).transpose()?;
        let latest = stages.latest_graph()?.map(|graph| plan(&graph)).transpose()?;
        Ok(StreamPlan { inner: Arc::new(Inner { stages, options, plans, fixed, latest }) })
    }

    /// A session that runs this plan, at the start of a sequence.
    pub fn session(&self) -> StreamSession {
        StreamSession::new(self)
    }

    /// How many steps of the input come after the first before the first step of every output does: 0 where each step is
    /// answered at once.
    pub fn latency(&self) -> usize {
        self.inner.stages.latency
    }

    /// Names, shapes and element types of the inputs, in the graph's order, and whether each is a sequence.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = (&str, &TensorType, bool)> {
        let stages = &self.inner.stages;
        stages.inputs().map(|(port, r#type, is_sequence)| (port.name.as_str(), r#type, is_sequence))
    }

    /// Names of the outputs, in the graph's order, and whether each is a sequence; the others are given anew after every
    /// chunk, for the sequence so far.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = (&str, bool)> {
        self.inner.stages.outputs().map(|(port, has_steps)| (port.name.as_str(), has_steps))
    }
}

impl fmt::Debug for StreamPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.inner.plans.iter()).finish()
    }
}

/// What a chunk gave, in the order of the graph's outputs.
#[derive(Clone, Copy)]
pub struct StreamOutputs<'a> {
    session: &'a StreamSession,
}

impl<'a> StreamOutputs<'a> {
    /// The number of outputs.
    pub fn len(&self) -> usize {
        self.session.output_count()
    }

    /// Whether there are no outputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output at `index`: of a sequence the steps that are new, of others the value for the sequence so far.
    pub fn get(&self, index: usize) -> Option<TensorView<'a>> {
        self.session.output(index)
    }

    /// Every output.
    pub fn iter(&self) -> impl Iterator<Item = TensorView<'a>> {
        let session = self.session;
        (0..session.output_count()).filter_map(|index| session.output(index))
    }
}

impl fmt::Debug for StreamOutputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The error for an operator at `origin` that cannot be streamed.
fn refused(why: &str, origin: Option<CallId>) -> Error {
    Error::unsupported(format!("it cannot be streamed: {why}")).at(origin)
}
