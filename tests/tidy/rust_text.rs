//! Reading Rust by its text: enough for rules about words, lines and braces after rustfmt; no parser.

use std::collections::BTreeSet;

/// One file of the tree: its path from the top, and its text.
#[derive(Clone)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    #[cfg(test)]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// The same text with comments, strings and characters blanked out; lines stay where they are.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => find(bytes, at, b"\n").unwrap_or(bytes.len()),
            [b'/', b'*', ..] => block_comment_end(bytes, at),
            [b'"', ..] => string_end(bytes, at),
            [b'r', b'"' | b'#', ..] if !follows_word(bytes, at) => raw_string_end(bytes, at),
            [b'\'', ..] => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    bytes[from..].windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], from: usize) -> usize {
    let hashes = bytes[from + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = from + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return from; // r#name, an identifier
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    find(bytes, open + 1, &close).map_or(bytes.len(), |at| at + close.len())
}

/// A character such as `'x'` or `'\n'`; a lifetime is left as it is.
fn char_end(bytes: &[u8], from: usize) -> usize {
    if bytes.get(from + 1) == Some(&b'\\') {
        return find(bytes, from + 3, b"'").map_or(bytes.len(), |at| at + 1);
    }
    let close = (from + 2..=from + 5).find(|at| bytes.get(*at) == Some(&b'\''));
    let Some(close) = close else { return from };
    let inner = String::from_utf8_lossy(&bytes[from + 1..close]).into_owned();
    if inner.chars().count() == 1 { close + 1 } else { from }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    // `b` and `c` may stand before a raw string: br"…".
    at > 0 && is_word(bytes[at - 1]) && !(matches!(bytes[at - 1], b'b' | b'c') && (at == 1 || !is_word(bytes[at - 2])))
}

/// Offsets at which `word` stands alone in a blanked text.
pub fn words(blanked: &str, word: &str) -> Vec<usize> {
    let bytes = blanked.as_bytes();
    let alone = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + word.len());
        !before.is_some_and(|byte| is_word(*byte)) && !after.is_some_and(|byte| is_word(*byte))
    };
    blanked.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

/// The offset after the brace that closes the one at `open`.
pub fn block_end(blanked: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in blanked.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    blanked.len()
}

/// The line, from 1, that holds the offset.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Blanked text without what is compiled for tests only. Lines stay where they are.
pub fn product(text: &str) -> String {
    let blanked = blank(text);
    let mut out = blanked.clone().into_bytes();
    for (at, _) in blanked.match_indices("#[cfg(test)]") {
        let rest = &blanked[at..];
        let brace = rest.find('{').unwrap_or(rest.len());
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let end = if brace < semicolon { block_end(&blanked, at + brace) } else { at + semicolon };
        for byte in &mut out[at..end.min(blanked.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the file lies where cargo looks for tests.
pub fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.starts_with("tests/")
}

/// Files declared by `#[cfg(test)] mod NAME;`, with or without `#[path = "…"]` between, as paths.
pub fn test_only(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let blanked = blank(&file.text);
        let (folder, own) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        for (at, attribute) in blanked.match_indices("#[cfg(test)]") {
            let from = at + attribute.len();
            let item = blanked[from..].split([';', '{']).next().unwrap_or_default();
            let Some(name) = item.split_whitespace().last().filter(|_| !words(item, "mod").is_empty()) else { continue };
            let written = &file.text[from..from + item.len()];
            if let Some((_, path)) = written.split_once("#[path = \"") {
                found.insert(format!("{folder}/{}", path.split('"').next().unwrap_or_default()));
                continue;
            }
            let below = match own.trim_end_matches(".rs") {
                "mod" | "lib" | "main" => folder.to_owned(),
                own => format!("{folder}/{own}"),
            };
            found.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]);
        }
    }
    found
}

/// Functions with their first line and number of lines.
pub fn functions(product: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in words(product, "fn") {
        let rest = &product[at + 2..];
        let name: String = rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue; // a type: fn(…)
        }
        let mut depth = 0_i32;
        let body = rest.bytes().position(|byte| {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(byte, b'{' | b';')
        });
        let Some(body) = body.map(|body| at + 2 + body) else { continue };
        if product.as_bytes()[body] == b'{' {
            let first = line_of(product, at);
            let last = line_of(product, block_end(product, body).saturating_sub(1));
            found.push((name, first, last - first + 1));
        }
    }
    found
}

#[test]
fn comments_strings_and_characters_are_blanked() {
    let text =
        "let a = \"unsafe \\\" {\"; // unsafe\n/* { /* x */ } */ let b = '{'; let c: &'static str = r#\"un\"safe\"#; let d = b\"}\"; '\\''";
    let blanked = blank(text);
    assert!(!blanked.contains("unsafe") && !blanked.contains('{') && !blanked.contains('}'), "{blanked}");
    assert!(blanked.contains("let b =") && blanked.contains("&'static str") && blanked.contains("let d"));
    assert_eq!(blanked.lines().count(), text.lines().count());
    assert_eq!(blanked.len(), text.len());
    assert!(blank("let r#type = '界'; fn f() {}").contains("fn f() {}"));
}

#[test]
fn test_modules_are_cut_out() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { if true {} }\n}\nfn c() {}\n#[cfg(test)]\nmod far;\nfn d() {}\n";
    let names: Vec<String> = functions(&product(text)).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["a", "c", "d"]);
}

#[test]
fn functions_are_measured() {
    let text = "fn a(f: fn(u8) -> [u8; 3]) -> u8\nwhere\n    u8: Copy,\n{\n    1\n}\ntrait T {\n    fn b(&self);\n}\n";
    assert_eq!(functions(&product(text)), [("a".to_owned(), 1, 6)]);
}

#[test]
fn files_for_tests_only_are_known_by_their_declaration() {
    let files = [
        File::new("src/store/mod.rs", "#[cfg(test)]\npub mod testing;\nmod keys;\n#[cfg(test)]\nmod tests { fn x() {} }"),
        File::new("src/store/db.rs", "#[cfg(test)]\n#[path = \"db_tests.rs\"]\npub(super) mod tests;"),
        File::new("src/store/keys.rs", "#[cfg(test)]\nmod planted;\n#[cfg(test)]\nuse a::b;"),
    ];
    let found = test_only(&files);
    assert!(found.contains("src/store/testing.rs") && found.contains("src/store/keys/planted.rs"));
    assert!(found.contains("src/store/db_tests.rs") && !found.contains("src/store/keys.rs"));
    assert!(!found.iter().any(|path| path.ends_with("b.rs")));
}
