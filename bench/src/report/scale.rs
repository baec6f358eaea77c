//! Where a value is on an axis, in percent of its length.

/// An axis from zero.
pub(super) struct Linear {
    max: f64,
}

impl Linear {
    /// Makes an axis that holds all values.
    pub(super) fn holding(values: impl Iterator<Item = f64>) -> Self {
        let max = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        // A little room to the right, so that no bar looks cut off.
        Self {
            max: if max > 0.0 { max * 1.04 } else { 1.0 },
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        (value / self.max * 100.0).clamp(0.0, 100.0)
    }
}

/// An axis of factors with 1 in its middle: each step to the right is twice as good.
pub(super) struct Doublings {
    /// To each side.
    steps: i32,
}

/// What is farther out is at the edge.
const STEPS_MAX: i32 = 7;

impl Doublings {
    /// Makes an axis that holds all factors, up to its bounds.
    pub(super) fn holding(factors: impl Iterator<Item = f64>) -> Self {
        let farthest = factors
            .filter(|factor| factor.is_finite() && *factor > 0.0)
            .map(|factor| factor.log2().abs())
            .fold(1.0, f64::max);
        Self {
            steps: (farthest.ceil() as i32).clamp(2, STEPS_MAX),
        }
    }

    pub(super) fn at(&self, factor: f64) -> f64 {
        let steps = f64::from(self.steps);
        ((factor.log2() + steps) / (2.0 * steps) * 100.0).clamp(0.0, 100.0)
    }

    /// Returns the factors to be marked.
    pub(super) fn marks(&self) -> impl Iterator<Item = f64> + '_ {
        (-self.steps..=self.steps).map(|step| 2f64.powi(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_in_the_middle_and_a_doubling_is_a_step() {
        let axis = Doublings::holding([0.25, 3.0].into_iter());
        assert_eq!(axis.at(1.0), 50.0);
        assert_eq!(axis.at(2.0), 75.0);
        assert_eq!(axis.at(0.25), 0.0);
        assert_eq!(axis.at(1000.0), 100.0);
        assert_eq!(axis.marks().count(), 5);
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_holds_its_greatest() {
        let axis = Linear::holding([1.0, 50.0, f64::NAN].into_iter());
        assert_eq!(axis.at(0.0), 0.0);
        assert!(axis.at(50.0) > 95.0 && axis.at(50.0) < 100.0);
    }
}
