//! Unified social credit codes with right check characters (GB 32100-2015; organisation codes: GB 11714-1997).

const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
const ORGANISATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
/// Administrative division: a made-up one of Xiamen (3502) that no district has.
const DIVISION: &str = "350299";

/// The code of firm `number`; sole traders have another category than companies.
pub fn uscc(number: u64, sole_trader: bool) -> String {
    // Numbers far apart look less like a count.
    let serial = (number * 7919 + 10_000_000) % 100_000_000;
    let organisation = format!("{serial:08}");
    let sum: u32 = organisation.bytes().zip(ORGANISATION_WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    let check = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        n => char::from_digit(n, 10).unwrap_or('0'),
    };
    let category = if sole_trader { '2' } else { '1' };
    let body = format!("9{category}{DIVISION}{organisation}{check}");
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(b, w)| place(b) * w).sum();
    let last = ALPHABET.get(((31 - sum % 31) % 31) as usize).copied().unwrap_or(b'0');
    format!("{body}{}", char::from(last))
}

fn place(c: u8) -> u32 {
    ALPHABET.iter().position(|a| *a == c).and_then(|p| u32::try_from(p).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_characters_hold() {
        // Codes of the public register: the standard's rule gives their last characters.
        for code in ["91350100M000100Y43", "9144030071526726XG", "914403001922038216"] {
            let sum: u32 = code.bytes().zip(WEIGHTS).map(|(b, w)| place(b) * w).sum();
            assert!(code.ends_with(char::from(ALPHABET[((31 - sum % 31) % 31) as usize])), "{code}");
        }
        let made = uscc(12, true);
        assert_eq!((made.len(), &made[..8]), (18, "92350299"));
        assert_ne!(uscc(12, true), uscc(13, true));
    }
}
