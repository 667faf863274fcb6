//! Prosody's configuration as data: assignments of texts, numbers, booleans and tables, below the host or component that they are
//! for. It is a Lua program; nothing is run, and what is more than an assignment is told by its line and left out.

/// Deepest nesting of tables that is read; real files have three.
const MAX_DEPTH: usize = 16;

/// Whom an assignment is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Global,
    Host(String),
    Component { name: String, kind: String },
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Flag(bool),
    /// The entries without a name; those with one are left out.
    List(Vec<Value>),
    Nil,
}

/// `name = value` in a section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) section: Section,
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) line: usize,
}

/// What was read, and the lines that say something else.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) sections: Vec<Section>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) unread: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Mark(char),
}

pub(crate) fn read(text: &str) -> Configuration {
    let mut reader = Reader { tokens: tokens(text), at: 0 };
    let mut configuration = Configuration::default();
    let mut section = Section::Global;
    while let Some((token, line)) = reader.peek().cloned() {
        let start = reader.at;
        let is_read = match token {
            Token::Mark(';') => {
                reader.at += 1;
                true
            }
            Token::Name(word) if word == "VirtualHost" || word == "Component" => match reader.section(&word) {
                Some(next) => {
                    configuration.sections.push(next.clone());
                    section = next;
                    true
                }
                None => false,
            },
            Token::Name(name) => match reader.assigned() {
                Some(value) => {
                    configuration.assignments.push(Assignment { section: section.clone(), name, value, line });
                    true
                }
                None => false,
            },
            Token::Text(_) | Token::Number(_) | Token::Mark(_) => false,
        };
        if !is_read {
            // The next line may begin something that is known.
            reader.at = start + 1;
            while reader.peek().is_some_and(|(_, other)| *other == line) {
                reader.at += 1;
            }
            configuration.unread.push(line);
        }
    }
    configuration
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&(Token, usize)> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let (token, _) = self.tokens.get(self.at)?.clone();
        self.at += 1;
        Some(token)
    }

    fn skip(&mut self, mark: char) -> bool {
        let is_there = self.peek().is_some_and(|(token, _)| *token == Token::Mark(mark));
        self.at += usize::from(is_there);
        is_there
    }

    fn text(&mut self) -> Option<String> {
        let in_parentheses = self.skip('(');
        let Some(Token::Text(text)) = self.take() else { return None };
        (!in_parentheses || self.skip(')')).then_some(text)
    }

    /// `VirtualHost "name"`, `Component "name" "kind"`.
    fn section(&mut self, word: &str) -> Option<Section> {
        self.at += 1;
        let name = self.text()?;
        if word == "VirtualHost" {
            return Some(Section::Host(name));
        }
        let has_kind = matches!(self.peek(), Some((Token::Text(_), _)));
        let kind = if has_kind { self.text()? } else { String::new() };
        Some(Section::Component { name, kind })
    }

    /// The value behind a name and `=`, if nothing is done to it.
    fn assigned(&mut self) -> Option<Value> {
        self.at += 1;
        if !self.skip('=') {
            return None;
        }
        let value = self.value(0)?;
        let goes_on = matches!(self.peek(), Some((Token::Mark(mark), _)) if *mark != ';');
        (!goes_on).then_some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let value = match self.take()? {
            Token::Text(text) => Value::Text(text),
            Token::Number(number) => Value::Number(number),
            Token::Name(name) if name == "true" || name == "false" => Value::Flag(name == "true"),
            Token::Name(name) if name == "nil" => Value::Nil,
            Token::Mark('-') => match self.take()? {
                Token::Number(number) => Value::Number(-number),
                Token::Name(_) | Token::Text(_) | Token::Mark(_) => return None,
            },
            Token::Mark('{') if depth < MAX_DEPTH => Value::List(self.list(depth + 1)?),
            Token::Name(_) | Token::Mark(_) => return None,
        };
        Some(value)
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !self.skip('}') {
            let is_named = match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
                (Some((Token::Mark('['), _)), _) => {
                    self.at += 1;
                    self.value(depth)?;
                    if !self.skip(']') || !self.skip('=') {
                        return None;
                    }
                    true
                }
                (Some((Token::Name(_), _)), Some((Token::Mark('='), _))) => {
                    self.at += 2;
                    true
                }
                _ => false,
            };
            let value = self.value(depth)?;
            if !is_named {
                values.push(value);
            }
            if !self.skip(',') && !self.skip(';') && !matches!(self.peek(), Some((Token::Mark('}'), _))) {
                return None;
            }
        }
        Some(values)
    }
}

