//! Lua's patterns (Lua 5.4 manual §6.4.1), in which room claims of stock are written. Bytes, as in Lua; bounded work.
//!
//! A pattern is data of whoever signs tokens, and may take exponential time: after [`MAX_STEPS`] it counts as one that does
//! not match.

/// Longest pattern, in bytes. Bounds how deep the matcher goes.
const MAX_PATTERN_BYTES: usize = 256;
/// Tries after which a pattern is given up.
const MAX_STEPS: u32 = 20_000;
/// Parts that a pattern can capture, as in Lua.
const MAX_CAPTURES: usize = 32;

/// Not a pattern, or too long a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidPattern;

/// What `text:match(pattern)` answers in Lua: the first capture, or all that matched when there is none. `None` when
/// nothing does, or when the first capture is a position.
pub(crate) fn find<'t>(pattern: &[u8], text: &'t [u8]) -> Result<Option<&'t [u8]>, InvalidPattern> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(InvalidPattern);
    }
    let (pattern, is_anchored) = match pattern.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let starts = if is_anchored { 0..=0 } else { 0..=text.len() };
    let mut steps = MAX_STEPS;
    for start in starts {
        let mut matcher = Matcher { pattern, text, captures: Vec::new(), steps };
        let end = matcher.run(start, 0)?;
        steps = matcher.steps;
        if let Some(end) = end {
            return Ok(match matcher.captures.first() {
                None => text.get(start..end),
                Some(Capture { start, end: CaptureEnd::At(end) }) => text.get(*start..*end),
                Some(Capture { end: CaptureEnd::Position, .. }) => None,
                Some(Capture { end: CaptureEnd::Open, .. }) => return Err(InvalidPattern),
            });
        }
    }
    Ok(None)
}

struct Matcher<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
    captures: Vec<Capture>,
    steps: u32,
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    end: CaptureEnd,
}

#[derive(Clone, Copy)]
enum CaptureEnd {
    Open,
    At(usize),
    Position,
}

type Found = Result<Option<usize>, InvalidPattern>;

