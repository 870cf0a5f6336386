//! Linkage identifiers: one canonical spelling each, checked by their public rules.
//!
//! Joining, pseudonyms and namespace ordinals all start from the canonical spelling, so two spellings of one identifier are one
//! subject everywhere.

use std::borrow::Cow;

use crate::schema::LinkageKey;
use crate::value::days_of_month;

/// First characters of civil plates: the short names of the divisions of GB/T 2260.
const PLATE_DIVISIONS: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
/// Last characters of special plates: trailer, training, police, Hong Kong, Macao, embassy, consulate.
const PLATE_ENDINGS: &str = "挂学警港澳使领";
/// The 31 characters of GB 32100-2015; the value of a character is its place.
const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// The canonical spelling of `text` as an identifier of this kind, or `None` where it is none. Surrounding white space is
/// dropped and letters are raised where the kind has no lower case; an opaque identifier is only trimmed.
pub fn canonical(kind: LinkageKey, text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    match kind {
        LinkageKey::ResidentId => Some(upper(text)).filter(|t| is_resident_id(t.as_bytes())),
        LinkageKey::Uscc => Some(upper(text)).filter(|t| is_uscc(t.as_bytes())),
        LinkageKey::Geocode => Some(Cow::Borrowed(text)).filter(|t| is_geocode(t.as_bytes())),
        LinkageKey::Plate => Some(plate_spelling(text)).filter(|t| is_plate(t)),
        LinkageKey::Opaque => Some(Cow::Borrowed(text)).filter(|t| !t.is_empty() && !t.chars().any(char::is_control)),
    }
}

fn upper(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_lowercase()) { Cow::Owned(text.to_ascii_uppercase()) } else { Cow::Borrowed(text) }
}

/// GB 11643-1999: division (6), day of birth (8), sequence (3), check character by ISO 7064 MOD 11-2.
fn is_resident_id(id: &[u8]) -> bool {
    let Some((body, [check])) = id.split_last_chunk::<1>() else { return false };
    if body.len() != 17 || !body.iter().all(u8::is_ascii_digit) || body.first() == Some(&b'0') {
        return false;
    }
    let number = |from: usize, to: usize| body.get(from..to).unwrap_or(&[]).iter().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
    let (year, month, day) = (number(6, 10), number(10, 12), number(12, 14));
    // MOD 11-2, recursive form: the check character makes the whole congruent to 1.
    let product = body.iter().fold(0u32, |p, b| (p + u32::from(b - b'0')) * 2 % 11);
    let value = match check {
        b'X' => 10,
        b'0'..=b'9' => u32::from(check - b'0'),
        _ => return false,
    };
    (product + value) % 11 == 1 && year >= 1800 && (1..=days_of_month(year, month)).contains(&day)
}

/// GB 32100-2015: 17 characters weighted by 3^i modulo 31, then the character that makes the sum zero.
fn is_uscc(code: &[u8]) -> bool {
    if code.len() != 18 || !code.get(2..8).is_some_and(|d| d.iter().all(u8::is_ascii_digit)) {
        return false;
    }
    let mut weight = 1;
    let mut sum = 0;
    for c in code.iter().take(17) {
        let Some(value) = uscc_value(*c) else { return false };
        sum = (sum + value * weight) % 31;
        weight = weight * 3 % 31;
    }
    code.last().and_then(|c| uscc_value(*c)) == Some((31 - sum) % 31)
}

fn uscc_value(c: u8) -> Option<u32> {
    USCC_ALPHABET.iter().position(|a| *a == c).and_then(|p| u32::try_from(p).ok())
}

fn is_geocode(code: &[u8]) -> bool {
    let length = code.len();
    (2..=12).contains(&length) && (length.is_multiple_of(2) || length == 9) && code.iter().all(u8::is_ascii_digit)
}

