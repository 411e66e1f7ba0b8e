/* Projections in C: one plugin is this header, unspool.c and the author's file, which defines `unspool_plugin` and
 * `unspool_handle`. plugin-sdk/c/README.md shows one.
 *
 * Nothing needs to be freed: the host makes a fresh instance for every call and takes its whole memory back. A handler is a
 * pure function of the event and the rows; what it keeps in a variable does not outlive the call. */

#ifndef UNSPOOL_H
#define UNSPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text or bytes. Text is UTF-8, and does not end with a zero. */
typedef struct {
  const char *at;
  size_t len;
} unspool_text;

/* One MessagePack value, encoded. `at` is NULL where there is none. */
typedef struct {
  const uint8_t *at;
  size_t len;
} unspool_value;

/* What a projection says about itself. */
typedef struct {
  const char *name;               /* 1 to 64 lower-case letters, digits, '-' and '_' */
  uint32_t version;               /* of the rows' shape: another one needs a full rebuild */
  const char *const *event_types; /* ends with NULL; "*" stands for all */
  const char *const *tables;      /* ends with NULL */
  const char *complexity;         /* "simple", "standard", "complex", "integration"; NULL: standard */
  uint32_t chunk_size;            /* events in a chunk, instead of what the complexity says; 0: that */
  bool partitioned_by_stream;     /* no row of one stream is touched by another */
} unspool_projection;

typedef struct {
  uint64_t position; /* where it stands in the source's order; grows, with gaps */
  unspool_text id;   /* unique in the source */
  unspool_text stream;
  unspool_text type;
  int64_t timestamp; /* milliseconds since 1970-01-01T00:00:00Z */
  uint32_t schema_version;
  unspool_value data; /* the payload */
  unspool_value metadata;
} unspool_event;

/* The author's: the projection, and what it does with an event. */
extern const unspool_projection unspool_plugin;
void unspool_handle(const unspool_event *event);

/* The event cannot be applied, now or ever; or not this time. Whatever the handler did and does with it is dropped. The first
 * failure of an event holds. Everything below that says "fails" does so permanently, and gives 0, false or nothing. */
void unspool_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void unspool_fail_for_now(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool unspool_failed(void);

/* Reading. A field of a map; it fails where the map lacks it, or where it is of another type or does not fit. */
int64_t unspool_int(unspool_value map, const char *field);
uint64_t unspool_uint(unspool_value map, const char *field);
double unspool_float(unspool_value map, const char *field); /* takes an integer up to 2^53, too */
bool unspool_bool(unspool_value map, const char *field);
unspool_text unspool_str(unspool_value map, const char *field);
unspool_text unspool_bin(unspool_value map, const char *field);
unspool_value unspool_map(unspool_value map, const char *field);
unspool_value unspool_array(unspool_value map, const char *field);

/* A field of a map: nothing where it is missing or null. For what need not be there. */
unspool_value unspool_optional(unspool_value map, const char *field);

/* The number of elements of an array, or of entries of a map; and one of them, counted from 0. */
size_t unspool_len(unspool_value value);
unspool_value unspool_element(unspool_value array, size_t index);
unspool_text unspool_entry(unspool_value map, size_t index, unspool_value *value);

/* A value that stands by itself: an element, or an optional one. It fails where it is of another type or does not fit. */
int64_t unspool_as_int(unspool_value value);
uint64_t unspool_as_uint(unspool_value value);
double unspool_as_float(unspool_value value);
bool unspool_as_bool(unspool_value value);
unspool_text unspool_as_str(unspool_value value);

/* Writing. A value grows as it is written: a map of n entries is followed by n texts with a value each, an array of n elements
 * by n values. NaN and infinities fail. */
typedef struct {
  uint8_t *at;
  size_t len, room;
} unspool_writer;

void unspool_put_map(unspool_writer *out, size_t entries);
void unspool_put_array(unspool_writer *out, size_t elements);
void unspool_put_int(unspool_writer *out, int64_t value);
void unspool_put_uint(unspool_writer *out, uint64_t value);
void unspool_put_float(unspool_writer *out, double value);
void unspool_put_bool(unspool_writer *out, bool value);
void unspool_put_null(unspool_writer *out);
void unspool_put_str(unspool_writer *out, const char *text); /* ends with a zero */
void unspool_put_text(unspool_writer *out, unspool_text text);
void unspool_put_bin(unspool_writer *out, unspool_text bytes);
void unspool_put_value(unspool_writer *out, unspool_value value); /* as it was read */

/* Tables. A handler sees what the handlers of the call have written. A key that is empty or longer than 4096 bytes, and a table
 * that the projection does not name, fail. */
unspool_value unspool_get(const char *table, unspool_text key);
void unspool_put(const char *table, unspool_text key, const unspool_writer *row);
void unspool_delete(const char *table, unspool_text key);
/* Reads the rows of keys in one call to the host, so that looking at them later costs none. */
void unspool_load(const char *table, const unspool_text *keys, size_t n);
/* Calls `each` for the rows whose keys start with `prefix`, ascending by the bytes of their keys. All of them are kept until the
 * call ends. */
void unspool_scan(const char *table, unspool_text prefix, void (*each)(unspool_text key, unspool_value row, void *with), void *with);

/* Writes a line to the host's log; `level` is "error", "warn", "info" or "debug". What goes to stdout and stderr gets there, too. */
void unspool_log(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of a string that ends with a zero; whether two texts are the same. */
unspool_text unspool_text_of(const char *text);
bool unspool_same(unspool_text one, unspool_text other);

#endif
