/* See unspool.h. What the host calls is at the end, by the canonical ABI of the component model; MessagePack is in the middle:
 * https://github.com/msgpack/msgpack/blob/master/spec.md */

#include "unspool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 4096, MESSAGE_BYTES = 1024, READ_KEYS = 4096, SCAN_ROWS = 1000, DEPTH = 128 };

/* Out of memory is a trap: the host says how much the instance wanted. */
static void *grown(void *old, size_t bytes) {
  void *memory = realloc(old, bytes ? bytes : 1);
  if (!memory) __builtin_trap();
  return memory;
}

/* How many bytes of a text are UTF-8, from its start on. */
static size_t utf8(unspool_text text) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  size_t at = 0;
  while (at < text.len) {
    uint8_t lead = (uint8_t)text.at[at];
    int more = lead < 0x80 ? 0 : lead >= 0xf0 && lead < 0xf8 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : -1;
    if (more < 0 || lead >= 0xf8 || text.len - at <= (size_t)more) break;
    uint32_t c = more == 0 ? lead : lead & (0x3f >> more);
    for (int i = 1; i <= more; i++) {
      if ((text.at[at + i] & 0xc0) != 0x80) return at;
      c = c << 6 | (text.at[at + i] & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) break;
    at += 1 + (size_t)more;
  }
  return at;
}

/* The host takes text that is UTF-8 and nothing else. */
static unspool_text shown(char *message) {
  unspool_text text = unspool_text_of(message);
  for (size_t at; (at = utf8(text)) < text.len;) message[at] = '?';
  return text;
}

/* The failure of the event in hand. */

static struct {
  const char *kind;
  char message[MESSAGE_BYTES];
} failure;

static void fail(const char *kind, const char *format, va_list arguments) {
  if (failure.kind) return;
  failure.kind = kind;
  vsnprintf(failure.message, sizeof failure.message, format, arguments);
}

void unspool_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail("permanent", format, arguments);
  va_end(arguments);
}

void unspool_fail_for_now(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail("transient", format, arguments);
  va_end(arguments);
}

bool unspool_failed(void) { return failure.kind; }

unspool_text unspool_text_of(const char *text) { return (unspool_text){text, strlen(text)}; }

bool unspool_same(unspool_text one, unspool_text other) {
  return one.len == other.len && (one.len == 0 || memcmp(one.at, other.at, one.len) == 0);
}

/* MessagePack, read. What stands at a place is found out once: its kind, and its number, length or bits. */

enum kind { BROKEN, NIL, BOOL, INT, UINT, FLOAT, STR, BIN, ARRAY, MAP };

struct item {
  enum kind kind;
  uint64_t n;          /* number, length or bits */
  const uint8_t *next; /* what follows: the bytes of STR and BIN, the parts of ARRAY and MAP, the next value */
};

static const char *const names[] = {"nothing", "null", "a boolean", "an integer", "an integer", "a float", "text", "bytes", "an array", "a map"};

static bool big_endian(const uint8_t **at, const uint8_t *end, int bytes, uint64_t *n) {
  if (end - *at < bytes) return false;
  for (*n = 0; bytes--;) *n = *n << 8 | *(*at)++;
  return true;
}

