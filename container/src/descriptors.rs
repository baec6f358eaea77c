//! Putting together what several services say of themselves.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;

/// A `google.protobuf.FileDescriptorSet` whose files are left as they are: types that do not know an option drop it.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// Of a `google.protobuf.FileDescriptorProto` its name.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// Returns one encoded set of all files of several. Each set has what its files import, so that many a file is in
/// more than one of them; in one set, a name may come only once.
pub(crate) fn together(sets: impl IntoIterator<Item = &'static [u8]>) -> Vec<u8> {
    let mut names = BTreeSet::new();
    let mut all = Files::default();
    for set in sets {
        // Somebody may have written them by hand. What cannot be read describes nothing.
        let Files { file } = Files::decode(Bytes::from_static(set)).unwrap_or_default();
        let new = |file: &Bytes| {
            let named = Named::decode(file.clone()).unwrap_or_default();
            names.insert(named.name)
        };
        all.file.extend(file.into_iter().filter(new));
    }
    all.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of files of these names: field 1 with a file whose field 1 is its name, and whose field 12 is `proto3`.
    fn set(names: &[&str]) -> &'static [u8] {
        let mut set = Vec::new();
        for name in names {
            let length = u8::try_from(name.len()).expect("a short name");
            set.extend([10, length + 10, 10, length]);
            set.extend(name.as_bytes());
            set.extend(b"\x62\x06proto3");
        }
        set.leak()
    }

    #[test]
    fn each_file_is_there_once_and_as_it_is() {
        let table: [(&[&[&str]], &[&str]); 5] = [
            (&[], &[]),
            (&[&["empty", "a"]], &["empty", "a"]),
            (&[&["empty", "a"], &["empty", "b"]], &["empty", "a", "b"]),
            (&[&["empty", "a"], &["empty", "a"]], &["empty", "a"]),
            (&[&["a"], &[], &["b", "a", "c"]], &["a", "b", "c"]),
        ];
        for (sets, all) in table {
            let sets = sets.iter().map(|names| set(names));
            assert_eq!(together(sets), set(all), "{all:?}");
        }
        let broken: &'static [u8] = b"\xff\xff";
        assert_eq!(together([broken, set(&["a"])]), set(&["a"]));
    }
}
