// SPDX-License-Identifier: Apache-2.0
// ---- keys, theme, start

const keys = { g: "#/", o: "#/", m: "#/map", f: "#/flame", l: "#/latency", h: "#/host", s: "#/self" };
document.addEventListener("keydown", event => {
	if ($("keys").open) { if (event.key === "?") show_keys(); return; }
	const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
	if (current?.key && event.composedPath()[0] !== document.body && event.composedPath().some(one => one.id === "graph-host")) { current.key(event); return; }
	if (event.key === "Escape") { if (typing) event.target.blur(); else if (current?.escape) current.escape(); else if (address().path !== "/") history.back(); return; }
	if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "?") show_keys();
	else if (event.key === "t" && !current?.key) $("theme").click();
	else if (current?.period && "[]".includes(event.key)) current.period.resize(event.key === "[" ? -1 : 1);
	else if (current?.period && "<>".includes(event.key)) current.period.move(event.key === "<" ? -1 : 1);
	else if (event.key === "/") { if (current?.key) current.key(event); else (current?.search || $("filter"))?.focus(); event.preventDefault(); }
	else if (event.key === "p") $("pause").click();
	else if (current?.key && "ifs".includes(event.key)) current.key(event);
	else if (keys[event.key]) location.hash = keys[event.key];
	else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
		const links = [...document.querySelectorAll("tbody td:first-child a")], at = links.indexOf(document.activeElement);
		const next = links[event.key === "ArrowDown" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0)];
		if (next) { next.focus(); event.preventDefault(); }
	}
});
const key_list = [["/", "filter or search"], ["p", "pause, or live again"], ["o m f l h s", "Overview, Map, Flame, Latency, Host, Self"], ["↑ ↓ Enter", "rows: walk, open"], ["[ ]", "shorter or longer range"], ["< >", "earlier, later"], ["Esc", "leave a field, a choice, a view"], ["t", "dark or light"],
	["← ↑ ↓ → Enter", "in charts, heat maps, maps and flame graphs: walk, choose, zoom"], ["+ − 0", "map: zoom, fit"], ["i s f", "flame graph: icicle, sandwich, list of functions"], ["?", "this list"]];
function show_keys() {
	const box = $("keys");
	if (box.open) { box.close(); return; }
	fill(box, el("h2", { id: "keys-title" }, "Keyboard"), el("dl", {}, key_list.flatMap(([key, words]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)])), button("Close", () => box.close()));
	box.showModal();
}
$("help").addEventListener("click", show_keys);
$("pause").addEventListener("click", () => {
	pause(!model.paused);
	if (current?.period) set_query({ to: model.paused ? String(model.self?.time_ms || Date.now()) : "" });
	current?.period?.show();
	draw_live();
});
// What was chosen here stays; until then it is the system's, which may change meanwhile.
const system_dark = matchMedia("(prefers-color-scheme: dark)");
function theme() {
	const name = localStorage.getItem("theme") || (system_dark.matches ? "dark" : "light");
	if (document.documentElement.dataset.theme === name) return;
	document.documentElement.dataset.theme = name;
	if (current?.theme) current.theme(name === "dark");
	else if (current) draw();
}
$("theme").addEventListener("click", () => { localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark"); theme(); });
system_dark.addEventListener("change", theme);
theme();
addEventListener("hashchange", () => { start_with_token() || draw(); });
// While news come, they draw; without, what does not hang on them goes on.
setInterval(() => { if (model.paused || Date.now() - model.last > 1900) draw_live(); }, 2000);

// The token comes once, behind #, which browsers send to nobody; it leaves the address at once.
function start_with_token() {
	const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
	if (!given) return false;
	history.replaceState(null, "", "#/");
	enter(given);
	return true;
}
if (!start_with_token()) token ? begin() : draw();
