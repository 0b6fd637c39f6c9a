// The storm's handler: does what its message tells it, and keeps a record of the run in a journal that outlives it.
//
//   handler JOURNAL SERVICE          for one message: on stdin, the reply on stdout (`cmd:`)
//   handler JOURNAL SERVICE stays    for one after the other, as net/PROTOCOL.md has it (`exec:`)
//
// The message's first line is "NUMBER NONCE BEHAVIOUR MILLISECONDS"; the rest is filler. Its reply is
// "NUMBER NONCE PID ATTEMPT" and the filler with every byte turned by `mask`.
//
// The journal is a file that all runs map: one record each, taken by an atomic count, so that a run is on record from
// its first instruction on, whoever kills it later. A timer stamps `alive_ns`: that is how one knows, to some
// milliseconds, when a run ended that was killed.
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ancestors = 4, beat_us = 4000, max_message = 4 << 20, mask = 0x5a, journal_full = 9 };

// history.py reads this layout (RECORD).
struct record {
  uint64_t start_ns, alive_ns, read_ns, end_ns; // CLOCK_MONOTONIC; 0: not so far
  uint64_t number, nonce;                       // of the request, 0 until its first line was read
  uint32_t pid, ancestor[ancestors];            // the nearest first: one of them is the node
  uint32_t attempt, length, crc, exit_status;
  char service[16];
  char padding[28];
};
_Static_assert(sizeof(struct record) == 128, "history.py counts on it");

static struct record* run;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Only while there is a run.
static void beat(int signal_number) {
  (void)signal_number;
  run->alive_ns = now_ns();
}

static uint32_t parent_of(uint32_t pid) {
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%u/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (size <= 0) return 0;
  text[size] = 0;
  const char* behind_name = strrchr(text, ')');
  unsigned parent = 0;
  if (!behind_name || sscanf(behind_name + 1, " %*c %u", &parent) != 1) return 0;
  return parent;
}

static struct record* all; // the first one counts those that are taken
static uint64_t journal_bytes;

static void open_journal(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  struct stat about;
  if (fd < 0 || fstat(fd, &about) != 0) exit(journal_full);
  journal_bytes = (uint64_t)about.st_size;
  all = mmap(NULL, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (all == MAP_FAILED) exit(journal_full);
}

static void open_record(const char* service, uint64_t start_ns, uint32_t attempt) {
  const uint64_t index = __atomic_add_fetch((uint64_t*)all, 1, __ATOMIC_SEQ_CST);
  if ((index + 1) * sizeof(struct record) > journal_bytes) exit(journal_full);
  run = &all[index];
  run->attempt = attempt;
  strncpy(run->service, service, sizeof run->service - 1);
  uint32_t pid = (uint32_t)getpid();
  run->pid = pid;
  for (int i = 0; i < ancestors && pid > 1; ++i)
    run->ancestor[i] = pid = i == 0 ? (uint32_t)getppid() : parent_of(pid);
  run->alive_ns = now_ns();
  __atomic_store_n(&run->start_ns, start_ns, __ATOMIC_SEQ_CST);
}

static uint32_t crc32_of(const unsigned char* bytes, size_t size) {
  static uint32_t table[256];
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffu;
}

// The request's number is on record as soon as the first line is here, which is with the first bytes.
static void note_request(const unsigned char* bytes, size_t size, char* behaviour,
                         unsigned* milliseconds) {
  const unsigned char* end = memchr(bytes, '\n', size);
  char line[128];
  if (!end || (size_t)(end - bytes) >= sizeof line) return;
  memcpy(line, bytes, (size_t)(end - bytes));
  line[end - bytes] = 0;
  unsigned long long number = 0, nonce = 0;
  if (sscanf(line, "%llu %llx %c %u", &number, &nonce, behaviour, milliseconds) != 4) return;
  run->nonce = nonce;
  __atomic_store_n(&run->number, number, __ATOMIC_SEQ_CST);
}

static void sleep_until(uint64_t end_ns) {
  for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
    const uint64_t left = end_ns - now;
    const struct timespec pause = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    nanosleep(&pause, NULL); // the beat wakes it
  }
}