static struct item item(const uint8_t *at, const uint8_t *end) {
  struct item it = {BROKEN, 0, at};
  if (at >= end) return it;
  uint8_t m = *at++;
  enum kind kind = BROKEN;
  int bytes = 0;
  uint64_t n = 0;
  if (m < 0x80) kind = UINT, n = m;
  else if (m < 0x90) kind = MAP, n = m & 15;
  else if (m < 0xa0) kind = ARRAY, n = m & 15;
  else if (m < 0xc0) kind = STR, n = m & 31;
  else if (m >= 0xe0) kind = INT, n = (uint64_t)(int8_t)m;
  else if (m == 0xc0) kind = NIL;
  else if (m == 0xc2 || m == 0xc3) kind = BOOL, n = m & 1;
  else if (m >= 0xc4 && m <= 0xc6) kind = BIN, bytes = 1 << (m - 0xc4);
  else if (m == 0xca || m == 0xcb) kind = FLOAT, bytes = 4 << (m - 0xca);
  else if (m >= 0xcc && m <= 0xcf) kind = UINT, bytes = 1 << (m - 0xcc);
  else if (m >= 0xd0 && m <= 0xd3) kind = INT, bytes = 1 << (m - 0xd0);
  else if (m >= 0xd9 && m <= 0xdb) kind = STR, bytes = 1 << (m - 0xd9);
  else if (m == 0xdc || m == 0xdd) kind = ARRAY, bytes = 2 << (m - 0xdc);
  else if (m == 0xde || m == 0xdf) kind = MAP, bytes = 2 << (m - 0xde);
  if (bytes && !big_endian(&at, end, bytes, &n)) return it;
  if (kind == INT && bytes) {
    n = (uint64_t)((int64_t)(n << (64 - 8 * bytes)) >> (64 - 8 * bytes));
    if ((int64_t)n >= 0) kind = UINT;
  }
  if (kind == FLOAT && bytes == 4) {
    uint32_t bits = (uint32_t)n;
    float narrow;
    memcpy(&narrow, &bits, 4);
    double wide = narrow;
    memcpy(&n, &wide, 8);
  }
  if ((kind == STR || kind == BIN) && n > (uint64_t)(end - at)) return it;
  return (struct item){kind, n, at};
}

/* Where the value at `at` ends; NULL where it is broken. */
static const uint8_t *skip(const uint8_t *at, const uint8_t *end, int depth) {
  struct item it = item(at, end);
  if (it.kind == BROKEN || depth > DEPTH) return NULL;
  if (it.kind == STR || it.kind == BIN) return it.next + it.n;
  if (it.kind != ARRAY && it.kind != MAP) return it.next;
  at = it.next;
  for (uint64_t left = it.kind == MAP ? 2 * it.n : it.n; left && at; left--) at = skip(at, end, depth + 1);
  return at;
}

static struct item look(unspool_value value) { return item(value.at, value.at + value.len); }

static unspool_value next(const uint8_t **at, const uint8_t *end) {
  const uint8_t *from = *at;
  *at = skip(from, end, 0);
  if (!*at) return *at = end, (unspool_value){NULL, 0};
  return (unspool_value){from, (size_t)(*at - from)};
}

static unspool_text chars(struct item it) { return (unspool_text){(const char *)it.next, (size_t)it.n}; }

static unspool_value find(unspool_value map, const char *field) {
  struct item it = look(map);
  if (it.kind != MAP) return (unspool_value){NULL, 0};
  const uint8_t *at = it.next, *end = map.at + map.len;
  unspool_text wanted = unspool_text_of(field);
  for (uint64_t left = it.n; left && at < end; left--) {
    struct item key = look(next(&at, end));
    unspool_value value = next(&at, end);
    if (key.kind == STR && unspool_same(chars(key), wanted)) return value;
  }
  return (unspool_value){NULL, 0};
}

unspool_value unspool_optional(unspool_value map, const char *field) {
  unspool_value value = find(map, field);
  return value.at && look(value).kind == NIL ? (unspool_value){NULL, 0} : value;
}

/* A value of one of two kinds, which may be the same; `field` is NULL for one that stands by itself. */
static struct item expect(unspool_value value, const char *field, enum kind one, enum kind other, const char *what) {
  struct item it = look(value);
  if (it.kind == one || it.kind == other) return it;
  const char *in = field ? field : "a value", *between = field && !value.at ? " is missing" : ": ";
  if (field && !value.at) unspool_fail("%s%s", in, between);
  else unspool_fail("%s%s%s where %s belongs", in, between, names[it.kind], what);
  return (struct item){BROKEN, 0, NULL};
}

static int64_t as_int(unspool_value value, const char *field) {
  struct item it = expect(value, field, INT, UINT, "an integer");
  if (it.kind == UINT && it.n > INT64_MAX) unspool_fail("%s: %llu does not fit into 64 bits with a sign", field ? field : "a value", it.n);
  return failure.kind ? 0 : (int64_t)it.n;
}

static uint64_t as_uint(unspool_value value, const char *field) {
  struct item it = expect(value, field, INT, UINT, "an integer");
  if (it.kind == INT) unspool_fail("%s: %lld where no number below zero belongs", field ? field : "a value", (int64_t)it.n);
  return failure.kind ? 0 : it.n;
}

