//! A limit that is kept: written into a configuration file, from which nodes read what they begin with.
//!
//! Nodes write no files: what holds at their start is one thing, in one place, and whoever owns that place says so. The
//! file is read before anything is changed, so that a mistake in it changes nothing, and replaced when all is done.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use crate::config::Layers;
use crate::exit::{EXIT_CALL, Failure};

/// What a file is to be, once the change has reached the nodes.
#[derive(Debug)]
pub(super) struct Saved {
    /// Where it is, whatever links lead there.
    path: PathBuf,
    /// What it is now, if it is there: whose it is, and who may read it.
    was: Option<Metadata>,
    text: String,
    done: String,
}

impl Saved {
    /// Reads a file, or begins one, and puts a value there under a key; `None` takes it out.
    ///
    /// A file with which no node would start is refused, as it is and as it would be. Which components there are is
    /// for their app to say, and not known here.
    pub(super) fn prepare(
        path: &Path,
        tables: &[&str],
        key: &str,
        value: Option<Value>,
    ) -> Result<Self, Failure> {
        let place = path.display();
        let (target, was, before) = open(path)
            .map_err(|error| Failure::usage(format!("{place} cannot be read: {error}")))?;
        let unchanged = |failure: Failure| failure.note("nothing was changed");
        Layers::check(path, &before).map_err(unchanged)?;
        let takes_out = value.is_none();
        let text = edited(&before, tables, key, value)
            .map_err(|why| unchanged(Failure::usage(format!("{place}: {why}"))))?;
        Layers::check(path, &text).map_err(unchanged)?;
        let key = format!("{}.{key}", tables.join("."));
        let done = match takes_out {
            false => {
                format!("`{key}` is in {place}: nodes that read it at their start begin with that")
            }
            true if text == before => format!("`{key}` is not in {place}, which stays as it is"),
            true => format!(
                "`{key}` is no longer in {place}: nodes that read it at their start begin without that"
            ),
        };
        Ok(Self {
            path: target,
            was,
            text,
            done,
        })
    }

    /// Replaces the file, and says what was done.
    pub(super) fn write(self) -> Result<String, Failure> {
        let place = self.path.display();
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = self
            .write_to(&beside)
            .and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            // It may not even be there.
            let _ = fs::remove_file(&beside);
            let what = format!("the limit was changed, and {place} cannot be written: {error}");
            Failure::new(EXIT_CALL, what).note("it lasts until the nodes end")
        })?;
        Ok(self.done)
    }

    /// Writes a file that takes the place of the one that is there: it belongs to the same user, if this one may give
    /// it away, and the same may read it.
    fn write_to(&self, beside: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if self.was.is_some() {
            // Until it is known who may read it nobody else does.
            options.mode(0o600);
        }
        let mut file: File = options.open(beside)?;
        file.write_all(self.text.as_bytes())?;
        if let Some(was) = &self.was {
            // Only root gives files away; each user may choose among the groups that are theirs.
            let _ = fchown(&file, None, Some(was.gid()));
            let _ = fchown(&file, Some(was.uid()), None);
            file.set_permissions(was.permissions())?;
        }
        file.sync_all()
    }
}

/// Finds a file through whatever links lead there, and reads it; what is not there is empty.
fn open(path: &Path) -> io::Result<(PathBuf, Option<Metadata>, String)> {
    match fs::canonicalize(path) {
        Ok(target) => {
            let was = fs::metadata(&target)?;
            let text = fs::read_to_string(&target)?;
            Ok((target, Some(was), text))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            Ok((path.to_owned(), None, String::new()))
        }
        Err(error) => Err(error),
    }
}

/// Puts a value into a file, or takes it out, and leaves everything else as it is, comments included.
fn edited(text: &str, tables: &[&str], key: &str, value: Option<Value>) -> Result<String, String> {
    let mut file: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string().trim_end().to_owned())?;
    match value {
        Some(value) => insert(file.as_table_mut(), tables, key, value)?,
        None => remove(file.as_table_mut(), tables, key)?,
    }
    Ok(file.to_string())
}

fn insert(
    mut at: &mut dyn TableLike,
    tables: &[&str],
    key: &str,
    value: Value,
) -> Result<(), String> {
    for name in tables {
        let item = at.entry(name).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        at = item.as_table_like_mut().ok_or_else(|| no_table(name))?;
    }
    match at.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            let decor = there.decor().clone();
            *there = value;
            *there.decor_mut() = decor;
        }
        None => {
            at.insert(key, Item::Value(value));
        }
    }
    Ok(())
}

