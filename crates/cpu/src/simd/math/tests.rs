//! How far the functions are from double precision.
//!
//! `K2O_EXHAUSTIVE=1 cargo test --release -p k2o-cpu every_argument -- --nocapture` goes through all arguments, which
//! takes about an hour on one core, and prints the largest errors; `K2O_EXHAUSTIVE=gelu,mish` only through those of
//! these functions.

use super::*;
use crate::simd::{Elementwise, InstructionSet, Isa, Simd, Task};
use proptest::prelude::*;

/// A function of vectors and what it computes.
trait Function: Elementwise + Default {
    const NAME: &'static str;
    /// More than the largest error in ULP at any argument, of [fused](Simd::FUSED) sets and others.
    const MOST: [f64; 2];

    fn exact(x: f64) -> f64;
}

macro_rules! functions {
    ($($type:ident, $name:ident, $most:expr, $exact:expr;)*) => {
        $(
            #[derive(Clone, Copy, Default)]
            struct $type;

            impl Function for $type {
                const NAME: &'static str = stringify!($name);
                const MOST: [f64; 2] = $most;

                fn exact(x: f64) -> f64 {
                    let f: fn(f64) -> f64 = $exact;
                    f(x)
                }
            }

            impl Elementwise for $type {
                #[inline(always)]
                fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
                    $name(s, x)
                }
            }
        )*

        /// Calls the method of `visitor` for each function.
        fn each(visitor: &mut impl Visitor) {
            $(visitor.visit::<$type>();)*
        }
    };
}

trait Visitor {
    fn visit<F: Function>(&mut self);
}

functions! {
    Exp, exp, [1.05, 1.05], f64::exp;
    ExpDown, exp_down, [1.05, 1.05], |x| if x > 0.0 { 1.0 } else { x.exp() };
    ExpM1, exp_m1, [1.75, 1.75], f64::exp_m1;
    Tanh, tanh, [2.0, 2.0], f64::tanh;
    Sigmoid, sigmoid, [1.6, 1.6], |x| 1.0 / (1.0 + (-x).exp());
    Silu, silu, [1.8, 2.6], |x| if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-x).exp()) };
    Softplus, softplus, [1.95, 2.5], |x| x.max(0.0) + (-x.abs()).exp().ln_1p();
    LogSigmoid, log_sigmoid, [1.95, 2.5], |x| x.min(0.0) - (-x.abs()).exp().ln_1p();
    Mish, mish, [2.5, 3.2], exact_mish;
    Gelu, gelu, [5.3, 5.6], exact_gelu;
    GeluTanh, gelu_tanh, [2.1, 2.65], exact_gelu_tanh;
    TanhShrink, tanh_shrink, [3.8, 4.6], exact_tanh_shrink;
}

/// [`exp_of_negative`], and 1 where that is not to be asked.
#[inline(always)]
fn exp_down<S: Simd>(s: S, x: S::F) -> S::F {
    exp_of_negative(s, s.min(s.splat(0.0), x))
}

fn exact_mish(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh() }
}

fn exact_gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) }
}

fn exact_gelu_tanh(x: f64) -> f64 {
    let twice_u = (8.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-twice_u).exp()) }
}

/// The series is exact to double precision where the difference is not exact enough.
fn exact_tanh_shrink(x: f64) -> f64 {
    let square = x * x;
    if square > 1e-3 {
        return x - x.tanh();
    }
    let series = [1.0 / 3.0, -2.0 / 15.0, 17.0 / 315.0, -62.0 / 2835.0, 1382.0 / 155_925.0];
    x * square * series.iter().rev().fold(0.0, |sum, c| sum * square + c)
}

/// The distance of `y` from `exact`, in units in the last place of a single-precision `exact`.
fn ulps(y: f32, exact: f64) -> f64 {
    if exact.is_nan() || y.is_nan() {
        return if exact.is_nan() && y.is_nan() { 0.0 } else { f64::INFINITY };
    }
    // What would be the next number after the largest stands for infinity.
    let limit = 2f64.powi(128);
    let (y, exact) = (f64::from(y).clamp(-limit, limit), exact.clamp(-limit, limit));
    let power = exact.abs().clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)).to_bits() >> 52 << 52;
    (y - exact).abs() / f64::from_bits(power) / f64::from(f32::EPSILON)
}

struct Map<'a, F>(F, &'a mut [f32]);

impl<F: Elementwise> Task for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.map(self.1, self.0);
    }
}

/// The results at `xs`.
fn values<F: Function>(isa: Isa, xs: &[f32]) -> Vec<f32> {
    let mut ys = xs.to_vec();
    isa.run(Map(F::default(), &mut ys));
    ys
}

fn sets() -> impl Iterator<Item = Isa> {
    InstructionSet::ALL.into_iter().filter_map(Isa::new)
}

/// Measures the largest errors of functions among every `step`th number, and notes which are too large.
struct Sweep {
    step: usize,
    /// The names of these functions; all of them if it is empty.
    only: Vec<&'static str>,
    problems: Vec<String>,
}

