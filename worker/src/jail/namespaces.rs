//! Namespaces and an empty root.

use std::ffi::CStr;
use std::io;

use protocol::jail::Layer;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

/// Namespaces that need no more than to be left.
pub const OTHERS: [(Layer, UnshareFlags); 3] = [
    (Layer::NetworkNamespace, UnshareFlags::NEWNET),
    (Layer::IpcNamespace, UnshareFlags::NEWIPC),
    (Layer::UtsNamespace, UnshareFlags::NEWUTS),
];

/// The identifier of nobody: what files and processes of others belong to as seen from inside.
const NOBODY: u32 = 65_534;

pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: `FILES` is never among the flags, so no descriptor table is divided.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// A worker of a server that runs as root becomes nobody. Where the kernel refuses (a container without that identifier), the
/// layers that follow hold all the same.
pub fn leave_root() {
    if !geteuid().is_root() {
        return;
    }
    // SAFETY: plain calls with plain numbers, in a process of one thread.
    let left = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
            && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
    };
    if left {
        // A change of user makes a process non-dumpable, and then it may not write its own identifier map.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
    }
}

/// A user namespace with one identifier: this process's own, seen as nobody.
pub fn user() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(UnshareFlags::NEWUSER)?;
    write_proc(c"/proc/self/setgroups", "deny")?;
    write_proc(c"/proc/self/uid_map", &format!("{NOBODY} {uid} 1"))?;
    write_proc(c"/proc/self/gid_map", &format!("{NOBODY} {gid} 1"))
}

/// A pid namespace for the next child.
pub fn pid() -> io::Result<()> {
    unshare(UnshareFlags::NEWPID)
}

fn write_proc(path: &CStr, text: &str) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // One write: the kernel takes a map in one piece.
    if rustix::io::write(&file, text.as_bytes())? == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// A mount namespace whose root is an empty, read-only file system; the old root is gone from it.
pub fn empty_root() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    // Nothing that is mounted here shows outside, nor the other way.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("none", "/proc", "tmpfs", flags, Some(c"size=4k,nr_inodes=1,mode=0555"))?;
    rustix::process::chdir("/proc")?;
    // Both in one place: the old root comes to lie on the new one and is taken off it (pivot_root(2), NOTES).
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    rustix::mount::mount_remount("/", flags | MountFlags::RDONLY, c"")?;
    Ok(())
}
