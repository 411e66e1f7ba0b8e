//! Figures by name, as a table or as one JSON object.

use crate::Options;
use serde_json::{Map, Value, json};
use std::time::Instant;

pub struct Report {
    figures: Vec<(&'static str, Vec<f64>)>,
}

impl Report {
    pub fn new(options: &Options) -> Report {
        eprintln!("{} events, {} rounds", options.events, options.rounds);
        Report { figures: Vec::new() }
    }

    /// Adds one sample of a figure.
    pub fn add(&mut self, name: &'static str, value: f64) {
        eprintln!("{name:26} {value:14.2}");
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(value),
            None => self.figures.push((name, vec![value])),
        }
    }

    /// Times `work` on `events` events, and adds the rate.
    pub fn rate<T>(&mut self, name: &'static str, events: u64, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.add(name, events as f64 / started.elapsed().as_secs_f64());
        done
    }

    pub fn median(&self, name: &str) -> f64 {
        let samples = self.figures.iter().find(|(known, _)| *known == name).map(|(_, samples)| samples.clone());
        let mut samples = samples.unwrap_or_else(|| panic!("{name} was measured"));
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    }

    /// Adds the greatest sample of a figure as one of its own.
    pub fn most(&mut self, name: &'static str, of: &str) {
        let samples = self.figures.iter().find(|(known, _)| *known == of).map(|(_, samples)| samples.as_slice());
        let most = samples.unwrap_or_default().iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.add(name, most);
    }

    /// Adds the ratio of two medians.
    pub fn ratio(&mut self, name: &'static str, of: &str, to: &str) {
        let ratio = self.median(of) / self.median(to);
        self.add(name, ratio);
    }

    pub fn finish(&self, as_json: bool) {
        if as_json {
            let figures: Map<String, Value> =
                self.figures.iter().map(|(name, _)| ((*name).to_owned(), json!(self.median(name)))).collect();
            println!("{}", Value::Object(figures));
            return;
        }
        println!("{:26} {:>14} {:>14} {:>14}", "figure", "median", "least", "most");
        for (name, samples) in &self.figures {
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            println!("{name:26} {:14.2} {least:14.2} {most:14.2}", self.median(name));
        }
    }
}
