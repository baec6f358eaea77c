// ── Drawing ────────────────────────────────────────────────────────────────────────────────────────────────────

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "panel", "line", "ink", "soft", "faint", "life", "stripe", "grid", "call", "reply", "cast", "publish",
    "packet", "bad", "found", "event", "reached", "down", "paused", "cut", "link", "planned", "message"]) {
    colors[name] = style.getPropertyValue("--" + name).trim();
  }
}
const colorOf = (kind) => colors[["call", "cast", "publish", "reply", "packet"][kind]];

let pending = false;
function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; draw(); });
}

let drawn = 0;
function draw() {
  const began = performance.now();
  const dpr = devicePixelRatio || 1;
  cx.setTransform(dpr, 0, 0, dpr, 0, 0);
  cx.fillStyle = colors.paper;
  cx.fillRect(0, 0, width, height);
  const from = Math.max(0, momentAt(state.left) - 1);
  const until = Math.min(last, momentAt(state.left + (width - GUTTER) / state.scale) + 1);
  cx.save();
  cx.beginPath();
  cx.rect(GUTTER, 0, width - GUTTER, height);
  cx.clip();
  drawStripes();
  drawGrid(from, until);
  drawFaults();
  drawLives();
  const many = state.layers.packet ? drawArrows(packets, from, until, () => true) : 0;
  const arrows = drawArrows(requests, from, until, requestShown) + drawArrows(replies, from, until, replyShown) + many;
  if (state.layers.handler) drawHandlers(from, until);
  drawEvents(from, until);
  drawEnds(from, until);
  drawInjections();
  drawLabels(from, until, state.related ? 0 : arrows, drawFaultLabels());
  drawMarked(from, until);
  drawFailures();
  drawRuler(from, until);
  cx.restore();
  drawNames();
  drawMap();
  drawn = performance.now() - began;
}

function drawStripes() {
  cx.fillStyle = colors.stripe;
  for (let row = 0; row < D.nodes.length; row++) {
    if (place[row] % 2 === 0 && visibleRow(row)) cx.fillRect(GUTTER, rowY(row) - state.rowHeight / 2, width, state.rowHeight);
  }
}

// Where each node is up: from its first event, but for when it is down.
function drawLives() {
  cx.lineWidth = 1.5;
  for (let row = 0; row < D.nodes.length; row++) {
    if (!visibleRow(row)) continue;
    cx.strokeStyle = colors.life;
    cx.setLineDash([]);
    line(GUTTER, rowY(row), width, rowY(row));
  }
  for (let f = 0; f < F.at.length; f++) {
    if (F.kind[f] !== 0) continue;
    const y = rowY(F.nodes[f][0]), [x0, x1] = spanOf(f);
    cx.setLineDash([]);
    cx.strokeStyle = colors.stripe;
    cx.lineWidth = 3;
    line(x0, y, x1, y);
    cx.setLineDash([2, 4]);
    cx.lineWidth = 1.5;
    cx.strokeStyle = colors.down;
    line(x0, y, x1, y);
  }
  cx.setLineDash([]);
}

function line(x0, y0, x1, y1) {
  cx.beginPath();
  cx.moveTo(x0, y0);
  cx.lineTo(x1, y1);
  cx.stroke();
}

const spanOf = (f) => {
  const x1 = F.until[f] >= 0 ? xOf(F.until[f]) : Infinity;
  return [Math.max(GUTTER - 20, xOf(F.at[f])), Math.min(width + 20, x1)];
};

const FAULTS = ["down", "paused", "cut", "link", "planned", "message"];
const MESSAGE = 5;
const hatches = {};
function hatch(color, angle) {
  const key = color + angle;
  if (hatches[key]) return hatches[key];
  const tile = document.createElement("canvas");
  tile.width = tile.height = 10;
  const t = tile.getContext("2d");
  t.strokeStyle = color;
  t.globalAlpha = 0.30;
  t.lineWidth = 1.6;
  t.beginPath();
  for (const d of [-10, 0, 10]) {
    if (angle > 0) { t.moveTo(d, 10); t.lineTo(d + 10, 0); } else { t.moveTo(d, 0); t.lineTo(d + 10, 10); }
  }
  t.stroke();
  return (hatches[key] = cx.createPattern(tile, "repeat"));
}

