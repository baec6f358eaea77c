// ── Axis, names, overview ──────────────────────────────────────────────────────────────────────────────────────

// A moment's time, in the unit that suits the whole run.
function clock(moment) {
  const nanos = D.at[moment];
  return whole() + start >= 1e9 ? (nanos / 1e9).toFixed(6) + " s" : (nanos / 1e6).toFixed(3) + " ms";
}

function timeText(nanos, step) {
  const s = nanos / 1e9;
  if (step === undefined) return s >= 1 ? s.toFixed(6) + " s" : nanos >= 1e6 ? (nanos / 1e6).toFixed(3) + " ms" : nanos >= 1e3 ? (nanos / 1e3).toFixed(3) + " µs" : nanos ? nanos + " ns" : "no time";
  const digits = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / 1e9) - 1e-9)));
  return s.toFixed(digits) + " s";
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  return [1, 2, 5, 10].map((k) => k * power).find((step) => step >= rough);
}

// Ticks: in order every so many columns, with the times there; in time at round times.
function ticks(from, until) {
  const all = [];
  if (state.mode === "time") {
    const step = niceStep(110 / state.scale);
    const first = Math.ceil(Math.max(start, state.left + start) / step) * step;
    for (let t = first; t <= state.left + start + (width - GUTTER) / state.scale; t += step) {
      all.push([GUTTER + (t - start - state.left) * state.scale, timeText(t, step)]);
    }
    return all;
  }
  let before = -1e9;
  for (let i = from; i <= until; i++) {
    if (!shown[i]) continue;
    const x = xOf(i);
    if (x - before < 96) continue;
    before = x;
    all.push([x, clock(i)]);
  }
  return all;
}

function drawGrid(from, until) {
  cx.strokeStyle = colors.grid;
  cx.lineWidth = 1;
  for (const [x] of ticks(from, until)) line(Math.round(x) + 0.5, RULER, Math.round(x) + 0.5, height);
}

function drawRuler(from, until) {
  cx.fillStyle = colors.paper;
  cx.fillRect(GUTTER, 0, width, RULER - 1);
  cx.fillStyle = colors.line;
  cx.fillRect(GUTTER, RULER - 1, width, 1);
  cx.font = "11px system-ui, sans-serif";
  cx.fillStyle = colors.soft;
  for (const [x, text] of ticks(from, until)) {
    cx.fillText(text, x + 4, RULER - 9);
    cx.fillRect(Math.round(x), RULER - 8, 1, 7);
  }
  const text = state.mode === "order" ? "one column for each event, with its time" : "virtual time";
  cx.fillStyle = colors.faint;
  cx.fillText(text, GUTTER + 4, 13);
}

function drawNames() {
  cx.fillStyle = colors.panel;
  cx.fillRect(0, 0, GUTTER, height);
  cx.fillStyle = colors.line;
  cx.fillRect(GUTTER - 1, 0, 1, height);
  const small = state.rowHeight < 16;
  cx.save();
  cx.beginPath();
  cx.rect(0, RULER - 1, GUTTER, height);
  cx.clip();
  for (let row = 0; row < D.nodes.length; row++) {
    if (!visibleRow(row)) continue;
    if (small && row % Math.ceil(13 / state.rowHeight)) continue;
    const bad = failure >= 0 && failurePlace(failure).row === row;
    cx.font = `${bad ? 650 : 550} ${small ? 10 : 12.5}px system-ui, sans-serif`;
    cx.fillStyle = bad ? colors.bad : colors.ink;
    cx.fillText(fitted(D.nodes[row], GUTTER - 24), 12, rowY(row) + 4);
  }
  cx.restore();
  cx.fillStyle = colors.panel;
  cx.fillRect(0, 0, GUTTER - 1, RULER - 1);
  cx.fillStyle = colors.line;
  cx.fillRect(0, RULER - 1, GUTTER, 1);
  cx.font = "11px system-ui, sans-serif";
  cx.fillStyle = colors.soft;
  cx.fillText((rows < D.nodes.length ? `${rows} of ` : "") + `${D.nodes.length} node${D.nodes.length === 1 ? "" : "s"}`, 12, RULER - 9);
}