fn plate_spelling(text: &str) -> Cow<'_, str> {
    // The dot or blank after the second character is typography.
    let noise = |c: char| matches!(c, '·' | '•' | ' ' | '-') || c.is_ascii_lowercase();
    if text.contains(noise) {
        Cow::Owned(text.chars().filter(|c| !matches!(c, '·' | '•' | ' ' | '-')).map(|c| c.to_ascii_uppercase()).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// GA 36-2018: division, office letter, then five characters (six for new energy), without I and O.
fn is_plate(plate: &str) -> bool {
    let mut chars = plate.chars();
    let (Some(division), Some(office)) = (chars.next(), chars.next()) else { return false };
    let rest: Vec<char> = chars.collect();
    let plain = |c: &char| c.is_ascii_digit() || (c.is_ascii_uppercase() && !matches!(c, 'I' | 'O'));
    PLATE_DIVISIONS.contains(division)
        && office.is_ascii_uppercase()
        && office != 'I'
        && (5..=6).contains(&rest.len())
        && rest.split_last().is_some_and(|(last, body)| body.iter().all(plain) && (plain(last) || PLATE_ENDINGS.contains(*last)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

    /// The check character by the standard's table of weights: another way than the product code's recursion.
    fn resident_id(division: u32, year: u32, month: u32, day: u32, sequence: u32) -> String {
        let body = format!("{division:06}{year:04}{month:02}{day:02}{sequence:03}");
        let sum: u32 = body.bytes().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
        format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
    }

    fn uscc(body: &str) -> String {
        let weights = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
        let place = |c: u8| USCC_ALPHABET.iter().position(|a| *a == c).unwrap();
        let sum: usize = body.bytes().zip(weights).map(|(b, w)| place(b) * w).sum();
        format!("{body}{}", char::from(USCC_ALPHABET[(31 - sum % 31) % 31]))
    }

    #[test]
    fn known_identifiers() {
        // The example of GB 11643-1999, and published codes of companies.
        for good in ["11010519491231002X", "440524188001010014"] {
            assert_eq!(canonical(LinkageKey::ResidentId, good).unwrap(), good);
        }
        assert_eq!(canonical(LinkageKey::ResidentId, " 11010519491231002x ").unwrap(), "11010519491231002X");
        for bad in ["", "11010519491231002", "110105194912310021", "11010519490231002X", "1101051949123100２X"] {
            assert_eq!(canonical(LinkageKey::ResidentId, bad), None, "{bad}");
        }
        for good in ["91350100M000100Y43", "914403001922038216", "9144030071526726XG", "91330100799655058B"] {
            assert_eq!(canonical(LinkageKey::Uscc, good).unwrap(), good);
            assert_eq!(canonical(LinkageKey::Uscc, &good.to_lowercase()).unwrap(), good);
        }
        assert_eq!(canonical(LinkageKey::Uscc, "91350100M000100Y44"), None);
        for good in ["35", "3502", "350203", "350203001", "350203001002"] {
            assert_eq!(canonical(LinkageKey::Geocode, good).unwrap(), good);
        }
        for bad in ["3", "350", "3502030", "35020300100", "35020a", "3502030010021"] {
            assert_eq!(canonical(LinkageKey::Geocode, bad), None, "{bad}");
        }
        assert_eq!(canonical(LinkageKey::Plate, "闽d·12345").unwrap(), "闽D12345");
        for good in ["京A12345", "粤BD12345", "苏E1234挂", "粤Z1234港"] {
            assert_eq!(canonical(LinkageKey::Plate, good).unwrap(), good);
        }
        for bad in ["A12345", "京A1234", "京AI2345", "京A1234567", "京I12345"] {
            assert_eq!(canonical(LinkageKey::Plate, bad), None, "{bad}");
        }
        assert_eq!(canonical(LinkageKey::Opaque, " N14228 ").unwrap(), "N14228");
        assert_eq!(canonical(LinkageKey::Opaque, "  "), None);
        assert_eq!(canonical(LinkageKey::Opaque, "a\u{0}b"), None);
    }

    fn changed(text: &str, at: usize, to: u8) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        (bytes[at] != to).then(|| {
            bytes[at] = to;
            String::from_utf8(bytes).unwrap()
        })
    }

    proptest! {
        #[test]
        fn any_single_change_of_a_resident_id_is_caught(
            division in 110_000u32..820_000, year in 1900u32..2030, month in 1u32..13, day in 1u32..29, sequence in 0u32..1000,
            at in 0usize..18, to in 0x21u8..0x7f,
        ) {
            let id = resident_id(division, year, month, day, sequence);
            prop_assert_eq!(canonical(LinkageKey::ResidentId, &id).unwrap(), id.as_str());
            if let Some(other) = changed(&id, at, to) {
                // A lower-case x is the same character.
                let same = other.to_ascii_uppercase() == id;
                prop_assert_eq!(canonical(LinkageKey::ResidentId, &other).is_some(), same);
            }
        }

        #[test]
        fn any_single_change_of_a_uscc_is_caught(
            head in "[1-9A-HJ-NPQRTUWXY][1-9]", division in "[0-9]{6}", body in "[0-9A-HJ-NPQRTUWXY]{9}", at in 0usize..18, to in 0x21u8..0x7f,
        ) {
            let code = uscc(&format!("{head}{division}{body}"));
            prop_assert_eq!(canonical(LinkageKey::Uscc, &code).unwrap(), code.as_str());
            if let Some(other) = changed(&code, at, to) {
                let same = other.to_ascii_uppercase() == code;
                prop_assert_eq!(canonical(LinkageKey::Uscc, &other).is_some(), same);
            }
        }

        #[test]
        fn a_canonical_spelling_is_its_own(text in "\\PC{0,24}", kind in 0usize..5) {
            let kind = [LinkageKey::ResidentId, LinkageKey::Uscc, LinkageKey::Geocode, LinkageKey::Plate, LinkageKey::Opaque][kind];
            if let Some(once) = canonical(kind, &text) {
                prop_assert_eq!(canonical(kind, &once).unwrap(), once.as_ref());
            }
        }
    }
}
