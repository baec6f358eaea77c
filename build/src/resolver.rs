//! Where imports are looked up.

use std::path::PathBuf;

use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

/// The text of `monofil/options.proto`, for tools that need it as a file.
pub const OPTIONS_PROTO: &str = include_str!("../proto/monofil/options.proto");

pub(crate) const OPTIONS_FILE: &str = "monofil/options.proto";

/// Looks files up among what this crate ships, then in each folder, then among protobuf's own.
pub(crate) fn resolver(includes: &[PathBuf]) -> ChainFileResolver {
    let mut chain = ChainFileResolver::new();
    chain.add(Shipped);
    for include in includes {
        chain.add(IncludeFileResolver::new(include.clone()));
    }
    chain.add(GoogleFileResolver::new());
    chain
}

struct Shipped;

impl FileResolver for Shipped {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == OPTIONS_FILE {
            File::from_source(name, OPTIONS_PROTO)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}
