//! Times as people read them.

/// Year, month and day, and the milliseconds of that day, of a time in ms since 1970 (UTC).
fn civil(ms: i64) -> (i64, i64, i64, i64) {
    const DAY_MS: i64 = 86_400_000;
    let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    // Days since the first of March of the year 0, by cycles of 400 years; the year begins in March, so that the day of a leap
    // year is its last.
    let shifted = days + 719_468;
    let (cycle, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day_of_month, of_day)
}

/// `2026-11-21T14:59:03.123Z`, with no more digits of the second than it has.
pub(super) fn iso(ms: i64) -> String {
    let (year, month, day, of_day) = civil(ms);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    let fraction = match of_day % 1_000 {
        0 => String::new(),
        millis => format!(".{millis:03}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// `2026-11-21 14:59:03:123`.
pub(super) fn spaced(ms: i64) -> String {
    let (year, month, day, of_day) = civil(ms);
    let (hour, minute, second, millis) =
        (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}:{millis:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00:000"),
            (951_782_400_000, "2000-02-29 00:00:00:000"),
            (1_709_210_096_789, "2024-02-29 12:34:56:789"),
            (1_735_689_599_999, "2024-12-31 23:59:59:999"),
            (1_740_787_200_000, "2025-03-01 00:00:00:000"),
            (-1, "1969-12-31 23:59:59:999"),
        ] {
            assert_eq!(spaced(ms), expected);
        }
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(iso(1_709_210_096_780), "2024-02-29T12:34:56.78Z");
        assert_eq!(iso(1_709_210_096_000), "2024-02-29T12:34:56Z");
    }
}
