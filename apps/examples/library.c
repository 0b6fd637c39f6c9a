/* A handler in a shared library: how many lines a message has, and of how many all since its slot was opened.
 *
 *     cc -O2 -fPIC -shared -o liblines.so apps/examples/library.c      (-I: where ropewalk/library.h is, if not in /usr)
 *     ropewalk worker --service 'lines=lib:./liblines.so:lines'
 */
#include <ropewalk/library.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint32_t ropewalk_library_version = ROPEWALK_LIBRARY_VERSION;

struct counter {
  char word[32];
  unsigned long all;
  char answer[128]; /* copied by the node: may be used again */
};

int ropewalk_open(const struct ropewalk_slot* slot, void** state) {
  struct counter* c = calloc(1, sizeof *c);
  if (!c) {
    snprintf(slot->error, slot->error_bytes, "no memory for a counter");
    return 1;
  }
  snprintf(c->word, sizeof c->word, "%s", slot->argument);
  *state = c;
  return 0;
}

int ropewalk_run(void* state, const struct ropewalk_request* request,
                 struct ropewalk_reply* reply) {
  struct counter* c = state;
  unsigned long lines = 0;
  const char *at = request->payload, *end = at + request->payload_bytes;
  while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) ++lines, ++at;
  c->all += lines;
  reply->payload = c->answer;
  reply->payload_bytes =
      (size_t)snprintf(c->answer, sizeof c->answer, "%lu %s of %lu", lines, c->word, c->all);
  return ROPEWALK_OK;
}

void ropewalk_close(void* state) {
  free(state);
}
