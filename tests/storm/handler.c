// The storm's handler: does what its message tells it, and keeps a record of the run in a journal that outlives it.
//
//   handler JOURNAL SERVICE
//
// The message's first line is "NUMBER NONCE BEHAVIOUR MILLISECONDS"; the rest is filler. Its reply is
// "NUMBER NONCE PID ATTEMPT" and the filler with every byte turned by `mask`.
//
// The journal is a file that all runs map: one record each, taken by an atomic count, so that a run is on record from
// its first instruction on, whoever kills it later. A timer stamps `alive_ns`: that is how one knows, to some
// milliseconds, when a run ended that was killed.
#include <errno.h>
#include <fcntl.h>
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

// The first record of the file counts those that are taken.
static void open_record(const char* journal, const char* service, uint64_t start_ns) {
  const int fd = open(journal, O_RDWR | O_CLOEXEC);
  struct stat about;
  if (fd < 0 || fstat(fd, &about) != 0) exit(journal_full);
  struct record* all = mmap(NULL, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (all == MAP_FAILED) exit(journal_full);
  const uint64_t index = __atomic_add_fetch((uint64_t*)all, 1, __ATOMIC_SEQ_CST);
  if ((index + 1) * sizeof(struct record) > (uint64_t)about.st_size) exit(journal_full);
  run = &all[index];
  const char* attempt = getenv("ROPEWALK_ATTEMPT");
  run->attempt = attempt ? (uint32_t)atoi(attempt) : 0;
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

static void leave(int status) {
  run->exit_status = (uint32_t)status;
  __atomic_store_n(&run->end_ns, now_ns(), __ATOMIC_SEQ_CST);
  _exit(status);
}

int main(int argc, char** argv) {
  const uint64_t start_ns = now_ns();
  if (argc != 3) return 2;
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  open_record(argv[1], argv[2], start_ns);
  struct sigaction stamp = {.sa_handler = beat, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &stamp, NULL);
  const struct itimerval often = {{0, beat_us}, {0, beat_us}};
  setitimer(ITIMER_REAL, &often, NULL);

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
  run->length = (uint32_t)size;
  run->crc = crc32_of(message, size);
  __atomic_store_n(&run->read_ns, now_ns(), __ATOMIC_SEQ_CST);

  if (behaviour == 't') signal(SIGTERM, SIG_IGN);
  sleep_until(now_ns() + milliseconds * 1000000ull);
  switch (behaviour) {
  case 'f': // says that it failed
    write_all(2, (const unsigned char*)"told to fail\n", 13);
    leave(3);
    break;
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
  const unsigned char* end = memchr(message, '\n', size);
  const size_t head = end ? (size_t)(end - message) + 1 : 0;
  char line[128];
  const int length =
      snprintf(line, sizeof line, "%llu %llx %u %u\n", (unsigned long long)run->number,
               (unsigned long long)run->nonce, run->pid, run->attempt);
  for (size_t i = head; i < size; ++i) message[i] ^= mask;
  write_all(1, (const unsigned char*)line, (size_t)length);
  write_all(1, message + head, size - head);
  leave(0);
}
