//! What the figures were measured on, with what, and when.

use crate::peak;
use serde_json::{Value, json};

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name, and for Intel and AMD the numbers that tell models of one name apart.
    pub cpu: String,
    /// The cores that this process may use.
    pub cores: usize,
    /// The instructions that [`Peak`](peak::Peak) is measured with, and others that matter to runtimes.
    pub instruction_set: String,
    /// The operating system with its version.
    pub os: String,
}

impl Machine {
    /// This machine, as far as it says what it is.
    pub fn this() -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let release = read("/proc/sys/kernel/osrelease");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let mut instruction_set = peak::instruction_set().to_string();
        for (name, is_there) in extensions() {
            if is_there {
                instruction_set += &format!(", {name}");
            }
        }
        Machine {
            cpu: cpu(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            instruction_set,
            os: format!("{os} {} {arch}", release.trim()),
        }
    }

    /// The machine by keys.
    pub fn json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "instruction_set": self.instruction_set,
            "os": self.os,
        })
    }
}

/// The time that processors have spent so far, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ticks {
    /// With anything or nothing.
    all: f64,
    /// With other programs than this one, or as somebody else's virtual machine.
    others: f64,
}

impl Ticks {
    /// Now; `None` where the system does not say.
    pub fn now() -> Option<Ticks> {
        let read = |path| std::fs::read_to_string(path).ok();
        Ticks::read(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    /// From the texts of `/proc/stat` and `/proc/self/stat`.
    fn read(system: &str, own: &str) -> Option<Ticks> {
        let number = |text: &str| text.parse::<f64>().ok();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are among users.
        let line = system.lines().next()?.strip_prefix("cpu ")?;
        let all: Vec<f64> = line.split_whitespace().take(8).map(number).collect::<Option<_>>()?;
        let [_, _, _, idle, waiting, ..] = all[..] else { return None };
        // Behind the name, which may have anything in it, the state is field 3.
        let fields: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
        let own = number(fields.get(11)?)? + number(fields.get(12)?)?;
        let total: f64 = all.iter().sum();
        Some(Ticks { all: total, others: total - idle - waiting - own })
    }

    /// The share of all processors that others have had since.
    pub fn others_since(self, before: Ticks) -> f64 {
        (self.others - before.others) / (self.all - before.all)
    }
}

/// Instructions that runtimes have faster kernels for.
fn extensions() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    return vec![
        ("F16C", is_x86_feature_detected!("f16c")),
        ("AVX512-VNNI", is_x86_feature_detected!("avx512vnni")),
        ("AVX512-BF16", is_x86_feature_detected!("avx512bf16")),
        ("AVX512-FP16", is_x86_feature_detected!("avx512fp16")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// The name of the processor in the text of `/proc/cpuinfo`.
fn cpu(text: &str) -> String {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(key, value)| (key.trim(), value.trim())).find(|(name, _)| *name == key).map(|pair| pair.1)
    };
    let name = value("model name").unwrap_or("unknown processor");
    match (value("cpu family"), value("model"), value("stepping")) {
        (Some(family), Some(model), Some(stepping)) => {
            format!("{name} (family {family}, model {model}, stepping {stepping})")
        }
        _ => name.to_string(),
    }
}

/// Today in UTC, as `2026-11-23`.
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%F").to_string()
}

/// The version of a crate that this was built with.
pub fn version_of(package: &str) -> String {
    let lines = include_str!("../../Cargo.lock").lines();
    let name = format!("name = {package:?}");
    let mut after = lines.skip_while(|line| *line != name).skip(1);
    let version = after.next().and_then(|line| line.strip_prefix("version = "));
    version.unwrap_or("unknown").trim_matches('"').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_told_from_others_of_its_name() {
        let intel =
            "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Some Processor\nstepping\t: 2\n";
        assert_eq!(cpu(intel), "Some Processor (family 6, model 207, stepping 2)");
        assert_eq!(cpu(""), "unknown processor");
    }

    #[test]
    fn what_others_did_is_what_was_busy_without_us() {
        let system = |user, idle| format!("cpu  {user} 1 2 {idle} 5 0 0 3 9 9\ncpu0 1 1\n");
        let own = |user| format!("1 (a) b) S 1 1 1 0 -1 4 0 0 0 0 {user} 10 0 0 20");
        let before = Ticks::read(&system(100, 1000), &own(20)).unwrap();
        let after = Ticks::read(&system(180, 1120), &own(70)).unwrap();
        // Of 200 ticks 80 were busy, 50 of them with us.
        assert_eq!(after.others_since(before), 0.15);
        assert_eq!(Ticks::read("", &own(1)), None);
        assert_eq!(Ticks::read(&system(1, 1), "1 (a"), None);
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert_eq!(version_of("tract-onnx"), "0.23.9");
        assert_eq!(version_of("no such crate"), "unknown");
    }
}
