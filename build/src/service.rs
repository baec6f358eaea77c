//! A service as it is generated: names, options, and whether they go together.

use std::collections::BTreeMap;

use prost_build::Comments;
use protox::prost_reflect::ServiceDescriptor;

use crate::options::Options;
use crate::{Problem, Reason};

/// The methods that every generated trait has for itself.
const HOOKS: [&str; 3] = ["on_start", "on_stop", "on_undelivered"];

/// The functions that every generated client has for itself.
const CLIENT_FUNCTIONS: [&str; 3] = ["new", "with_deadline", "with_flow"];

/// A service that can be generated.
pub(crate) struct Service {
    /// `package.Service`
    pub(crate) full_name: String,
    /// The file that defines it, as it is imported.
    pub(crate) file: String,
    /// The name of its trait.
    pub(crate) name: String,
    /// The name of its constant.
    pub(crate) constant: String,
    pub(crate) comments: Comments,
    pub(crate) methods: Vec<Method>,
}

/// A method that can be generated.
pub(crate) struct Method {
    /// `package.Service/Method`
    pub(crate) full_name: String,
    /// The name of its function; a raw identifier when it is a keyword.
    pub(crate) name: String,
    pub(crate) comments: Comments,
    /// The Rust type of the request.
    pub(crate) input: String,
    /// The Rust type of the reply.
    pub(crate) output: String,
    /// It answers with a stream.
    pub(crate) streaming: bool,
    pub(crate) options: Options,
}

impl Method {
    /// Returns a name made of the method's: `start_say_hello`, `say_hello_request`.
    pub(crate) fn derived(&self, prefix: &str, suffix: &str) -> String {
        format!("{prefix}{}{suffix}", self.name.trim_start_matches("r#"))
    }

    /// Returns the functions that the client gets for it.
    fn functions(&self) -> Vec<String> {
        let mut names = vec![self.name.clone(), self.derived("", "_request")];
        if !self.streaming {
            names.extend([self.derived("start_", ""), self.derived("cast_", "")]);
        }
        if self.options.topic.is_some() {
            names.push(self.derived("publish_", ""));
        }
        names
    }
}

impl Service {
    /// Brings together what `prost-build` and reflection know.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn new(
        descriptor: &ServiceDescriptor,
        service: prost_build::Service,
    ) -> Result<Self, Vec<Problem>> {
        let full_name = descriptor.full_name().to_owned();
        let file = descriptor.parent_file().name().to_owned();
        let problem = |method: Option<&str>, reason| Problem {
            file: file.clone(),
            service: full_name.clone(),
            method: method.map(str::to_owned),
            reason,
        };
        let mut problems = Vec::new();
        for name in taken_items(descriptor, &service.name) {
            problems.push(problem(None, Reason::SameItem(name)));
        }
        let mut methods: Vec<Method> = Vec::new();
        let mut functions: BTreeMap<String, String> = BTreeMap::new();
        for (method, descriptor) in service.methods.into_iter().zip(descriptor.methods()) {
            let mut reasons = Vec::new();
            if method.client_streaming {
                reasons.push(Reason::ClientStreaming);
            }
            let checked = Method {
                full_name: format!("{full_name}/{}", method.proto_name),
                name: method.name,
                comments: method.comments,
                input: method.input_type,
                output: method.output_type,
                streaming: method.server_streaming,
                options: Options::read(&descriptor, &mut reasons),
            };
            check_names(&checked, &method.proto_name, &mut functions, &mut reasons);
            problems.extend(
                reasons
                    .into_iter()
                    .map(|reason| problem(Some(&method.proto_name), reason)),
            );
            methods.push(checked);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let constant = constant(&service.name);
        Ok(Self {
            full_name,
            file,
            name: service.name,
            constant,
            comments: service.comments,
            methods,
        })
    }
}

/// Compares the functions of a method with those that are there. `functions` has those of the methods
/// before, with the method of each.
fn check_names(
    method: &Method,
    proto_name: &str,
    functions: &mut BTreeMap<String, String>,
    reasons: &mut Vec<Reason>,
) {
    let hook = HOOKS
        .contains(&method.name.as_str())
        .then(|| method.name.clone());
    let own = method.functions().into_iter();
    let reserved = own
        .clone()
        .filter(|name| CLIENT_FUNCTIONS.contains(&name.as_str()));
    reasons.extend(hook.into_iter().chain(reserved).map(Reason::Reserved));
    for function in own {
        match functions.get(&function) {
            Some(other) => {
                reasons.push(Reason::SameFunction {
                    function,
                    other: other.clone(),
                });
                return;
            }
            None => functions.insert(function, proto_name.to_owned()),
        };
    }
}

/// Returns the names of the service's items that messages, enums or other services of the package have.
fn taken_items(service: &ServiceDescriptor, name: &str) -> Vec<String> {
    let generated = |name: &str| {
        [
            name.into(),
            format!("{name}Server"),
            format!("{name}Client"),
        ]
    };
    let files: Vec<_> = service
        .parent_pool()
        .files()
        .filter(|file| file.package_name() == service.package_name())
        .collect();
    let mut others: Vec<String> = Vec::new();
    for file in &files {
        others.extend(file.messages().map(|message| message.name().to_owned()));
        others.extend(file.enums().map(|message| message.name().to_owned()));
        let services = file.services().filter(|other| other != service);
        others.extend(services.flat_map(|other| generated(other.name())));
    }
    generated(name)
        .into_iter()
        .filter(|name| others.contains(name))
        .collect()
}

/// Makes the name of a constant: `OrderBook` becomes `ORDER_BOOK`.
fn constant(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if at > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}
