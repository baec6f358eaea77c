// ── Handlers, events, labels, marks ────────────────────────────────────────────────────────────────────────────

// How many begin there.
function handlersBetween(from, until) {
  const first = (moment) => {
    let low = 0, high = handlers;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (H.at[middle] < moment) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return first(until + 1) - first(from);
}

function drawHandlers(from, until) {
  const drawn = new Map();
  // Where they cannot be told apart they are only a shade.
  const crowded = handlersBetween(from, until) > 60 * rows + 500;
  for (let h = 0; h < handlers && H.at[h] <= until; h++) {
    const end = H.ended[h] >= 0 ? H.ended[h] : last;
    if (end < from || !handlerShown(h)) continue;
    const row = D.node[H.at[h]];
    if (row < 0 || !visibleRow(row)) continue;
    const x0 = xOf(H.at[h]), x1 = Math.max(xOf(end), x0 + 3), y = yOf(row, lane[h]);
    const thick = Math.max(3, Math.min(9, laneStep(row) - 2, state.rowHeight / 3.4));
    const key = row * 8 + lane[h];
    const bad = H.error[h] >= 0;
    if (!bad && x1 <= (drawn.get(key) ?? -1e9) + 0.7 && h !== state.handler) continue;
    drawn.set(key, x1);
    const dim = state.related && (H.message[h] < 0 || !state.related.has(H.message[h])) && h !== state.handler;
    cx.globalAlpha = dim ? 0.15 : crowded && !bad ? 0.45 : 1;
    cx.fillStyle = bad ? colors.bad : colors.event;
    if (crowded) {
      cx.fillRect(x0, y - 2, x1 - x0, 4);
      continue;
    }
    if (x1 - x0 < 5) {
      cx.fillRect(x0 - 1, y - thick / 2, Math.max(2.5, x1 - x0), thick);
      continue;
    }
    // What it does is full, where it waits there is a frame.
    cx.beginPath();
    cx.roundRect(x0 - 2, y - thick / 2, x1 - x0 + 4, thick, Math.min(4, thick / 2));
    cx.fill();
    cx.fillStyle = colors.paper;
    for (let w = waitsFrom[h]; w < waitsFrom[h + 1]; w++) {
      const w0 = xOf(D.w.at[w]), w1 = D.w.until[w] >= 0 ? xOf(D.w.until[w]) : x1;
      if (w1 - w0 > 2.5) cx.fillRect(w0 + 1, y - thick / 2 + 1.5, w1 - w0 - 2, thick - 3);
    }
  }
  cx.globalAlpha = 1;
}

// Where who called learned that it failed.
function drawEnds(from, until) {
  const drawn = new Map();
  for (let m = 0; m < messages && M.at[m] <= until; m++) {
    if (M.ok[m] !== 2 || M.end[m] < from || M.end[m] > until || !requestShown(m)) continue;
    const row = D.node[M.end[m]], x = xOf(M.end[m]);
    if (!visibleRow(row) || x - (drawn.get(row) ?? -1e9) < 2) continue;
    drawn.set(row, x);
    const y = yOf(row, laneOf(handlerOfSender(m)));
    cx.globalAlpha = state.related && !state.related.has(m) ? 0.15 : 1;
    cx.fillStyle = colors.bad;
    cx.beginPath();
    cx.moveTo(x, y - 3); cx.lineTo(x + 4, y - 10); cx.lineTo(x - 4, y - 10);
    cx.fill();
  }
  cx.globalAlpha = 1;
}

function drawEvents(from, until) {
  const drawn = new Map();
  for (let e = 0; e < E.at.length; e++) {
    const at = E.at[e], row = D.node[at];
    if (at < from || at > until || !visibleRow(row) || !eventShown(e)) continue;
    const x = xOf(at);
    if (x - (drawn.get(row) ?? -1e9) < 3) continue;
    drawn.set(row, x);
    const y = row < 0 ? RULER + 6 : rowY(row);
    cx.fillStyle = colors.paper;
    cx.strokeStyle = E.kind[e] === 2 ? colors.reached : colors.event;
    cx.globalAlpha = state.related ? 0.3 : 1;
    cx.lineWidth = 1.5;
    cx.beginPath();
    if (E.kind[e] === 2) {
      cx.moveTo(x, y - 5); cx.lineTo(x + 5, y); cx.lineTo(x, y + 5); cx.lineTo(x - 5, y); cx.closePath();
    } else cx.arc(x, y, 3, 0, 7);
    cx.fill();
    cx.stroke();
  }
  cx.globalAlpha = 1;
}

// The method along its arrow, where there is room.
function drawLabels(from, until, arrows, taken) {
  if (arrows > 260) return;
  cx.font = "11px system-ui, sans-serif";
  const one = (arrows, i, text, color) => {
    const [x0, y0, x1, y1] = ends(arrows, i);
    const dim = state.related && !state.related.has(arrows.of[i]);
    const across = Math.hypot(x1 - x0, y1 - y0) - 26, angle = Math.atan2(y1 - y0, x1 - x0);
    if (dim || across < 24 || Math.abs(y1 - y0) < 3) return;
    // Along an arrow that is flat, beside one that is steep.
    const steep = Math.abs(angle) > 0.7, full = cx.measureText(text).width;
    const label = fitted(text, steep ? 110 : across);
    if (!label || (label !== text && label.length < 3)) return;
    const half = Math.min(full, steep ? 110 : across) / 2;
    let x = (x0 + x1) / 2, y = (y0 + y1) / 2;
    if (steep) {
      // A third of the way along, so that those of two arrows that cross do not meet; to the right of it.
      x = x0 + (x1 - x0) * 0.36 + half + 6;
      y = y0 + (y1 - y0) * 0.36 + 4;
    }
    if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half + 4 && Math.abs(ty - y) < 15)) return;
    taken.push([x, y, half]);
    cx.save();
    cx.translate(x, y);
    if (!steep) cx.rotate(angle);
    cx.fillStyle = colors.paper;
    cx.globalAlpha = 0.82;
    cx.fillRect(-half - 2, steep ? -10 : -14, half * 2 + 4, 12);
    cx.globalAlpha = 1;
    cx.fillStyle = color;
    cx.fillText(label, -half, steep ? 0 : -4);
    cx.restore();
  };
  arrowsBetween(requests, from, until, (i) => {
    const m = requests.of[i];
    if (requestShown(m)) one(requests, i, labelOf(m, arrows), requests.bad[i] ? colors.bad : colorOf(M.kind[m]));
  });
  if (arrows < 90) arrowsBetween(replies, from, until, (i) => {
    const m = replies.of[i];
    const text = M.late[m] >= 0 ? "late answer" : M.ok[m] === 1 ? (M.out[m] >= 0 && T(M.out[m])) || "ok" : T(M.out[m]) || "…";
    if (replyShown(m)) one(replies, i, text, replies.bad[i] ? colors.bad : colors.reply);
  });
}