/// Takes a key out, and with it the tables that have nothing in them then.
fn remove(at: &mut dyn TableLike, tables: &[&str], key: &str) -> Result<(), String> {
    let Some((name, rest)) = tables.split_first() else {
        at.remove(key);
        return Ok(());
    };
    let Some(item) = at.get_mut(name) else {
        return Ok(());
    };
    let below = item.as_table_like_mut().ok_or_else(|| no_table(name))?;
    remove(below, rest, key)?;
    if below.is_empty() {
        at.remove(name);
    }
    Ok(())
}

fn no_table(name: &str) -> String {
    format!("`{name}` is no table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_stays_as_it_is() {
        let number = |it: i64| Some(Value::from(it));
        let text = |it: &str| Some(Value::from(it));
        type Row<'a> = (&'a str, &'a [&'a str], &'a str, Option<Value>, &'a str);
        let table: [Row<'_>; 9] = [
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
                "[flows.audit]\nin_flight = 7\n\n[node]\nstreams = 5\n",
                &["flows", "audit"],
                "in_flight",
                None,
                "\n[node]\nstreams = 5\n",
            ),
            (
                "[flows.audit]\nin_flight = 7\n[flows.check]\nin_flight = 5\n",
                &["flows", "audit"],
                "in_flight",
                None,
                "[flows.check]\nin_flight = 5\n",
            ),
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

    fn save(path: &Path, key: &str, value: Option<i64>) -> Result<String, Failure> {
        Saved::prepare(path, &["node"], key, value.map(Value::from))?.write()
    }

    #[test]
    fn a_link_stays_one_and_whoever_may_read_it_may_still() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link, nowhere, new] =
            ["file", "link", "nowhere", "new"].map(|it| folder.path().join(it));
        fs::write(&file, "# ours\n[node]\nin_flight = 7\n").expect("it can be written");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("it is ours");
        symlink("file", &link).expect("a link");
        symlink("gone", &nowhere).expect("a link");

        let said = save(&link, "in_flight", Some(5)).expect("it can be written");
        let place = link.display();
        let expected = format!(
            "`node.in_flight` is in {place}: nodes that read it at their start begin with that"
        );
        assert_eq!(said, expected);
        assert!(link.is_symlink());
        let text = fs::read_to_string(&file).expect("it is there");
        assert_eq!(text, "# ours\n[node]\nin_flight = 5\n");
        let mode = fs::metadata(&file).expect("it is there").mode();
        assert_eq!(mode & 0o7777, 0o640);

        let said = save(&link, "in_flight", None).expect("it can be written");
        assert!(said.contains("is no longer in"), "{said}");
        let said = save(&link, "in_flight", None).expect("it can be written");
        assert!(said.contains("is not in"), "{said}");

        save(&nowhere, "in_flight", Some(5)).expect_err("what it leads to is not there");
        assert!(nowhere.is_symlink());
        save(&new, "in_flight", Some(5)).expect("it can be written");
        let text = fs::read_to_string(&new).expect("it is there");
        assert_eq!(text, "[node]\nin_flight = 5\n");
    }

    #[test]
    fn a_file_with_which_no_node_starts_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.toml");
        for (text, why) in [
            (
                "[node]\nin_fligth = 3\n",
                "there is no setting `node.in_fligth`",
            ),
            (
                "[components.payments]\nin_flight = \"many\"\n",
                "`components.payments.in_flight`: `many` is no whole number",
            ),
            (
                "[link]\nframe_bytes = 0\n",
                "`link.frame_bytes` is 0, with which nothing would ever be delivered",
            ),
        ] {
            fs::write(&path, text).expect("it can be written");
            let failure = save(&path, "in_flight", Some(5)).expect_err("it is wrong");
            assert_eq!(failure.what(), why);
            assert!(
                failure.to_string().ends_with("nothing was changed"),
                "{failure}"
            );
            let after = fs::read_to_string(&path).expect("it is there");
            assert_eq!(after, text);
        }
        let own = "[components.payments]\nqueue_messages = 7\n[peers]\naudit = \"tcp://a:1\"\n";
        fs::write(&path, own).expect("it can be written");
        save(&path, "in_flight", Some(5)).expect("apps know their components");
        let failure = save(&path, "in_fligth", Some(5)).expect_err("it would be wrong");
        assert_eq!(failure.what(), "there is no setting `node.in_fligth`");
    }
}
