// Server-sent events, read by fetch and not by EventSource: that has no way to send a token but in the URL, where logs
// and histories would keep it.

const tokenKey = "ropewalk-token";

function authorization() {
  const token = sessionStorage.getItem(tokenKey);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

// Why something was not done, of an answer that is a problem (RFC 9457) or nothing that is known.
async function reasonOf(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `the broker answers ${answer.status}`;
  }
}

// Calls `on[name](object)` for each event of /events, for ever: whatever ends it, it begins anew. `on.state(words, live)`
// says how it goes; `on.refused(why)` that a token is wanted, or another one, and then nothing more is done until `start`
// is called again.
class Events {
  constructor(on) {
    this.on = on;
    this.run = 0; // whichever began last goes on
  }

  async start() {
    const run = ++this.run;
    this.abort?.abort();
    for (let pause = 1; run === this.run; pause = Math.min(10, pause * 2)) {
      const began = Date.now();
      const why = await this.listen().catch(() => "the broker is not to be reached, or says nothing");
      if (run !== this.run || why === null) return;
      if (Date.now() - began > 5000) pause = 1;
      this.on.state(`Not connected: ${why}; trying again`, false);
      await new Promise(resolve => setTimeout(resolve, pause * 1000));
    }
  }

  // Returns why it ended; null: it is not to be tried again.
  async listen() {
    this.abort = new AbortController();
    const signal = this.abort.signal;
    const answer = await fetch("/events", {headers: authorization(), cache: "no-store", signal});
    if (answer.status === 401 || answer.status === 403) {
      this.on.refused(await reasonOf(answer));
      return null;
    }
    if (!answer.ok) return reasonOf(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      // A broker that stands still, or a cut network, says nothing: it has something to say every second.
      const silence = setTimeout(() => this.abort.abort(), 10000);
      const {value, done} = await reader.read().finally(() => clearTimeout(silence));
      if (done) return "the broker has ended the connection";
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      events.forEach(event => this.hear(event));
    }
  }

  hear(event) {
    const [, name, data] = /^event: (.*)\ndata: (.*)$/s.exec(event) ?? [];
    if (name && this.on[name]) this.on[name](JSON.parse(data));
  }
}
