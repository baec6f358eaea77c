// ── Moving ─────────────────────────────────────────────────────────────────────────────────────────────────────

const room = () => Math.max(50, width - GUTTER);
const SCALES = { order: 60, time: 1 };
function limit() {
  const least = (room() - 40) / (length() + (state.mode === "order" ? 1 : length() * 0.02));
  state.scale = Math.max(Math.min(least, SCALES[state.mode] * 2), Math.min(SCALES[state.mode] * 2, state.scale));
  const most = length() - (room() * 0.5) / state.scale;
  state.left = Math.max(-20 / state.scale, Math.min(most, state.left));
  state.top = Math.max(0, Math.min(state.top, rows * state.rowHeight - (height - RULER)));
}

function zoom(factor, x = GUTTER + room() / 2) {
  const place = state.left + (x - GUTTER) / state.scale;
  state.scale *= factor;
  limit();
  state.left = place - (x - GUTTER) / state.scale;
  limit();
  redraw();
}

function pan(dx, dy) {
  state.left += dx / state.scale;
  state.top += dy;
  limit();
  redraw();
}

function zoomAll() {
  state.scale = 0;
  limit();
  state.left = (-20) / state.scale;
  limit();
  redraw();
}

// Moves so that what lies between two moments can be seen, and its row.
function bring(from, until) {
  const a = along(from), b = until >= 0 ? along(until) : a;
  const need = Math.max(b - a, state.mode === "order" ? 8 : 1000), has = room() / state.scale;
  if (need > has * 0.8 || need < has * 0.1) state.scale = room() / (need * 3);
  limit();
  state.left = (a + b) / 2 - room() / state.scale / 2;
  limit();
  const row = D.node[from];
  if (row >= 0 && (rowY(row) < RULER + 20 || rowY(row) > height - 20)) state.top = (place[row] + 0.5) * state.rowHeight - (height - RULER) / 2;
  limit();
  redraw();
}

function goToFailure() {
  if (failure < 0) return;
  const { moment, row } = failurePlace(failure);
  const columns = 46;
  if (state.mode === "order") state.scale = room() / columns;
  else {
    const back = D.at[moment] - D.at[Math.max(0, moment - columns)];
    state.scale = room() / Math.max(back * 1.4, 1000);
  }
  limit();
  state.left = along(moment) - (room() * 0.82) / state.scale;
  if (row >= 0) state.top = (place[row] + 0.5) * state.rowHeight - (height - RULER) / 2;
  limit();
  redraw();
}

function setMode(mode) {
  if (mode === state.mode) return;
  const middle = Math.min(last, momentAt(state.left + room() / 2 / state.scale));
  const from = Math.max(0, Math.min(last, momentAt(state.left))), until = Math.max(0, Math.min(last, momentAt(state.left + room() / state.scale)));
  state.mode = mode;
  state.scale = room() / Math.max(along(until) - along(from), mode === "order" ? 1 : 1000);
  limit();
  state.left = along(middle) - room() / 2 / state.scale;
  limit();
  mapImage = null;
  $("by-order").setAttribute("aria-checked", mode === "order");
  $("by-time").setAttribute("aria-checked", mode === "time");
  redraw();
}

function resize() {
  const dpr = devicePixelRatio || 1;
  const before = width;
  if (canvas.clientWidth === width && canvas.clientHeight === height && canvas.width === Math.round(width * dpr)) return;
  width = canvas.clientWidth;
  height = canvas.clientHeight;
  canvas.width = Math.round(width * dpr);
  canvas.height = Math.round(height * dpr);
  map.width = Math.round(map.clientWidth * dpr);
  map.height = Math.round(map.clientHeight * dpr);
  placeRows();
  if (before && before !== width) state.scale *= (width - GUTTER) / Math.max(50, before - GUTTER);
  mapImage = null;
  limit();
  // A canvas of another size is empty: there is nothing to be seen until it is drawn.
  draw();
}
