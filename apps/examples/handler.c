/* A handler that stays up, from net/PROTOCOL.md alone: replies with each message as it is, 64 at a time.
 *
 *     cc -O2 -o handler apps/examples/handler.c
 *     ropewalk worker --slots 64 --set echo.processes=1 --service 'echo=exec:./handler'
 *
 * Reads as much as there is and answers all of it in one write: at 64 bytes a message that is most of the speed. A large
 * message is not copied for that: its reply is written from where it was read to.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELLO = 1, HELLO_OK = 2, REQUEST = 3, REPLY = 4 };
enum { HEAD = 16, ROOM = 4 << 20, LARGE = 64 << 10 };

static char in[ROOM], out[2 * ROOM];

static size_t add(char* to, int kind, const char* id, const char* fields, size_t field_bytes,
                  const char* payload, size_t bytes) {
  uint32_t length = htobe32((uint32_t)(12 + field_bytes + bytes));
  uint16_t size = htobe16((uint16_t)field_bytes);
  memcpy(to, &length, 4);
  to[4] = (char)kind;
  to[5] = 0;
  memcpy(to + 6, &size, 2);
  memcpy(to + 8, id, 8);
  memcpy(to + HEAD, fields, field_bytes);
  if (bytes > LARGE) return HEAD + field_bytes; /* its payload is written by itself */
  memcpy(to + HEAD + field_bytes, payload, bytes);
  return HEAD + field_bytes + bytes;
}

static int write_all(int fd, const char* bytes, size_t count) {
  while (count > 0) {
    ssize_t done = write(fd, bytes, count);
    if (done <= 0) return -1;
    bytes += done;
    count -= (size_t)done;
  }
  return 0;
}

int main(void) {
  const int fd = atoi(getenv("ROPEWALK_FD"));
  static const char at_a_time[] = {11, 4, 0, 0, 0, 64}; /* the field `concurrency`: 64 */
  size_t have = 0;
  for (;;) {
    if (have == ROOM) return 1; /* a message over 4 MiB: this handler is not made for it */
    ssize_t count = read(fd, in + have, ROOM - have);
    if (count <= 0) return count < 0; /* the node has closed the channel: that is the end */
    have += (size_t)count;
    size_t at = 0, answers = 0;
    while (have - at >= HEAD) {
      uint32_t length;
      uint16_t fields;
      memcpy(&length, in + at, 4);
      memcpy(&fields, in + at + 6, 2);
      size_t frame = 4 + (size_t)be32toh(length), skip = HEAD + be16toh(fields);
      if (have - at < frame) break;
      if (in[at + 4] == HELLO)
        answers += add(out + answers, HELLO_OK, in + at + 8, at_a_time, sizeof at_a_time, "", 0);
      if (in[at + 4] == REQUEST)
        answers += add(out + answers, REPLY, in + at + 8, "", 0, in + at + skip, frame - skip);
      if (in[at + 4] == REQUEST && frame - skip > LARGE) {
        if (write_all(fd, out, answers) != 0) return 1;
        if (write_all(fd, in + at + skip, frame - skip) != 0) return 1;
        answers = 0;
      }
      at += frame;
    }
    memmove(in, in + at, have -= at);
    if (write_all(fd, out, answers) != 0) return 1;
  }
}
