//! Lists whose elements are found by indices of a type of their own, and lists that are not empty.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// An index into one table of `K`, or into what others have for each of its elements.
pub(crate) struct Id<K> {
    at: usize,
    of: PhantomData<fn(K)>,
}

impl<K> Id<K> {
    fn new(at: usize) -> Id<K> {
        Id { at, of: PhantomData }
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Id<K> {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Id<K>) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Id<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Id<K>) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

/// A list that gives an index to what is added to it; a `Table<K, T>` has a `T` for each element of a `Table<K>`.
pub(crate) struct Table<K, T = K> {
    all: Vec<T>,
    of: PhantomData<fn(K)>,
}

impl<K> Table<K> {
    /// An empty list.
    pub fn new() -> Table<K> {
        Table { all: Vec::new(), of: PhantomData }
    }

    /// Adds an element.
    pub fn push(&mut self, element: K) -> Id<K> {
        self.all.push(element);
        Id::new(self.all.len() - 1)
    }
}

impl<K, T> Table<K, T> {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.all.iter_mut()
    }

    /// The indices, in the order of the elements.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = Id<K>> + use<K, T> {
        (0..self.all.len()).map(Id::new)
    }

    /// The elements, each with its index.
    pub fn iter_with_ids(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        self.ids().zip(&self.all)
    }

    /// The element of an index and those after it, which can be changed at once.
    pub fn with_later(&mut self, id: Id<K>) -> Option<(&mut T, &mut [T])> {
        let mut elements = self.all.iter_mut();
        let element = elements.nth(id.at)?;
        Some((element, elements.into_slice()))
    }

    /// The elements after that of an index.
    pub fn later(&self, id: Id<K>) -> impl Iterator<Item = &T> {
        self.all.iter().skip(id.at + 1)
    }

    /// What `each` makes of each element.
    pub fn map<U>(&self, each: impl FnMut(&T) -> U) -> Table<K, U> {
        Table { all: self.all.iter().map(each).collect(), of: PhantomData }
    }

    /// What `each` makes of each element, or the first error.
    pub fn try_map<U, E>(&self, each: impl FnMut(&T) -> Result<U, E>) -> Result<Table<K, U>, E> {
        Ok(Table { all: self.all.iter().map(each).collect::<Result<_, E>>()?, of: PhantomData })
    }
}

impl<K, T> Index<Id<K>> for Table<K, T> {
    type Output = T;

    /// # Panics
    /// If the index is another table's.
    #[expect(
        clippy::indexing_slicing,
        reason = "tables only grow, and what they have for each element is made of all"
    )]
    fn index(&self, id: Id<K>) -> &T {
        &self.all[id.at]
    }
}

impl<K, T> IndexMut<Id<K>> for Table<K, T> {
    /// # Panics
    /// If the index is another table's.
    #[expect(
        clippy::indexing_slicing,
        reason = "tables only grow, and what they have for each element is made of all"
    )]
    fn index_mut(&mut self, id: Id<K>) -> &mut T {
        &mut self.all[id.at]
    }
}

/// One thing or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NonEmpty<T> {
    first: T,
    others: Vec<T>,
}

impl<T> NonEmpty<T> {
    pub fn one(first: T) -> NonEmpty<T> {
        NonEmpty { first, others: Vec::new() }
    }

    /// All of them, if there is one.
    pub fn of(all: impl IntoIterator<Item = T>) -> Option<NonEmpty<T>> {
        let mut all = all.into_iter();
        Some(NonEmpty { first: all.next()?, others: all.collect() })
    }

    pub fn first(&self) -> &T {
        &self.first
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether there is one only.
    pub fn is_one(&self) -> bool {
        self.others.is_empty()
    }
}