static double as_float(unspool_value value, const char *field) {
  enum kind kind = look(value).kind;
  if (kind == INT || kind == UINT) {
    int64_t n = as_int(value, field);
    if (n > (1LL << 53) || n < -(1LL << 53)) unspool_fail("%s: an integer beyond 2^53, which a float does not hold exactly", field ? field : "a value");
    return (double)n;
  }
  struct item it = expect(value, field, FLOAT, FLOAT, "a number");
  double number;
  memcpy(&number, &it.n, 8);
  return number;
}

static bool as_bool(unspool_value value, const char *field) { return expect(value, field, BOOL, BOOL, "a boolean").n; }

static unspool_text as_text(unspool_value value, const char *field, enum kind kind) {
  struct item it = expect(value, field, kind, kind, names[kind]);
  return it.kind == BROKEN ? (unspool_text){"", 0} : chars(it);
}

static unspool_value as_parts(unspool_value value, const char *field, enum kind kind) {
  return expect(value, field, kind, kind, names[kind]).kind == kind ? value : (unspool_value){NULL, 0};
}

int64_t unspool_int(unspool_value map, const char *field) { return as_int(find(map, field), field); }
uint64_t unspool_uint(unspool_value map, const char *field) { return as_uint(find(map, field), field); }
double unspool_float(unspool_value map, const char *field) { return as_float(find(map, field), field); }
bool unspool_bool(unspool_value map, const char *field) { return as_bool(find(map, field), field); }
unspool_text unspool_str(unspool_value map, const char *field) { return as_text(find(map, field), field, STR); }
unspool_text unspool_bin(unspool_value map, const char *field) { return as_text(find(map, field), field, BIN); }
unspool_value unspool_map(unspool_value map, const char *field) { return as_parts(find(map, field), field, MAP); }
unspool_value unspool_array(unspool_value map, const char *field) { return as_parts(find(map, field), field, ARRAY); }
int64_t unspool_as_int(unspool_value value) { return as_int(value, NULL); }
uint64_t unspool_as_uint(unspool_value value) { return as_uint(value, NULL); }
double unspool_as_float(unspool_value value) { return as_float(value, NULL); }
bool unspool_as_bool(unspool_value value) { return as_bool(value, NULL); }
unspool_text unspool_as_str(unspool_value value) { return as_text(value, NULL, STR); }

size_t unspool_len(unspool_value value) {
  struct item it = look(value);
  return it.kind == ARRAY || it.kind == MAP ? (size_t)it.n : 0;
}

unspool_value unspool_element(unspool_value array, size_t index) {
  struct item it = look(array);
  const uint8_t *at = it.next, *end = array.at + array.len;
  unspool_value found = {NULL, 0};
  if (it.kind != ARRAY || index >= it.n) return found;
  for (size_t i = 0; i <= index && at < end; i++) found = next(&at, end);
  return found;
}

unspool_text unspool_entry(unspool_value map, size_t index, unspool_value *value) {
  struct item it = look(map);
  const uint8_t *at = it.next, *end = map.at + map.len;
  unspool_text key = {"", 0};
  *value = (unspool_value){NULL, 0};
  if (it.kind != MAP || index >= it.n) return key;
  for (size_t i = 0; i <= index && at < end; i++) {
    struct item name = look(next(&at, end));
    key = name.kind == STR ? chars(name) : (unspool_text){"", 0};
    *value = next(&at, end);
  }
  return key;
}

/* MessagePack, written. */

static void put(unspool_writer *out, const void *bytes, size_t n) {
  if (out->len + n > out->room) out->at = grown(out->at, out->room = 2 * (out->len + n) + 32);
  if (n) memcpy(out->at + out->len, bytes, n);
  out->len += n;
}

static void put_number(unspool_writer *out, uint8_t marker, uint64_t n, int bytes) {
  uint8_t form[9] = {marker};
  for (int i = bytes; i; i--, n >>= 8) form[i] = (uint8_t)n;
  put(out, form, 1 + bytes);
}