let mapImage = null;
// The overview is in time, whatever the axis is.
const whole = () => Math.max(1, count ? D.at[end] - start : 1);
const mapRoom = () => map.clientWidth - GUTTER - 8;
const mapX = (moment) => GUTTER + ((D.at[moment] - start) / whole()) * mapRoom();
function placeAt(time) {
  if (state.mode === "time") return time - start;
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (D.at[middle] < time) low = middle + 1;
    else high = middle;
  }
  return along(Math.min(low, last));
}
function drawMap() {
  const dpr = devicePixelRatio || 1, wide = map.clientWidth, high = map.clientHeight;
  mx.setTransform(dpr, 0, 0, dpr, 0, 0);
  if (!mapImage) mapImage = density(Math.max(1, Math.floor(mapRoom())));
  mx.fillStyle = colors.panel;
  mx.fillRect(0, 0, wide, high);
  mx.font = "11px system-ui, sans-serif";
  mx.fillStyle = colors.soft;
  mx.fillText("everything", 12, 24);
  mx.fillStyle = colors.faint;
  mx.fillText(count ? `${timeText(D.at[end] - start)}` : "", 12, 39);
  for (let f = 0; f < F.at.length; f++) {
    mx.fillStyle = colors[FAULTS[F.kind[f]]];
    mx.globalAlpha = F.nodes[f].length ? 0.28 : 0.14;
    const x0 = mapX(F.at[f]), x1 = F.until[f] >= 0 ? mapX(F.until[f]) : wide - 8;
    mx.fillRect(x0, 4, Math.max(1.5, x1 - x0), high - 8);
  }
  mx.globalAlpha = 1;
  mx.fillStyle = colors.faint;
  mapImage.all.forEach((n, x) => n && mx.fillRect(GUTTER + x, high - 5 - n * (high - 14), 1, n * (high - 14)));
  mx.fillStyle = colors.bad;
  mapImage.bad.forEach((n, x) => n && mx.fillRect(GUTTER + x, high - 5 - n * (high - 14), 1, n * (high - 14)));
  for (const at of X.at) mx.fillRect(mapX(at) - 1, 3, 2, high - 6);
  const seen = (place) => mapX(Math.max(0, Math.min(last, momentAt(place))));
  const right = state.left + room() / state.scale;
  const a = count ? Math.max(GUTTER, state.left <= 0 ? GUTTER : seen(state.left)) : GUTTER;
  const b = Math.min(wide - 8, Math.max(right >= length() ? wide - 8 : seen(right), a + 4));
  mx.fillStyle = colors.ink;
  mx.globalAlpha = 0.07;
  mx.fillRect(a, 2, b - a, high - 4);
  mx.globalAlpha = 1;
  mx.strokeStyle = colors.ink;
  mx.lineWidth = 1.5;
  mx.strokeRect(a, 2, b - a, high - 4);
}

// How much there is at each place, on a scale that shows little beside much.
function density(wide) {
  const all = new Float32Array(wide), bad = new Float32Array(wide);
  const unit = wide / whole();
  const put = (into, moment) => into[Math.min(wide - 1, Math.floor((D.at[moment] - start) * unit))]++;
  for (let i = 0; i < count; i++) if (shown[i]) put(all, i);
  for (let m = 0; m < messages; m++) if (M.ok[m] === 2 && requestShown(m) && M.end[m] >= 0) put(bad, M.end[m]);
  const most = Math.log1p(all.reduce((a, b) => Math.max(a, b), 1));
  const scaled = (n) => (n ? Math.max(0.08, Math.log1p(n) / most) : 0);
  return { all: all.map(scaled), bad: bad.map(scaled) };
}
