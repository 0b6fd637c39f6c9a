// Single messages: what failed, what was slow, what is not answered yet. The broker is asked while this view is open and
// its tab is seen, and never while an answer is on its way.

const messagesInterval = 2000;
const messagesLimit = 50;

// The attempts of a message, as net/MESSAGES.md has them.
const attemptColumns = [
  {title: "Attempt", value: row => row.attempt},
  {title: "Node", value: row => row.node ?? ""},
  {title: "Slot", number: true, value: row => row.slot ?? ""},
  {title: "Placed after", number: true, value: row => seconds(row.placed_seconds)},
  {title: "Waited there", number: true, value: row => seconds(row.waited_seconds)},
  {title: "Ran", number: true, value: row => seconds(row.ran_seconds)},
  {title: "End", value: row => (row.end === "open" ? "not yet" : row.end)},
  {title: "What is known of it", prose: true, value: row => row.why ?? ""},
];

// One message: a line, and what is behind it when it is unfolded.
class Message {
  constructor(cancel) {
    this.cancel = cancel;
    this.item = element("li");
    this.details = this.item.appendChild(element("details"));
    const line = this.details.appendChild(element("summary"));
    this.code = line.appendChild(element("b"));
    [this.service, this.took, this.came, this.id] = Array.from({length: 4}, () => {
      line.append(" ");
      return line.appendChild(element("span"));
    });
    this.id.className = "id";
    this.facts = this.details.appendChild(element("div", undefined, {class: "facts"}));
    this.details.addEventListener("toggle", () => this.details.open && this.unfold());
  }

  show(said) {
    this.said = said;
    const ended = said.state === "ended";
    setText(this.code, ended ? said.code : said.state);
    this.code.classList.toggle("bad", ended && said.code !== "OK");
    setText(this.service, said.service);
    setText(this.took, `${ended ? "after" : "for"} ${seconds(said.seconds)}`);
    setText(this.came, `came ${new Date(said.came).toLocaleTimeString()}`);
    setText(this.id, said.id);
    this.keep(false);
  }

  // `gone`: it is not one of these any more, and what was known of it last stays while somebody reads it.
  keep(gone = true) {
    this.gone = gone;
    this.item.classList.toggle("gone", gone);
    if (this.details.open) this.unfold();
  }

  get read() {
    return this.details.open || this.item.contains(document.activeElement);
  }

  get why() {
    const {said} = this;
    if (said.state !== "ended") return this.gone ? "It is no longer one of these: look it up by its id." : said.waits;
    return said.detail === said.attempts.at(-1)?.why ? "" : said.detail ?? "";
  }

  unfold() {
    const {said} = this;
    if (!this.attempts) this.make();
    setText(this.words, this.why);
    const from = [said.client && `from ${said.client}`, said.address && `at ${said.address}`].filter(Boolean).join(" ");
    const by = said.cancelled_by && `taken back by ${said.cancelled_by}`;
    const facts = [from, `came ${said.came}`, bytes(said.bytes), `at most ${count(said.attempts_allowed)} attempts`,
      said.trace && `trace ${said.trace}`, by];
    setText(this.origin, facts.filter(Boolean).join("; "));
    this.attempts.show(said.attempts.map((one, at) => ({...one, at})));
    setText(this.rest, said.attempts_left_out ? `${count(said.attempts_left_out)} attempts in between are left out.` : "");
    const done = !mayAct || this.gone || said.state === "ended";
    if (done && document.activeElement === this.button) this.details.firstChild.focus();
    this.button.hidden = done;
  }

  make() {
    this.words = this.facts.appendChild(element("p", "", {class: "prose"}));
    this.origin = this.facts.appendChild(element("p", "", {class: "words"}));
    const table = this.facts.appendChild(element("table", undefined, {"aria-label": `Attempts of ${this.said.id}`}));
    table.append(element("thead"), element("tbody"));
    this.attempts = new Table(table, attemptColumns, {key: row => String(row.at), inOrder: true});
    this.rest = this.facts.appendChild(element("p", "", {class: "rest"}));
    this.button = this.facts.appendChild(element("button", "Cancel", {type: "button"}));
    this.button.setAttribute("aria-label", `Cancel: ${this.said.id}`);
    this.button.addEventListener("click", () => this.cancel(this.said.id));
  }
}

