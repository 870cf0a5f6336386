use super::*;
use proptest::prelude::*;

fn key() -> SealKey {
    SealKey::from_bytes(&[7; 32])
}

fn plain(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Around every edge of the layout, and a few far from one.
fn edges() -> Vec<usize> {
    let mut sizes = vec![0, 1, 15, 16, 17];
    for chunks in 1..=5 {
        let at = chunks * CHUNK_BYTES;
        sizes.extend([at - 17, at - 16, at - 1, at, at + 1, at + 16]);
    }
    sizes
}

#[test]
fn every_edge_round_trips_on_any_number_of_threads() {
    for size in edges() {
        let text = plain(size);
        let sealed = seal(&key(), b"ctx", &text).unwrap();
        assert_eq!(sealed.len() as u64, sealed_bytes(size as u64).unwrap());
        for threads in [0, 1, 2, 3, 7] {
            assert_eq!(*open_all(&key(), b"ctx", &sealed, threads).unwrap(), text, "{size} on {threads}");
        }
        let opener = Opener::new(&key(), b"ctx", &sealed[..HEADER_BYTES]).unwrap();
        let mut random_access = Vec::new();
        for i in (0..opener.chunks()).rev() {
            let span = opener.chunk_span(i).unwrap();
            let mut buf = sealed[span.start as usize..span.end as usize].to_vec();
            let mut part = opener.open_chunk(i, &mut buf).unwrap().to_vec();
            part.extend(random_access);
            random_access = part;
        }
        assert_eq!(random_access, text);
        assert!(opener.chunk_span(opener.chunks()).is_none());
    }
}

#[test]
fn every_truncation_and_extension_at_an_edge_is_refused() {
    for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES * 3, CHUNK_BYTES * 3 + 5] {
        let sealed = seal(&key(), b"ctx", &plain(size)).unwrap();
        let mut cuts: Vec<usize> = (0..=HEADER_BYTES).collect();
        cuts.extend((0..5).flat_map(|i| {
            let at = HEADER_BYTES + i * STRIDE_BYTES;
            [at.saturating_sub(TAG_BYTES), at - 1, at, at + 1]
        }));
        for cut in cuts.into_iter().filter(|c| *c < sealed.len()) {
            assert!(open_all(&key(), b"ctx", &sealed[..cut], 2).is_err(), "{size} cut at {cut}");
        }
        for more in [1, TAG_BYTES, STRIDE_BYTES] {
            let mut long = sealed.clone();
            long.resize(sealed.len() + more, 0);
            assert!(open_all(&key(), b"ctx", &long, 2).is_err());
        }
    }
}

/// A cut on a chunk boundary with a header that was made to agree: the associated data and the last flag refuse it.
#[test]
fn truncation_with_an_adjusted_header_is_refused() {
    let sealed = seal(&key(), b"ctx", &plain(CHUNK_BYTES * 2)).unwrap();
    let mut cut = sealed[..HEADER_BYTES + STRIDE_BYTES].to_vec();
    cut[16..24].copy_from_slice(&(CHUNK_BYTES as u64).to_le_bytes());
    assert!(matches!(open_all(&key(), b"ctx", &cut, 1), Err(SealError::Altered)));
}

#[test]
fn swapped_and_repeated_chunks_are_refused() {
    let sealed = seal(&key(), b"ctx", &plain(CHUNK_BYTES * 4)).unwrap();
    let at = |i: usize| HEADER_BYTES + i * STRIDE_BYTES..HEADER_BYTES + (i + 1) * STRIDE_BYTES;
    for (a, b) in [(0, 1), (1, 3), (0, 3)] {
        let mut swapped = sealed.clone();
        swapped[at(a)].copy_from_slice(&sealed[at(b)]);
        assert!(matches!(open_all(&key(), b"ctx", &swapped, 2), Err(SealError::Altered)), "repeated");
        swapped[at(b)].copy_from_slice(&sealed[at(a)]);
        assert!(matches!(open_all(&key(), b"ctx", &swapped, 2), Err(SealError::Altered)), "swapped");
    }
    // A chunk of another file under the same key and context.
    let other = seal(&key(), b"ctx", &plain(CHUNK_BYTES * 4)).unwrap();
    let mut mixed = sealed.clone();
    mixed[at(2)].copy_from_slice(&other[at(2)]);
    assert!(matches!(open_all(&key(), b"ctx", &mixed, 2), Err(SealError::Altered)));
}

