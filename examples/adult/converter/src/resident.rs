//! Made-up citizen identification numbers (GB 11643-1999).

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/// The number of somebody registered in `division`, born on a day there as number `sequence` (0 to 999), with its check character
/// (ISO 7064 MOD 11-2).
pub fn resident_id(division: u32, year: u32, month: u32, day: u32, sequence: u32) -> String {
    let body = format!("{division:06}{year:04}{month:02}{day:02}{sequence:03}");
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit.saturating_sub(b'0')) * weight).sum();
    let check = (12 - sum % 11) % 11;
    if check == 10 { format!("{body}X") } else { format!("{body}{check}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_characters_are_those_of_the_standard() {
        // The examples of GB 11643-1999.
        assert_eq!(resident_id(110_105, 1949, 12, 31, 2), "11010519491231002X");
        assert_eq!(resident_id(440_524, 1880, 1, 1, 1), "440524188001010014");
    }
}
