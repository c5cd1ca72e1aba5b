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
    fn versions_are_those_of_the_lock_file() {
        assert_eq!(version_of("tract-onnx"), "0.23.9");
        assert_eq!(version_of("no such crate"), "unknown");
    }
}
