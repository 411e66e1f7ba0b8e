//! QuickJS, and what an instance has beside it.

use crate::modules::Modules;
use crate::table::Table;
use crate::value::{Value, references};
use rquickjs_sys as q;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of stack that a script may use: it ends with a RangeError that has a place before the host's bound traps.
const STACK_BYTES: usize = 256 << 10;

/// Instances are short: cycles are collected only when a script makes a great many of them.
const GC_THRESHOLD_BYTES: usize = 24 << 20;

/// The engine of this instance, and all that the exports need.
pub struct Engine {
    runtime: *mut q::JSRuntime,
    context: *mut q::JSContext,
    pub modules: Modules,
    pub atoms: Atoms,
    /// `Object.prototype`, by which a plain object is known.
    pub plain: Value,
    /// The prototype of what `float` makes.
    pub float: RefCell<Value>,
    /// The milliseconds that `Date` shows; `None` while the plugin is built.
    pub now: Cell<Option<i64>>,
    /// The metadata of the event in hand.
    pub metadata: Cell<(*const u8, usize)>,
    pub tables: RefCell<Vec<Table>>,
    pub description: Vec<u8>,
    pub script: Script,
    /// Whether the places of changes to rows are noted: only while a row is looked for that cannot be encoded.
    pub tracing: Cell<bool>,
    /// What a promise was rejected with that nobody has handled.
    pub rejected: RefCell<Option<Value>>,
}

/// What the script has defined.
pub struct Script {
    /// `handlers`, which is their `this`.
    pub this: Value,
    pub handlers: HashMap<Box<str>, Value, BuildHasherDefault<Fnv>>,
    /// The tables as handlers see them.
    pub tables: Value,
    /// The getter of an event's metadata.
    pub metadata: Value,
    /// Turns any value into readable text.
    pub show: Value,
    /// Variables of modules that can be assigned, with their values after the evaluation.
    pub variables: Vec<Variable>,
    /// Regular expressions that modules keep: where the last match ended is forgotten before every event.
    pub expressions: Vec<Value>,
}

/// A variable of a module.
pub struct Variable {
    pub name: String,
    /// `file:line:column`.
    pub place: String,
    pub read: Value,
    pub value: Value,
}

/// Names of properties.
pub struct Atoms {
    pub position: q::JSAtom,
    pub id: q::JSAtom,
    pub stream: q::JSAtom,
    pub kind: q::JSAtom,
    pub timestamp: q::JSAtom,
    pub schema_version: q::JSAtom,
    pub data: q::JSAtom,
    pub metadata: q::JSAtom,
    pub last_index: q::JSAtom,
    /// A symbol under which an object says which of its whole numbers are floats.
    pub floats: q::JSAtom,
    /// Names of fields that were met, by their text and by their atom.
    pub fields: RefCell<HashMap<Box<[u8]>, q::JSAtom, BuildHasherDefault<Fnv>>>,
    pub names: RefCell<HashMap<q::JSAtom, Box<[u8]>, BuildHasherDefault<Fnv>>>,
}

struct Single(UnsafeCell<Option<Engine>>);

// A core instance has one thread.
unsafe impl Sync for Single {}

static ENGINE: Single = Single(UnsafeCell::new(None));

/// The engine. It has been started before anything else is called.
#[inline]
pub fn engine() -> &'static Engine {
    match unsafe { &*ENGINE.0.get() } {
        Some(engine) => engine,
        None => unreachable!("the builder starts the engine"),
    }
}

#[inline]
pub fn ctx() -> *mut q::JSContext {
    engine().context
}

