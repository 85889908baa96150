//! What processes use, from /proc.

use std::{collections::HashMap, fs, path::Path, time::Duration};

/// The field of /proc/PID/stat, counted from the one after the name.
const PARENT: usize = 1;

/// The CPU time of these processes and of all that they have started, as far as their threads still live.
pub fn cpu(roots: &[u32]) -> Duration {
    let parents = parents();
    let mut wanted: Vec<u32> = roots.to_vec();
    let mut spent = Duration::ZERO;
    while let Some(pid) = wanted.pop() {
        spent += threads(Path::new(&format!("/proc/{pid}/task")));
        wanted.extend(parents.iter().filter(|(_, parent)| **parent == pid).map(|(child, _)| child));
    }
    spent
}

/// The CPU time of this process, without that of its children.
pub fn own_cpu() -> Duration {
    threads(Path::new("/proc/self/task"))
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most memory of a process that was in RAM since [`forget_peak`], in bytes.
pub fn peak(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

/// The peak begins anew with what is in RAM now (proc(5), clear_refs).
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    number(line.trim().trim_end_matches(" kB")) * 1024
}

/// What each thread has run, to the nanosecond.
fn threads(tasks: &Path) -> Duration {
    let mut spent = 0;
    // A process or a thread may have ended meanwhile.
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        spent += stat.split(' ').next().filter(|field| !field.is_empty()).map_or(0, number);
    }
    Duration::from_nanos(spent)
}

/// The parent of every process.
fn parents() -> HashMap<u32, u32> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = stat.rsplit_once(") ").unwrap().1;
        parents.insert(pid, u32::try_from(number(fields.split(' ').nth(PARENT).unwrap())).unwrap());
    }
    parents
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}