// Bands: on each node that is concerned, from edge to edge of its row; across the top when all are.
function drawFaults() {
  for (let f = 0; f < F.at.length; f++) {
    const [x0, x1] = spanOf(f);
    if (x1 < GUTTER || x0 > width) continue;
    const color = colors[FAULTS[F.kind[f]]], wide = Math.max(2, x1 - x0);
    const everywhere = !F.nodes[f].length;
    const rows = (everywhere ? D.nodes.map((_, row) => row) : F.nodes[f]).filter(isThere);
    if (!rows.length) continue;
    const share = { 0: 0.86, 1: 0.74, 2: 0.6, 3: 0.48, 4: 0.94, 5: 0.4 }[F.kind[f]] * state.rowHeight;
    for (const row of rows) {
      if (!visibleRow(row)) continue;
      const y = rowY(row) - share / 2;
      cx.globalAlpha = everywhere ? 0.05 : 0.11;
      cx.fillStyle = color;
      cx.fillRect(x0, y, wide, share);
      cx.globalAlpha = everywhere ? 0.5 : 1;
      cx.fillStyle = hatch(color, F.kind[f] % 2 ? -1 : 1);
      cx.fillRect(x0, y, wide, share);
      cx.globalAlpha = 0.75;
      cx.fillStyle = color;
      cx.fillRect(x0, y, 1.5, share);
      if (F.until[f] >= 0) cx.fillRect(x1 - 1.5, y, 1.5, share);
      cx.globalAlpha = 1;
    }
    if (F.kind[f] === 2 && rows.length > 1 && x0 > GUTTER - 20) {
      cx.strokeStyle = color;
      cx.globalAlpha = 0.6;
      cx.lineWidth = 1.5;
      line(x0 + 0.75, rowY(Math.min(...rows)), x0 + 0.75, rowY(Math.max(...rows)));
      cx.globalAlpha = 1;
    }
    const row = Math.min(...rows);
    if (F.kind[f] !== MESSAGE && wide > 24 && state.rowHeight >= 26 && visibleRow(row)) {
      const x = Math.max(x0, GUTTER) + 6;
      faultLabels.push({ text: T(F.name[f]), x, y: rowY(row) - share / 2 + 12, room: x1 - x - 4, color });
    }
  }
}

// Where something was done to messages: mostly it takes no time, so there is a sign besides the band.
function drawInjections() {
  for (let f = 0; f < F.at.length; f++) {
    const x = xOf(F.at[f]), row = F.nodes[f][0];
    if (F.kind[f] !== MESSAGE || x < GUTTER - 8 || x > width + 8 || !isThere(row) || !visibleRow(row)) continue;
    const y = rowY(row), color = colors.message;
    cx.fillStyle = color;
    cx.strokeStyle = colors.paper;
    cx.lineWidth = 1.5;
    cx.beginPath();
    cx.roundRect(x - 6, y - 6, 12, 12, 2);
    cx.fill();
    cx.stroke();
    if (state.rowHeight >= 26) faultLabels.push({ text: T(F.name[f]), x: x + 9, y: y + state.rowHeight * 0.2 + 12, room: 260, color });
  }
}

let faultLabels = [];
// Returns what they cover.
function drawFaultLabels() {
  const taken = [];
  cx.font = "600 11px system-ui, sans-serif";
  for (const { text, x, y: top, room, color } of faultLabels) {
    const label = room > 20 ? fitted(text, Math.min(room, 260)) : "";
    if (!label) continue;
    const half = cx.measureText(label).width / 2;
    let y = top;
    while (taken.some(([tx, ty, th]) => Math.abs(tx - x - half) < th + half && Math.abs(ty - y) < 13)) y += 13;
    if (y > top + 30) continue;
    taken.push([x + half, y, half + 2]);
    cx.fillStyle = colors.paper;
    cx.globalAlpha = 0.85;
    cx.fillRect(x - 3, y - 10, half * 2 + 6, 13);
    cx.globalAlpha = 1;
    cx.fillStyle = color;
    cx.fillText(label, x, y);
  }
  faultLabels = [];
  return taken;
}

function fitted(text, room) {
  if (cx.measureText(text).width <= room) return text;
  let most = Math.floor((text.length * room) / cx.measureText(text).width) - 1;
  return most < 2 ? "" : text.slice(0, most) + "…";
}
