//! A limit that is kept: written into a configuration file, from which nodes read what they begin with.
//!
//! Nodes write no files: what holds at their start is one thing, in one place, and whoever owns that place says so. The
//! file is read before anything is changed, so that a mistake in it changes nothing, and replaced when all is done.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use crate::exit::{EXIT_CALL, Failure};

/// What a file is to be, once the change has reached the nodes.
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    text: String,
    key: String,
}

impl Saved {
    /// Reads a file, or begins one, and puts a value there under a key; `None` takes it out.
    pub(super) fn prepare(
        path: &Path,
        tables: &[&str],
        key: &str,
        value: Option<Value>,
    ) -> Result<Self, Failure> {
        let place = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::usage(format!("{place} cannot be read: {error}"))),
        };
        let text = edited(&text, tables, key, value)
            .map_err(|why| Failure::usage(format!("{place}: {why}")).note("nothing was changed"))?;
        let key = format!("{}.{key}", tables.join("."));
        let path = path.to_owned();
        Ok(Self { path, text, key })
    }

    /// Replaces the file, and says what was done.
    pub(super) fn write(self) -> Result<String, Failure> {
        let Self { path, text, key } = self;
        let place = path.display();
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|error| {
            // It may not even be there.
            let _ = std::fs::remove_file(&beside);
            let what = format!("the limit was changed, and {place} cannot be written: {error}");
            Failure::new(EXIT_CALL, what).note("it lasts until the nodes end")
        })?;
        Ok(format!(
            "`{key}` is in {place}: nodes that read it at their start begin with that"
        ))
    }
}

/// Puts a value into a file, or takes it out, and leaves everything else as it is, comments included.
fn edited(text: &str, tables: &[&str], key: &str, value: Option<Value>) -> Result<String, String> {
    let mut file: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string().trim_end().to_owned())?;
    let mut at: &mut dyn TableLike = file.as_table_mut();
    for name in tables {
        let item = at.entry(name).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        at = item
            .as_table_like_mut()
            .ok_or_else(|| format!("`{name}` is no table"))?;
    }
    let there = at.get_mut(key).and_then(Item::as_value_mut);
    match (there, value) {
        (Some(there), Some(value)) => {
            let decor = there.decor().clone();
            *there = value;
            *there.decor_mut() = decor;
        }
        (None, Some(value)) => {
            at.insert(key, Item::Value(value));
        }
        (_, None) => {
            at.remove(key);
        }
    }
    Ok(file.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_stays_as_it_is() {
        let number = |it: i64| Some(Value::from(it));
        let text = |it: &str| Some(Value::from(it));
        type Row<'a> = (&'a str, &'a [&'a str], &'a str, Option<Value>, &'a str);
        let table: [Row<'_>; 7] = [
            (
                "",
                &["components", "payments"],
                "in_flight",
                number(5),
                "[components.payments]\nin_flight = 5\n",
            ),
            (
                "# why\n[node]\nin_flight = 7 # for now\n\n[deadline]\ndrain = \"30s\"\n",
                &["node"],
                "in_flight",
                number(5),
                "# why\n[node]\nin_flight = 5 # for now\n\n[deadline]\ndrain = \"30s\"\n",
            ),
            (
                "[node]\nin_flight = 7\n",
                &["node"],
                "queue_bytes",
                text("16MiB"),
                "[node]\nin_flight = 7\nqueue_bytes = \"16MiB\"\n",
            ),
            (
                "[node]\nin_flight = 7\nstreams = 5\n",
                &["node"],
                "in_flight",
                None,
                "[node]\nstreams = 5\n",
            ),
            ("", &["flows", "audit"], "in_flight", None, ""),
            (
                "node = { in_flight = 7 }\n",
                &["node"],
                "in_flight",
                number(0),
                "node = { in_flight = 0 }\n",
            ),
            (
                "[components.a]\nqueue_time = \"5ms\"\n",
                &["flows", "check out"],
                "rate_messages",
                number(9),
                "[components.a]\nqueue_time = \"5ms\"\n\n[flows.\"check out\"]\nrate_messages = 9\n",
            ),
        ];
        for (before, tables, key, value, after) in table {
            assert_eq!(edited(before, tables, key, value).as_deref(), Ok(after));
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_left_alone() {
        let table = [
            ("node = 5\n", "`node` is no table"),
            ("[node\n", "TOML parse error at line 1"),
        ];
        for (text, why) in table {
            let error = edited(text, &["node"], "in_flight", Some(Value::from(5)));
            let error = error.expect_err("it is wrong");
            assert!(error.starts_with(why), "{error}");
        }
    }
}