impl Visitor for Sweep {
    fn visit<F: Function>(&mut self) {
        if !self.only.is_empty() && !self.only.contains(&F::NAME) {
            return;
        }
        let mut worst: Vec<(Isa, f64, f32)> = sets().map(|isa| (isa, 0.0, 0.0)).collect();
        let mut numbers = (0..=u32::MAX).step_by(self.step).map(f32::from_bits).peekable();
        while numbers.peek().is_some() {
            let xs: Vec<f32> = numbers.by_ref().take(4096).collect();
            let exact: Vec<f64> = xs.iter().map(|&x| F::exact(x.into())).collect();
            for (isa, worst, at) in &mut worst {
                for ((&x, y), &exact) in xs.iter().zip(values::<F>(*isa, &xs)).zip(&exact) {
                    let error = ulps(y, exact);
                    if error > *worst {
                        (*worst, *at) = (error, x);
                    }
                }
            }
        }
        for (isa, error, x) in worst {
            let text = format!("{} {isa:?}: {error:.3} ULP at {x:e}", F::NAME);
            println!("{text}");
            if error > F::MOST[usize::from(!isa.fused())] {
                self.problems.push(text);
            }
        }
    }
}

#[track_caller]
fn sweep(step: usize, only: Vec<&'static str>) {
    let mut sweep = Sweep { step, only, problems: vec![] };
    each(&mut sweep);
    assert!(sweep.problems.is_empty(), "{:#?}", sweep.problems);
}

#[test]
fn errors_are_bounded_at_regular_arguments() {
    sweep(99_991, vec![]);
}

/// All arguments take minutes: only if `K2O_EXHAUSTIVE` is set while this is compiled.
#[test]
fn errors_are_bounded_at_every_argument_if_asked_for() {
    match option_env!("K2O_EXHAUSTIVE") {
        Some("1") => sweep(1, vec![]),
        Some(names) => sweep(1, names.split(',').collect()),
        None => {}
    }
}

/// Checks what must hold at every argument.
struct Limits;

impl Visitor for Limits {
    fn visit<F: Function>(&mut self) {
        let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN, 1e-45, -1e-45];
        for isa in sets() {
            for (x, y) in ends.into_iter().zip(values::<F>(isa, &ends)) {
                let exact = F::exact(x.into());
                let text = || format!("{} {isa:?}: {y:e} at {x:e}, exactly {exact:e}", F::NAME);
                assert!(ulps(y, exact) <= 1.0, "{}", text());
                assert!(
                    x != 0.0 || exact != 0.0 || y.is_sign_negative() == x.is_sign_negative(),
                    "{}",
                    text()
                );
            }
        }
    }
}

#[test]
fn the_ends_of_the_number_line_and_the_signs_of_zeros_are_kept() {
    each(&mut Limits);
}

#[test]
fn powers_overflow_and_underflow_where_they_should() {
    for isa in sets() {
        let xs = [88.722_83, 88.722_84, -103.97, -103.98, -87.4, -90.0];
        let ys = values::<Exp>(isa, &xs);
        assert!(ys[0].is_finite() && ys[0] > 3.402e38, "{isa:?}: {ys:?}");
        assert_eq!((ys[1], ys[2], ys[3]), (f32::INFINITY, 1e-45, 0.0), "{isa:?}");
        assert!(ys[4..].iter().all(|y| y.is_subnormal()), "{isa:?}: {ys:?}");
        for ys in [values::<Sigmoid>(isa, &xs[4..]), values::<Softplus>(isa, &xs[4..])] {
            assert!(ys.iter().all(|y| y.is_subnormal()), "{isa:?}: {ys:?}");
        }
    }
}

#[test]
fn bounded_functions_stay_within_their_bounds() {
    let xs: Vec<f32> = (0..=u32::MAX).step_by(9_973).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    for isa in sets() {
        assert!(values::<Tanh>(isa, &xs).iter().all(|y| y.abs() <= 1.0), "{isa:?}");
        assert!(values::<Sigmoid>(isa, &xs).iter().all(|y| (0.0..=1.0).contains(y)), "{isa:?}");
        let negated: Vec<f32> = xs.iter().map(|x| -x).collect();
        let mirrored: Vec<f32> = values::<Tanh>(isa, &negated).iter().map(|y| -y).collect();
        assert_eq!(values::<Tanh>(isa, &xs), mirrored, "{isa:?}");
    }
}

/// Checks that each element's result is the same wherever it stands.
struct Places<'a>(&'a [f32]);

impl Visitor for Places<'_> {
    fn visit<F: Function>(&mut self) {
        let bits = |ys: Vec<f32>| -> Vec<u32> { ys.iter().map(|y| y.to_bits()).collect() };
        for isa in sets() {
            let alone: Vec<u32> = self.0.iter().flat_map(|&x| bits(values::<F>(isa, &[x]))).collect();
            assert_eq!(bits(values::<F>(isa, self.0)), alone, "{} {isa:?}", F::NAME);
        }
    }
}

proptest! {
    #[test]
    fn results_depend_on_the_argument_only(
        xs in prop::collection::vec(prop_oneof![-20f32..20.0, -120f32..120.0, any::<f32>()], 1..70),
    ) {
        each(&mut Places(&xs));
    }
}
