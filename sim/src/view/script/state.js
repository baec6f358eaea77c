// ── State ──────────────────────────────────────────────────────────────────────────────────────────────────────

const state = {
  mode: "order", left: 0, scale: 1, top: 0, rowHeight: 80, layers: {}, component: -1, flow: -1,
  involved: false, selected: -1, handler: -1, hits: null, hitList: [], hit: -1, hover: null, related: null,
};
for (const layer of LAYERS) state.layers[layer.id] = layer.id !== "packet" || !messages;

const canvas = $("canvas"), map = $("map"), cx = canvas.getContext("2d"), mx = map.getContext("2d");
const GUTTER = 148, RULER = 40;
let width = 0, height = 0, colors = {};

// Places of moments along the axis: their rank among those shown, or their time.
const shown = new Uint8Array(count + 1);
const rank = new Float64Array(count + 1);
const start = count ? D.at[0] : 0;
// The last moment that is shown, where the axes end.
let end = last;
const along = (moment) => (state.mode === "order" ? rank[moment] : D.at[moment] - start);
const length = () => Math.max(along(end), state.mode === "order" ? 1 : 1000);
const xOf = (moment) => GUTTER + (along(moment) - state.left) * state.scale;
// Where each node is among those that are shown; -1 for those that are not.
const place = new Int32Array(Math.max(1, D.nodes.length));
let rows = 0;
const rowY = (row) => (row < 0 || place[row] >= 0 ? RULER + ((row < 0 ? 0 : place[row]) + 0.5) * state.rowHeight - state.top : -1e6);
const isThere = (row) => row < 0 || place[row] >= 0;
const laneStep = (row) => Math.min(11, (state.rowHeight * 0.8) / lanes[row]);
const yOf = (row, low) => rowY(row) + (low - (lanes[row] - 1) / 2) * laneStep(row);
// Those that take part in what is selected, or in the failure, if only these are wanted.
function placeRows() {
  const wanted = state.involved ? involved() : null;
  rows = 0;
  for (let row = 0; row < D.nodes.length; row++) place[row] = !wanted || wanted.has(row) ? rows++ : -1;
  state.rowHeight = Math.max(22, Math.min(230, (height - RULER) / Math.max(1, rows)));
}

function involved() {
  const m = state.selected >= 0 ? state.selected : failure >= 0 ? X.message[failure] : -1;
  if (m < 0 && failure < 0) return null;
  const nodes = new Set(failure >= 0 ? [failurePlace(failure).row] : []);
  let first = m;
  while (first >= 0 && M.cause[first] >= 0) first = M.cause[first];
  for (const one of first >= 0 ? relatedTo(first) : []) {
    for (const moment of [M.at[one], M.arrived[one]]) if (moment >= 0) nodes.add(D.node[moment]);
  }
  return nodes;
}

const visibleRow = (row) => rowY(row) > RULER - state.rowHeight && rowY(row) < height + state.rowHeight;

// The first moment at or after a place on the axis.
function momentAt(place) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (along(middle) < place) low = middle + 1;
    else high = middle;
  }
  return low;
}

const messageShown = (m) =>
  (state.component < 0 || M.from[m] === state.component || M.to[m] === state.component) &&
  (state.flow < 0 || M.flow[m] === state.flow);
const requestShown = (m) => state.layers[KINDS[M.kind[m]]] && messageShown(m);
const replyShown = (m) => state.layers.reply && state.layers.call && messageShown(m);
const handlerShown = (h) =>
  state.layers.handler && (state.component < 0 || H.component[h] === state.component) &&
  (state.flow < 0 || (H.message[h] >= 0 && M.flow[H.message[h]] === state.flow));

const eventShown = (e) => (E.kind[e] === 1 ? state.layers.packet : state.layers.event);

// Finds out what the filters leave.
const left = { messages: 0, moments: 0 };
function filter() {
  const anchor = state.mode === "order" ? momentAt(state.left + (width - GUTTER) / 2 / state.scale) : -1;
  shown.fill(0);
  left.messages = 0;
  const show = (moment) => { if (moment >= 0 && isThere(D.node[moment])) shown[moment] = 1; };
  for (let m = 0; m < messages; m++) {
    if (requestShown(m)) {
      left.messages++;
      show(M.at[m]); show(M.arrived[m]);
      if (M.kind[m] === 0 || M.ok[m] === 2) show(M.end[m]);
    }
    if (replyShown(m) && M.handler[m] >= 0 && M.kind[m] === 0) {
      show(H.ended[M.handler[m]]); show(M.end[m]); show(M.late[m]);
    }
  }
  for (let h = 0; h < handlers; h++) {
    if (!handlerShown(h)) continue;
    show(H.at[h]); show(H.ended[h]);
    for (let w = waitsFrom[h]; w < waitsFrom[h + 1]; w++) { show(D.w.at[w]); show(D.w.until[w]); }
  }
  if (state.layers.packet) for (let p = 0; p < P.at.length; p++) { show(P.at[p]); show(P.arrived[p]); show(P.lost[p]); }
  for (let e = 0; e < E.at.length; e++) if (eventShown(e)) show(E.at[e]);
  for (let f = 0; f < F.at.length; f++) { show(F.at[f]); show(F.until[f]); }
  for (const at of X.at) show(at);
  let before = 0;
  for (let i = 0; i < count; i++) { rank[i] = before; before += shown[i]; }
  rank[count] = before;
  left.moments = before;
  for (end = last; end > 0 && !shown[end]; end--);
  if (anchor >= 0 && width) state.left = along(Math.min(anchor, last)) - (width - GUTTER) / 2 / state.scale;
  $("empty").hidden = before > X.at.length || !count;
  const all = state.component < 0 && state.flow < 0;
  const number = (n) => n.toLocaleString("en");
  $("counts").textContent =
    (all ? "" : `${number(left.messages)} of `) + `${number(messages)} message${messages === 1 ? "" : "s"}` +
    (D.dropped ? `, ${number(D.dropped)} earlier records not kept` : "");
  mapImage = null;
}
