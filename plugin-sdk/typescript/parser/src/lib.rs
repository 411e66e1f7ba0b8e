//! What `plugin build` sees in a file of TypeScript or JavaScript. A host runs this as it runs plugins, in a sandbox and within
//! bounds: no source can hurt it, however deep it nests.
//!
//! Texts are passed with their lengths before them, four bytes, little end first. In: the name of the file, `ts` or `js`, and
//! its text. Out: `ok`, the code, and for each import what it names, its place, how many names it takes from there, and those,
//! each with its place; or `error` and what is wrong, at its place.

mod source;

use source::Source;
use std::cell::UnsafeCell;

struct Answer(UnsafeCell<Vec<u8>>);

// A core instance has one thread.
unsafe impl Sync for Answer {}

static ANSWER: Answer = Answer(UnsafeCell::new(Vec::new()));

/// Room for what is passed.
#[unsafe(export_name = "unspool-room")]
extern "C" fn room(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Looks at the file that stands in `room`. Answers the length of the answer.
#[unsafe(export_name = "unspool-read")]
extern "C" fn read(file: *const u8, length: usize) -> usize {
    let mut file = unsafe { std::slice::from_raw_parts(file, length) };
    let texts: Option<[String; 3]> = (|| Some([text(&mut file)?, text(&mut file)?, text(&mut file)?]))();
    let mut answer = Vec::new();
    match texts
        .map_or(Err("the host passed no file".into()), |[name, kind, text]| Source::read(&name, text, kind == "ts"))
    {
        Ok(Source { code, imports }) => {
            push(&mut answer, "ok");
            push(&mut answer, &code);
            for import in imports {
                push(&mut answer, &import.of);
                push(&mut answer, &import.place);
                push(&mut answer, &import.names.len().to_string());
                for (name, place) in import.names {
                    push(&mut answer, &name);
                    push(&mut answer, &place);
                }
            }
        }
        Err(problem) => {
            push(&mut answer, "error");
            push(&mut answer, &problem);
        }
    }
    let held = unsafe { &mut *ANSWER.0.get() };
    *held = answer;
    held.len()
}

/// Where the answer stands.
#[unsafe(export_name = "unspool-answer")]
extern "C" fn answer() -> *const u8 {
    unsafe { (*ANSWER.0.get()).as_ptr() }
}

fn text(input: &mut &[u8]) -> Option<String> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
