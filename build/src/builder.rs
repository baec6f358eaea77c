//! Generating with other than the usual settings.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost_build::Config;
use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::prost_reflect::DescriptorPool;

use crate::generator::{Generator, Outcome};
use crate::resolver::{OPTIONS_FILE, resolver};
use crate::{Error, comments, descriptors, lints};

/// The file that has all packages as modules. No package is in a file of this name: `mod` is a keyword.
const ALL_PACKAGES: &str = "mod.rs";

/// Generates code with other than the usual settings.
///
/// ```no_run
/// fn main() -> Result<(), monofil_build::Error> {
///     monofil_build::Builder::new()
///         .include("../protos")
///         .extern_path(".money", "::money")
///         .prost(|config| {
///             config.btree_map(["."]);
///         })
///         .compile(&["../protos/shop/orders.proto", "../protos/shop/stock.proto"])
/// }
/// ```
pub struct Builder {
    includes: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
    extern_paths: Vec<(String, String)>,
    monofil: String,
    prost: Vec<Change>,
}

/// A change of how messages are generated.
type Change = Box<dyn FnOnce(&mut Config)>;

impl Builder {
    /// Begins with the settings of [`compile`](crate::compile).
    #[must_use]
    pub fn new() -> Self {
        Self {
            includes: Vec::new(),
            out_dir: None,
            extern_paths: Vec::new(),
            monofil: "::monofil".to_owned(),
            prost: Vec::new(),
        }
    }

    /// Looks imports up in a folder, after those added before. The first call replaces the usual folders.
    #[must_use]
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.includes.push(folder.into());
        self
    }

    /// Writes to an existing folder instead of `OUT_DIR`. Its `mod.rs` then has all packages as modules.
    #[must_use]
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Takes a package, message or service (`.money`, `.money.Amount`) from a Rust path instead of
    /// generating it.
    #[must_use]
    pub fn extern_path(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        self.extern_paths.push((proto.into(), rust.into()));
        self
    }

    /// Says where generated code finds the `monofil` crate. The default is `::monofil`.
    #[must_use]
    pub fn monofil_path(mut self, path: impl Into<String>) -> Self {
        self.monofil = path.into();
        self
    }

    /// Changes how messages are generated. Folder and service generator stay the builder's.
    #[must_use]
    pub fn prost(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.prost.push(Box::new(change));
        self
    }

    /// Generates code for files and what they import.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn compile(self, files: &[impl AsRef<Path>]) -> Result<(), Error> {
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let out_dir = match &self.out_dir {
            Some(folder) => folder.clone(),
            None => env::var_os("OUT_DIR").ok_or(Error::NoOutDir)?.into(),
        };
        let (pool, set) = self.parse(&files)?;
        let sources = sources(&set);
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let generator = Generator {
            pool: pool.clone(),
            monofil: self.monofil.clone(),
            elsewhere: self
                .extern_paths
                .iter()
                .map(|(proto, _)| proto.clone())
                .collect(),
            outcome: Rc::clone(&outcome),
        };
        self.config(&out_dir, generator)
            .compile_fds(set)
            .map_err(Error::Generate)?;

        let outcome = outcome.take();
        if !outcome.problems.is_empty() {
            return Err(Error::Services(outcome.problems));
        }
        for source in sources {
            silence(&out_dir.join(source))?;
        }
        for name in &outcome.files {
            let file = pool
                .get_file_by_name(name)
                .expect("services come from files of the pool");
            write(
                &out_dir.join(descriptors::path(name)),
                &descriptors::encode(&file),
            )?;
        }
        Ok(())
    }

    /// Reads files and what they import, and tells Cargo which those are.
    fn parse(&self, files: &[&Path]) -> Result<(DescriptorPool, FileDescriptorSet), Error> {
        let includes = if self.includes.is_empty() {
            usual_includes(files)
        } else {
            self.includes.clone()
        };
        let mut compiler = Compiler::with_file_resolver(resolver(&includes));
        compiler.include_imports(true).include_source_info(true);
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            compiler
                .open_file(file)
                .map_err(|error| unreadable(&error, &includes))?;
        }
        for path in compiler.files().filter_map(|file| file.path()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        let mut set = compiler.file_descriptor_set();
        set.file.retain(|file| file.name() != OPTIONS_FILE);
        set.file.iter_mut().for_each(comments::clean);
        Ok((compiler.descriptor_pool(), set))
    }

    fn config(self, out_dir: &Path, generator: Generator) -> Config {
        let mut config = Config::new();
        config
            .prost_path(format!("{}::prost", self.monofil))
            .prost_types_path(format!("{}::prost_types", self.monofil))
            .include_file(ALL_PACKAGES);
        for (proto, rust) in self.extern_paths {
            config.extern_path(proto, rust);
        }
        for change in self.prost {
            change(&mut config);
        }
        config
            .out_dir(out_dir)
            .service_generator(Box::new(generator));
        config
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("includes", &self.includes)
            .field("out_dir", &self.out_dir)
            .field("extern_paths", &self.extern_paths)
            .field("monofil", &self.monofil)
            .finish_non_exhaustive()
    }
}

/// Returns the names of the files that are generated: one for each package that is not elsewhere, and the
/// one that has them as modules.
fn sources(set: &FileDescriptorSet) -> BTreeSet<String> {
    let of_package = |package: &str| match package {
        "" => "_.rs".to_owned(),
        package => format!("{package}.rs"),
    };
    let packages = set.file.iter().map(|file| of_package(file.package()));
    packages.chain([ALL_PACKAGES.to_owned()]).collect()
}

/// Lets no lint of a user's crate speak about a generated file, if there is one.
fn silence(path: &Path) -> Result<(), Error> {
    match fs::read_to_string(path) {
        Ok(text) => write(path, lints::silence(&text).as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Returns `proto` for files that are in it, and their own folders for others.
fn usual_includes(files: &[&Path]) -> Vec<PathBuf> {
    let mut includes: Vec<PathBuf> = Vec::new();
    for file in files {
        let parent = file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let folder = if file.starts_with("proto") {
            Path::new("proto")
        } else {
            parent.unwrap_or(Path::new("."))
        };
        if !includes.iter().any(|include| include == folder) {
            includes.push(folder.to_owned());
        }
    }
    includes
}

/// Its `Debug` says where in the file; when something is not there, say where it was looked for.
fn unreadable(error: &protox::Error, includes: &[PathBuf]) -> Error {
    let mut text = format!("{error:?}");
    if error.is_file_not_found() {
        let folders: Vec<_> = includes
            .iter()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        text.push_str(&format!("; looked in {}", folders.join(", ")));
    }
    Error::Protobuf(text)
}

/// Writes a file unless it is the same already, so that what depends on it is not rebuilt.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
}
