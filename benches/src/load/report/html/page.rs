//! Frame, style and tables of a page.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use crate::load::report::TOOL;
use crate::load::report::table::Table;

/// Text as it may stand in HTML and SVG, in attributes too. Control characters but line ends are replaced.
pub(in crate::load) struct Escaped<'a>(pub(in crate::load) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                '\n' => formatter.write_char('\n')?,
                letter if letter.is_control() => formatter.write_char('\u{fffd}')?,
                letter => formatter.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A page that is being written.
pub(in crate::load) struct Page<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Page<'a> {
    pub(in crate::load) fn begin(out: &'a mut dyn Write, title: &str) -> io::Result<Self> {
        writeln!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>",
            Escaped(title),
            include_str!("style.css")
        )?;
        Ok(Self { out })
    }

    /// Where further elements go.
    pub(in crate::load) fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    pub(in crate::load) fn header(&mut self, title: &str, line: &str) -> io::Result<()> {
        writeln!(
            self.out,
            "<header><p class=\"kind\">Load test</p><h1>{}</h1><p class=\"line\">{}</p></header>\n<main>",
            Escaped(title),
            Escaped(line)
        )
    }

    /// A line that must not be overlooked. `class` is `good`, `warn` or `bad`.
    pub(in crate::load) fn banner(&mut self, class: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "<p class=\"banner {class}\">{}</p>", Escaped(text))
    }

    pub(in crate::load) fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "<section><h2>{}</h2>", Escaped(title))
    }

    pub(in crate::load) fn end_section(&mut self) -> io::Result<()> {
        writeln!(self.out, "</section>")
    }

    /// Begins a section with a table.
    pub(in crate::load) fn table(&mut self, table: &Table) -> io::Result<()> {
        self.section(&table.title)?;
        write!(self.out, "<div class=\"wide\"><table><thead><tr>")?;
        for column in &table.columns {
            write!(self.out, "<th>{}</th>", Escaped(column))?;
        }
        writeln!(self.out, "</tr></thead><tbody>")?;
        for row in &table.rows {
            write!(self.out, "<tr>")?;
            for cell in row {
                match class(cell) {
                    Some(class) => write!(self.out, "<td class=\"{class}\">{}</td>", Escaped(cell))?,
                    None => write!(self.out, "<td>{}</td>", Escaped(cell))?,
                }
            }
            writeln!(self.out, "</tr>")?;
        }
        writeln!(self.out, "</tbody></table></div>")
    }

    pub(in crate::load) fn end(self) -> io::Result<()> {
        writeln!(self.out, "</main>\n<footer>{TOOL}</footer>\n</body>\n</html>")
    }
}

/// Outcomes have colours.
fn class(cell: &str) -> Option<&'static str> {
    match cell {
        "passed" | "better" => Some("good"),
        "failed" | "no data" | "worse" => Some("bad"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = Escaped("<a href=\"x\" id='y'>&\u{0}\n").to_string();
        assert_eq!(text, "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;\u{fffd}\n");
    }
}
