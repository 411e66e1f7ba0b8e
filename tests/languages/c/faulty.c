/* Misbehaves on demand, for the tests of a host: one way per event type. Between the faults it counts the events of each stream. */

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "unspool.h"

const unspool_projection unspool_plugin = {
    .name = "faulty-c",
    .version = 1,
    .event_types = (const char *const[]){"*", NULL},
    .tables = (const char *const[]){"seen", NULL},
};

static volatile int total;

static int deep(int n) {
  volatile char room[4096];
  memset((char *)room, n, sizeof room);
  return n < 0 ? n : deep(n + room[7] % 2 + 1) + room[n & 4095];
}

static void sum(unspool_text key, unspool_value row, void *with) {
  (void)key;
  *(int64_t *)with += unspool_int(row, "count");
}

void unspool_handle(const unspool_event *event) {
  unspool_value row = unspool_get("seen", event->stream);
  int64_t count = row.at ? unspool_int(row, "count") : 0;
  unspool_writer changed = {0};
#define IS(kind) unspool_same(event->type, unspool_text_of(kind))
  if (IS("Exit")) exit(3);
  if (IS("Assert")) assert(count < 0 && "no order");
  if (IS("Abort")) abort();
  if (IS("Words")) fprintf(stderr, "the order is f\xc3\xbcr niemanden\n"), exit(4);
  if (IS("Divide")) count /= total;
  if (IS("Recursion")) count += deep(1);
  if (IS("Loop")) for (;;) total++;
  if (IS("Memory")) for (char *volatile kept;; total += kept[7]) kept = malloc(1 << 20), memset(kept, 1, 1 << 20);
  if (IS("Missing")) count += unspool_int(event->data, "cents");
  if (IS("Fail")) unspool_fail("no such order");
  if (IS("Later")) unspool_fail_for_now("not now");
  if (IS("Delete")) { unspool_delete("seen", event->stream); return; }
  if (IS("Sum")) unspool_scan("seen", (unspool_text){"", 0}, sum, &count);
  if (IS("Table")) unspool_get("elsewhere", event->stream);
  if (IS("Text")) { unspool_put_map(&changed, 1); unspool_put_str(&changed, "count"); unspool_put_str(&changed, "\xff"); }
  else if (IS("Half")) unspool_put_map(&changed, 1);
  else {
    unspool_put_map(&changed, 2);
    unspool_put_str(&changed, "count");
    unspool_put_int(&changed, count + 1);
    unspool_put_str(&changed, "ratio");
    unspool_put_float(&changed, IS("NaN") ? NAN : IS("Now") ? (double)time(NULL) : 0.5);
  }
  unspool_put("seen", event->stream, &changed);
}
