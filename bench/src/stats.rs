//! Summaries of rounds.

/// The least, the middle and the greatest of several values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Summarises values; `None` when there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            median: middle(&sorted),
            max: *sorted.last()?,
        })
    }

    /// Summarises the ratios of values to bases of the same rounds. A round without either is left out.
    pub(crate) fn of_ratios(values: &[Option<f64>], bases: &[Option<f64>]) -> Option<Self> {
        let pairs = values.iter().zip(bases);
        let ratios: Vec<f64> = pairs
            .filter_map(|(value, base)| Some((*value)? / (*base)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Self::of(&ratios)
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_between_the_two() {
        let median = |values: &[f64]| Summary::of(values).map(|summary| summary.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0, 7.0]), Some(6.0));
    }

    #[test]
    fn minimum_and_maximum_are_the_outermost() {
        let summary = Summary::of(&[3.0, -1.0, 2.0]).expect("there are values");
        assert_eq!((summary.min, summary.max), (-1.0, 3.0));
    }

    #[test]
    fn ratios_are_of_values_of_the_same_round() {
        // Of the medians it would be 1: here each round is compared with itself.
        let values = [Some(2.0), Some(40.0), Some(3.0)];
        let bases = [Some(1.0), Some(10.0), Some(3.0)];
        let ratios = Summary::of_ratios(&values, &bases).expect("there are rounds");
        assert_eq!((ratios.min, ratios.median, ratios.max), (1.0, 2.0, 4.0));
    }

    #[test]
    fn a_round_without_its_base_has_no_ratio() {
        let values = [Some(2.0), Some(8.0), None];
        let bases = [None, Some(4.0), Some(1.0)];
        let ratios = Summary::of_ratios(&values, &bases).expect("there is a round");
        assert_eq!((ratios.min, ratios.max), (2.0, 2.0));
        assert_eq!(Summary::of_ratios(&[Some(1.0)], &[None]), None);
    }
}
