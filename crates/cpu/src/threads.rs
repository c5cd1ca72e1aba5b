//! Who computes: one thread, or several that share the samples of a batch, or the parts of a large step.
//!
//! What is too little to share is computed by the caller's thread, and a pool is not even asked. A run that is shared
//! allocates nothing for sizes that were seen, if it is within the pool (`pool.install(|| session.run(..))`); from outside,
//! rayon's queue takes a block of some 1.5 KB for every 63 runs.

#[cfg(feature = "rayon")]
use std::sync::Arc;

/// The threads that a session computes with. Results have the same bits whatever their number.
#[derive(Clone, Debug, Default)]
pub struct Threads(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    One,
    #[cfg(feature = "rayon")]
    Pool(Arc<rayon::ThreadPool>),
    #[cfg(feature = "rayon")]
    Current(usize),
}

impl Threads {
    /// The caller's thread alone.
    pub fn one() -> Threads {
        Threads::default()
    }

    /// `count` threads, which are started now and end with the last copy of this value; none for one thread.
    ///
    /// # Errors
    /// [`Limit`](crate::ErrorKind::Limit) where the system gives no more threads.
    #[cfg(feature = "rayon")]
    pub fn new(count: std::num::NonZeroUsize) -> crate::Result<Threads> {
        if count.get() == 1 {
            return Ok(Threads::one());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count.get()).build();
        let pool = pool.map_err(|error| crate::Error::limit(format!("{count} threads: {error}")))?;
        Ok(Threads::of_pool(Arc::new(pool)))
    }

    /// The threads of a pool.
    #[cfg(feature = "rayon")]
    pub fn of_pool(pool: Arc<rayon::ThreadPool>) -> Threads {
        Threads(Kind::Pool(pool))
    }

    /// The threads of the pool that the session runs in, as `pool.install(|| session.run(..))` does, of which there are as
    /// many as when this is called; outside of any pool, those of rayon's global one.
    #[cfg(feature = "rayon")]
    pub fn current() -> Threads {
        Threads(Kind::Current(rayon::current_num_threads()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match &self.0 {
            Kind::One => 1,
            #[cfg(feature = "rayon")]
            Kind::Pool(pool) => pool.current_num_threads(),
            #[cfg(feature = "rayon")]
            Kind::Current(count) => *count,
        }
    }

    /// Calls `work` with these threads as a team, on one of them.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce(Team) -> R + Send) -> R {
        match &self.0 {
            Kind::One => work(Team::ONE),
            #[cfg(feature = "rayon")]
            Kind::Pool(pool) => {
                let team = Team { count: pool.current_num_threads() };
                pool.install(|| work(team))
            }
            #[cfg(feature = "rayon")]
            Kind::Current(count) => work(Team { count: *count }),
        }
    }
}

/// The threads that work on a run; of a pool, that which the work runs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Team {
    count: usize,
}

impl Team {
    /// The thread that asks.
    pub const ONE: Team = Team { count: 1 };

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Calls `work` with every number below `parts`, at the same time if there are threads for it.
    pub fn each(self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        #[cfg(feature = "rayon")]
        if self.count > 1 {
            return halves(0, parts, work);
        }
        (0..parts).for_each(work);
    }

    /// Calls `work` with the elements of `a` and `b` at every index, at the same time if there are threads for it.
    pub fn each_pair<A: Send, B: Send>(
        self,
        a: &mut [A],
        b: &mut [B],
        work: &(dyn Fn(usize, &mut A, &mut B) + Sync),
    ) {
        #[cfg(feature = "rayon")]
        if self.count > 1 {
            return pair_halves(0, a, b, work);
        }
        a.iter_mut().zip(b).enumerate().for_each(|(at, (a, b))| work(at, a, b));
    }
}

#[cfg(feature = "rayon")]
fn halves(first: usize, end: usize, work: &(dyn Fn(usize) + Sync)) {
    match end - first {
        0 => {}
        1 => work(first),
        count => {
            let middle = first + count.div_ceil(2);
            rayon::join(|| halves(first, middle, work), || halves(middle, end, work));
        }
    }
}

#[cfg(feature = "rayon")]
fn pair_halves<A: Send, B: Send>(
    first: usize,
    a: &mut [A],
    b: &mut [B],
    work: &(dyn Fn(usize, &mut A, &mut B) + Sync),
) {
    match (a, b) {
        ([], _) | (_, []) => {}
        ([a], [b, ..]) | ([a, ..], [b]) => work(first, a, b),
        (a, b) => {
            let middle = a.len().min(b.len()).div_ceil(2);
            let ((a, a_rest), (b, b_rest)) = (a.split_at_mut(middle), b.split_at_mut(middle));
            rayon::join(
                || pair_halves(first, a, b, work),
                || pair_halves(first + middle, a_rest, b_rest, work),
            );
        }
    }
}
