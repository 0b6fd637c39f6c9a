/* A handler that stays up, from net/PROTOCOL.md alone: replies with each message in capital letters.
 *     cc -O2 -o short_handler apps/examples/short_handler.c                   (handler.c is a fast one)
 *     ropewalk worker --service 'up=exec:./short_handler' */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
  uint32_t length;
  uint8_t kind, code;
  uint16_t field_bytes;
  uint8_t id[8];
} head; /* as it goes over the wire */
static char fields[4096], message[4 << 20];

int main(void) {
  FILE* in = fdopen(atoi(getenv("ROPEWALK_FD")), "r");
  FILE* out = fdopen(dup(fileno(in)), "w");
  while (fread(&head, sizeof head, 1, in) == 1) {
    size_t skip = ntohs(head.field_bytes), bytes = ntohl(head.length) - 12 - skip;
    if (skip > sizeof fields || bytes > sizeof message) return 1;
    if (fread(fields, 1, skip, in) != skip || fread(message, 1, bytes, in) != bytes) return 1;
    if (head.kind != 1 && head.kind != 3) continue; /* HELLO: HELLO_OK; REQUEST: REPLY */
    for (size_t i = 0; i < bytes; ++i) message[i] = (char)toupper((unsigned char)message[i]);
    head.kind += 1, head.field_bytes = 0, head.length = htonl((uint32_t)(12 + bytes));
    fwrite(&head, sizeof head, 1, out), fwrite(message, 1, bytes, out), fflush(out);
  }
}
