//! `monofil`: the operator's client of any running network.

fn main() -> std::process::ExitCode {
    monofil::operator()
}
