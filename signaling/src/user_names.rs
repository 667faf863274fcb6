//! User names that are no local parts of JIDs, such as `ndeye@corp.example`: escaped as XEP-0106 has it.

/// What a local part may not have (RFC 7622 §3.3.1), and the backslash itself.
const ESCAPED: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// The name as a local part.
pub(crate) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match ESCAPED.iter().find(|(plain, _)| *plain == c) {
            Some((_, escape)) => out.push_str(escape),
            None => out.push(c),
        }
    }
    out
}

/// The name that a local part stands for; what is no escape stands for itself.
pub(crate) fn unescaped(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(c) = rest.chars().next() {
        match ESCAPED.iter().find(|(_, escape)| rest.starts_with(escape)) {
            Some((plain, escape)) => {
                out.push(*plain);
                rest = rest.get(escape.len()..).unwrap_or_default();
            }
            None => {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_local_parts() {
        for (name, local) in [
            ("bob", "bob"),
            ("ndeye@corp.example", "ndeye\\40corp.example"),
            ("CORP\\bob", "CORP\\5cbob"),
            ("a b/c", "a\\20b\\2fc"),
            ("é\\40", "é\\5c40"),
        ] {
            assert_eq!(escaped(name), local);
            assert_eq!(unescaped(local), name);
        }
        assert_eq!(unescaped("a\\b\\"), "a\\b\\", "what is no escape stays");
    }
}
