//! Durations and sizes as people write them.

use std::time::Duration;

/// Longest duration, ten years: sums of some of them still fit everywhere.
const MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

/// `500ms`, `30s`, `1h30m`, `7d`: positive, whole numbers with units from large to small as one likes.
pub fn duration(text: &str) -> Result<Duration, String> {
    let usage = || format!("`{text}` is not a duration; write it like `500ms`, `30s`, `10m`, `1h30m` or `7d`");
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{rest}` has no unit; write it like `{rest}s`, `{rest}m` or `{rest}d`"));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| usage())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(usage()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|t| *t <= MAX)
            .ok_or_else(|| format!("`{text}` is too long; the longest duration is `3650d`"))?;
        rest = after;
    }
    if text.trim().is_empty() {
        Err(usage())
    } else if total.is_zero() {
        Err(format!("`{text}` is no time at all"))
    } else {
        Ok(total)
    }
}

/// `512`, `64KiB`, `1MB`, in bytes; positive.
pub fn size(text: &str) -> Result<usize, String> {
    let usage = || format!("`{text}` is not a size; write it like `512`, `64KiB`, `1MB` or `16MiB`");
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let number: usize = number.parse().map_err(|_| usage())?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(usage()),
    };
    let bytes =
        number.checked_mul(factor).filter(|bytes| *bytes <= 1 << 40).ok_or_else(|| format!("`{text}` is too large"))?;
    if bytes == 0 { Err(format!("`{text}` leaves room for nothing")) } else { Ok(bytes) }
}

/// A duration as people write it: the two largest units that matter.
pub fn show(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    let mut shown = String::new();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if millis >= length {
            shown += &format!("{}{unit}", millis / length);
            millis %= length;
        }
    }
    if shown.is_empty() { "0s".into() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_combined() {
        let millis = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("7d"), Ok(604_800_000));
        assert_eq!(millis("2w"), Ok(1_209_600_000));
    }

    #[test]
    fn what_is_no_duration_says_how_to_write_one() {
        assert_eq!(duration("7"), Err("`7` has no unit; write it like `7s`, `7m` or `7d`".into()));
        for wrong in ["", " ", "s", "5 s", "-5s", "1.5h", "5 minutes", "5S", "1h30", "∞"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration("0s").is_err_and(|e| e.contains("no time at all")));
        assert!(duration("99999999999999999999d").is_err());
        assert!(duration("4000d").is_err_and(|e| e.contains("too long")));
    }

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        for wrong in ["", "MiB", "1.5MB", "-1", "1mb", "1 Mi B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(size("0").is_err_and(|e| e.contains("room for nothing")));
        assert!(size("99999999GiB").is_err());
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in ["500ms", "30s", "1h30m", "7d"] {
            assert_eq!(duration(text).map(show).as_deref(), Ok(text));
        }
    }
}
