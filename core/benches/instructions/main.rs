//! How many instructions each step of machine and codec takes, counted by valgrind's callgrind. The count is the same
//! on every run, however busy the computer is. A step that exceeds its budget by more than a tenth fails the run.
//!
//! The program runs itself under callgrind, once for each case. callgrind counts only within [`measured`].

#[path = "../scene/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the other benchmark uses the rest")]
mod scene;

use scene::{CASES, Case, Scene};
use std::error::Error;
use std::io::ErrorKind;
use std::process::{Command, ExitCode};

/// The word that makes this program run one case, with its number after it.
const ARGUMENT: &str = "run-case";
/// Steps of a case before counting begins. After them tables have their size and allocators their blocks.
const WARM_UP: u32 = 100;
/// Steps of a case that are counted.
const STEPS: u32 = 1_000;
/// By how much a step may exceed its budget, in percent.
const TOLERANCE: u64 = 10;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let outcome = if args.next().as_deref() == Some(ARGUMENT) {
        args.next().and_then(|number| number.parse().ok()).map_or(Err("no such case".into()), run_case)
    } else {
        compare()
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// callgrind finds this function by its name, and counts only within it.
#[inline(never)]
fn measured(scene: &mut Scene, step: fn(&mut Scene)) {
    step(scene);
}

fn run_case(number: usize) -> Result<ExitCode, Box<dyn Error>> {
    let case = CASES.get(number).ok_or("no such case")?;
    let mut scene = Scene::new();
    for step in 0..WARM_UP + STEPS {
        (case.before)(&mut scene);
        if step < WARM_UP {
            (case.step)(&mut scene);
        } else {
            measured(&mut scene, case.step);
        }
        (case.after)(&mut scene);
    }
    Ok(ExitCode::SUCCESS)
}

fn compare() -> Result<ExitCode, Box<dyn Error>> {
    println!("| step | instructions | budget | |\n|---|---|---|---|");
    let mut is_within = true;
    for (number, case) in CASES.iter().enumerate() {
        let Some(count) = count(number)? else {
            println!("LEFT OUT: valgrind is not installed");
            // Without valgrind the run fails only in CI, where `CI` is set.
            let is_ci = std::env::var_os("CI").is_some();
            return Ok(if is_ci { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        };
        let Case { name, budget, .. } = case;
        let verdict = if count * 100 > budget * (100 + TOLERANCE) {
            is_within = false;
            "**OVER BUDGET**"
        } else if count * (100 + TOLERANCE) < budget * 100 {
            "far below: lower the budget"
        } else {
            "within"
        };
        println!("| {name} | {count} | {budget} | {verdict} |");
    }
    Ok(if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Instructions of one step. `None` if there is no valgrind.
fn count(number: usize) -> Result<Option<u64>, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*::measured"])
        .arg(std::env::current_exe()?)
        .args([ARGUMENT, &number.to_string()])
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    let report = String::from_utf8_lossy(&output.stderr);
    // Near the end of the report stands `==PID== Collected : N`.
    let collected = report.lines().filter_map(|line| line.split_once("Collected : ")).next_back();
    match collected.map(|(_, count)| count.trim().parse::<u64>()) {
        Some(Ok(count)) if output.status.success() && count > 0 => Ok(Some(count / u64::from(STEPS))),
        _ => Err(format!("valgrind did not count:\n{report}").into()),
    }
}
