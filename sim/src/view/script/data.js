// ── What is drawn ──────────────────────────────────────────────────────────────────────────────────────────────
// Everything points to moments: places in D.at (nanoseconds) and D.node (-1: the world), in the order of events.

const KINDS = ["call", "cast", "publish"];
const LAYERS = [
  { id: "call", name: "calls", color: "--call" },
  { id: "reply", name: "replies", color: "--reply" },
  { id: "cast", name: "casts", color: "--cast" },
  { id: "publish", name: "publications", color: "--publish" },
  { id: "handler", name: "handlers", color: "--event" },
  { id: "event", name: "node events", color: "--event" },
  { id: "packet", name: "network", color: "--packet" },
];
const { m: M, h: H, p: P, f: F, e: E, x: X } = D;
const messages = M.at.length, handlers = H.at.length;
const failure = X.at.length ? 0 : -1;

// Where each component is, for arrows to it that never arrive.
const home = new Map();
for (let h = 0; h < handlers; h++) home.set(H.component[h], D.node[H.at[h]]);
for (let m = 0; m < messages; m++) if (M.arrived[m] >= 0) home.set(M.to[m], D.node[M.arrived[m]]);

// Handlers of one node that overlap lie side by side.
const lane = new Uint8Array(handlers);
const lanes = new Uint8Array(Math.max(1, D.nodes.length)).fill(1);
{
  const busy = D.nodes.map(() => []);
  for (let h = 0; h < handlers; h++) {
    const all = busy[D.node[H.at[h]]];
    if (!all) continue;
    let free = all.findIndex((until) => until <= H.at[h]);
    if (free < 0) free = all.length < 5 ? all.push(0) - 1 : 4;
    all[free] = H.ended[h] >= 0 ? H.ended[h] : Infinity;
    lane[h] = free;
    lanes[D.node[H.at[h]]] = Math.max(lanes[D.node[H.at[h]]], free + 1);
  }
}
const waitsFrom = new Int32Array(handlers + 1);
for (const h of D.w.handler) waitsFrom[h + 1]++;
for (let h = 0; h < handlers; h++) waitsFrom[h + 1] += waitsFrom[h];

const children = messages ? M.cause.reduce((all, cause, m) => (cause >= 0 && (all[cause] ||= []).push(m), all), {}) : {};

// Arrows: requests, answers, and what carries them.
const NONE = -1;
function Arrows(size) {
  return {
    size: 0, from: new Int32Array(size), until: new Int32Array(size), row: new Int16Array(size), to: new Int16Array(size),
    low: new Uint8Array(size), high: new Uint8Array(size), of: new Int32Array(size), kind: new Uint8Array(size),
    bad: new Uint8Array(size), lost: new Uint8Array(size), reach: null,
    add(from, until, row, to, low, high, of, kind, bad, lost) {
      const i = this.size++;
      this.from[i] = from; this.until[i] = until; this.row[i] = row; this.to[i] = to; this.low[i] = low; this.high[i] = high;
      this.of[i] = of; this.kind[i] = kind; this.bad[i] = bad; this.lost[i] = lost;
    },
    // The latest end among blocks of 256, so that long arrows are found from their middle.
    close() {
      this.reach = new Int32Array((this.size >> 8) + 1);
      for (let i = 0; i < this.size; i++) {
        const end = Math.max(this.until[i], this.from[i] + 1);
        if (end > this.reach[i >> 8]) this.reach[i >> 8] = end;
      }
    },
  };
}
const REPLY = 3, PACKET = 4;
const requests = Arrows(messages), replies = Arrows(messages), packets = Arrows(P.at.length);
const laneOf = (h) => (h >= 0 ? lane[h] : 0);
const handlerOfSender = (m) => M.sender[m];
{
  const answered = [];
  for (let m = 0; m < messages; m++) {
    const row = D.node[M.at[m]], h = M.handler[m], by = laneOf(handlerOfSender(m));
    const to = M.arrived[m] >= 0 ? D.node[M.arrived[m]] : home.get(M.to[m]) ?? NONE;
    requests.add(M.at[m], M.arrived[m], row, to, by, laneOf(h), m, M.kind[m], M.ok[m] === 2 ? 1 : 0, M.ok[m] === 2 ? 1 : 0);
    const done = h >= 0 ? H.ended[h] : -1;
    if (M.kind[m] !== 0 || done < 0) continue;
    const told = M.late[m] >= 0 ? M.late[m] : M.end[m];
    answered.push([done, told > done ? told : -1, m]);
  }
  answered.sort((a, b) => a[0] - b[0]);
  for (const [from, until, m] of answered) {
    const h = M.handler[m], bad = M.ok[m] === 2 || H.error[h] >= 0 ? 1 : 0;
    replies.add(from, until, D.node[H.at[h]], D.node[M.at[m]], laneOf(h), laneOf(handlerOfSender(m)), m, REPLY, bad, M.end[m] >= 0 ? 1 : 0);
  }
  for (let p = 0; p < P.at.length; p++) {
    packets.add(P.at[p], P.arrived[p], D.node[P.at[p]], P.to[p], 0, 0, p, PACKET, P.lost[p] >= 0 ? 1 : 0, P.lost[p] >= 0 ? 1 : 0);
  }
  for (const arrows of [requests, replies, packets]) arrows.close();
}
