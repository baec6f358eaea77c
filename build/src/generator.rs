//! Generates services while `prost-build` generates their messages.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use prost_build::ServiceGenerator;
use protox::prost_reflect::DescriptorPool;

use crate::service::{Method, Service};
use crate::text::Text;
use crate::{Problem, Reason};

/// What is known after the generation only.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) problems: Vec<Problem>,
    /// The files whose descriptors the generated code includes.
    pub(crate) files: BTreeSet<String>,
    /// For each topic the type it carries, and the method that said so.
    topics: BTreeMap<String, (String, String)>,
}

/// Writes traits, components and clients.
pub(crate) struct Generator {
    pub(crate) pool: DescriptorPool,
    /// The path of the `monofil` crate, from anywhere.
    pub(crate) monofil: String,
    /// Packages and services that are generated elsewhere, as `.package`.
    pub(crate) elsewhere: Vec<String>,
    pub(crate) outcome: Rc<RefCell<Outcome>>,
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let dot = if service.package.is_empty() { "" } else { "." };
        let full_name = format!("{}{dot}{}", service.package, service.proto_name);
        if self.is_elsewhere(&full_name) {
            return;
        }
        let descriptor = self
            .pool
            .get_service_by_name(&full_name)
            .expect("what prost-build generates comes from the pool");
        let mut outcome = self.outcome.borrow_mut();
        let service = match Service::new(&descriptor, service) {
            Ok(service) => service,
            Err(problems) => return outcome.problems.extend(problems),
        };
        for (method, descriptor) in service.methods.iter().zip(descriptor.methods()) {
            outcome.check_topic(&service, method, descriptor.input().full_name());
        }
        outcome.files.insert(service.file.clone());
        buf.push_str(&Text::new(&service, &self.monofil).all());
    }
}

impl Generator {
    fn is_elsewhere(&self, service: &str) -> bool {
        self.elsewhere.iter().any(|path| {
            let rest = path
                .strip_prefix('.')
                .and_then(|path| service.strip_prefix(path));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

impl Outcome {
    /// A topic carries one type, whoever handles it.
    fn check_topic(&mut self, service: &Service, method: &Method, input: &str) {
        let Some(topic) = &method.options.topic else {
            return;
        };
        let (first_input, first) = self
            .topics
            .entry(topic.clone())
            .or_insert_with(|| (input.to_owned(), method.full_name.clone()));
        if first_input == input {
            return;
        }
        self.problems.push(Problem {
            file: service.file.clone(),
            service: service.full_name.clone(),
            method: method.full_name.rsplit('/').next().map(str::to_owned),
            reason: Reason::TopicType {
                topic: topic.clone(),
                input: input.to_owned(),
                other: first.clone(),
                other_input: first_input.clone(),
            },
        });
    }
}