/* A length: in the marker up to `most`, or in 1, 2 or 4 bytes after one of those from `first` on, `widths` of them. */
static void put_len(unspool_writer *out, size_t n, uint8_t fixed, size_t most, uint8_t first, int widths) {
  if (fixed && n <= most) put_number(out, fixed | (uint8_t)n, 0, 0);
  else if (widths == 3 && n <= UINT8_MAX) put_number(out, first, n, 1);
  else if (n <= UINT16_MAX) put_number(out, first + widths - 2, n, 2);
  else put_number(out, first + widths - 1, n, 4);
}

void unspool_put_map(unspool_writer *out, size_t entries) { put_len(out, entries, 0x80, 15, 0xde, 2); }
void unspool_put_array(unspool_writer *out, size_t elements) { put_len(out, elements, 0x90, 15, 0xdc, 2); }
void unspool_put_bool(unspool_writer *out, bool value) { put_number(out, value ? 0xc3 : 0xc2, 0, 0); }
void unspool_put_null(unspool_writer *out) { put_number(out, 0xc0, 0, 0); }
void unspool_put_str(unspool_writer *out, const char *text) { unspool_put_text(out, unspool_text_of(text)); }
void unspool_put_value(unspool_writer *out, unspool_value value) {
  if (value.at) put(out, value.at, value.len);
  else unspool_put_null(out);
}

void unspool_put_uint(unspool_writer *out, uint64_t value) {
  if (value < 0x80) put_number(out, (uint8_t)value, 0, 0);
  else if (value <= UINT8_MAX) put_number(out, 0xcc, value, 1);
  else if (value <= UINT16_MAX) put_number(out, 0xcd, value, 2);
  else if (value <= UINT32_MAX) put_number(out, 0xce, value, 4);
  else put_number(out, 0xcf, value, 8);
}

void unspool_put_int(unspool_writer *out, int64_t value) {
  if (value >= 0) unspool_put_uint(out, (uint64_t)value);
  else if (value >= -32) put_number(out, (uint8_t)value, 0, 0);
  else put_number(out, 0xd3, (uint64_t)value, 8);
}

void unspool_put_float(unspool_writer *out, double value) {
  if (!isfinite(value)) unspool_fail("%f is no number that can be stored", value);
  uint64_t bits;
  memcpy(&bits, &value, 8);
  put_number(out, 0xcb, bits, 8);
}

void unspool_put_text(unspool_writer *out, unspool_text text) {
  if (utf8(text) < text.len) unspool_fail("text that is not UTF-8; store it with unspool_put_bin");
  put_len(out, text.len, 0xa0, 31, 0xd9, 3);
  put(out, text.at, text.len);
}

void unspool_put_bin(unspool_writer *out, unspool_text bytes) {
  put_len(out, bytes.len, 0, 0, 0xc4, 3);
  put(out, bytes.at, bytes.len);
}

/* Tables: the rows that the call has read or written, by table and key. */

struct row {
  size_t table;
  unspool_text key;
  unspool_value document; /* nothing where there is no row */
  bool known, stored, changed;
};

struct change {
  size_t row;
  unspool_value document;
  bool known, changed;
};

static struct row *rows;
static size_t row_count, row_room;
static uint32_t *row_index; /* of a row plus one, by the hash of its key */
static size_t index_room;
static struct change *changes; /* of the event in hand, to be undone where it fails */
static size_t change_count, change_room;
static struct {
  size_t table;
  unspool_text prefix;
} *scanned;
static size_t scanned_count;

struct option_value {
  uint32_t some;
  unspool_value value;
};

struct found {
  unspool_text key;
  unspool_value document;
};

struct answer {
  void *at;
  uint32_t n;
};

__attribute__((import_module("unspool:projection/read-model@1.0.0"), import_name("get-many"))) extern void import_get_many(
    const char *table, size_t table_len, const unspool_text *keys, size_t n, struct answer *answer);
__attribute__((import_module("unspool:projection/read-model@1.0.0"), import_name("scan"))) extern void import_scan(
    const char *table, size_t table_len, const char *prefix, size_t prefix_len, uint32_t has_after, const char *after, size_t after_len, uint32_t limit, struct answer *answer);
__attribute__((import_module("unspool:projection/logger@1.0.0"), import_name("log"))) extern void import_log(
    const char *level, size_t level_len, const char *message, size_t message_len);

