// The page: what each event changes on it.

const at = id => document.getElementById(id);
const lastHour = new LastHour();
const messages = new Messages();
let before; // the status event before this one, by which rates are known
let mayAct = false;

function summed(errors) {
  return Object.entries(errors).reduce((sum, [code, times]) => sum + (code === "CANCELLED" ? 0 : times), 0);
}

// ---- what may be done -----------------------------------------------------------------------------------------------------

// Drains a node, pauses a service, and so on: what came of it is said where everybody hears it.
async function act(verb, target, where = at("done")) {
  let said;
  let failed = true;
  try {
    const answer = await fetch(`/v1/${verb}/${encodeURIComponent(target)}`, {method: "POST", headers: authorization()});
    failed = !answer.ok;
    said = failed ? await reasonOf(answer) : (await answer.json()).done;
  } catch {
    said = "The broker is not to be reached: nothing is known of what came of it.";
  }
  where.classList.toggle("failed", failed);
  setText(where, said);
}

function action(words, verb, target) {
  return mayAct ? {words, label: `${words}: ${target}`, run: () => act(verb, target)} : undefined;
}

// ---- services ---------------------------------------------------------------------------------------------------------

const services = new Table(at("services").querySelector("table"), [
  {title: "Service", value: row => row.name},
  {title: "State", value: row => (row.paused ? "paused" : ""), bad: row => row.paused},
  {title: "Waiting", number: true, value: row => row.waiting, text: row => count(row.waiting)},
  {title: "Oldest", number: true, value: row => row.oldest_waiting_seconds, text: row => seconds(row.oldest_waiting_seconds),
    bad: row => row.oldest_waiting_seconds > 10},
  {title: "In flight", number: true, value: row => row.in_flight, text: row => count(row.in_flight)},
  {title: "Busy slots", number: true, value: row => row.slots_busy, text: row => `${row.slots_busy}/${row.slots}`},
  {title: "Failing", number: true, value: row => row.slots_failing, text: row => String(row.slots_failing || ""),
    bad: row => row.slots_failing > 0},
  {title: "Answers/s", number: true, value: row => row.rate ?? 0, text: row => rate(row.rate)},
  {title: "Half within", number: true, value: row => row.time_in_all.p50_seconds, text: row => seconds(row.time_in_all.p50_seconds)},
  {title: "99 % within", number: true, value: row => row.time_in_all.p99_seconds, text: row => seconds(row.time_in_all.p99_seconds)},
  {title: "Errors", value: row => summed(row.errors), text: row => codes(row.errors)},
  {title: "Action", action: row => (row.paused ? action("Resume", "resume", row.name) : action("Pause", "pause", row.name))},
], {key: row => row.name, section: at("services")});

// ---- nodes ------------------------------------------------------------------------------------------------------------

const nodes = new Table(at("nodes").querySelector("table"), [
  {title: "Node", value: row => row.label},
  {title: "State", value: row => (row.drained ? (row.in_flight > 0 ? "draining" : "drained") : ""), bad: row => row.drained},
  {title: "Host", value: row => row.address},
  {title: "Process", number: true, value: row => row.pid},
  {title: "Slots", number: true, value: row => row.slots},
  {title: "In flight", number: true, value: row => row.in_flight, text: row => count(row.in_flight)},
  {title: "Answers/s", number: true, value: row => row.rate ?? 0, text: row => rate(row.rate)},
  {title: "Answered", number: true, value: row => row.answered, text: row => count(row.answered)},
  {title: "Services", value: row => row.services.join(", ")},
  {title: "Action", action: row => (row.drained ? action("Let work again", "undrain", row.label) : action("Drain", "drain", row.label))},
], {key: row => row.label, section: at("nodes")});

// ---- connections, certificates, settings ----------------------------------------------------------------------------------

const clients = new Table(at("clients"), [
  {title: "Connection", value: row => `${row.address} #${row.id}`},
  {title: "Who", value: row => row.who},
  {title: "Speaks", value: row => row.protocol},
  {title: "State", value: row => (row.paused ? `${row.state}, not read from` : row.state), bad: row => row.paused},
  {title: "In flight", number: true, value: row => row.in_flight, text: row => count(row.in_flight)},
  {title: "Requests", number: true, value: row => row.requests, text: row => count(row.requests)},
  {title: "Sent", number: true, value: row => row.bytes_in, text: row => bytes(row.bytes_in)},
  {title: "Taken", number: true, value: row => row.bytes_out, text: row => bytes(row.bytes_out)},
  {title: "Unread", number: true, value: row => row.unread_bytes, text: row => bytes(row.unread_bytes)},
  {title: "Silent for", number: true, value: row => row.idle_seconds, text: row => seconds(row.idle_seconds)},
], {key: row => `${row.address} #${row.id}`, section: at("connections")});

const shards = new Table(at("shards"), [
  {title: "Event loop", value: row => row.shard},
  {title: "Connections", number: true, value: row => row.connections, text: row => count(row.connections)},
  {title: "Waiting", number: true, value: row => row.queued, text: row => count(row.queued)},
  {title: "In flight", number: true, value: row => row.in_flight, text: row => count(row.in_flight)},
  {title: "Answered", number: true, value: row => row.answered, text: row => count(row.answered)},
], {key: row => String(row.shard)});

const certificates = new Table(at("certificates"), [
  {title: "Certificate", value: row => row.name},
  {title: "Port", value: row => row.port},
  {title: "State", value: row => row.state, bad: row => row.state !== "good"},
  {title: "Good until", value: row => row.not_after},
], {key: row => `${row.port} ${row.name}`});