static void write_all(int fd, const unsigned char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t count = write(fd, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    bytes += count;
    size -= (size_t)count;
  }
}

static void end_record(int status) {
  run->exit_status = (uint32_t)status;
  __atomic_store_n(&run->end_ns, now_ns(), __ATOMIC_SEQ_CST);
}

static void leave(int status) {
  end_record(status);
  _exit(status);
}

static void set_beat(int beats) {
  const struct itimerval often = {{0, beats ? beat_us : 0}, {0, beats ? beat_us : 0}};
  setitimer(ITIMER_REAL, &often, NULL);
}

static void note_all(const unsigned char* message, size_t size) {
  run->length = (uint32_t)size;
  run->crc = crc32_of(message, size);
  __atomic_store_n(&run->read_ns, now_ns(), __ATOMIC_SEQ_CST);
}

// What a message may do to the process that works on it.
static void misbehave(char behaviour) {
  switch (behaviour) {
  case 'o': // dies once, and does its work when it is run again
    if (run->attempt > 1) break;
    raise(SIGKILL);
    break;
  case 'k':
    raise(SIGKILL);
    break;
  case 's':
    raise(SIGSEGV);
    break;
  case 'n':
    for (int i = 0; i < 5000; ++i) write_all(2, (const unsigned char*)"noise on stderr\n", 16);
    break;
  default:
    break;
  }
}

// The reply's first line; what is behind the message's own is turned where it is, and begins at `*rest`.
static size_t make_reply(unsigned char* message, size_t size, char line[128], size_t* rest) {
  const unsigned char* end = memchr(message, '\n', size);
  *rest = end ? (size_t)(end - message) + 1 : 0;
  for (size_t i = *rest; i < size; ++i) message[i] ^= mask;
  return (size_t)snprintf(line, 128, "%llu %llx %u %u\n", (unsigned long long)run->number,
                          (unsigned long long)run->nonce, run->pid, run->attempt);
}

// -- one after the other --------------------------------------------------------------------------------------------

enum {
  HELLO = 1,
  HELLO_OK,
  REQUEST,
  REPLY,
  ERROR,
  CANCEL,
  FAILED = 1,
  CANCELLED = 10,
  head_bytes = 16,
  field_attempt = 12
};

static int channel;

static void read_all(void* to, size_t size) {
  for (unsigned char* at = to; size > 0;) {
    const ssize_t count = read(channel, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) exit(0); // the node has closed it
    at += count;
    size -= (size_t)count;
  }
}

struct frame {
  unsigned char kind, code, id[8];
  unsigned char* body; // fields, then payload
  size_t field_bytes, bytes;
};

static void read_frame(struct frame* f) {
  unsigned char head[head_bytes];
  read_all(head, sizeof head);
  uint32_t length;
  uint16_t field_bytes;
  memcpy(&length, head, 4);
  memcpy(&field_bytes, head + 6, 2);
  f->kind = head[4];
  memcpy(f->id, head + 8, 8);
  f->field_bytes = be16toh(field_bytes);
  f->bytes = be32toh(length) - (head_bytes - 4);
  if (f->bytes > max_message) exit(4);
  read_all(f->body, f->bytes);
}

static void write_frame(int kind, int code, const unsigned char id[8], const void* begin,
                        size_t begin_bytes, const void* rest, size_t rest_bytes,
                        size_t field_bytes) {
  unsigned char head[head_bytes] = {0};
  const uint32_t length = htobe32((uint32_t)(head_bytes - 4 + begin_bytes + rest_bytes));
  const uint16_t fields = htobe16((uint16_t)field_bytes);
  memcpy(head, &length, 4);
  head[4] = (unsigned char)kind;
  head[5] = (unsigned char)code;
  memcpy(head + 6, &fields, 2);
  memcpy(head + 8, id, 8);
  write_all(channel, head, sizeof head);
  write_all(channel, begin, begin_bytes);
  write_all(channel, rest, rest_bytes);
}

