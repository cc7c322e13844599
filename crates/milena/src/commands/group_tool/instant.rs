//! Times as people write them for `--to-datetime` and `--by-duration`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in ms since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `YYYY-MM-DDTHH:mm:SS.sss`, with a zone (`Z`, `+02`, `+0200`, `+02:00`) or in UTC, in ms since 1970. What is wrong with it, in Kafka's
/// words.
pub(super) fn date_time(text: &str) -> Result<i64, String> {
    let Some((_, time)) = text.split_once('T') else {
        return Err(
            "java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format"
                .to_owned(),
        );
    };
    let text = if time.contains(['+', '-', 'Z']) { text.to_owned() } else { format!("{text}Z") };
    parse(&text).ok_or_else(|| format!("java.text.ParseException: Unparseable date: \"{text}\""))
}

fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let at = time.find(['+', '-', 'Z'])?;
    let (clock, zone) = time.split_at_checked(at)?;
    let (clock, millis) = clock.split_once('.')?;
    let mut clock = clock.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let rest_is_empty = date.next().is_none() && clock.next().is_none();
    let millis = digits(millis)?;
    let valid = rest_is_empty
        && (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && millis < 1000;
    if !valid {
        return None;
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - zone_minutes(zone)? * 60) * 1000 + millis)
}

fn digits(text: &str) -> Option<i64> {
    let all_digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

/// `Z`, `+02`, `+0200` or `+02:00`.
fn zone_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' => return (zone.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let numbers = zone.get(1..)?;
    let (hours, minutes) = match (numbers.len(), numbers.split_once(':')) {
        (5, Some((hours, minutes))) => (digits(hours)?, digits(minutes)?),
        (4, None) => (digits(numbers.get(..2)?)?, digits(numbers.get(2..)?)?),
        (2, None) => (digits(numbers)?, 0),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400;
    let days_before_year = before * 365 + leap_days - 719_162;
    days_before_year + (1..month).map(|month| days_in_month(year, month)).sum::<i64>() + day - 1
}

/// `PnDTnHnMn.nS`, in ms; as `java.time.Duration` reads it: any part may be left out, and may be negative.
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None if !rest.is_empty() => (rest, ""),
        None => return None,
    };
    let mut total: i64 = 0;
    if !days.is_empty() {
        let days = days.strip_suffix('D')?;
        total = signed(days)?.checked_mul(86_400_000)?;
    }
    let mut left = time;
    for (unit, millis) in [('H', 3_600_000), ('M', 60_000)] {
        if let Some((number, rest)) = left.split_once(unit) {
            total = total.checked_add(signed(number)?.checked_mul(millis)?)?;
            left = rest;
        }
    }
    if !left.is_empty() {
        let seconds = left.strip_suffix('S')?;
        let (whole, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
        let fraction_is_valid = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if !fraction_is_valid {
            return None;
        }
        let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let millis = if whole.starts_with('-') { -millis } else { millis };
        total = total.checked_add(signed(whole)?.checked_mul(1000)?)?.checked_add(millis)?;
    }
    total.checked_mul(sign)
}

fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(number) => digits(number).map(|number| -number),
        None => digits(text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_zones_or_are_utc() {
        assert_eq!(date_time("1970-01-01T00:00:00.000"), Ok(0));
        assert_eq!(date_time("2024-02-29T12:34:56.789Z"), Ok(1_709_210_096_789));
        assert_eq!(date_time("2024-02-29T12:34:56.789+02:00"), Ok(1_709_202_896_789));
        assert_eq!(date_time("2024-02-29T12:34:56.789-0230"), Ok(1_709_219_096_789));
        assert_eq!(date_time("1969-12-31T23:59:59.999"), Ok(-1));
        assert_eq!(date_time("2000-03-01T00:00:00.000"), Ok(951_868_800_000));
    }

    #[test]
    fn bad_dates_are_refused_in_kafkas_words() {
        assert!(date_time("2024-02-29").unwrap_err().contains("does not contain a 'T'"));
        for bad in [
            "2023-02-29T00:00:00.000",
            "2024-01-01T00:00:00",
            "2024-01-01T24:00:00.000",
            "xTy",
            "2024-01-01T0:0:0.0+1",
        ] {
            assert!(
                date_time(bad).unwrap_err().starts_with("java.text.ParseException: Unparseable date"),
                "{bad}"
            );
        }
    }

    #[test]
    fn durations_are_read_as_java_reads_them() {
        assert_eq!(duration_ms("PT1M"), Some(60_000));
        assert_eq!(duration_ms("P1DT2H3M4.5S"), Some(93_784_500));
        assert_eq!(duration_ms("p2d"), Some(172_800_000));
        assert_eq!(duration_ms("-PT1S"), Some(-1000));
        assert_eq!(duration_ms("PT-1.5S"), Some(-1500));
        for bad in ["", "P", "PT", "1M", "P1M", "PT1", "PT1M1H", "P1DT"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }
}
