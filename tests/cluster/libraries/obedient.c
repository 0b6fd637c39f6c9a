/* A library that does what its messages say, well or badly. Built several times: OF_VERSION is another version of the
 * interface, WITHOUT_CLOSE misses a function, CRASHES_AT_START cannot even be loaded. */
#include <ropewalk/library.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef OF_VERSION
#define OF_VERSION ROPEWALK_LIBRARY_VERSION
#endif
const uint32_t ropewalk_library_version = OF_VERSION;

struct state {
  char service[32], argument[32], text[128];
  unsigned runs;
};

static int released; /* replies, of all slots */

#ifdef CRASHES_AT_START
__attribute__((constructor)) static void at_start(void) {
  abort();
}
#endif

int ropewalk_open(const struct ropewalk_slot* slot, void** state) {
  if (!strcmp(slot->argument, "broken")) {
    snprintf(slot->error, slot->error_bytes, "there is no model");
    return 1;
  }
  struct state* s = calloc(1, sizeof *s);
  snprintf(s->service, sizeof s->service, "%s", slot->service);
  snprintf(s->argument, sizeof s->argument, "%s", slot->argument);
  *state = s;
  return 0;
}

static void release(void* context, const char* payload, size_t bytes) {
  if (bytes != strlen(context)) abort(); /* it is told what it gave */
  free((void*)payload);
  __atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
}

static int say(struct ropewalk_reply* reply, const char* text, int how) {
  reply->payload = text;
  reply->payload_bytes = strlen(text);
  return how;
}

int ropewalk_run(void* state, const struct ropewalk_request* request,
                 struct ropewalk_reply* reply) {
  struct state* s = state;
  char word[64] = "";
  size_t bytes =
      request->payload_bytes < sizeof word - 1 ? request->payload_bytes : sizeof word - 1;
  memcpy(word, request->payload, bytes);
  ++s->runs;
  if (!strcmp(word, "who")) {
    snprintf(s->text, sizeof s->text, "%s %s %u", s->service, s->argument, s->runs);
    return say(reply, s->text, ROPEWALK_OK);
  }
  if (!strcmp(word, "fail")) return say(reply, "it is wrong", ROPEWALK_FAILED);
  if (!strcmp(word, "seven")) return 7;
  if (!strcmp(word, "attempt")) {
    snprintf(s->text, sizeof s->text, "%u %d", request->attempt, request->time_left > 1000);
    return say(reply, s->text, ROPEWALK_OK);
  }
  if (!strcmp(word, "give")) {
    static char given[] = "given";
    say(reply, strdup(given), ROPEWALK_OK);
    reply->release = release;
    reply->context = given;
    return ROPEWALK_OK;
  }
  if (!strcmp(word, "released")) {
    snprintf(s->text, sizeof s->text, "%d", __atomic_load_n(&released, __ATOMIC_SEQ_CST));
    return say(reply, s->text, ROPEWALK_OK);
  }
  if (!strcmp(word, "pid")) {
    snprintf(s->text, sizeof s->text, "%d", (int)getpid());
    return say(reply, s->text, ROPEWALK_OK);
  }
  if (!strcmp(word, "until stopped")) {
    while (!request->stopped(request)) usleep(1000);
    return say(reply, "stopped", ROPEWALK_CANCELLED);
  }
  if (!strncmp(word, "deaf ", 5)) {
    usleep((useconds_t)atoi(word + 5) * 1000);
    return say(reply, "too late", ROPEWALK_OK);
  }
  if (!strcmp(word, "crash"))
    abort(); /* not by a wrong address, of which a sanitizer would make a report */
  reply->payload = request->payload; /* a part of the message, which is not copied */
  reply->payload_bytes = request->payload_bytes;
  return ROPEWALK_OK;
}

#ifndef WITHOUT_CLOSE
void ropewalk_close(void* state) {
  free(state);
}
#endif
