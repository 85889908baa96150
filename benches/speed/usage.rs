//! What processes use, from /proc.

use std::{collections::HashMap, fs, time::Duration};

/// Linux counts the time of processes in hundredths of a second for whoever reads it, whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// Fields of /proc/PID/stat, counted from the one after the name.
const PARENT: usize = 1;
const TIMES: std::ops::Range<usize> = 11..15;

/// The CPU time of these processes and of all that they have started.
pub fn cpu(roots: &[u32]) -> Duration {
    let stats = stats();
    let mut wanted: Vec<u32> = roots.to_vec();
    let mut ticks = 0;
    while let Some(pid) = wanted.pop() {
        let Some((_, own)) = stats.get(&pid) else { continue };
        ticks += own;
        wanted.extend(stats.iter().filter(|(_, (parent, _))| *parent == pid).map(|(child, _)| child));
    }
    TICK * u32::try_from(ticks).unwrap()
}

/// The CPU time of this process, without that of its children.
pub fn own_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    TICK * u32::try_from(fields(&stat)[11..13].iter().map(|field| number(field)).sum::<u64>()).unwrap()
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    number(line.trim().trim_end_matches(" kB")) * 1024
}

/// Parent and ticks of every process.
fn stats() -> HashMap<u32, (u32, u64)> {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = fields(&stat);
        let ticks = fields[TIMES].iter().map(|field| number(field)).sum();
        stats.insert(pid, (u32::try_from(number(fields[PARENT])).unwrap(), ticks));
    }
    stats
}

fn fields(stat: &str) -> Vec<&str> {
    stat.rsplit_once(") ").unwrap().1.split(' ').collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}