class Messages {
  constructor() {
    this.view = document.getElementById("messages-view");
    this.form = document.getElementById("messages-query");
    this.list = document.getElementById("messages-list");
    this.id = document.getElementById("messages-id");
    this.service = document.getElementById("messages-service");
    this.done = document.getElementById("messages-done");
    this.shown = new Map();
    this.view.addEventListener("toggle", () => this.ask());
    document.addEventListener("visibilitychange", () => this.ask());
    this.form.addEventListener("submit", event => {
      event.preventDefault();
      this.askAnew();
    });
    this.form.addEventListener("change", event => {
      if (event.target === this.id) return;
      this.id.value = "";
      this.askAnew();
    });
  }

  get watched() {
    return this.view.open && !document.hidden;
  }

  get path() {
    const id = this.id.value.trim();
    if (id) return `/v1/messages/${encodeURIComponent(id)}`;
    const service = this.service.value.trim();
    const which = new FormData(this.form).get("which");
    return `/v1/messages?${which}&limit=${messagesLimit}${service ? `&service=${encodeURIComponent(service)}` : ""}`;
  }

  // Something else is wanted than what is shown.
  askAnew() {
    this.asking?.abort();
    this.asking = undefined;
    this.say("", false);
    for (const [, message] of this.shown) message.item.remove();
    this.shown.clear();
    return this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    if (!this.watched || this.asking) return;
    const asking = (this.asking = new AbortController());
    const late = setTimeout(() => asking.abort(), 10000);
    const heard = await this.fetch(asking.signal).catch(() => ({why: "the broker is not to be reached, or says nothing"}));
    clearTimeout(late);
    if (asking !== this.asking) return;
    this.asking = undefined;
    this.hear(heard);
    if (!heard.final) this.timer = setTimeout(() => this.ask(), messagesInterval);
  }

  // What the broker knows, or why it does not say; `final`: it would be the same again.
  async fetch(signal) {
    const one = this.id.value.trim() !== "";
    const answer = await fetch(this.path, {headers: authorization(), cache: "no-store", signal});
    if (!answer.ok) return {why: await reasonOf(answer), final: answer.status < 500 && answer.status !== 429};
    const {messages: all} = await answer.json();
    return {all, final: one && all.every(message => message.state === "ended")};
  }

  hear({all, why}) {
    if (!all) return this.say(`Not shown: ${why}`, true);
    if (this.done.textContent.startsWith("Not shown")) this.say("", false);
    this.show(all);
  }

  say(words, failed) {
    this.done.classList.toggle("failed", failed);
    setText(this.done, words);
  }

  show(all) {
    const wanted = this.keyed(all);
    for (const [key, message] of this.shown) {
      if (wanted.has(key)) continue;
      if (message.read) {
        message.keep();
      } else {
        message.item.remove();
        this.shown.delete(key);
      }
    }
    const focus = document.activeElement;
    let before = null;
    for (const [key, said] of wanted) {
      const message = this.shown.get(key) ?? new Message(id => this.cancel(id));
      this.shown.set(key, message);
      message.show(said);
      const next = before ? before.nextSibling : this.list.firstChild;
      if (message.item !== next) this.list.insertBefore(message.item, next);
      before = message.item;
    }
    if (focus !== document.activeElement && this.list.contains(focus)) focus.focus({preventScroll: true}); // it has moved
    this.showRest(all.length);
  }

  // Clients may use an id again when it is answered: they are counted from the oldest on.
  keyed(all) {
    const times = new Map();
    const keys = [...all].reverse().map(({id}) => {
      times.set(id, (times.get(id) ?? 0) + 1);
      return `${id} ${times.get(id)}`;
    });
    return new Map(all.map((one, at) => [keys[all.length - 1 - at], one]));
  }

  showRest(size) {
    const one = this.id.value.trim() !== "";
    const none = one ? "Nothing is known of it: it never came, or it was answered without trouble, or what is kept has been "
      + "filled since (--history-memory)." : "There are none of that kind.";
    const words = size === 0 ? none : size === messagesLimit && !one ? `These are the first ${messagesLimit}; there may be more.` : "";
    setText(document.getElementById("messages-rest"), words);
  }

  async cancel(id) {
    await act("cancel", id, this.done);
    this.ask();
  }

  // Names to choose from.
  offer(services) {
    const list = document.getElementById("messages-services");
    while (list.children.length > services.length) list.lastChild.remove();
    services.forEach(({name}, i) => {
      const option = list.children[i] ?? list.appendChild(element("option"));
      if (option.value !== name) option.value = name;
    });
  }
}