// True if the request was taken back before its time was over.
static int sleep_or_hear_of_end(uint64_t end_ns, int hears) {
  static unsigned char nothing[64];
  for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
    struct pollfd readable = {channel, POLLIN, 0};
    if (!hears) {
      sleep_until(end_ns);
    } else if (poll(&readable, 1, (int)((end_ns - now) / 1000000u + 1)) > 0) {
      struct frame f = {.body = nothing};
      read_frame(&f); // never another request before this one is answered
      if (f.kind == REQUEST) exit(5);
      if (f.kind == CANCEL) return 1;
    }
  }
  return 0;
}

static void answer(struct frame* f, const char* service, uint64_t start_ns) {
  uint32_t attempt = 0;
  for (size_t at = 0; at + 2 < f->field_bytes; at += 2u + f->body[at + 1])
    if (f->body[at] == field_attempt) attempt = f->body[at + 2];
  open_record(service, start_ns, attempt);
  set_beat(1);
  unsigned char* message = f->body + f->field_bytes;
  const size_t size = f->bytes - f->field_bytes;
  char behaviour = 'r', line[128];
  unsigned milliseconds = 0;
  note_request(message, size, &behaviour, &milliseconds);
  note_all(message, size);
  const int taken_back =
      sleep_or_hear_of_end(now_ns() + milliseconds * 1000000ull, behaviour != 't');
  if (!taken_back) misbehave(behaviour);
  const int failed = !taken_back && behaviour == 'f';
  size_t rest;
  const size_t length = make_reply(message, size, line, &rest);
  set_beat(0);
  end_record(failed ? 3 : 0); // before anybody is told of it
  if (taken_back)
    write_frame(ERROR, CANCELLED, f->id, "", 0, "", 0, 0);
  else if (failed)
    write_frame(ERROR, FAILED, f->id, "told to fail", 12, "", 0, 0);
  else
    write_frame(REPLY, 0, f->id, line, length, message + rest, size - rest, 0);
}

static int stay(const char* service) {
  const char* number = getenv("ROPEWALK_FD");
  if (!number) return 2;
  channel = atoi(number);
  struct frame f = {.body = malloc(max_message)};
  for (;;) {
    read_frame(&f);
    const uint64_t start_ns = now_ns();
    if (f.kind == HELLO) write_frame(HELLO_OK, 0, f.id, "", 0, "", 0, 0);
    if (f.kind == REQUEST) answer(&f, service, start_ns);
  }
}

int main(int argc, char** argv) {
  const uint64_t start_ns = now_ns();
  if (argc < 3) return 2;
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  open_journal(argv[1]);
  struct sigaction stamp = {.sa_handler = beat, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &stamp, NULL);
  if (argc > 3) return stay(argv[2]);
  const char* attempt = getenv("ROPEWALK_ATTEMPT");
  open_record(argv[2], start_ns, attempt ? (uint32_t)atoi(attempt) : 0);
  set_beat(1);

  unsigned char* message = malloc(max_message);
  size_t size = 0;
  char behaviour = 'r';
  unsigned milliseconds = 0;
  for (ssize_t count; size < max_message; size += (size_t)count) {
    count = read(0, message + size, max_message - size);
    if (count < 0 && errno == EINTR) {
      count = 0;
      continue;
    }
    if (count <= 0) break;
    if (run->number == 0) note_request(message, size + (size_t)count, &behaviour, &milliseconds);
  }
  note_all(message, size);

  if (behaviour == 't') signal(SIGTERM, SIG_IGN);
  sleep_until(now_ns() + milliseconds * 1000000ull);
  if (behaviour == 'f') { // says that it failed
    write_all(2, (const unsigned char*)"told to fail\n", 13);
    leave(3);
  }
  misbehave(behaviour);
  char line[128];
  size_t rest;
  const size_t length = make_reply(message, size, line, &rest);
  write_all(1, (const unsigned char*)line, length);
  write_all(1, message + rest, size - rest);
  leave(0);
}