#[test]
fn another_key_context_or_algorithm_is_refused_and_the_output_wiped() {
    let text = plain(CHUNK_BYTES + 3);
    let sealed = seal(&key(), b"ctx", &text).unwrap();
    assert!(matches!(open_all(&SealKey::from_bytes(&[8; 32]), b"ctx", &sealed, 1), Err(SealError::Altered)));
    assert!(matches!(open_all(&key().derive("a"), b"ctx", &sealed, 1), Err(SealError::Altered)));
    assert!(matches!(open_all(&key(), b"cty", &sealed, 1), Err(SealError::Altered)));
    let mut sm4 = sealed.clone();
    sm4[8] = 2;
    let error = open_all(&key(), b"ctx", &sm4, 1).unwrap_err();
    assert!(matches!(error, SealError::UnknownAlgorithm(2)) && error.to_string().contains('2'));
    assert!(matches!(open_all(&key(), b"ctx", b"FBXSEG02", 1), Err(SealError::NotSealed)));

    let mut flipped = sealed.clone();
    *flipped.last_mut().unwrap() ^= 1; // the first chunk opens, the last does not
    let mut out = vec![1u8; text.len()];
    assert!(open_into(&key(), b"ctx", &flipped, &mut out, 1).is_err());
    assert!(out.iter().all(|b| *b == 0), "nothing of the chunk that did open may stay");
    assert!(matches!(open_into(&key(), b"ctx", &sealed, &mut out[1..], 1), Err(SealError::Length)));
}

#[test]
fn sealing_hides_the_text_and_never_repeats() {
    let text = b"110101199003074578".repeat(100);
    let (a, b) = (seal(&key(), b"ctx", &text).unwrap(), seal(&key(), b"ctx", &text).unwrap());
    assert_ne!(a[24..], b[24..]);
    assert!(!a.windows(18).any(|w| w == &text[..18]));
}

#[test]
fn a_sealer_holds_its_writer_to_the_announced_length() {
    let mut short = Sealer::new(&key(), b"", 3, Vec::new()).unwrap();
    short.push(b"ab").unwrap();
    assert!(matches!(short.finish(), Err(SealError::PlaintextLength)));
    let mut long = Sealer::new(&key(), b"", 3, Vec::new()).unwrap();
    assert!(matches!(long.push(b"abcd"), Err(SealError::PlaintextLength)));
}

#[test]
fn derived_keys_and_contexts_are_distinct() {
    let keys = ["", "a", "b", "ab"].map(|label| *key().derive(label).as_bytes());
    assert!((0..4).all(|i| (0..i).all(|j| keys[i] != keys[j]) && keys[i] != *key().as_bytes()));
    assert_eq!(keys[1], *key().derive("a").as_bytes());
    assert_ne!(segment_context("a", 1, "bc"), segment_context("ab", 1, "c"));
    assert_ne!(segment_context("a", 1, "b"), segment_context("a", 2, "b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_of_the_plaintext_round_trips(size in 0usize..CHUNK_BYTES * 3, piece in 1usize..100_000) {
        let text = plain(size);
        let mut sealer = Sealer::new(&key(), b"p", size as u64, Vec::new()).unwrap();
        for part in text.chunks(piece) {
            sealer.push(part).unwrap();
        }
        prop_assert_eq!(&*open_all(&key(), b"p", &sealer.finish().unwrap(), 2).unwrap(), &text);
    }

    #[test]
    fn any_flipped_bit_is_refused(size in 0usize..CHUNK_BYTES * 2 + 9, place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut sealed = seal(&key(), b"p", &plain(size)).unwrap();
        let place = place.index(sealed.len());
        sealed[place] ^= 1 << bit;
        prop_assert!(open_all(&key(), b"p", &sealed, 2).is_err());
    }

    #[test]
    fn every_bit_of_the_header_is_refused(place in 0usize..HEADER_BYTES, bit in 0u8..8) {
        let mut sealed = seal(&key(), b"p", b"short").unwrap();
        sealed[place] ^= 1 << bit;
        prop_assert!(open_all(&key(), b"p", &sealed, 1).is_err());
    }
}

#[test]
fn a_file_opens_as_its_bytes_do_and_no_altered_one() {
    let open = |bytes: &[u8], context: &[u8], max: u64, threads| {
        let fd = crate::memfd::sealed("t", bytes).unwrap();
        open_file(&key(), context, &fd, max, threads).map(|b| b.as_slice().to_vec())
    };
    for size in edges() {
        let text = plain(size);
        let sealed = seal(&key(), b"ctx", &text).unwrap();
        for threads in [0, 1, 2, 3, 7] {
            assert_eq!(open(&sealed, b"ctx", size as u64, threads).unwrap(), text, "{size} on {threads}");
        }
        assert!(matches!(open(&sealed, b"other", size as u64, 2), Err(SealError::Altered)));
        assert!(size == 0 || matches!(open(&sealed, b"ctx", size as u64 - 1, 2), Err(SealError::Length)));
        assert!(open(&sealed[..sealed.len() - 1], b"ctx", size as u64, 2).is_err());
        assert!(open(&[&sealed[..], &[0]].concat(), b"ctx", size as u64, 2).is_err());
        for at in [8, 16, 24, 63, 64, sealed.len() / 2, sealed.len() - 1] {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&altered, b"ctx", u64::MAX, 2).is_err(), "{size}: byte {at}");
        }
    }
    assert!(matches!(open(&[], b"ctx", 0, 1), Err(SealError::NotSealed)));
}
