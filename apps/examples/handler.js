#!/usr/bin/env node
// A handler that stays up, from net/PROTOCOL.md alone: replies with each message in capital letters, 100 at a time.
//
//     ropewalk worker --set up.slots=100 --set up.processes=1 --service 'up=exec:node apps/examples/handler.js'
const [HELLO, HELLO_OK, REQUEST, REPLY, ERROR, FAILED] = [1, 2, 3, 4, 5, 1];
const nothing = Buffer.alloc(0), atATime = Buffer.from([11, 4, 0, 0, 0, 100]); // the field `concurrency`
const channel = new (require("net").Socket)({ fd: Number(process.env.ROPEWALK_FD) });

function send(kind, code, id, fields, payload) {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(12 + fields.length + payload.length, 0);
  head.set([kind, code, 0, fields.length], 4);
  channel.write(Buffer.concat([head, id, fields, payload]));
}

async function handle(message) { // may await whatever it wants
  return Buffer.from(message.toString().toUpperCase());
}

let read = nothing;
channel.on("data", (more) => {
  read = Buffer.concat([read, more]);
  for (let end; read.length >= 16 && read.length >= (end = 4 + read.readUInt32BE(0)); read = read.subarray(end)) {
    const kind = read[4], id = read.subarray(8, 16), message = read.subarray(16 + read.readUInt16BE(6), end);
    if (kind === HELLO) send(HELLO_OK, 0, id, atATime, nothing);
    if (kind === REQUEST)
      handle(message).then((reply) => send(REPLY, 0, id, nothing, reply), (error) => send(ERROR, FAILED, id, nothing, Buffer.from(String(error))));
  }
});
