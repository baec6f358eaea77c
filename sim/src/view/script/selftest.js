// ── Does it work? ──────────────────────────────────────────────────────────────────────────────────────────────

// With #self-test the page tries itself and leaves what it found in its own text, for a browser without a window.
function selfTest() {
  const facts = { messages, moments: count, failures: X.at.length };
  const painted = (x, y, size, color = colors.bad) => {
    const dpr = devicePixelRatio || 1, side = 2 * size * dpr;
    const copy = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
    copy.drawImage(canvas, (x - size) * dpr, (y - size) * dpr, side, side, 0, 0, side, side);
    const pixels = copy.getImageData(0, 0, side, side).data;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    let found = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      if (Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b) < 30) found++;
    }
    return found;
  };
  const timed = () => { draw(); return Math.round(drawn * 10) / 10; };
  for (const mode of ["order", "time"]) {
    setMode(mode);
    zoomAll();
    facts[mode + "_all_ms"] = timed();
    facts[mode + "_all_seen"] = [xOf(0) >= GUTTER, xOf(end) <= width];
    if (failure >= 0) {
      goToFailure();
      facts[mode + "_failure_ms"] = timed();
      const { moment, row } = failurePlace(failure);
      const x = xOf(moment), y = rowY(row);
      facts[mode + "_failure_inside"] = x > GUTTER && x < width && y > RULER && y < height;
      facts[mode + "_failure_painted"] = painted(x, y, 8);
      facts[mode + "_failure_found"] = nearest(x, y)?.failure === failure;
      facts[mode + "_elsewhere_painted"] = painted(GUTTER + 12, height - 12, 8);
    }
    const before = state.scale;
    zoom(2);
    facts[mode + "_zoom"] = state.scale / before;
    const place = state.left;
    pan(50, 0);
    facts[mode + "_pan"] = (state.left - place) * state.scale;
  }
  for (const [id, column] of [["component", M.to], ["flow", M.flow]]) {
    const select = $(id), value = messages ? column[messages - 1] : -1;
    if (value < 0) continue;
    select.value = value;
    select.onchange({ target: select });
    draw();
    const fits = (m) => (id === "flow" ? M.flow[m] === value : M.from[m] === value || M.to[m] === value);
    let expected = 0;
    for (let m = 0; m < messages; m++) expected += fits(m) ? 1 : 0;
    facts["filter_" + id] = { shown: left.messages, expected };
    $("unfilter").click();
  }
  facts.unfiltered = left.messages;
  if (failure >= 0) {
    const all = rows;
    state.involved = true;
    placeRows();
    filter();
    goToFailure();
    draw();
    const { moment, row } = failurePlace(failure);
    facts.involved = { rows, all, painted: painted(xOf(moment), rowY(row), 8) };
    state.involved = false;
    placeRows();
    filter();
  }
  facts.injected = F.kind.flatMap((kind, f) => {
    if (kind !== MESSAGE) return [];
    bring(F.at[f], F.until[f]);
    draw();
    const x = xOf(F.at[f]), y = rowY(F.nodes[f][0]);
    select(F.message[f]);
    const told = $("side").textContent.includes(T(F.name[f]));
    select(-1);
    return [{ name: T(F.name[f]), painted: painted(x, y, 8, colors.message), told }];
  }).slice(0, 10);
  if (messages) {
    const m = X.message[failure] >= 0 ? X.message[failure] : 0;
    search(T(M.method[m]));
    facts.found = state.hitList.length;
    nextHit(1);
    facts.selected = state.selected >= 0 && $("side").textContent.includes(T(M.method[state.selected]));
    dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    facts.let_go = state.selected;
    search("");
  }
  facts.elements = document.querySelectorAll("*").length;
  facts.errors = errors;
  document.body.append(Object.assign(el("pre", JSON.stringify(facts)), { id: "self-test", hidden: true }));
}
if (location.hash === "#self-test") selfTest();