// What a message asks, where there is room for that.
function labelOf(m, arrows) {
  const method = short(T(M.method[m])), payload = T(M.payload[m]);
  return arrows < 60 && payload && payload.length <= 24 ? `${method} ${payload}` : method;
}

const short = (method) => method.slice(method.lastIndexOf("/") + 1) || method;

// What is looked for, and what is pointed at.
function drawMarked(from, until) {
  const halo = (arrows, i, color, wide) => {
    const [x0, y0, x1, y1] = ends(arrows, i);
    cx.strokeStyle = color;
    cx.lineWidth = wide;
    cx.globalAlpha = 0.45;
    line(x0, y0, x1, y1);
    cx.globalAlpha = 1;
    if (!state.related || state.related.has(arrows.of[i]) || arrows.kind[i] === PACKET) drawArrow(arrows, i, 1, true);
  };
  if (state.hits) {
    let budget = 3000;
    arrowsBetween(requests, from, until, (i) => {
      if (state.hits[requests.of[i]] && requestShown(requests.of[i]) && budget-- > 0) halo(requests, i, colors.found, 5);
    });
  }
  const { hover } = state;
  if (hover?.arrows) halo(hover.arrows, hover.i, colorOf(hover.arrows.kind[hover.i]), 6);
  const ring = (h) => {
    const y = yOf(D.node[H.at[h]], lane[h]), x0 = xOf(H.at[h]), x1 = H.ended[h] >= 0 ? xOf(H.ended[h]) : width;
    cx.strokeStyle = colors.ink;
    cx.lineWidth = 1.5;
    cx.beginPath();
    cx.roundRect(x0 - 5, y - 7.5, Math.max(10, x1 - x0 + 10), 15, 6);
    cx.stroke();
  };
  if (hover?.handler >= 0) ring(hover.handler);
  if (state.handler >= 0) ring(state.handler);
}

function failurePlace(x) {
  const after = X.after[x] >= 0 ? X.after[x] : X.at[x];
  const own = D.node[X.at[x]];
  return { moment: after, row: own >= 0 ? own : D.node[after] };
}

function drawFailures() {
  for (let x = X.at.length - 1; x >= 0; x--) {
    const at = xOf(X.at[x]), first = x === failure;
    if (at < GUTTER - 200 || at > width + 200) continue;
    cx.globalAlpha = first ? 1 : 0.35;
    cx.strokeStyle = colors.bad;
    cx.lineWidth = first ? 2 : 1;
    cx.setLineDash(first ? [] : [4, 4]);
    line(at, RULER, at, height);
    cx.setLineDash([]);
    if (!first) continue;
    const { moment, row } = failurePlace(x);
    if (row >= 0) {
      const handler = X.message[x] >= 0 ? M.handler[X.message[x]] : -1;
      const low = handler >= 0 && D.node[H.at[handler]] === row ? lane[handler] : 0;
      const y = yOf(row, low), px = xOf(moment);
      for (const [size, alpha] of [[17, 0.18], [11, 0.35]]) {
        cx.globalAlpha = alpha;
        cx.fillStyle = colors.bad;
        cx.beginPath();
        cx.arc(px, y, size, 0, 7);
        cx.fill();
      }
      cx.globalAlpha = 1;
      cx.fillStyle = colors.bad;
      cx.beginPath();
      cx.arc(px, y, 6.5, 0, 7);
      cx.fill();
      cx.strokeStyle = colors.paper;
      cx.lineWidth = 1.8;
      line(px - 2.6, y - 2.6, px + 2.6, y + 2.6);
      line(px - 2.6, y + 2.6, px + 2.6, y - 2.6);
    }
    cx.globalAlpha = 1;
    cx.font = "600 12px system-ui, sans-serif";
    const text = fitted("✗ " + T(X.property[x]), 320), wide = cx.measureText(text).width + 14;
    const flag = at + wide > width - 4 ? at - wide : at;
    cx.fillStyle = colors.bad;
    cx.fillRect(flag, RULER, wide, 20);
    cx.fillStyle = colors.paper;
    cx.fillText(text, flag + 7, RULER + 14);
  }
  cx.globalAlpha = 1;
}
