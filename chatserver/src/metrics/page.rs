//! The text format of Prometheus, version 0.0.4: `HELP` and `TYPE` once for each name, then its samples.

use std::fmt::{Display, Write as _};

use super::Histogram;

/// One answer, written line by line. Names and labels are the program's own: nothing in it comes from remote.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    /// Something that only grows, from 0 at the start of the server.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }

    /// A gauge with one label.
    pub fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(impl Display, impl Display)]) {
        self.head(name, help, "gauge");
        self.labelled(name, label, values);
    }

    /// A counter with one label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(impl Display, impl Display)]) {
        self.head(name, help, "counter");
        self.labelled(name, label, values);
    }

    /// Times, in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let (buckets, count, sum) = histogram.snapshot();
        for (bound, up_to) in buckets {
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {up_to}", bound.as_secs_f64()));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {}", sum.as_secs_f64()));
        self.line(format_args!("{name}_count {count}"));
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn labelled(&mut self, name: &str, label: &str, values: &[(impl Display, impl Display)]) {
        for (kind, value) in values {
            self.line(format_args!("{name}{{{label}=\"{kind}\"}} {value}"));
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}
