//! Who computes: one thread, or several that share the samples of a batch, the parts of a large step, or two steps.
//!
//! What is too little to share is computed by the caller's thread, and no other is even asked. A run that is shared
//! allocates nothing for sizes that were seen, if the threads are the session's own or the run is within the caller's pool
//! (`pool.install(|| session.run(..))`); from outside of that, rayon's queue takes a block of some 1.5 KB for every 63
//! runs.

#[cfg(feature = "threads")]
mod crew;

#[cfg(feature = "threads")]
use std::sync::Arc;

/// The threads that a session computes with. Results have the same bits whatever their number.
#[derive(Clone, Debug, Default)]
pub struct Threads(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    One,
    #[cfg(feature = "threads")]
    Own(Arc<Own>),
    #[cfg(feature = "rayon")]
    Pool(Arc<rayon::ThreadPool>),
    #[cfg(feature = "rayon")]
    Current(usize),
}

/// Threads that do nothing else than help the caller's, and end with this value.
#[cfg(feature = "threads")]
#[derive(Debug, Default)]
struct Own {
    crew: Arc<crew::Crew>,
    helpers: Vec<std::thread::JoinHandle<()>>,
}

#[cfg(feature = "threads")]
impl Own {
    fn new(helpers: usize) -> std::io::Result<Own> {
        // If there cannot be all, those that there are end with what is dropped.
        let mut own = Own::default();
        for _ in 0..helpers {
            let crew = own.crew.clone();
            own.helpers.push(std::thread::Builder::new().name("k2o".into()).spawn(move || crew.help())?);
        }
        Ok(own)
    }
}

#[cfg(feature = "threads")]
impl Drop for Own {
    fn drop(&mut self) {
        self.crew.end();
        for helper in self.helpers.drain(..) {
            // A panic of a run has been passed on to who ran.
            _ = helper.join();
        }
    }
}

impl Threads {
    /// The caller's thread alone.
    pub fn one() -> Threads {
        Threads::default()
    }

    /// `count` threads. One is that of the caller; the others are started now, wait for work, awake for some hundreds of
    /// microseconds and then asleep, and end with the last copy of this value. Of several sessions that run at the same
    /// time with copies of it, they help one.
    ///
    /// # Errors
    /// [`Limit`](crate::ErrorKind::Limit) where the system gives no more threads.
    #[cfg(feature = "threads")]
    pub fn new(count: std::num::NonZeroUsize) -> crate::Result<Threads> {
        match count.get() - 1 {
            0 => Ok(Threads::one()),
            helpers => match Own::new(helpers) {
                Ok(own) => Ok(Threads(Kind::Own(Arc::new(own)))),
                Err(error) => Err(crate::Error::limit(format!("{count} threads: {error}"))),
            },
        }
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
            #[cfg(feature = "threads")]
            Kind::Own(own) => 1 + own.helpers.len(),
            #[cfg(feature = "rayon")]
            Kind::Pool(pool) => pool.current_num_threads(),
            #[cfg(feature = "rayon")]
            Kind::Current(count) => *count,
        }
    }

    /// Calls `work` with these threads as a team, on one of them.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce(Team<'_>) -> R + Send) -> R {
        match &self.0 {
            Kind::One => work(Team::ONE),
            #[cfg(feature = "threads")]
            Kind::Own(own) => match own.crew.lead() {
                Some(lead) => work(Team { count: self.count(), kind: TeamKind::Crew(&lead) }),
                None => work(Team::ONE),
            },
            #[cfg(feature = "rayon")]
            Kind::Pool(pool) => {
                let team = Team { count: pool.current_num_threads(), kind: TeamKind::Pool };
                pool.install(|| work(team))
            }
            #[cfg(feature = "rayon")]
            Kind::Current(count) => work(Team { count: *count, kind: TeamKind::Pool }),
        }
    }
}

/// The threads that work on a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Team<'a> {
    count: usize,
    kind: TeamKind<'a>,
}

#[derive(Clone, Copy, Debug)]
enum TeamKind<'a> {
    /// The thread that asks.
    One(std::marker::PhantomData<&'a ()>),
    /// That of the caller, and those of a crew.
    #[cfg(feature = "threads")]
    Crew(&'a crew::Lead<'a>),
    /// Those of the pool which the work runs in.
    #[cfg(feature = "rayon")]
    Pool,
}

impl Team<'_> {
    /// The thread that asks.
    pub const ONE: Team<'static> = Team { count: 1, kind: TeamKind::One(std::marker::PhantomData) };

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Calls `work` with every number below `parts`, at the same time if there are threads for it. Work has no team of
    /// its own but [`ONE`](Team::ONE).
    pub fn each(self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        match self.kind {
            #[cfg(feature = "threads")]
            TeamKind::Crew(lead) if parts > 1 => lead.turn(parts, work),
            #[cfg(feature = "rayon")]
            TeamKind::Pool if self.count > 1 => halves(0, parts, work),
            _ => (0..parts).for_each(work),
        }
    }

    /// Calls both functions, at the same time if there is a thread for it.
    pub fn both<'a>(self, a: &'a mut (dyn FnMut() + Send + 'a), b: &'a mut (dyn FnMut() + Send + 'a)) {
        self.each_pair(&mut [a, b], &mut [(), ()], &|_, work, ()| work());
    }

    /// Calls `work` with the elements of `a` and `b` at every index, at the same time if there are threads for it.
    pub fn each_pair<A: Send, B: Send>(
        self,
        a: &mut [A],
        b: &mut [B],
        work: &(dyn Fn(usize, &mut A, &mut B) + Sync),
    ) {
        if self.count == 1 {
            return a.iter_mut().zip(b).enumerate().for_each(|(at, (a, b))| work(at, a, b));
        }
        let parts = a.len().min(b.len());
        let (a, b) = (Elements(a.as_mut_ptr()), Elements(b.as_mut_ptr()));
        self.each(parts, &|at| {
            // SAFETY: both have so many elements, and every index has its turn once.
            let (a, b) = unsafe { (a.get(at), b.get(at)) };
            work(at, a, b);
        });
    }
}

/// Elements of which different threads take different ones.
struct Elements<T>(*mut T);

// SAFETY: elements go to other threads one by one, as they may.
unsafe impl<T: Send> Sync for Elements<T> {}

impl<T> Elements<T> {
    /// # Safety
    /// The element must be there, and nobody else's.
    #[allow(clippy::mut_from_ref, reason = "of different elements")]
    unsafe fn get(&self, at: usize) -> &mut T {
        // SAFETY: the caller's.
        unsafe { &mut *self.0.add(at) }
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
