//! The smallest thing that answers.

use monofil::prelude::*;

#[cfg(test)]
mod tests;

mod proto {
    monofil::include_proto!();
}
use proto::hello::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct Hello;

impl Greeter for Hello {
    fn say_hello(&mut self, _: &mut Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            text: format!("Hello, {}!", request.name),
        })
    }
}

fn app() -> App {
    App::new("hello").component("greeter", || GreeterServer::new(Hello))
}

fn main() -> ExitCode {
    app().main()
}