static bool table_of(const char *name, size_t *table) {
  for (*table = 0; unspool_plugin.tables[*table]; ++*table)
    if (strcmp(unspool_plugin.tables[*table], name) == 0) return true;
  unspool_fail("the projection has no table %s", name);
  return false;
}

static bool key_fits(const char *table, unspool_text key) {
  if (key.len == 0) unspool_fail("a key of table %s is empty", table);
  else if (utf8(key) < key.len) unspool_fail("a key of table %s is not UTF-8", table);
  else if (key.len > KEY_BYTES) unspool_fail("a key of table %s has %zu bytes; %d are allowed", table, key.len, KEY_BYTES);
  else return true;
  return false;
}

static uint64_t hash(size_t table, unspool_text key) {
  uint64_t h = 14695981039346656037u ^ table;
  for (size_t i = 0; i < key.len; i++) h = (h ^ (uint8_t)key.at[i]) * 1099511628211u;
  return h ^ h >> 29;
}

static void enter(size_t row) {
  size_t probe = hash(rows[row].table, rows[row].key) & (index_room - 1);
  while (row_index[probe]) probe = (probe + 1) & (index_room - 1);
  row_index[probe] = (uint32_t)row + 1;
}

/* The row of a key, known or not. Its place is its own from then on, and its key, which may be the caller's, is copied. */
static size_t row_of(size_t table, unspool_text key) {
  if (index_room)
    for (size_t probe = hash(table, key) & (index_room - 1); row_index[probe]; probe = (probe + 1) & (index_room - 1)) {
      struct row *row = &rows[row_index[probe] - 1];
      if (row->table == table && unspool_same(row->key, key)) return row_index[probe] - 1;
    }
  if (row_count == row_room) rows = grown(rows, (row_room = row_room ? 2 * row_room : 256) * sizeof *rows);
  char *own = grown(NULL, key.len);
  memcpy(own, key.at, key.len);
  rows[row_count] = (struct row){table, {own, key.len}, {NULL, 0}, false, false, false};
  if (2 * ++row_count > index_room) {
    index_room = index_room ? 2 * index_room : 1024;
    row_index = grown(row_index, index_room * sizeof *row_index);
    memset(row_index, 0, index_room * sizeof *row_index);
    for (size_t row = 0; row < row_count; row++) enter(row);
  } else enter(row_count - 1);
  return row_count - 1;
}

static bool starts(unspool_text key, unspool_text prefix) {
  return key.len >= prefix.len && (prefix.len == 0 || memcmp(key.at, prefix.at, prefix.len) == 0);
}

static bool is_scanned(size_t table, unspool_text key) {
  for (size_t i = 0; i < scanned_count; i++)
    if (scanned[i].table == table && starts(key, scanned[i].prefix)) return true;
  return false;
}

static void hold(struct row *row, unspool_value document) {
  row->stored = document.at;
  if (!row->known) row->document = document;
  row->known = true;
}

/* Reads rows that are not known yet. */
static void read_rows(const char *name, const size_t *wanted, size_t n) {
  for (size_t from = 0; from < n; from += READ_KEYS) {
    size_t part = n - from < READ_KEYS ? n - from : READ_KEYS;
    unspool_text *keys = grown(NULL, part * sizeof *keys);
    for (size_t i = 0; i < part; i++) keys[i] = rows[wanted[from + i]].key;
    struct answer answer;
    import_get_many(name, strlen(name), keys, part, &answer);
    for (size_t i = 0; i < part; i++) {
      struct option_value *found = (struct option_value *)answer.at + i;
      hold(&rows[wanted[from + i]], (found->some & 0xff) == 1 ? found->value : (unspool_value){NULL, 0});
    }
    free(keys);
  }
}

unspool_value unspool_get(const char *name, unspool_text key) {
  size_t table;
  unspool_value none = {NULL, 0};
  if (!table_of(name, &table) || !key_fits(name, key)) return none;
  size_t row = row_of(table, key);
  if (!rows[row].known && is_scanned(table, key)) hold(&rows[row], none);
  if (!rows[row].known) read_rows(name, &row, 1);
  return rows[row].document;
}

