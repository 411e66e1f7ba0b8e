//! Which source an import means. The builder has resolved all of them.

use crate::engine::{ctx, engine};
use rquickjs_sys as q;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// The sources of a plugin.
#[derive(Default)]
pub struct Modules {
    /// Sources by the names of their files.
    sources: HashMap<String, CString>,
    /// What a module means by an import: the name of the file.
    imports: HashMap<(String, String), String>,
}

/// The module that plugins import.
pub const SDK: &str = "unspool";

impl Modules {
    /// Reads what the builder hands over: texts with their lengths before them, four bytes, little end first. For every
    /// module its name, its source, and as many pairs of an import and the name of what it means as the next text says.
    /// The first module is the entry, whose name this returns too.
    pub fn read(mut input: &[u8]) -> Option<(Modules, String)> {
        let mut modules = Modules::default();
        modules.sources.insert(SDK.into(), CString::new(include_str!("../../unspool/index.js")).ok()?);
        let mut entry = None;
        while !input.is_empty() {
            let name = text(&mut input)?;
            let source = text(&mut input)?;
            let imports: usize = text(&mut input)?.parse().ok()?;
            for _ in 0..imports {
                let import = text(&mut input)?;
                modules.imports.insert((name.clone(), import), text(&mut input)?);
            }
            entry.get_or_insert_with(|| name.clone());
            modules.sources.insert(name, CString::new(source).ok()?);
        }
        Some((modules, entry?))
    }

    /// Compiles a module, and returns the engine's value of it or an exception.
    pub fn compile(&self, name: &str) -> q::JSValue {
        let (Some(source), Ok(name)) = (self.sources.get(name), CString::new(name)) else {
            return q::JS_UNDEFINED;
        };
        let flags = q::JS_EVAL_TYPE_MODULE | q::JS_EVAL_FLAG_COMPILE_ONLY;
        let length = source.as_bytes().len();
        unsafe { q::JS_Eval(ctx(), source.as_ptr(), length as _, name.as_ptr(), flags as c_int) }
    }
}

fn text(input: &mut &[u8]) -> Option<String> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Tells the engine how to find modules.
pub fn install(runtime: *mut q::JSRuntime) {
    unsafe { q::JS_SetModuleLoaderFunc(runtime, Some(resolve), Some(load), std::ptr::null_mut()) }
}

unsafe extern "C" fn resolve(
    ctx: *mut q::JSContext,
    base: *const c_char,
    import: *const c_char,
    _: *mut c_void,
) -> *mut c_char {
    let (base, import) = unsafe { (text_of(base), text_of(import)) };
    let named = if import == SDK {
        Some(SDK)
    } else {
        engine().modules.imports.get(&(base, import.clone())).map(String::as_str)
    };
    match named.and_then(|name| CString::new(name).ok()) {
        Some(name) => unsafe { q::js_strdup(ctx, name.as_ptr()) },
        None => {
            crate::failure::throw(&format!(
                "`{import}` is imported while the script runs; a plugin imports at the top of a file"
            ));
            std::ptr::null_mut()
        }
    }
}

unsafe extern "C" fn load(ctx: *mut q::JSContext, name: *const c_char, _: *mut c_void) -> *mut q::JSModuleDef {
    let module = engine().modules.compile(&unsafe { text_of(name) });
    unsafe {
        if q::JS_IsException(module) {
            return std::ptr::null_mut();
        }
        // The context keeps the module.
        let definition = q::JS_VALUE_GET_PTR(module).cast();
        q::JS_FreeValue(ctx, module);
        definition
    }
}

unsafe fn text_of(text: *const c_char) -> String {
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
