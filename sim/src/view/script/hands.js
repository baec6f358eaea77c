// ── Hands ──────────────────────────────────────────────────────────────────────────────────────────────────────

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.offsetX, y: event.offsetY, moved: 0 };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    drag.moved += Math.abs(event.offsetX - drag.x) + Math.abs(event.offsetY - drag.y);
    pan(drag.x - event.offsetX, drag.y - event.offsetY);
    drag.x = event.offsetX;
    drag.y = event.offsetY;
    canvas.classList.toggle("moving", drag.moved > 4);
    state.hover = null;
  } else state.hover = event.offsetX > GUTTER && event.offsetY > RULER ? nearest(event.offsetX, event.offsetY) : null;
  showTip(event.offsetX, event.offsetY);
  redraw();
});
canvas.addEventListener("pointerup", (event) => {
  canvas.classList.remove("moving");
  const clicked = drag && drag.moved < 4;
  drag = null;
  if (!clicked) return;
  const found = event.offsetX > GUTTER ? nearest(event.offsetX, event.offsetY) : null;
  if (found?.arrows && found.arrows !== packets) select(found.arrows.of[found.i]);
  else if (found?.handler >= 0) {
    select(H.message[found.handler]);
    state.handler = found.handler;
  } else if (found?.failure !== undefined) select(X.message[found.failure]);
  else select(-1);
});
canvas.addEventListener("pointerleave", () => { state.hover = null; showTip(0, 0); redraw(); });
canvas.addEventListener("dblclick", (event) => zoom(2.5, event.offsetX));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const unit = event.deltaMode ? 30 : 1;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) * unit, 0);
  else if (event.altKey || event.offsetX < GUTTER) pan(0, event.deltaY * unit);
  else zoom(Math.exp(-event.deltaY * unit * 0.0016), event.offsetX);
}, { passive: false });

const mapTo = (event) => {
  state.left = placeAt(start + ((event.offsetX - GUTTER) / mapRoom()) * whole()) - room() / state.scale / 2;
  limit();
  redraw();
};
map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); mapTo(event); });
map.addEventListener("pointermove", (event) => { if (event.buttons) mapTo(event); });
map.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0016)); }, { passive: false });

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  readColors();
  for (const key of Object.keys(hatches)) delete hatches[key];
  showSide();
  redraw();
}

const KEYS = [
  [["←", "→"], "move in time", (e) => pan(e.key === "ArrowLeft" ? -room() * 0.15 : room() * 0.15, 0), ["ArrowLeft", "ArrowRight"]],
  [["↑", "↓"], "move between nodes", (e) => pan(0, e.key === "ArrowUp" ? -60 : 60), ["ArrowUp", "ArrowDown"]],
  [["+", "−"], "zoom", (e) => zoom(e.key === "-" ? 1 / 1.4 : 1.4), ["+", "=", "-"]],
  [["0"], "everything", () => zoomAll(), ["0"]],
  [["f"], "the failure", () => goToFailure(), ["f"]],
  [["o"], "order or time", () => setMode(state.mode === "order" ? "time" : "order"), ["o"]],
  [["/"], "search", () => $("search").focus(), ["/"]],
  [["n", "p"], "next and previous that was found", (e) => nextHit(e.key === "n" ? 1 : -1), ["n", "p"]],
  [["[", "]"], "the message before and after", (e) => step(e.key === "]" ? 1 : -1), ["[", "]"]],
  [["c"], "the cause of the message", () => state.selected >= 0 && M.cause[state.selected] >= 0 && select(M.cause[state.selected], true), ["c"]],
  [["i"], "only the nodes that are involved", () => $("involved").click(), ["i"]],
  [["t"], "light or dark", () => $("theme").click(), ["t"]],
  [["Esc"], "let go", () => select(-1), ["Escape"]],
  [["?"], "this", () => $("help").showModal(), ["?"]],
];
function step(by) {
  let m = state.selected;
  do m += by; while (m >= 0 && m < messages && !requestShown(m));
  if (m >= 0 && m < messages) select(m, true);
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target === $("search")) {
    if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { $("search").value = ""; search(""); canvas.focus(); }
    return;
  }
  if (event.target.tagName === "SELECT") return;
  const found = KEYS.find(([, , , keys]) => keys.includes(event.key));
  if (found) { event.preventDefault(); found[2](event); }
});

