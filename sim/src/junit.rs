//! Results as CI systems read them: JUnit's XML, as Jenkins, GitLab and others understand it.

use std::fmt::Write as _;
use std::time::Duration;

/// Something that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name: `seed 17`, or a property.
    pub name: String,
    /// How long it took, of real time.
    pub took: Duration,
    /// How it failed: one line that says it, and the whole story.
    pub failure: Option<(String, String)>,
    /// What it said.
    pub output: String,
}

/// Writes what was tried under one name.
#[must_use]
pub fn xml(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let took: Duration = cases.iter().map(|case| case.took).sum();
    let (suite, tests, took) = (escaped(suite), cases.len(), took.as_secs_f64());
    let numbers =
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"{took:.3}\"");
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {numbers}>\n  \
         <testsuite name=\"{suite}\" {numbers} skipped=\"0\">\n"
    );
    for case in cases {
        let (name, took) = (escaped(&case.name), case.took.as_secs_f64());
        _ = write!(
            out,
            "    <testcase name=\"{name}\" classname=\"{suite}\" time=\"{took:.3}\">"
        );
        if let Some((line, text)) = &case.failure {
            let (line, text) = (escaped(line), escaped(text));
            _ = write!(
                out,
                "\n      <failure message=\"{line}\" type=\"property\">{text}</failure>"
            );
        }
        if !case.output.is_empty() {
            let output = escaped(&case.output);
            _ = write!(out, "\n      <system-out>{output}</system-out>");
        }
        let has_parts = case.failure.is_some() || !case.output.is_empty();
        out.push_str(if has_parts {
            "\n    </testcase>\n"
        } else {
            "</testcase>\n"
        });
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Writes a text so that it may lie in an element or an attribute. What XML does not allow at all, which is most
/// control characters, becomes `\u{fffd}`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // In an attribute they would become spaces.
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() && c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_whatever_it_says() {
        let nasty = "a <b attr=\"x\"> & ]]> \u{1b}[31m\u{0} two\nlines\ttab é \u{ffff}";
        let cases = [
            Case {
                name: "seed 1".to_owned(),
                took: Duration::from_millis(1500),
                ..Case::default()
            },
            Case {
                name: nasty.to_owned(),
                took: Duration::from_millis(250),
                failure: Some((nasty.to_owned(), nasty.to_owned())),
                output: nasty.to_owned(),
            },
        ];
        let text = xml(nasty, &cases);
        let document = roxmltree::Document::parse(&text).expect("XML");
        let read = nasty.replace(['\u{1b}', '\u{0}', '\u{ffff}'], "\u{fffd}");
        let all = |name| {
            document
                .descendants()
                .filter(move |node| node.has_tag_name(name))
        };
        let suite = all("testsuite").next().expect("a suite");
        assert_eq!(suite.attribute("name"), Some(&*read));
        assert_eq!(suite.attribute("tests"), Some("2"));
        assert_eq!(suite.attribute("failures"), Some("1"));
        assert_eq!(suite.attribute("time"), Some("1.750"));
        assert_eq!(all("testcase").count(), 2);
        let failure = all("failure").next().expect("a failure");
        assert_eq!(failure.attribute("message"), Some(&*read));
        assert_eq!(failure.text(), Some(&*read));
        assert_eq!(all("system-out").count(), 1);
    }
}
