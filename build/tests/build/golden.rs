//! The files in `tests/generated` are what is generated for those in `tests/proto`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use monofil_build::Builder;
use prost::Message;
use protox::prost_reflect::DescriptorPool;

const FILES: [&str; 3] = ["hello.proto", "shop/orders.proto", "bare.proto"];

#[test]
fn generated_code_stays_the_same() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let accept = env::var_os("UPDATE_GENERATED").is_some();
    let fresh = tempfile::tempdir().unwrap();
    let golden = here.join("generated");
    let to = if accept { &golden } else { fresh.path() };
    Builder::new()
        .include(here.join("proto"))
        .out_dir(to)
        .compile(&FILES.map(|file| here.join("proto").join(file)))
        .unwrap();

    let (expected, generated) = (contents(&golden), contents(to));
    assert!(
        expected.keys().eq(generated.keys()),
        "other files: {:?} instead of {:?}",
        generated.keys(),
        expected.keys()
    );
    for (path, generated) in &generated {
        let expected = &expected[path];
        assert!(
            expected == generated,
            "{} changed; if it should, run this again with UPDATE_GENERATED=1:\n{}",
            path.display(),
            String::from_utf8_lossy(generated)
        );
    }
}

#[test]
fn what_is_elsewhere_is_not_generated() {
    let folder = tempfile::tempdir().unwrap();
    Builder::new()
        .include(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proto"))
        .out_dir(folder.path())
        .extern_path(".shop.orders.Audit", "unused")
        .extern_path(".shop.Money", "::money::Money")
        .monofil_path("crate::framework")
        .prost(|config| {
            config.skip_debug([".shop.orders.Order"]);
        })
        .compile(&["shop/orders.proto"])
        .unwrap();
    let files = contents(folder.path());
    assert!(!files.contains_key(Path::new("shop.rs")));
    let orders = String::from_utf8(files[Path::new("shop.orders.rs")].clone()).unwrap();
    assert!(orders.contains("pub trait Orders") && !orders.contains("pub trait Audit"));
    assert!(orders.contains("Result<::money::Money, crate::framework::Status>"));
    assert!(orders.contains("#[prost(skip_debug)]"));
    assert!(!orders.contains("::monofil"));
}

/// Reads the files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            let below = contents(&path).into_iter();
            files.extend(below.map(|(path, content)| (Path::new(name).join(path), content)));
        } else {
            files.insert(name.into(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn descriptors_are_complete_and_small() {
    let interface = crate::generated::shop::orders::ORDERS;
    let pool = DescriptorPool::decode(interface.descriptors).unwrap();
    let service = pool.get_service_by_name(interface.service).unwrap();
    assert_eq!(service.methods().len(), interface.methods.len());
    assert_eq!(
        service.methods().next().unwrap().output().full_name(),
        "shop.orders.Money"
    );

    let files: Vec<_> = pool.files().map(|file| file.name().to_owned()).collect();
    assert_eq!(
        files,
        [
            "google/protobuf/empty.proto",
            "google/protobuf/timestamp.proto",
            "google/protobuf/wrappers.proto",
            "shop/common.proto",
            "shop/orders.proto",
        ]
    );
    assert!(
        pool.file_descriptor_protos()
            .all(|file| file.source_code_info.is_none())
    );

    // The options are there for who knows them: field 51777, then `idempotent`, a deadline and a flow.
    let options = service.methods().next().unwrap().options().encode_to_vec();
    assert!(options.windows(8).any(|bytes| bytes == b"checkout"));
}
