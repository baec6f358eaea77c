//! Where it was measured.

use std::fs;

/// What a reader must know of the machine.
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// How many wanted a processor in the minute before it began.
    pub(crate) load: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':'));
        Self {
            processor: model
                .map_or("unknown", |(_, model)| model.trim())
                .to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Tells whether others had work to do, so that the times say little.
    pub(crate) fn is_busy(&self) -> bool {
        self.load > 0.5
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{}, {} processors, Linux {}, load {:.1} at the beginning",
            self.processor, self.processors, self.kernel, self.load
        )
    }
}
