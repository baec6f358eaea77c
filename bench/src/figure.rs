//! Numbers for people.

/// Writes a number with three digits that matter, and thousands as `k`, `M`, `G`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e10 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
        None => &text,
    };
    if suffix.is_empty() {
        text.to_owned()
    } else {
        format!("{text} {suffix}")
    }
}

/// Writes a ratio, which may be very small.
pub(crate) fn ratio(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value if value >= 0.01 => format!("{value:.2}"),
        value => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_that_matter() {
        let cases = [
            (0.5, "0.5"),
            (14.0, "14"),
            (853.7, "854"),
            (1250.0, "1250"),
            (12_500.0, "12.5 k"),
            (4_210_000.0, "4.21 M"),
            (1e6, "1 M"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(ratio(2.0), "2.00");
        assert_eq!(ratio(12.34), "12.3");
        assert_eq!(ratio(0.000_012), "1.2e-5");
    }
}
