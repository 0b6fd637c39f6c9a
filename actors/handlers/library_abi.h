/* ropewalk/library.h: a handler in a shared library, in C or in anything that can export C functions.
 *
 *     ropewalk worker --service 'score=lib:./libscore.so:model.bin'
 *
 * The library exports the variable and the three functions at the end of this file. A node loads it once (dlopen with
 * RTLD_NOW and RTLD_LOCAL) and never unloads it.
 *
 * Threads. Each slot of the service has a state of its own and a thread of its own: open, then any number of runs, one at a
 * time, then close. Slots run at the same time, so that what states share is the library's to guard.
 *
 * What can go wrong. A run that crashes (or calls exit) ends the node with all that runs there: start several processes
 * (`--processes N`); the message is charged a start and run again, at most `--attempts` times. A run that hangs cannot be
 * ended: `stop-timeout` after nobody wants its answer any more (at the deadline, at the latest) its slot is written off, and
 * under a master the process is replaced. An exception must not leave a function.
 */
#ifndef ROPEWALK_LIBRARY_H
#define ROPEWALK_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this interface. A later one with the same number only adds members at the ends of structs (see `size`). */
#define ROPEWALK_LIBRARY_VERSION 1

/* How a run ended. The numbers are those of the protocol's errors; any other is taken as ROPEWALK_FAILED. */
enum {
  ROPEWALK_OK = 0,     /* the reply is the message's answer */
  ROPEWALK_FAILED = 1, /* the handler ran and says that it failed: the reply says why. Final */
  /* It was not started: give it to another node. Nobody is charged; the slot pauses a moment. */
  ROPEWALK_BUSY = 3,
  ROPEWALK_CANCELLED = 10 /* it was stopped because nobody wants the answer any more */
};

/* What a slot is opened with. All of it is lent until ropewalk_open returns. */
struct ropewalk_slot {
  size_t size;         /* bytes of this struct */
  const char* service; /* the service's name, at most 128 bytes and a zero */
  /* What stands behind the path in lib:PATH:ARGUMENT, and a zero; "" if there is nothing. */
  const char* argument;
  /* Where ropewalk_open may write why it failed: a text of at most error_bytes with its zero. */
  char* error;
  size_t error_bytes; /* 256 */
};

/* A message. Lent until ropewalk_run returns. */
struct ropewalk_request {
  size_t size;          /* bytes of this struct */
  const char* payload;  /* payload_bytes of anything; no zero behind it */
  size_t payload_bytes; /* at most the cap on messages (--max-message-bytes, 2 MiB) */
  /* Which start of the message this is; above 1, an earlier one may have had effects. */
  uint32_t attempt;
  uint32_t time_left; /* milliseconds until its deadline */
  /* Not 0 once nobody wants the answer any more: come to an end soon. From any thread, while the request is lent. */
  int (*stopped)(const struct ropewalk_request* request);
};

/* What it is answered: the reply, or with ROPEWALK_FAILED and ROPEWALK_BUSY a sentence in UTF-8 that says why. All zeros when
 * ropewalk_run is called, which is an empty one.
 *
 * With `release`, the bytes are the node's until it calls that, exactly once: they are not copied, and must not change. It
 * calls it from any thread, while other functions run, and perhaps after ropewalk_close.
 *
 * Without, they are copied as soon as ropewalk_run returns, and may be the state's, static, or a part of the request's payload
 * (which is not copied). */
struct ropewalk_reply {
  const char* payload;
  size_t payload_bytes; /* a reply over the cap on messages becomes the answer TOO_LARGE */
  void (*release)(void* context, const char* payload, size_t payload_bytes);
  void* context; /* for `release` */
};

/* -- what the library defines ------------------------------------------------------------------------------------------ */

/* const uint32_t ropewalk_library_version = ROPEWALK_LIBRARY_VERSION; */
extern const uint32_t ropewalk_library_version;

/* Makes a slot's state; what `state` points to is null before, and is given to the others as it is afterwards. Returns 0, or
 * anything else for a failure: the slot ends and is started again after a pause, and its service fails if that goes on. */
int ropewalk_open(const struct ropewalk_slot* slot, void** state);

/* Handles a message; may block. Returns a number of the enum above. */
int ropewalk_run(void* state, const struct ropewalk_request* request, struct ropewalk_reply* reply);

/* When its slot ends, except with the whole process. */
void ropewalk_close(void* state);

#ifdef __cplusplus
}
#endif

#endif
