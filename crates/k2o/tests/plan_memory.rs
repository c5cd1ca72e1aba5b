//! Weights go from the file into the plan, and are in memory once. Alone in its file, because what other tests allocate
//! would count.

use k2o::{Model, PlanOptions, Session, core::DType};
use k2o_fixtures::case;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

#[test]
fn a_model_is_opened_and_planned_in_the_memory_of_its_weights() {
    let path = case("advanced").path("keras3.keras");
    for (narrow_weights, size) in [(None, 4), (Some(DType::F16), 2)] {
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let model = Model::open(&path).unwrap();
        let plan = model.plan_with(&PlanOptions { narrow_weights, ..PlanOptions::default() }).unwrap();
        let session = Session::new(&plan);
        let most = ALLOCATED.peak_usage() - before;
        let weights = model.summary().total_parameters as usize * size;
        // What is left for convolutions, which keep wide weights, and for layers and graph.
        let bound = weights + weights / 10 + (2 << 20);
        assert!(weights > 3 * (2 << 20) && most <= bound, "{most} bytes for {weights} of weights");
        drop((session, plan, model));
    }
}