void unspool_load(const char *name, const unspool_text *keys, size_t n) {
  size_t table, count = 0, *wanted = grown(NULL, n * sizeof *wanted);
  if (table_of(name, &table))
    for (size_t i = 0; i < n && key_fits(name, keys[i]); i++) {
      size_t row = row_of(table, keys[i]);
      bool again = false;
      for (size_t j = 0; j < count; j++) again |= wanted[j] == row;
      if (!again && !rows[row].known && !is_scanned(table, keys[i])) wanted[count++] = row;
    }
  if (!failure.kind) read_rows(name, wanted, count);
  free(wanted);
}

static void write_row(const char *name, unspool_text key, unspool_value document) {
  size_t table;
  if (!table_of(name, &table) || !key_fits(name, key)) return;
  size_t at = row_of(table, key);
  struct row *row = &rows[at];
  if (change_count == change_room) changes = grown(changes, (change_room = change_room ? 2 * change_room : 64) * sizeof *changes);
  changes[change_count++] = (struct change){at, row->document, row->known, row->changed};
  /* Whether the host has it is not known where it was not read: its deletion is written then. */
  if (!row->known) row->stored = !is_scanned(table, key);
  row->document = document;
  row->known = row->changed = true;
}

void unspool_put(const char *name, unspool_text key, const unspool_writer *row) {
  unspool_value written = {row->at, row->len};
  if (!row->len || skip(row->at, row->at + row->len, 0) != row->at + row->len) {
    unspool_fail("the row %s/%.*s is not one whole value: a map or an array says how many parts follow it", name, (int)key.len, key.at);
    return;
  }
  uint8_t *own = grown(NULL, row->len);
  memcpy(own, row->at, row->len);
  written.at = own;
  write_row(name, key, written);
}

void unspool_delete(const char *name, unspool_text key) { write_row(name, key, (unspool_value){NULL, 0}); }

static int by_key(const void *one, const void *other) {
  unspool_text a = rows[*(const size_t *)one].key, b = rows[*(const size_t *)other].key;
  int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
  return order ? order : (a.len > b.len) - (a.len < b.len);
}

void unspool_scan(const char *name, unspool_text prefix, void (*each)(unspool_text, unspool_value, void *), void *with) {
  size_t table;
  if (!table_of(name, &table)) return;
  if (!is_scanned(table, prefix)) {
    unspool_text after = {NULL, 0};
    for (struct answer page;;) {
      import_scan(name, strlen(name), prefix.at, prefix.len, after.at != NULL, after.at, after.len, SCAN_ROWS, &page);
      if (!page.n) break;
      struct found *found = page.at;
      for (uint32_t i = 0; i < page.n; i++) hold(&rows[row_of(table, found[i].key)], found[i].document);
      after = found[page.n - 1].key;
    }
    scanned = grown(scanned, (scanned_count + 1) * sizeof *scanned);
    char *own = grown(NULL, prefix.len);
    if (prefix.len) memcpy(own, prefix.at, prefix.len);
    scanned[scanned_count].table = table;
    scanned[scanned_count++].prefix = (unspool_text){own, prefix.len};
  }
  size_t *order = grown(NULL, row_count * sizeof *order), n = 0;
  for (size_t row = 0; row < row_count; row++)
    if (rows[row].table == table && rows[row].document.at && starts(rows[row].key, prefix)) order[n++] = row;
  qsort(order, n, sizeof *order, by_key);
  for (size_t i = 0; i < n; i++)
    if (rows[order[i]].document.at) each(rows[order[i]].key, rows[order[i]].document, with);
  free(order);
}

void unspool_log(const char *level, const char *format, ...) {
  char message[MESSAGE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (n <= 0) return;
  unspool_text text = shown(message);
  import_log(level, strlen(level), text.at, text.len);
}

/* What the host calls. */

__attribute__((export_name("cabi_realloc"))) void *unspool_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size, (void)align;
  return grown(old, size);
}

