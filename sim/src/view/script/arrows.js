// ── Arrows ─────────────────────────────────────────────────────────────────────────────────────────────────────

// Calls `each` with the arrows that may be seen.
function arrowsBetween(arrows, from, until, each) {
  let low = 0, high = arrows.size;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (arrows.from[middle] <= until) low = middle + 1;
    else high = middle;
  }
  for (let block = 0; block << 8 < low; block++) {
    if (arrows.reach[block] < from) continue;
    const end = Math.min(low, (block + 1) << 8);
    for (let i = block << 8; i < end; i++) {
      if (Math.max(arrows.until[i], arrows.from[i] + 1) >= from) each(i);
    }
  }
}

// The ends of an arrow. One that never arrives ends on its way.
function ends(arrows, i) {
  const x0 = xOf(arrows.from[i]), y0 = yOf(arrows.row[i], arrows.low[i]);
  if (arrows.until[i] >= 0) return [x0, y0, xOf(arrows.until[i]), yOf(arrows.to[i], arrows.high[i]), true];
  const down = arrows.to[i] === NONE ? 0.4 * state.rowHeight : (rowY(arrows.to[i]) - y0) * 0.55;
  const far = Math.min(42, Math.max(14, state.scale * (state.mode === "order" ? 0.8 : 0)));
  return [x0, y0, x0 + far, y0 + (down || -0.3 * state.rowHeight), false];
}

const MANY = 1500;
function drawArrows(arrows, from, until, wanted) {
  const all = [];
  arrowsBetween(arrows, from, until, (i) => {
    if ((arrows.kind[i] === PACKET || wanted(arrows.of[i])) && isThere(arrows.row[i]) && isThere(arrows.to[i]) && (visibleRow(arrows.row[i]) || (arrows.to[i] !== NONE && visibleRow(arrows.to[i])))) all.push(i);
  });
  if (all.length > MANY) drawBundles(arrows, all);
  else for (const i of all) drawArrow(arrows, i, 1, all.length < 700);
  return all.length;
}

function drawArrow(arrows, i, strength, heads) {
  const [x0, y0, x1, y1, arrives] = ends(arrows, i);
  const kind = arrows.kind[i], dim = state.related && kind !== PACKET && !state.related.has(arrows.of[i]);
  const color = arrows.bad[i] ? colors.bad : colorOf(kind);
  cx.globalAlpha = (dim ? 0.13 : kind === PACKET ? 0.75 : 1) * strength;
  cx.strokeStyle = cx.fillStyle = color;
  cx.lineWidth = state.related && !dim && kind !== PACKET ? 2.2 : kind === PACKET ? 0.9 : 1.4;
  cx.setLineDash(kind === REPLY ? [5, 3] : arrives ? [] : [2, 3]);
  cx.beginPath();
  cx.moveTo(x0, y0);
  let angle = Math.atan2(y1 - y0, x1 - x0);
  if (Math.abs(y1 - y0) < 3 && arrows.row[i] === arrows.to[i] && arrives) {
    // To the same node: a bow above its line.
    const bow = Math.min(state.rowHeight * 0.42, 12 + Math.abs(x1 - x0) * 0.25), middle = (x0 + x1) / 2;
    cx.quadraticCurveTo(middle, y0 - bow * 2, x1, y1);
    angle = Math.atan2(y1 - (y0 - bow * 2), x1 - middle);
  } else cx.lineTo(x1, y1);
  cx.stroke();
  cx.setLineDash([]);
  if (arrives && heads) {
    const size = kind === PACKET ? 5 : 7;
    cx.beginPath();
    cx.moveTo(x1, y1);
    cx.lineTo(x1 - size * Math.cos(angle - 0.4), y1 - size * Math.sin(angle - 0.4));
    cx.lineTo(x1 - size * Math.cos(angle + 0.4), y1 - size * Math.sin(angle + 0.4));
    cx.fill();
  } else if (arrows.lost[i] && heads) {
    cx.lineWidth = 1.8;
    line(x1 - 3.5, y1 - 3.5, x1 + 3.5, y1 + 3.5);
    line(x1 - 3.5, y1 + 3.5, x1 + 3.5, y1 - 3.5);
  }
  cx.globalAlpha = 1;
}

// Too many to tell apart: those that nearly lie on each other are one, the stronger the more there are.
function drawBundles(arrows, all) {
  const bundles = new Map();
  const rows = D.nodes.length + 1;
  for (const i of all) {
    const x0 = Math.round(xOf(arrows.from[i]) / 2);
    const key = ((x0 + 1e5) * rows + arrows.row[i]) * rows * 16 + (arrows.to[i] + 1) * 16 + arrows.kind[i] * 2 + arrows.bad[i];
    const bundle = bundles.get(key);
    if (bundle) bundle.n++;
    else bundles.set(key, { i, n: 1 });
  }
  const groups = new Map();
  for (const { i, n } of bundles.values()) {
    const strength = Math.min(4, Math.floor(Math.log2(n)));
    const key = (arrows.bad[i] ? 90 : arrows.kind[i] * 10) + strength;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(i);
  }
  const crowd = Math.min(1, 3000 / bundles.size);
  for (const key of [...groups.keys()].sort((a, b) => a - b)) {
    const bad = key >= 90;
    cx.strokeStyle = bad ? colors.bad : colorOf(Math.floor(key / 10));
    cx.globalAlpha = bad ? 0.7 : Math.max(0.06, (0.22 + (key % 10) * 0.07) * crowd);
    cx.lineWidth = bad ? 1.2 : 2;
    cx.beginPath();
    for (const i of groups.get(key)) {
      const [x0, y0, x1, y1] = ends(arrows, i);
      cx.moveTo(x0, y0);
      cx.lineTo(x1, y1);
    }
    cx.stroke();
  }
  cx.globalAlpha = 1;
}
