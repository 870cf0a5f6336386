//! What a worker gives up before it reads a byte of work.

/// Proof that this process gave up what its role does not need. Fusing and running take a reference to it.
#[derive(Debug)]
pub struct Jailed {
    _private: (),
}

/// Gives up what every role can do without: core dumps and being traced by others of the same user
/// (PR_SET_DUMPABLE 0), and new privileges through exec (PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// The kernel's refusal; the worker then ends without reading its request.
pub fn enter() -> std::io::Result<Jailed> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(Jailed { _private: () })
}
