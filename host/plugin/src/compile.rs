//! Compiling, in a process of its own.
//!
//! What a compiler takes for a function is no matter of its size: one of 25 KB can keep it busy for minutes, and no bound on
//! what it is given tells such a function from an interpreter's honest ones. So a plugin is checked and compiled by a child
//! process, this program with [`COMPILE`], which may use [`limits::COMPILE_MEMORY_BYTES`] and processor time by the
//! component's size ([`limits::compile_time`]): the system ends it there. Whatever else goes wrong in it, a crash of the
//! compiler or a machine that is short of memory, ends it and not the host.
//!
//! | the child gets | the child gives |
//! |---|---|
//! | standard input: the component | standard output: compiled code (exit code 0), or why there is none (exit code [`REFUSED`]) |
//! | | standard error: what is large in the component, and what the process says when it dies |

use super::error::PluginError;
use super::{cache, runtime, world};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;
use unspool_vocabulary::limits;
use wasmparser::{FunctionBody, Operator, Parser, Payload};
use wasmtime::component::Component;

/// The command with which this program compiles for another process of itself.
pub const COMPILE: &str = "compile-plugin";

/// This program, even where its file has been replaced meanwhile: both ends are of one version.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// The child's exit code where the component is at fault.
const REFUSED: u8 = 2;

/// Checks and compiles in this process, without bounds.
pub(super) fn here(engine: &wasmtime::Engine, component: &[u8]) -> Result<Component, PluginError> {
    world::check(component)?;
    Component::from_binary(engine, component).map_err(|error| PluginError::Compile(format!("{error:#}")))
}

/// Checks and compiles in a process of `program`, within bounds.
pub(super) fn in_child(program: &Path, engine: &wasmtime::Engine, component: &[u8]) -> Result<Component, PluginError> {
    let time = limits::compile_time(component.len());
    let output = run(program, component)
        .map_err(|error| PluginError::Engine(format!("the process that compiles plugins does not start: {error}")))?;
    if output.status.success() {
        return cache::deserialize(engine, cache::CompiledBytes::of_our_compiler(&output.stdout))
            .map_err(|error| PluginError::Engine(format!("what the process that compiles plugins gave: {error:#}")));
    }
    if output.status.code() == Some(i32::from(REFUSED)) {
        return Err(PluginError::Refused(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    Err(ended(&output, time))
}

fn run(program: &Path, component: &[u8]) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg(COMPILE)
        .env_clear()
        .current_dir("/")
        // A Ctrl-C in the terminal is meant for this process, which ends the other.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It answers when it has read everything; where it has ended before, its end says why.
        let written = stdin.write_all(component);
        drop(stdin);
        if let Err(e) = written {
            tracing::debug!("the process that compiles plugins does not read: {e}");
        }
    }
    child.wait_with_output()
}

/// Why a child that gave no answer has ended.
fn ended(output: &Output, time: Duration) -> PluginError {
    let said = String::from_utf8_lossy(&output.stderr);
    let (large, said) = said.split_once('\n').unwrap_or(("", &said));
    let signal = output.status.signal().and_then(Signal::from_named_raw);
    let why = if signal == Some(Signal::XCPU) {
        format!("it takes more than {} s of processor time", time.as_secs())
    } else if said.contains("memory allocation") {
        format!("it takes more than {} MiB of memory", limits::COMPILE_MEMORY_BYTES >> 20)
    } else if signal == Some(Signal::KILL) {
        "the system ended it, which it does where memory is short".to_owned()
    } else {
        let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        format!("the compiler ended by itself ({}): {}", output.status, super::guard::clip(last))
    };
    PluginError::TooMuch { why, large: super::guard::clip(large) }
}

/// The child: compiles the component on standard input.
pub fn compile_for_another_process() -> ExitCode {
    match answer() {
        Ok((bytes, exit)) if io::stdout().lock().write_all(&bytes).is_ok() => ExitCode::from(exit),
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("\n{e}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> io::Result<(Vec<u8>, u8)> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The first to go where the machine is short of memory; it is not where that cannot be said.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    bound(Resource::Core, 0)?;
    // Memory that is written to; the address space of the engine's pool is none.
    bound(Resource::Data, limits::COMPILE_MEMORY_BYTES)?;
    let mut component = Vec::new();
    io::stdin().lock().take(limits::PLUGIN_BYTES as u64 + 1).read_to_end(&mut component)?;
    bound(Resource::Cpu, limits::compile_time(component.len()).as_secs())?;
    eprintln!("{}", large(&component));
    let compiled = runtime::without_clock()
        .and_then(|engine| here(&engine, &component))
        .and_then(|component| component.serialize().map_err(|error| PluginError::Compile(format!("{error:#}"))));
    Ok(match compiled {
        Ok(bytes) => (bytes, 0),
        Err(e) => (e.to_string().into_bytes(), REFUSED),
    })
}

/// Lowers a limit of this process, where it is not lower already. At the first of two limits of processor time a signal says what
/// has ended it.
fn bound(resource: Resource, most: u64) -> io::Result<()> {
    let hard = if resource == Resource::Cpu { most + 1 } else { most };
    let maximum = getrlimit(resource).maximum.map_or(hard, |already| already.min(hard));
    Ok(setrlimit(resource, Rlimit { current: Some(most.min(maximum)), maximum: Some(maximum) })?)
}

/// What is large in a component, in one line: the functions of all its modules, and the largest of each thing that a compiler
/// takes its time for. What is malformed is not looked at any further.
fn large(component: &[u8]) -> String {
    let (mut functions, mut largest) = (0_u64, Function::default());
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { break };
        if let Payload::CodeSectionEntry(body) = payload {
            functions += 1;
            largest = largest.max(&Function::measure(&body));
        }
    }
    let Function { bytes, locals, depth, targets } = largest;
    format!(
        "it has {} bytes and {functions} functions; the largest has {bytes} bytes, the most locals of one are {locals}, its \
         blocks nest {depth} deep, a branch has {targets} targets",
        component.len()
    )
}

#[derive(Default)]
struct Function {
    bytes: u64,
    locals: u64,
    depth: u64,
    targets: u64,
}

impl Function {
    fn measure(body: &FunctionBody<'_>) -> Function {
        let mut function = Function { bytes: body.range().len() as u64, ..Function::default() };
        let locals = body.get_locals_reader().into_iter().flatten().flatten();
        function.locals = locals.map(|(count, _)| u64::from(count)).sum();
        let mut depth = 0_u64;
        for operator in body.get_operators_reader().into_iter().flatten() {
            match operator {
                Ok(Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }) => depth += 1,
                Ok(Operator::End) => depth = depth.saturating_sub(1),
                Ok(Operator::BrTable { targets }) => function.targets = function.targets.max(targets.len().into()),
                Ok(_) => {}
                Err(_) => break,
            }
            function.depth = function.depth.max(depth);
        }
        function
    }

    fn max(&self, other: &Function) -> Function {
        Function {
            bytes: self.bytes.max(other.bytes),
            locals: self.locals.max(other.locals),
            depth: self.depth.max(other.depth),
            targets: self.targets.max(other.targets),
        }
    }
}