impl Matcher<'_> {
    /// Where the match of the pattern from `at` on ends, for text from `from` on.
    fn run(&mut self, mut from: usize, mut at: usize) -> Found {
        loop {
            let Some(steps) = self.steps.checked_sub(1) else { return Ok(None) };
            self.steps = steps;
            match (self.pattern.get(at), self.pattern.get(at + 1)) {
                (None, _) => return Ok(Some(from)),
                (Some(b'('), Some(b')')) => return self.open(from, at + 2, CaptureEnd::Position),
                (Some(b'('), _) => return self.open(from, at + 1, CaptureEnd::Open),
                (Some(b')'), _) => return self.close(from, at + 1),
                (Some(b'$'), None) => return Ok((from == self.text.len()).then_some(from)),
                (Some(b'%'), Some(b'b')) => match self.balanced(from, at + 2)? {
                    Some(end) => (from, at) = (end, at + 4),
                    None => return Ok(None),
                },
                (Some(b'%'), Some(b'f')) => {
                    let end = self.end_of_class(at + 2)?;
                    if self.pattern.get(at + 2) != Some(&b'[') {
                        return Err(InvalidPattern);
                    }
                    let before = from.checked_sub(1).and_then(|index| self.text.get(index)).copied().unwrap_or(0);
                    let after = self.text.get(from).copied().unwrap_or(0);
                    if self.is_in_class(before, at + 2, end) || !self.is_in_class(after, at + 2, end) {
                        return Ok(None);
                    }
                    at = end;
                }
                (Some(b'%'), Some(digit @ b'0'..=b'9')) => {
                    let Some(end) = self.repeated(from, *digit)? else { return Ok(None) };
                    (from, at) = (end, at + 2);
                }
                (Some(_), _) => {
                    let end = self.end_of_class(at)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.is_single(from, at, end)
                                && let Some(found) = self.run(from + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            at = end + 1;
                        }
                        Some(b'+') if !self.is_single(from, at, end) => return Ok(None),
                        Some(b'+') => return self.longest(from + 1, at, end),
                        Some(b'*') => return self.longest(from, at, end),
                        Some(b'-') => return self.shortest(from, at, end),
                        Some(_) | None if self.is_single(from, at, end) => (from, at) = (from + 1, end),
                        Some(_) | None => return Ok(None),
                    }
                }
            }
        }
    }

    fn longest(&mut self, from: usize, at: usize, end: usize) -> Found {
        let mut count = 0;
        while self.is_single(from + count, at, end) {
            count += 1;
        }
        for taken in (0..=count).rev() {
            if let Some(found) = self.run(from + taken, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn shortest(&mut self, mut from: usize, at: usize, end: usize) -> Found {
        loop {
            if let Some(found) = self.run(from, end + 1)? {
                return Ok(Some(found));
            }
            if !self.is_single(from, at, end) {
                return Ok(None);
            }
            from += 1;
        }
    }

    fn open(&mut self, from: usize, at: usize, end: CaptureEnd) -> Found {
        if self.captures.len() >= MAX_CAPTURES {
            return Err(InvalidPattern);
        }
        let before = self.captures.len();
        self.captures.push(Capture { start: from, end });
        let found = self.run(from, at)?;
        if found.is_none() {
            self.captures.truncate(before);
        }
        Ok(found)
    }

    fn close(&mut self, from: usize, at: usize) -> Found {
        let open = self.captures.iter().rposition(|capture| matches!(capture.end, CaptureEnd::Open));
        let index = open.ok_or(InvalidPattern)?;
        self.set_end(index, CaptureEnd::At(from));
        let found = self.run(from, at)?;
        if found.is_none() {
            self.set_end(index, CaptureEnd::Open);
        }
        Ok(found)
    }

    fn set_end(&mut self, index: usize, end: CaptureEnd) {
        if let Some(capture) = self.captures.get_mut(index) {
            capture.end = end;
        }
    }

    /// `%1` to `%9`: what was captured before, again.
    fn repeated(&self, from: usize, digit: u8) -> Found {
        let index = usize::from(digit.wrapping_sub(b'1'));
        let Some(Capture { start, end: CaptureEnd::At(end) }) = self.captures.get(index) else {
            return Err(InvalidPattern);
        };
        let captured = self.text.get(*start..*end).unwrap_or_default();
        let rest = self.text.get(from..).unwrap_or_default();
        Ok(rest.starts_with(captured).then_some(from + captured.len()))
    }

    /// `%bxy`: from x to the y that belongs to it.
    fn balanced(&self, from: usize, at: usize) -> Found {
        let (Some(open), Some(close)) = (self.pattern.get(at), self.pattern.get(at + 1)) else {
            return Err(InvalidPattern);
        };
        if self.text.get(from) != Some(open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (index, byte) in self.text.iter().enumerate().skip(from + 1) {
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(index + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// Where the single class that begins at `at` ends.
    fn end_of_class(&self, at: usize) -> Result<usize, InvalidPattern> {
        match self.pattern.get(at) {
            Some(b'%') if at + 1 < self.pattern.len() => Ok(at + 2),
            Some(b'[') => {
                let mut index = at + 1;
                if self.pattern.get(index) == Some(&b'^') {
                    index += 1;
                }
                // A bracket that comes first stands for itself.
                loop {
                    match self.pattern.get(index) {
                        None => return Err(InvalidPattern),
                        Some(b'%') => index += 2,
                        Some(_) => index += 1,
                    }
                    if self.pattern.get(index) == Some(&b']') {
                        return Ok(index + 1);
                    }
                }
            }
            Some(b'%') | None => Err(InvalidPattern),
            Some(_) => Ok(at + 1),
        }
    }

    /// Whether the byte of the text is in the class.
    fn is_single(&mut self, from: usize, at: usize, end: usize) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.text.get(from).is_some_and(|byte| self.is_in_class(*byte, at, end))
    }

    fn is_in_class(&self, byte: u8, at: usize, end: usize) -> bool {
        match self.pattern.get(at) {
            Some(b'.') => true,
            Some(b'%') => self.pattern.get(at + 1).is_some_and(|class| is_of(byte, *class)),
            Some(b'[') => is_in_set(byte, self.pattern.get(at + 1..end - 1).unwrap_or_default()),
            Some(literal) => *literal == byte,
            None => false,
        }
    }
}

/// Whether a byte is in what stands between brackets.
fn is_in_set(byte: u8, set: &[u8]) -> bool {
    let (mut set, is_negated) = match set.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (set, false),
    };
    let mut is_in = false;
    loop {
        let rest;
        (is_in, rest) = match set {
            [] => return is_in != is_negated,
            [b'%', class, rest @ ..] => (is_in || is_of(byte, *class), rest),
            [first, b'-', last, rest @ ..] => (is_in || (*first..=*last).contains(&byte), rest),
            [literal, rest @ ..] => (is_in || *literal == byte, rest),
        };
        set = rest;
    }
}

/// Whether a byte is of the class of that letter (`%a`); the large letter is the opposite, everything else itself.
fn is_of(byte: u8, class: u8) -> bool {
    let is_of = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0B,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        _ => return class == byte,
    };
    is_of != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str) -> Result<Option<String>, InvalidPattern> {
        super::find(pattern.as_bytes(), text.as_bytes())
            .map(|found| found.map(|found| String::from_utf8_lossy(found).into_owned()))
    }

    /// What Lua 5.4 answers to `text:match(pattern)`.
    #[test]
    fn matches_what_lua_matches() {
        let table = [
            ("abc", "xabcx", Some("abc")),
            ("^abc", "xabc", None),
            ("b$", "ab", Some("b")),
            ("a.c", "abc", Some("abc")),
            ("%d+", "ab123c", Some("123")),
            ("%D+", "12ab", Some("ab")),
            ("[a-c]*", "abcd", Some("abc")),
            ("[^a-c]+", "abcde", Some("de")),
            ("[]]", "]", Some("]")),
            ("[^]]", "]a", Some("a")),
            ("[%]x]+", "x]", Some("x]")),
            ("[a%-]+", "a-a", Some("a-a")),
            ("[a-]+", "a-a", Some("a-a")),
            ("a-b", "aab", Some("aab")),
            ("a?b", "b", Some("b")),
            ("x*", "aaa", Some("")),
            ("(%a+)-(%d+)", "team-7", Some("team")),
            ("()a", "ba", None),
            ("(a)%1", "aab", Some("a")),
            ("%b()", "f(a(b)c)", Some("(a(b)c)")),
            ("%f[%w]%w+", "--ab", Some("ab")),
            ("%.", "a.b", Some(".")),
            ("team%-%d%d?", "team-12", Some("team-12")),
            ("^(team)", "teamx", Some("team")),
            ("$", "ab", Some("")),
            ("a$b", "a$b", Some("a$b")),
            ("", "ab", Some("")),
            ("(a*(.)%w(%s*))", "aXb c", Some("aXb ")),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(find(pattern, text), Ok(expected.map(str::to_owned)), "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_apart() {
        for pattern in ["[a", "%", "(a", "a)", "%1", "%b", "%bx", "%f", "[%", "[^", "(", "()%1", "%fx"] {
            assert_eq!(find(pattern, "aaaa"), Err(InvalidPattern), "{pattern}");
        }
        assert_eq!(find(&"a".repeat(MAX_PATTERN_BYTES + 1), "a"), Err(InvalidPattern));
        assert_eq!(find(&"()".repeat(MAX_CAPTURES + 1), "a"), Err(InvalidPattern));
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_is_given_up() {
        let text = "a".repeat(1000);
        assert_eq!(find(&format!("{}b", "a*".repeat(60)), &text), Ok(None));
        assert_eq!(find(&format!("^{}b", ".-".repeat(100)), &text), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_makes_it_fail(pattern in "[a%\\[\\]()^$.*+?bf1-]{0,24}", text in "[a()\\[b]{0,16}") {
            let _ = find(&pattern, &text);
        }
    }
}