__attribute__((export_name("unspool:projection/handler@1.0.0#describe"))) void *unspool_describe(void) {
  static unspool_writer out;
  static unspool_value described;
  const unspool_projection *p = &unspool_plugin;
  size_t types = 0, tables = 0;
  while (p->event_types[types]) types++;
  while (p->tables[tables]) tables++;
  unspool_put_map(&out, 4 + !!p->complexity + !!p->chunk_size + p->partitioned_by_stream);
  unspool_put_str(&out, "name");
  unspool_put_str(&out, p->name);
  unspool_put_str(&out, "version");
  unspool_put_uint(&out, p->version);
  unspool_put_str(&out, "eventTypes");
  unspool_put_array(&out, types);
  for (size_t i = 0; i < types; i++) unspool_put_str(&out, p->event_types[i]);
  unspool_put_str(&out, "tables");
  unspool_put_array(&out, tables);
  for (size_t i = 0; i < tables; i++) {
    unspool_put_map(&out, 1);
    unspool_put_str(&out, "name");
    unspool_put_str(&out, p->tables[i]);
  }
  if (p->complexity) unspool_put_str(&out, "complexity"), unspool_put_str(&out, p->complexity);
  if (p->chunk_size) unspool_put_str(&out, "chunkSize"), unspool_put_uint(&out, p->chunk_size);
  if (p->partitioned_by_stream) unspool_put_str(&out, "partitioning"), unspool_put_str(&out, "stream");
  described = (unspool_value){out.at, out.len};
  return &described;
}

static unspool_value body(unspool_value bin) {
  unspool_text bytes = as_text(bin, "the chunk frame", BIN);
  return (unspool_value){(const uint8_t *)bytes.at, bytes.len};
}

static void handle(unspool_value encoded) {
  struct item it = look(encoded);
  unspool_event event;
  if (it.kind != ARRAY || it.n < 8) {
    unspool_fail("the chunk frame is broken: no event of eight elements");
    return;
  }
  const uint8_t *at = it.next, *end = encoded.at + encoded.len;
  event.position = as_uint(next(&at, end), "the chunk frame");
  event.id = as_text(next(&at, end), "the chunk frame", STR);
  event.stream = as_text(next(&at, end), "the chunk frame", STR);
  event.type = as_text(next(&at, end), "the chunk frame", STR);
  event.timestamp = as_int(next(&at, end), "the chunk frame");
  event.schema_version = (uint32_t)as_uint(next(&at, end), "the chunk frame");
  event.data = body(next(&at, end));
  event.metadata = body(next(&at, end));
  if (!failure.kind) unspool_handle(&event);
}

__attribute__((export_name("unspool:projection/handler@1.0.0#handle"))) void *unspool_handle_chunk(const uint8_t *chunk, size_t len) {
  static struct {
    uint32_t handled;
    unspool_value writes;
    uint32_t failed;
    unspool_text kind, message;
    struct answer details;
  } outcome;
  const uint8_t *end = chunk + len;
  struct item frame = item(chunk, end);
  const uint8_t *at = frame.next;
  if (frame.kind != ARRAY) unspool_fail("the chunk frame is broken: no array of events");
  for (; !failure.kind && outcome.handled < frame.n; outcome.handled++) {
    handle(next(&at, end));
    if (failure.kind) {
      while (change_count) {
        struct change *was = &changes[--change_count];
        rows[was->row].document = was->document;
        rows[was->row].known = was->known;
        rows[was->row].changed = was->changed;
      }
      break;
    }
    change_count = 0;
  }
  unspool_writer out = {NULL, 0, 0};
  uint32_t writes = 0;
  for (size_t i = 0; i < row_count; i++) writes += rows[i].changed && (rows[i].document.at || rows[i].stored);
  put_number(&out, 0xdd, writes, 4);
  for (size_t i = 0; i < row_count; i++) {
    struct row *row = &rows[i];
    /* A row that the call made and deleted again never existed for anybody else. */
    if (!row->changed || (!row->document.at && !row->stored)) continue;
    unspool_put_array(&out, 3);
    unspool_put_str(&out, unspool_plugin.tables[row->table]);
    unspool_put_text(&out, row->key);
    if (row->document.at) unspool_put_bin(&out, (unspool_text){(const char *)row->document.at, row->document.len});
    else unspool_put_null(&out);
  }
  outcome.writes = (unspool_value){out.at, out.len};
  if (failure.kind) {
    outcome.failed = 1;
    outcome.kind = unspool_text_of(failure.kind);
    outcome.message = shown(failure.message);
  }
  return &outcome;
}
