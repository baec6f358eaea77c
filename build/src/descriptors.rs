//! The descriptors that go into an app, so that a running node can be asked what it speaks.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::prost_reflect::{DynamicMessage, FileDescriptor, ReflectMessage, Value};

use crate::resolver::OPTIONS_FILE;

/// Encodes a file and all it imports, imports first, without source information.
///
/// `monofil/options.proto` is left out, and with it protobuf's descriptors of descriptors, which are ten
/// times the size of a typical service. Its options stay: as fields of an extension that is not in the
/// set, which is valid, and is read by whoever knows the extension.
pub(crate) fn encode(file: &FileDescriptor) -> Vec<u8> {
    let mut names = BTreeSet::new();
    reach(file, &mut names);
    let files = file
        .parent_pool()
        .files()
        .filter(|file| names.contains(file.name()))
        .map(|file| Value::Message(slim(&file)))
        .collect();
    let mut set = DynamicMessage::new(FileDescriptorSet::default().descriptor());
    set.set_field_by_name("file", Value::List(files));
    set.encode_to_vec()
}

fn reach(file: &FileDescriptor, names: &mut BTreeSet<String>) {
    if file.name() != OPTIONS_FILE && names.insert(file.name().to_owned()) {
        for dependency in file.dependencies() {
            reach(&dependency, names);
        }
    }
}

/// Removes the source information and the import of `monofil/options.proto`. Goes through reflection
/// because `prost-types` drops options it does not know.
fn slim(file: &FileDescriptor) -> DynamicMessage {
    let mut slim = DynamicMessage::new(FileDescriptorProto::default().descriptor());
    slim.merge(file.encode_to_vec().as_slice())
        .expect("a file in the pool is valid");
    slim.clear_field_by_name("source_code_info");

    let proto = file.file_descriptor_proto();
    let Some(dropped) = proto
        .dependency
        .iter()
        .position(|name| name == OPTIONS_FILE)
    else {
        return slim;
    };
    let kept = proto.dependency.iter().filter(|name| *name != OPTIONS_FILE);
    slim.set_field_by_name(
        "dependency",
        Value::List(kept.map(|name| Value::String(name.clone())).collect()),
    );
    let dropped = i32::try_from(dropped).expect("protobuf numbers imports with an i32");
    for (field, indices) in [
        ("public_dependency", &proto.public_dependency),
        ("weak_dependency", &proto.weak_dependency),
    ] {
        let moved = indices
            .iter()
            .filter(|index| **index != dropped)
            .map(|index| Value::I32(index - i32::from(*index > dropped)));
        slim.set_field_by_name(field, Value::List(moved.collect()));
    }
    slim
}

/// Returns where the descriptors of a file go, relative to the generated code.
pub(crate) fn path(file: &str) -> String {
    format!("descriptors/{file}.bin")
}
