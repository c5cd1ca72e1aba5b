//! Sums of elements that are not products: in double precision, so that their length hardly matters.

/// The sum of neighbouring elements, in an order that depends on their number only.
pub(crate) fn sum(elements: &[f32]) -> f64 {
    sum_of(elements, |x| x)
}

/// The sum of what `f` makes of neighbouring elements, in an order that depends on their number only.
#[inline(always)]
pub(crate) fn sum_of(elements: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let (chunks, rest) = elements.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    let add = |lanes: &mut [f64; LANES], elements: &[f32]| {
        lanes.iter_mut().zip(elements).for_each(|(sum, &x)| *sum += f(f64::from(x)));
    };
    chunks.iter().for_each(|chunk| add(&mut lanes, chunk));
    add(&mut lanes, rest);
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Adds an element to each sum, as long as there are elements.
#[inline(always)]
pub(crate) fn add(sums: &mut [f64], elements: &[f32]) {
    sums.iter_mut().zip(elements).for_each(|(sum, &x)| *sum += f64::from(x));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once() {
        for n in [0, 1, 7, 8, 9, 15, 16, 17, 1000] {
            let terms: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(&terms), f64::from((0..n).sum::<i32>()), "{n} terms");
        }
    }
}