const settings = new Table(at("settings").querySelector("table"), [
  {title: "Option", value: row => row.option},
  {title: "Value", value: row => row.value},
  {title: "Default", value: row => row.default},
  {title: "What it is", value: row => row.why},
], {key: row => row.option});

function showSettings({settings: all, shards: loops}) {
  settings.show(all);
  const changed = all.filter(one => one.value !== one.default).map(one => `${one.option} ${one.value}`);
  const words = changed.length ? `Not as they are by default: ${changed.join(", ")}.` : "All are as they are by default.";
  setText(at("settings-words"), loops > 1 ? `${words} (As each of ${loops} event loops has them.)` : words);
}

// ---- what an event says ---------------------------------------------------------------------------------------------------

// Answers a second of each row, from what it and its namesake before have answered.
function addRates(rows, earlier, key, elapsed) {
  const known = new Map((earlier ?? []).map(row => [key(row), row.answered]));
  for (const row of rows) {
    const then = known.get(key(row));
    if (then !== undefined && elapsed > 0) row.rate = Math.max(0, row.answered - then) / elapsed;
  }
}

function showAttention(status) {
  const lines = [];
  if (status.draining) lines.push("The broker drains: it finishes what it has and takes nothing new.");
  for (const one of status.services) {
    if (one.paused) lines.push(`${one.name} is paused${one.waiting > 0 ? `; ${count(one.waiting)} wait for it` : ""}.`);
    if (one.waiting > 0 && one.nodes === 0) lines.push(`${count(one.waiting)} wait for ${one.name}, which no node offers.`);
    if (one.slots_failing > 0) lines.push(`${one.slots_failing} of ${one.slots} slots of ${one.name} keep failing.`);
    if (one.oldest_waiting_seconds > 10)
      lines.push(`Somebody has waited for ${one.name} for ${seconds(one.oldest_waiting_seconds)}.`);
  }
  for (const one of status.nodes)
    if (one.drained) lines.push(`Node ${one.label} is drained: it gets no work.`);
  for (const one of status.certificates)
    if (one.state !== "good") lines.push(`The certificate ${one.name} (${one.port} port): ${one.state}.`);
  const list = at("attention");
  while (list.children.length > lines.length) list.lastChild.remove();
  lines.forEach((line, i) => setText(list.children[i] ?? list.appendChild(element("li")), line));
}

function showOverview(status, rates) {
  const {process} = status;
  showTiles(at("tiles"), [
    ["Answers/s", rate(rates.answered)],
    ["Errors/s", rate(rates.errors), rates.errors > 0],
    ["Waiting", count(status.queued)],
    ["In flight", count(status.in_flight)],
    ["Half within", seconds(lastHour.last?.p50)],
    ["99 % within", seconds(lastHour.last?.p99)],
    ["Nodes", count(status.nodes.length + (status.nodes_left_out ?? 0)), status.nodes.length === 0],
    ["Connections", count(status.connections)],
    ["Held by requests", `${bytes(status.held_bytes)} of ${bytes(status.request_memory_bytes)}`],
    ["Memory", bytes(process.resident_memory_bytes)],
    ["Up", seconds(status.uptime_seconds)],
  ]);
  showTiles(at("connection-tiles"), [
    ["Refused so far", count(status.turned_away)],
    ["On their way in", bytes(status.incoming_bytes)],
    ["Answers unread", `${bytes(status.unread_bytes)} of ${bytes(status.answer_memory_bytes)}`],
    ["Descriptors", process.open_fds ? `${count(process.open_fds)} of ${count(process.max_fds)}` : `of ${count(process.max_fds)}`],
  ]);
}

const events = new Events({
  hello(said) {
    before = undefined;
    mayAct = said.may_act;
    document.body.classList.toggle("may-act", mayAct);
    lastHour.clear();
    at("login").hidden = true;
    setText(at("who"), said.who ? `Shown to ${said.who}.` : "Shown to whoever asks.");
    at("forget").hidden = !sessionStorage.getItem(tokenKey);
    showSettings(said);
    messages.ask();
    this.state("Live", true);
  },
  points(said) {
    lastHour.add(said.points);
  },
  status(said) {
    const elapsed = before ? said.uptime_seconds - before.uptime_seconds : 0;
    addRates(said.services, before?.services, row => row.name, elapsed);
    addRates(said.nodes, before?.nodes, row => row.label, elapsed);
    setText(at("version"), said.version);
    showOverview(said, (said.all_rates ?? said.rates)["1s"]);
    showAttention(said);
    services.show(said.services, said.services_left_out);
    messages.offer(said.services);
    nodes.show(said.nodes, said.nodes_left_out);
    clients.show(said.clients, said.connections - said.clients.length);
    shards.show(said.shards.length > 1 ? said.shards : []);
    certificates.show(said.certificates);
    before = said;
  },
  state(words, live) {
    setText(at("state"), words);
    at("state").classList.toggle("lost", !live);
  },
  refused(why) {
    this.state(`Not shown: ${why}`, false);
    const first = at("login").hidden;
    at("login").hidden = false;
    at("forget").hidden = true;
    if (first) at("token").focus();
  },
});

at("login").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem(tokenKey, at("token").value.trim());
  at("token").value = "";
  events.start();
});

at("forget").addEventListener("click", () => {
  sessionStorage.removeItem(tokenKey);
  location.reload();
});

events.start();