function setUp() {
  const title = $("title");
  title.textContent = D.title;
  title.classList.toggle("bad", failure >= 0);
  for (const [name, value] of D.about.slice(0, 2)) {
    const span = el("span", name + " ");
    span.append(el("b", value));
    $("about").append(span);
  }
  const options = (select, all, column, extra) => {
    const used = [...new Set([...column, ...extra])].filter((text) => text >= 0 && T(text)).sort((a, b) => T(a).localeCompare(T(b)));
    select.append(new Option(all, -1), ...used.map((text) => new Option(T(text), text)));
    select.hidden = !used.length;
  };
  options($("component"), "All components", H.component, M.to);
  options($("flow"), "All flows", M.flow, []);
  $("component").onchange = (event) => { state.component = +event.target.value; changed(); };
  $("flow").onchange = (event) => { state.flow = +event.target.value; changed(); };
  const there = {
    call: M.kind.includes(0), reply: replies.size, cast: M.kind.includes(1), publish: M.kind.includes(2), handler: handlers,
    event: E.kind.some((kind) => kind !== 1), packet: P.at.length || E.kind.includes(1),
  };
  for (const layer of LAYERS) {
    if (!there[layer.id]) continue;
    const button = el("button"), mark = el("i");
    mark.style.borderColor = `var(${layer.color})`;
    if (layer.id === "reply") mark.style.borderTopStyle = "dashed";
    button.append(mark, layer.name);
    button.id = "layer-" + layer.id;
    const show = () => button.setAttribute("aria-pressed", state.layers[layer.id]);
    button.onclick = () => { state.layers[layer.id] = !state.layers[layer.id]; show(); changed(); };
    show();
    $("layers").append(button);
  }
  $("unfilter").onclick = () => {
    state.component = state.flow = -1;
    $("component").value = $("flow").value = -1;
    for (const layer of LAYERS) if (layer.id !== "packet" && !state.layers[layer.id]) $("layer-" + layer.id)?.click();
    changed();
  };
  for (const [keys, what] of KEYS) {
    const row = $("keys").insertRow(), cell = row.insertCell();
    for (const key of keys) cell.append(el("kbd", key), " ");
    row.insertCell().textContent = what;
  }
  $("search").oninput = (event) => search(event.target.value);
  $("by-order").onclick = () => setMode("order");
  $("by-time").onclick = () => setMode("time");
  $("by-order").setAttribute("aria-checked", "true");
  $("by-time").setAttribute("aria-checked", "false");
  $("zoom-in").onclick = () => zoom(1.5);
  $("zoom-out").onclick = () => zoom(1 / 1.5);
  $("zoom-all").onclick = zoomAll;
  $("to-failure").onclick = goToFailure;
  $("to-failure").hidden = failure < 0;
  $("involved").hidden = D.nodes.length < 6;
  $("involved").onclick = () => {
    state.involved = !state.involved;
    $("involved").setAttribute("aria-pressed", state.involved);
    placeRows();
    filter();
    limit();
    redraw();
  };
  $("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  $("help-button").onclick = () => $("help").showModal();
  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  readColors();
  filter();
  resize();
  zoomAll();
  if (left.moments > 70 && failure >= 0) goToFailure();
  showSide();
  // Where to look can be said in the address: #mode=time&theme=dark&view=all&search=Charge&message=7
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("theme")) setTheme(asked.get("theme"));
  if (asked.has("network")) $("layer-packet")?.click();
  if (asked.has("involved")) $("involved").click();
  if (asked.has("mode")) setMode(asked.get("mode"));
  if (asked.get("view") === "all") zoomAll();
  if (asked.get("view") === "failure") goToFailure();
  if (asked.has("search")) { $("search").value = asked.get("search"); search(asked.get("search")); }
  if (asked.has("message")) select(Math.min(+asked.get("message"), messages - 1), true);
  draw();
  new ResizeObserver(resize).observe($("stage"));
}

function changed() {
  filter();
  search($("search").value);
  limit();
  redraw();
}

setUp();
