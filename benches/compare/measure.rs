//! What processes and Redis used, seen from outside.

use std::fs;

/// Ticks of the processor's clock a second in `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// Of one process, with those of its children that ended and were waited for.
pub fn cpu_seconds(process: u32) -> f64 {
    stat(process).map_or(0.0, |stat| stat.ticks as f64 / TICKS)
}

/// Of a process group: a side may be a shell that starts another program.
pub struct Group(pub u32);

impl Group {
    pub fn cpu_seconds(&self) -> f64 {
        self.members().map(|(_, stat)| stat.ticks as f64 / TICKS).sum()
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.members().map(|(process, _)| resident_kib(process)).sum()
    }

    fn members(&self) -> impl Iterator<Item = (u32, Stat)> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|id| Some((id, stat(id)?))).filter(|(_, stat)| stat.group == self.0)
    }
}

struct Stat {
    group: u32,
    ticks: u64,
}

/// See proc_pid_stat(5). The second field is a name in parentheses, which may hold anything.
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Stat { group: fields.get(2)?.parse().ok()?, ticks })
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// What Redis counted since its start.
#[derive(Clone, Copy, Default)]
pub struct RedisUse {
    /// Reads of its sockets: an upper bound of round trips, for a request of many packets takes several.
    pub reads: u64,
    pub calls: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl RedisUse {
    /// Of the text of `INFO`.
    pub fn of(info: &str) -> Self {
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        Self {
            reads: number("total_reads_processed"),
            calls: number("total_commands_processed"),
            bytes_in: number("total_net_input_bytes"),
            bytes_out: number("total_net_output_bytes"),
        }
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            calls: self.calls.saturating_sub(before.calls),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}