impl Engine {
    /// Starts the engine, without a script.
    pub fn start(modules: Modules) -> &'static mut Engine {
        unsafe {
            let runtime = q::JS_NewRuntime();
            q::JS_SetMaxStackSize(runtime, STACK_BYTES as _);
            q::JS_SetGCThreshold(runtime, GC_THRESHOLD_BYTES as _);
            let context = q::JS_NewContextRaw(runtime);
            // All of the language but what waits for the garbage collector or measures time.
            q::JS_AddIntrinsicBaseObjects(context);
            q::JS_AddIntrinsicDate(context);
            q::JS_AddIntrinsicEval(context);
            q::JS_AddIntrinsicRegExpCompiler(context);
            q::JS_AddIntrinsicRegExp(context);
            q::JS_AddIntrinsicJSON(context);
            q::JS_AddIntrinsicProxy(context);
            q::JS_AddIntrinsicMapSet(context);
            q::JS_AddIntrinsicTypedArrays(context);
            q::JS_AddIntrinsicPromise(context);
            q::JS_AddIntrinsicBigInt(context);
            q::JS_AddIntrinsicDOMException(context);
            q::JS_AddIntrinsicAToB(context);
            let atom = |name: &CStr| q::JS_NewAtom(context, name.as_ptr());
            let symbol = q::JS_NewSymbol(context, c"floats".as_ptr(), false);
            let atoms = Atoms {
                position: atom(c"position"),
                id: atom(c"id"),
                stream: atom(c"stream"),
                kind: atom(c"type"),
                timestamp: atom(c"timestamp"),
                schema_version: atom(c"schemaVersion"),
                data: atom(c"data"),
                metadata: atom(c"metadata"),
                last_index: atom(c"lastIndex"),
                floats: q::JS_ValueToAtom(context, symbol),
                fields: RefCell::default(),
                names: RefCell::default(),
            };
            let plain = q::JS_NewObject(context);
            let engine = (*ENGINE.0.get()).insert(Engine {
                runtime,
                context,
                modules,
                atoms,
                plain: Value::own(q::JS_GetPrototype(context, plain)),
                float: RefCell::new(Value::UNDEFINED),
                now: Cell::new(None),
                metadata: Cell::new((std::ptr::null(), 0)),
                tables: RefCell::default(),
                description: Vec::new(),
                script: Script {
                    this: Value::UNDEFINED,
                    handlers: HashMap::default(),
                    tables: Value::UNDEFINED,
                    metadata: Value::UNDEFINED,
                    show: Value::UNDEFINED,
                    variables: Vec::new(),
                    expressions: Vec::new(),
                },
                tracing: Cell::new(false),
                rejected: RefCell::new(None),
            });
            let plain = Value::own(plain);
            let again = plain.clone();
            assert!(references(plain.raw()) == 2, "the engine does not count references where it is looked at");
            drop(again);
            crate::modules::install(runtime);
            q::JS_SetHostPromiseRejectionTracker(runtime, Some(on_rejection), std::ptr::null_mut());
            engine
        }
    }

    /// What every export does first: the stack begins where this is called.
    pub fn enter(&self) {
        unsafe { q::JS_UpdateStackTop(self.runtime) }
    }

    pub fn collect_garbage(&self) {
        unsafe { q::JS_RunGC(self.runtime) }
    }

    /// Runs what promises have left to be done.
    ///
    /// # Errors
    /// When one was rejected and nobody handles that.
    pub fn run_jobs(&self) -> Result<(), Value> {
        let mut context = std::ptr::null_mut();
        while unsafe { q::JS_IsJobPending(self.runtime) } {
            if unsafe { q::JS_ExecutePendingJob(self.runtime, &mut context) } < 0 {
                return Err(Value::own(unsafe { q::JS_GetException(self.context) }));
            }
        }
        self.rejected.take().map_or(Ok(()), Err)
    }
}

unsafe extern "C" fn on_rejection(
    _: *mut q::JSContext,
    _: q::JSValue,
    reason: q::JSValue,
    is_handled: bool,
    _: *mut std::ffi::c_void,
) {
    let mut rejected = engine().rejected.borrow_mut();
    *rejected = (!is_handled).then(|| Value::borrowed(reason));
}

/// The engine's own clock. Nothing of a script reads it: `Date` is replaced.
#[unsafe(no_mangle)]
extern "C" fn __rquickjs_host_now_us() -> f64 {
    0.0
}

/// Hashes without randomness.
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// What properties are defined with.
pub const OPEN: c_int = q::JS_PROP_C_W_E as c_int;
pub const FIXED: c_int = q::JS_PROP_ENUMERABLE as c_int;
