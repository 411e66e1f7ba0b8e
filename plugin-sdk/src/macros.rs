//! The two macros of a plugin's author.

/// Defines a projection: its description, its tables, and the handler of each event type.
///
/// ```
/// # use unspool_sdk::prelude::*;
/// # #[derive(Serialize, Deserialize, Default)] struct Row { count: u64 }
/// # fn on_created(_: &Event<'_>, _: &mut Tables) -> Handled { Ok(()) }
/// # use on_created as on_anything_else;
/// # fn wanted(event: &Event<'_>, tables: &mut Tables) { tables.orders.want(event.stream) }
/// projection! {
///     /// What it is for.
///     pub struct Orders;           // the type that `export!`, `Kit` and `Session` take
///     name: "orders",              // lower-case letters, digits, `-` and `_`
///     version: 1,                  // of the rows' shape: another one needs a full rebuild
///     complexity: Standard,        // Simple, Standard (default), Complex, Integration: how large a chunk is
///     chunk_size: 500,             // optional, instead of what the complexity suggests
///     partitioning: Stream,        // optional: no row is touched by two streams, so streams may run side by side
///     preload: wanted,             // optional: which rows an event's handler will look at, read in one call
///     tables: Tables {             // a struct of this name, with a `Table` of rows per field
///         orders: Row,             // the table has the name of the field
///         by_day: Row = "by-day",  // or this name
///     },
///     handlers: {
///         "OrderCreated" => on_created,
///         "*" => on_anything_else, // optional: every type that has no handler of its own
///     },
/// }
/// ```
///
/// All parts stand in this order. An event type without a handler is a permanent failure of the event; the host sends such
/// events only if `"*"` is among the types.
#[macro_export]
macro_rules! projection {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $projection:ident;
        name: $name:expr,
        version: $version:expr,
        $(complexity: $complexity:ident,)?
        $(chunk_size: $chunk_size:expr,)?
        $(partitioning: $partitioning:ident,)?
        $(preload: $preload:path,)?
        tables: $tables:ident { $($table:ident: $row:ty $(= $table_name:literal)?),+ $(,)? },
        handlers: { $($kind:literal => $handler:path),+ $(,)? } $(,)?
    ) => {
        $(#[$attribute])*
        $visibility struct $projection;

        /// The tables, as handlers see them.
        #[allow(missing_docs, reason = "the fields are the tables, and their rows say what is in them")]
        $visibility struct $tables {
            $(pub $table: $crate::Table<$row>,)+
        }

        impl $crate::Tables for $tables {
            fn open(rows: &::std::rc::Rc<dyn $crate::Rows>) -> Self {
                $tables {
                    $($table: $crate::Table::open(
                        $crate::__first!($($table_name,)? ::std::stringify!($table)),
                        ::std::rc::Rc::clone(rows),
                    ),)+
                }
            }

            fn fetch(&mut self) -> ::std::result::Result<(), $crate::Failure> {
                $(self.$table.fetch()?;)+
                Ok(())
            }

            fn emit(&self, writes: &mut $crate::WriteSet) -> ::std::result::Result<(), $crate::Failure> {
                $(self.$table.emit(writes)?;)+
                Ok(())
            }
        }

        impl $crate::Projection for $projection {
            type Tables = $tables;

            const PRELOADS: bool = $crate::__first!($({ let _ = $preload; true },)? false);

            fn description() -> $crate::Description {
                $crate::Description {
                    name: ::std::string::String::from($name),
                    version: $version,
                    event_types: ::std::vec![$(::std::string::String::from($kind)),+],
                    tables: ::std::vec![$($crate::TableDescription {
                        name: ::std::string::String::from(
                            $crate::__first!($($table_name,)? ::std::stringify!($table)),
                        ),
                    }),+],
                    complexity: $crate::__first!(
                        $($crate::Complexity::$complexity,)? $crate::Complexity::Standard
                    ),
                    chunk_size: $crate::__first!($(::std::option::Option::Some($chunk_size),)? ::std::option::Option::None),
                    partitioning: $crate::__first!(
                        $($crate::Partitioning::$partitioning,)? $crate::Partitioning::None
                    ),
                }
            }

            fn preload(_event: &$crate::Event<'_>, _tables: &mut $tables) {
                $($preload(_event, _tables);)?
            }

            #[inline]
            fn dispatch(event: &$crate::Event<'_>, tables: &mut $tables) -> $crate::Handled {
                // The comparison with "*" is between constants, and costs nothing.
                $(if $kind != "*" && event.kind == $kind {
                    return $crate::Handler::handle($handler, event, tables);
                })+
                $(if $kind == "*" {
                    return $crate::Handler::handle($handler, event, tables);
                })+
                Err($crate::no_handler(event))
            }
        }
    };
}

/// Makes a [`Plugin`](crate::Plugin) the one that this crate's component exports. Does nothing but on `wasm32`.
///
/// ```
/// # use unspool_sdk::prelude::*;
/// # #[derive(Serialize, Deserialize, Default)] struct Row { count: u64 }
/// # fn on_created(_: &Event<'_>, _: &mut Tables) -> Handled { Ok(()) }
/// # projection! {
/// #     pub struct Orders; name: "orders", version: 1, tables: Tables { orders: Row },
/// #     handlers: { "OrderCreated" => on_created },
/// # }
/// export!(Orders);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the exports of a component are extern functions over raw memory")]
        const _: () = {
            type Exported = $crate::wasm::Exported<$plugin>;
    $crate::wasm::export_projection!(Exported with_types_in $crate::wasm::bindings);
        };
    };
}

/// The first of one or two.
#[doc(hidden)]
#[macro_export]
macro_rules! __first {
    ($first:expr, $second:expr) => {
        $first
    };
    ($only:expr) => {
        $only
    };
}
