//! Replays the corpora of the fuzz targets, so that what fuzzing found once is tested on every change.

use std::fs;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs_of(target: &str) -> Vec<PathBuf> {
    let folder = corpus().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_of_every_corpus_is_survived() {
    for (target, run) in tests::fuzz::TARGETS {
        let inputs = inputs_of(target);
        assert!(!inputs.is_empty(), "the corpus of {target} is empty");
        for input in inputs {
            // Shown when the next line panics.
            println!("{}", input.display());
            run(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_corpus_has_a_target_and_every_target_a_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for entry in fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(tests::fuzz::TARGETS.iter().any(|(target, _)| *target == name), "corpus {name} has no target");
    }
    for (target, _) in tests::fuzz::TARGETS {
        assert!(programs.join(format!("{target}.rs")).is_file(), "target {target} has no program");
    }
}