/// The words of a program with their lines; comments and what is no word are left out.
fn tokens(text: &str) -> Vec<(Token, usize)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let start = line;
        let (token, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if let Some(comment) = rest.strip_prefix("--") {
            let long = comment.starts_with("[[").then(|| comment.find("]]").map_or(comment.len(), |end| end + 2));
            (None, 2 + long.unwrap_or_else(|| comment.find('\n').unwrap_or(comment.len())))
        } else if let Some(inner) = rest.strip_prefix("[[") {
            let end = inner.find("]]").unwrap_or(inner.len());
            (inner.get(..end).map(|text| Token::Text(text.to_owned())), (end + 4).min(rest.len()))
        } else if first == '"' || first == '\'' {
            let (text, length) = quoted(rest, first);
            (Some(Token::Text(text)), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (rest.get(..length).map(|name| Token::Name(name.to_owned())), length)
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            let number = rest.get(..length).and_then(|number| number.parse().ok());
            (number.map_or(Some(Token::Mark('?')), |number| Some(Token::Number(number))), length)
        } else {
            (Some(Token::Mark(first)), first.len_utf8())
        };
        let (read, after) = rest.split_at(length);
        line += read.matches('\n').count();
        rest = after;
        tokens.extend(token.map(|token| (token, start)));
    }
    tokens
}

/// A quoted text, and how many bytes it takes with its quotes.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return (value, at + 1),
            '\n' => return (value, at),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_programs_are_not() {
        let text = "-- a comment\n--[[ a longer\none ]] plugin_paths = { \"/a\", '/b'; }\nadmins = { }\n\
                    VirtualHost \"meet.example\"\n  authentication = \"token\";\n  app_secret = 'it\\'s'\n  ratio = -1.5\n\
                      local x = os.getenv(\"HOME\")\n  name = \"a\" .. x\n  flag = true nothing = nil\n\
                    Component(\"muc.meet.example\") \"muc\"\n  modules_enabled = { \"a\", named = { 1 }, [\"k\"] = 2, \"b\" }\n\
                      long = [[ as it\nis ]]\n";
        let read = read(text);
        let host = Section::Host("meet.example".to_owned());
        let muc = Section::Component { name: "muc.meet.example".to_owned(), kind: "muc".to_owned() };
        assert_eq!(read.sections, [host.clone(), muc.clone()]);
        let texts = |texts: &[&str]| Value::List(texts.iter().map(|text| Value::Text((*text).to_owned())).collect());
        let expected = [
            (Section::Global, "plugin_paths", texts(&["/a", "/b"]), 3),
            (Section::Global, "admins", texts(&[]), 4),
            (host.clone(), "authentication", Value::Text("token".to_owned()), 6),
            (host.clone(), "app_secret", Value::Text("it's".to_owned()), 7),
            (host.clone(), "ratio", Value::Number(-1.5), 8),
            (host.clone(), "flag", Value::Flag(true), 11),
            (host, "nothing", Value::Nil, 11),
            (muc.clone(), "modules_enabled", texts(&["a", "b"]), 13),
            (muc, "long", Value::Text(" as it\nis ".to_owned()), 14),
        ];
        let expected =
            expected.map(|(section, name, value, line)| Assignment { section, name: name.to_owned(), value, line });
        assert_eq!(read.assignments, expected);
        assert_eq!(read.unread, [9, 10]);
    }

    #[test]
    fn no_text_makes_it_fail() {
        for text in [
            "",
            "=",
            "a =",
            "a = {",
            "a = \"",
            "a = {{{{{{{{{{{{{{{{{{{{",
            "VirtualHost",
            "Component \"a\" {",
            "--[[",
            "[[",
            "é = 'ü",
        ] {
            let _ = read(text);
        }
        assert!(read(&format!("a = {}1{}", "{".repeat(40), "}".repeat(40))).assignments.is_empty());
    }
}
