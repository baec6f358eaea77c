//! How values are written: `250ms`, `16MiB`.

use std::time::Duration;

/// By length; of two names of one unit the last is the one that is written.
const TIMES: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a duration: a number and its unit.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let nanos = with_unit(text, &TIMES).ok_or_else(|| {
        format!("`{text}` is no duration: a number with ns, us, ms, s, min (or m) or h, like 250ms")
    })?;
    let nanos = u64::try_from(nanos);
    let hours = u64::MAX / 3_600_000_000_000;
    nanos
        .map(Duration::from_nanos)
        .map_err(|_| format!("`{text}` is too long: {hours}h is the longest"))
}

/// Reads a size: a number and its unit, or bytes without one.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = text.trim().replace('_', "").parse().ok();
    let bytes = bytes.or_else(|| with_unit(text, &SIZES)).ok_or_else(|| {
        format!("`{text}` is no size: a number with B, KiB, MiB, GiB, kB, MB or GB, like 16MiB")
    })?;
    u64::try_from(bytes).map_err(|_| format!("`{text}` is too much: {}B is the most", u64::MAX))
}

/// Reads `HOST:PORT`.
pub(crate) fn parse_place(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    // An address of IPv6 without brackets has colons itself.
    let is_host = !host.is_empty() && (host.starts_with('[') || !host.contains([':', '/']));
    if is_port && is_host {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no place: write HOST:PORT, as in 10.0.0.7:7700 or [fd00::7]:7700"
    ))
}

/// Reads a plain number.
pub(crate) fn parse_count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let number = text.trim().replace('_', "");
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no whole number"));
    }
    let fitting = number.parse::<u64>().ok();
    let fitting = fitting.and_then(|number| T::try_from(number).ok());
    let most = u64::MAX >> (64 - 8 * size_of::<T>());
    fitting.ok_or_else(|| format!("`{text}` is more than {most}"))
}

/// Reads `1.5s`, `10 MiB`, which may be more than there is room for.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u128> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let number = number.replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return Some(u128::from(whole) * u128::from(*factor));
    }
    let parts = number.parse::<f64>().ok()? * *factor as f64;
    Some(parts.round() as u128)
}

/// Writes a duration as it is read, in the largest unit that divides it.
pub(crate) fn show_time(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    largest_unit(nanos, &TIMES).unwrap_or_else(|| "0s".into())
}

/// Writes a size as it is read, in the largest binary unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let binary: Vec<_> = SIZES
        .into_iter()
        .filter(|(name, _)| *name == "B" || name.ends_with("iB"))
        .collect();
    largest_unit(bytes, &binary).unwrap_or_else(|| "0B".into())
}

fn largest_unit(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = |(_, factor): &&(&str, u64)| value > 0 && value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rev().find(fits)?;
    Some(format!("{}{unit}", value / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        for (text, millis) in [
            ("250ms", 250),
            ("1.5s", 1500),
            ("2min", 120_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("4 KiB", 4096),
            ("1_000", 1000),
            ("2kB", 2000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["5", "s", "5 parsecs", "-1s", ""] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert!(parse_size("16 MiBs").is_err());
        for text in ["10000000h", "99999999999999999999999h", "5124096h"] {
            let why = format!("`{text}` is too long: 5124095h is the longest");
            assert_eq!(parse_time(text), Err(why));
        }
        assert!(parse_time("5124095h").is_ok());
        for text in ["17179869184GiB", "18446744073709551616"] {
            let why = format!("`{text}` is too much: 18446744073709551615B is the most");
            assert_eq!(parse_size(text), Err(why));
        }
        assert_eq!(parse_count("65_535"), Ok(u16::MAX));
        for (text, why) in [
            ("65536", "`65536` is more than 65535"),
            (
                "99999999999999999999",
                "`99999999999999999999` is more than 65535",
            ),
            ("-1", "`-1` is no whole number"),
            ("1e3", "`1e3` is no whole number"),
            ("", "`` is no whole number"),
        ] {
            assert_eq!(parse_count::<u16>(text), Err(why.to_owned()));
        }
        assert_eq!(show_time(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_time(Duration::from_secs(120)), "2min");
        assert_eq!(show_size(16 << 20), "16MiB");
        assert_eq!(show_size(1000), "1000B");
    }
}
