// SPDX-License-Identifier: Apache-2.0
// Flame graphs of captures. A capture is named in the address: "p3" is measurement 3; "r,7,profile,FROM,TO" is what the
// agent recorded of series 7 in a range (0: the whole machine). Two of them are compared. The drawing is flame.js of the agent, the same
// as in `fathom profile -o x.html`; here captures become what it draws.
"use strict";

const BOXES_MAX = 100000; // of one picture; smaller frames are left out, and it is said
const HIDDEN_MAX = 20000; // functions of left-out frames kept by name
const OWNERS = new Set(["container", "process", "thread", "cause", "waker"]);
const words_of = value => typeof value === "string" ? value : value?.base64 ? `[bytes ${value.base64}]` : "";

let palette = null;
const load_palette = async () => palette ||= await json("/api/palette");

function shade_of(name) {
	let hash = 2166136261;
	for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
	return ((hash ^ hash >>> 15) >>> 0) % palette.shades;
}

function group_of(kind, name) {
	const cause = kind === "cause" && palette.causes.find(([prefix]) => name.startsWith(prefix));
	return Math.max(palette.names.indexOf(cause ? cause[1] : kind), 0);
}

// { frames: [[kind, name, module]], parent, frame, self, before: arrays by node, unit }; parents stand before their children.
function tree_of(shape) {
	const count = shape.nodes.length, tree = { frames: shape.frames.map(([kind, name, module]) => [kind, words_of(name), words_of(module)]), unit: shape.unit,
		parent: new Int32Array(count), frame: new Int32Array(count), self: new Float64Array(count), before: null };
	shape.nodes.forEach(([parent, frame, self, before], i) => {
		tree.parent[i] = parent; tree.frame[i] = frame; tree.self[i] = self;
		if (before !== undefined) (tree.before ||= new Float64Array(count))[i] = before;
	});
	return tree;
}

// `after` with the weights of `before`, times `scale`, beside its own.
function compare_trees(before, after, scale) {
	const frames = [], known = new Map(), kids = [new Map()], parent = [0], frame = [0], sums = [[0], [0]];
	const add = (tree, column, factor) => {
		const numbers = tree.frames.map(one => {
			const key = one.join("\0");
			if (!known.has(key)) { known.set(key, frames.length); frames.push(one); }
			return known.get(key);
		});
		const at = new Int32Array(tree.parent.length);
		for (let i = 0; i < at.length; i++) {
			if (i) {
				const above = at[tree.parent[i]], number = numbers[tree.frame[i]];
				let node = kids[above].get(number);
				if (node === undefined) {
					kids[above].set(number, node = parent.length);
					kids.push(new Map()); parent.push(above); frame.push(number); sums[0].push(0); sums[1].push(0);
				}
				at[i] = node;
			}
			sums[column][at[i]] += tree.self[i] * factor;
		}
	};
	add(after, 1, 1);
	add(before, 0, scale);
	return { frames, unit: after.unit, parent: Int32Array.from(parent), frame: Int32Array.from(frame), self: Float64Array.from(sums[1]), before: Float64Array.from(sums[0], Math.round) };
}

function totals(tree, column) {
	const sum = Float64Array.from(column);
	for (let i = sum.length - 1; i > 0; i--) sum[tree.parent[i]] += sum[i];
	return sum;
}

// What the drawing wants: frames in preorder, siblings by name; see html.c of the agent.
function graph_data(tree) {
	const count = tree.parent.length, total = totals(tree, tree.self), before = tree.before && totals(tree, tree.before);
	const kids = Array.from({ length: count }, () => []);
	for (let i = 1; i < count; i++) if (total[i] > 0) kids[tree.parent[i]].push(i);
	for (const list of kids) list.sort((a, b) => { const x = tree.frames[tree.frame[a]][1], y = tree.frames[tree.frame[b]][1]; return x < y ? -1 : x > y ? 1 : a - b; });
	const least = count > BOXES_MAX ? Float64Array.from(total).sort()[count - BOXES_MAX] : 0;
	const data = { unit: tree.unit, inverted: false, elided: 0, names: tree.frames.map(one => one[1]), module: [], modules: [], group: [], colour: [], hidden: [], unnamed: 0, top: [],
		frame: [], depth: [], total: [], self: [], groups: palette.groups, light: palette.light, dark: palette.dark, change_light: palette.change_light, change_dark: palette.change_dark };
	if (before) data.before = [];
	const modules = new Map();
	for (const [kind, name, module] of tree.frames) {
		if (module && !modules.has(module)) { modules.set(module, data.modules.length); data.modules.push(module); }
		data.module.push(module ? modules.get(module) : -1);
		const group = group_of(kind, name);
		data.group.push(group);
		data.colour.push(group * palette.shades + shade_of(name));
	}
	const functions = new Map(), open = new Int32Array(tree.frames.length), hidden = new Map();
	// node, depth, whether it is in the picture; ~node: leaving it
	const stack = [[0, 0, true]];
	while (stack.length) {
		const [node, depth, seen] = stack.pop();
		if (node < 0) { open[tree.frame[~node]]--; continue; }
		const f = tree.frame[node], shown = seen && (!node || total[node] >= least);
		if (shown) {
			data.frame.push(f); data.depth.push(depth); data.total.push(total[node]); data.self.push(tree.self[node]);
			if (before) data.before.push(before[node]);
		} else data.elided++;
		if (node) {
			const row = functions.get(f) || [f, 0, 0, 0, 0];
			functions.set(f, row);
			row[1] += tree.self[node];
			if (before) row[3] += tree.before[node];
			if (!open[f]) { row[2] += total[node]; if (before) row[4] += before[node]; if (!shown) hidden.set(f, (hidden.get(f) || 0) + total[node]); }
			open[f]++;
			stack.push([~node, 0, false]);
		}
		for (let i = kids[node].length - 1; i >= 0; i--) stack.push([kids[node][i], depth + 1, shown]);
	}
	const ranked = [...hidden].sort((a, b) => b[1] - a[1]);
	data.hidden = ranked.slice(0, HIDDEN_MAX);
	data.unnamed = ranked.slice(HIDDEN_MAX).reduce((sum, one) => sum + one[1], 0);
	// Where there are no functions (what threads waited for, without stacks) the list is of causes.
	const kind_of = row => tree.frames[row[0]][0], rows = [...functions.values()], code = rows.filter(row => !OWNERS.has(kind_of(row)));
	data.listed = code.length ? "function" : "cause";
	data.top = (code.length ? code : rows.filter(row => kind_of(row) === "cause")).sort((a, b) => Math.max(b[1], b[3], b[2] / 64) - Math.max(a[1], a[3], a[2] / 64))
		.slice(0, 500).map(row => [...row, data.names[row[0]], row[0]]);
	return data;
}

function folded_of(tree) {
	const lines = [];
	for (let i = 1; i < tree.self.length; i++) {
		if (!tree.self[i]) continue;
		const path = [];
		for (let at = i; at; at = tree.parent[at]) path.unshift(tree.frames[tree.frame[at]][1].replace(/[;\n\r]/g, ":"));
		lines.push(`${path.join(";")} ${tree.self[i]}\n`);
	}
	return lines.join("");
}

// ---- where captures come from

const kinds = { profile: "on CPU", offcpu: "blocked", walltime: "wall time", memory: "memory growth", heap: "allocations" };
const recorded_kinds = new Set(["profile", "offcpu", "walltime"]); // what the agent keeps all the time: stacks of the first, of the others what threads waited for
// Kinds of which this range has stacks besides: those of a capture, or of measurements that were asked for in it.
const MEASURED_MOST_MS = 60e3;
const events_of = async query => (await json(`/api/events?${query}`)).events;
async function measured_between(from, to, container) {
	if (model.replay) return new Set(model.replay.stacks.filter(kind => kinds[kind]));
	const looked = (await part_of("offcpu").catch(() => null))?.state === "on" ? ["offcpu"] : [];
	const events = await events_of(`kind=measured&from_ms=${Math.round(from - MEASURED_MOST_MS)}&to_ms=${Math.round(to)}`).catch(() => []);
	return new Set(events.filter(event => kinds[event.fields.what] && event.time_ms + event.fields.duration / 1e6 > from && (!container || !event.container || event.container === container)).map(event => event.fields.what).concat(looked));
}
const part_of = async name => (await json("/api/self")).parts.find(one => one.name === name);
const measured_source = event => range_source(model.rows.find(row => row.name === event.container)?.series || 0, event.fields.what, event.time_ms - 500, event.time_ms + event.fields.duration / 1e6 + 500);
const range_source = (series, kind, from, to) => `r,${series},${kind},${Math.round(from)},${Math.round(to)}`;
const row_of = series => model.rows.find(row => row.series === Number(series));

// { path of its capture, as a request; says; command; kind; series }
async function find_source(name) {
	const job = /^p(\d+)$/.exec(name);
	if (job) {
		const one = await json(`/api/profiles/${job[1]}`), series = model.rows.find(row => row.name === one.container)?.series;
		return { kind: one.kind, container: one.container, series, path: `/api/profiles/${one.id}/result?`, says: `${one.container === "all" ? "the whole machine" : one.container}: ${kinds[one.kind] || one.kind}, ${one.seconds} s from ${clock(one.start_ms)}`,
			command: command_of(one.kind, one.seconds, one.container === "all" ? "" : one.container), state: one.state, error: one.error, seconds: one.seconds, formats: ["pprof", "folded", "json"] };
	}
	const cut = /^c,(\d+),(\d+),(\d+)$/.exec(name);
	if (cut) {
		const one = await find_source(`p${cut[1]}`), from = Number(cut[2]), to = Number(cut[3]);
		return { ...one, path: `/api/flame?profile=${cut[1]}&from_ms=${from}&to_ms=${to}&`, says: `${one.container === "all" ? "the whole machine" : one.container}: ${kinds[one.kind] || one.kind}, ${(to - from) / 1000} s of measurement ${cut[1]}`, seconds: (to - from) / 1000 };
	}
	const [, series, kind, from, to] = /^r,(\d+),(\w+),(\d+),(\d+)$/.exec(name) || [];
	if (!kind) throw new Error("the address names no capture: p3 is a measurement, r,7,profile,FROM,TO a range");
	const container = Number(series) ? row_of(series)?.name || `series ${series}` : "the whole machine";
	const query = `${Number(series) ? `series=${series}&` : ""}kind=${kind}&${address().query.get("d") === "classes" ? "detail=classes&" : ""}from_ms=${from}&to_ms=${to}&`;
	return { kind, container, series: Number(series), path: `/api/flame?${query}`, says: `${container}: ${kinds[kind] || kind}, ${clock(Number(from))} to ${clock(Number(to))}`, state: "done",
		command: command_of(kind, Math.max(1, Math.round((to - from) / 1000)), Number(series) ? container : ""), seconds: (to - from) / 1000, formats: ["pprof", "folded", "json"], from: Number(from), to: Number(to) };
}

function command_of(kind, seconds, container) {
	return `fathom ${kind === "heap" ? "memory --heap" : kind} -d ${seconds}${container ? ` ${quote(container)}` : ""}`;
}

// ---- the parts of flame.css and flame.js that are elements

function graph_frame(differential) {
	const host = el("div", { id: "graph-host" }), root = host.attachShadow({ mode: "open" });
	const order = (key, words) => el("th", {}, el("button", { type: "button", "data-order": key }, words));
	root.append(el("link", { rel: "stylesheet", href: "flame.css" }),
		el("div", { class: "tools embedded", role: "toolbar", "aria-label": "Flame graph" }, el("input", { id: "search", type: "search", placeholder: "Search (/)", "aria-label": "Search functions, regular expression", spellcheck: "false" }),
			el("button", { id: "reset", type: "button" }, "Reset"), el("button", { id: "invert", type: "button", title: "Root on top (i)" }, "Icicle"),
			el("button", { id: "sandwich", type: "button", "aria-pressed": "false", title: "Callers above, callees below the selected function" }, "Sandwich"), el("button", { id: "list", type: "button", "aria-pressed": "true" }, "Functions"),
			el("span", { id: "matched", "aria-live": "polite" })),
		el("nav", { id: "crumbs", "aria-label": "Zoomed path" }),
		el("main", {}, el("div", { id: "pane" }, el("div", { id: "room" }), el("canvas", { id: "graph", tabindex: 0, role: "application", "aria-roledescription": "flame graph",
			"aria-label": "Flame graph: arrow keys walk, Enter zooms", "aria-describedby": "details" })),
		el("aside", { "aria-label": "What weighs most" }, el("table", { "aria-label": "Functions" }, el("thead", {}, el("tr", {}, differential ? order("change", "change") : null, order("self", "self"), order("total", "total"), el("th", {}, "function"))), el("tbody", { id: "functions" })))),
		el("footer", {}, el("div", { id: "details", "aria-live": "polite" }), el("div", { id: "legend" })));
	return host;
}

// ---- the view

function flame(view) {
	const { query } = address();
	return query.get("a") ? flame_graph_view(view, query) : query.get("scope") ? flame_scope(view, query) : flame_chooser(view);
}

const kept_captures = new Map(); // the last one's or two's, by path

function flame_graph_view(view, query) {
	const crumbs = el("nav", { class: "crumbs", "aria-label": "Where" }), heading = el("h1", {}, "…"), said = el("div", { class: "dim said", role: "status" }, "Loading…"), bar = el("div", { class: "bar" }), place = el("div", { class: "fill" });
	let graph = null, gone = false, host = null, again = 0;
	let measured = new Set(); // kinds of which this range has stacks besides those that are always sampled
	view.append(crumbs, heading, said, bar, place);

	// Zooming is a step for the back button: what it comes back to must be the very same tree, whose frames the address counts.
	async function capture_of(source) {
		const known = kept_captures.get(source.path), capture = known || await json(`${source.path}format=json`), shape = capture.shapes.find(one => one.kind === "calltree");
		if (!shape) throw new Error("it holds no stacks");
		kept_captures.delete(source.path);
		kept_captures.set(source.path, capture);
		for (const path of [...kept_captures.keys()].slice(0, -2)) kept_captures.delete(path);
		return { capture, shape, tree: tree_of(shape) };
	}
	function ledger_words({ shape, capture }) {
		const { coverage, rung, misses, notes } = shape.ledger, sum = shape.nodes.reduce((all, node) => all + node[2], 0);
		const how = [rung ? `Measured by ${words_of(rung)}.` : "", misses ? `That misses ${words_of(misses)}.` : "", ...(notes || []).slice(0, 6).map(words_of).filter(words => !words.startsWith("of "))].filter(Boolean);
		const part = (notes || []).map(words_of).find(words => words.startsWith("of ") && words.includes(" in this range"));
		return el("details", { class: "how" }, el("summary", {}, [part ? `Stacks ${part}` : shape.frames.length && !has_stacks(shape) ? "By what threads waited for, without stacks" : "", `${weight_text(shape.unit, sum)} in all`, capture.looked_ns && shape.unit === "nanoseconds" ? `${digits(sum / capture.looked_ns)} threads at a time` : "", coverage === null ? "" : `${digits(100 * coverage)} % accounted for`].filter(Boolean).join(", ")), el("ul", {}, how.map(words => el("li", {}, words))));
	}
	async function load() {
		try {
			const sources = await Promise.all([query.get("a"), query.get("b")].filter(Boolean).map(find_source));
			const waiting = sources.find(source => source.state !== "done");
			if (gone) return;
			heading.textContent = sources.map(source => source.says).join("  →  ");
			const { series, container } = sources.at(-1);
			fill(crumbs, el("a", { href: "#/" }, "Overview"), " › ", series ? [el("a", { href: `#/container/${series}` }, container), " › "] : "the whole machine › ", el("a", { href: `#/flame?series=${series || 0}` }, "flame graphs"));
			if (waiting?.state === "failed") throw new Error(`the measurement failed: ${waiting.error}`);
			if (waiting) { said.textContent = "Still measuring…"; again = setTimeout(load, 1000); return; }
			const last = sources.at(-1);
			const [captures, known_kinds] = await Promise.all([Promise.all(sources.map(capture_of)), last.from ? measured_between(last.from, last.to, last.series ? last.container : "") : new Set(), load_palette()]);
			measured = known_kinds;
			if (!gone) show(sources, captures);
		} catch (error) { if (!gone) no_graph(error); }
	}
	const has_stacks = shape => shape.frames.some(([kind]) => kind !== "container" && kind !== "cause");
	// Windows of stacks that are not cut say more than was asked for: what they cover is said.
	function covers(sources, captures) {
		return sources.map((source, i) => {
			const begin = captures[i].capture.start_realtime_ns / 1e6, end = begin + captures[i].capture.duration_ns / 1e6;
			return source.from && (begin < source.from - 2000 || end > source.to + 2000 || begin > source.from + 5000) ? ` ${has_stacks(captures[i].shape) ? "Stacks of" : "Known of"} ${clock(begin)} to ${clock(end)}.` : "";
		}).join("");
	}
	// What was not recorded can be measured now.
	function no_graph(error) {
		const [, series, kind] = /^r,(\d+),(\w+),/.exec(query.get("a")) || [];
		heading.textContent = heading.textContent === "…" ? "No flame graph" : `No flame graph of ${heading.textContent}`;
		fill(said, `${error.message}. `);
		if (kind === "profile") sampler_words().then(words => { if (words.startsWith("Not")) fill(said, words); }, () => {});
		fill(bar, el("a", { class: "button", href: `#/flame?series=${series || 0}` }, "Choose another"), kind && !query.get("b") && !model.replay ? button("Measure now, for 5 s", event => measure_now(event.target, series, kind, 5), { class: "strong" }) : null,
			el("span", { class: "grow" }), kind ? copy_button(() => command_of(kind, 5, row_of(series)?.name)) : null);
	}
	function show(sources, captures) {
		const last = captures.at(-1), [first] = captures;
		// Of two containers the functions are compared, not the names on top of them.
		if (captures.length > 1 && sources[0].container !== sources[1].container) for (const { tree } of captures) tree.frames = tree.frames.map(one => one[0] === "container" ? ["container", `${sources[0].container} → ${sources[1].container}`, ""] : one);
		if (captures.length > 1 && first.shape.unit !== last.shape.unit) throw new Error("these two measure different things");
		const shares = query.get("n") === "1", all = one => one.tree.self.reduce((sum, value) => sum + value, 0);
		const looked = one => one.capture.looked_ns || one.capture.duration_ns, scale = captures.length > 1 && shares ? all(last) / Math.max(all(first), 1) : captures.length > 1 && looked(first) && looked(last) ? looked(last) / looked(first) : 1;
		const tree = captures.length > 1 ? compare_trees(first.tree, last.tree, scale) : last.tree;
		fill(said, captures.length > 1 ? `Red: more than before, blue: less.${scale !== 1 ? ` The first is scaled by ${digits(scale)}, ${shares ? "so that both weigh the same" : "for the two are of different lengths"}.` : ""} ${covers(sources, captures)}` : [ledger_words(last), covers(sources, captures)]);
		actions(sources, tree, captures.length > 1 || has_stacks(last.shape));
		if (!tree.self.some(Boolean)) { place.replaceChildren(el("p", { class: "empty" }, "Nothing was seen in this range.")); return; }
		host = graph_frame(captures.length > 1);
		host.dataset.theme = document.documentElement.dataset.theme;
		place.replaceChildren(host);
		host.shadowRoot.querySelector("link").addEventListener("load", () => {
			if (gone) return;
			graph = flame_graph(host.shadowRoot, graph_data(tree), { hash: new URLSearchParams([...query].filter(([key]) => "zsqi".includes(key))), dark: host.dataset.theme === "dark", start: query.get("at"),
				remember: state => { const { query } = address(); set_query({ z: state.get("z"), s: state.get("s"), q: state.get("q"), i: state.get("i"), at: "" }, !query.get("at") && ["z", "s"].some(key => query.get(key) !== state.get(key))); } });
			view.dataset.ready = "1";
		});
	}
	function actions(sources, tree, has_any_stacks) {
		const last = sources.at(-1), classes = query.get("d") === "classes", seconds = Math.min(Math.max(Math.round(last.seconds), 2), 10), is_range = sources.length === 1 && !!last.from, file = format => `fathom-${last.kind}.${format === "pprof" ? "pb.gz" : format}`;
		const fetched = format => async () => save(await (await ask(`${last.path}format=${format}`)).blob(), file(format));
		fill(bar,
			sources.length === 1 ? el("div", { class: "segments", role: "group", "aria-label": "What" }, Object.entries(kinds).map(([kind, words]) => kind === last.kind ? el("a", { class: "button", "aria-current": "true", href: location.hash }, words) :
				last.from && (recorded_kinds.has(kind) || measured.has(kind)) ? el("a", { class: "button", href: `#/flame?a=${range_source(last.series, kind, last.from, last.to)}` }, words) :
					model.replay ? null : button(words, event => measure_now(event.target, last.series || 0, kind, seconds), { title: `Not recorded: measures now, for ${seconds} s` }))) : null,
			is_range && !has_any_stacks && last.kind !== "profile" && !classes && !model.replay ? button(`Measure stacks now, ${seconds} s`, event => measure_now(event.target, last.series || 0, last.kind, seconds), { class: "strong", title: "Stacks of blocked time are dear: they are measured when asked for, and kept in the history then" }) : null,
			is_range && (last.kind === "offcpu" || last.kind === "walltime") && (classes ? measured.has(last.kind) : has_any_stacks) ? button(classes ? "With stacks" : "Without stacks", () => { set_query({ d: classes ? "" : "classes", z: "", s: "" }, true); draw(); }, { title: classes ? "The measurements in this range alone" : "All of the range, by what threads waited for" }) : null,
			sources.length === 1 && last.from ? el("a", { class: "button", title: "The same length of time just before", href: `#/flame?${new URLSearchParams({ a: range_source(last.series, last.kind, 2 * last.from - last.to, last.from), b: query.get("a") })}` }, "Against before") : null,
			el("a", { class: "button", href: `#/flame?${new URLSearchParams({ compare: query.get("a"), series: String(last.series || 0) })}` }, "Compare with…"),
			sources.length > 1 ? el("a", { class: "button", href: `#/flame?${new URLSearchParams({ a: query.get("b"), b: query.get("a") })}` }, "Swap") : null,
			sources.length > 1 ? button("Compare shares", () => { set_query({ n: query.get("n") === "1" ? "" : "1" }); draw(); }, { "aria-pressed": String(query.get("n") === "1"), title: "Both are made to weigh the same, so that only what changed in proportion is coloured" }) : null,
			last.from && sources.length === 1 && last.kind === "profile" ? el("a", { class: "button", title: "When the samples were taken, by parts of a second", href: `#/flame?${new URLSearchParams({ scope: "1", series: String(last.series || 0), range: String(Math.max(60, Math.round((last.to - last.from) / 1000))), to: String(last.to) })}` }, "FlameScope") : /^p\d+$/.test(query.get("a")) && sources.length === 1 && last.kind === "profile" ? el("a", { class: "button", title: "When the samples were taken, by parts of a second", href: `#/flame?scope=1&of=${query.get("a")}` }, "FlameScope") : null, el("span", { class: "grow" }),
			export_menu([["SVG", () => graph && save(new Blob([graph.picture()], { type: "image/svg+xml" }), file("svg"))], ["PNG", () => host?.shadowRoot.getElementById("graph").toBlob(blob => save(blob, file("png")))],
				["CSV", () => save(csv_of([["function", "self", "total", "self before", "total before"], ...graph_data(tree).top.map(row => [row[5], row[1], row[2], row[3], row[4]])]), file("csv"))],
				["folded", () => save(new Blob([folded_of(tree)], { type: "text/plain" }), file("folded"))], ...(sources.length > 1 ? [] : [["pprof", fetched("pprof")], ["JSON", fetched("json")]])]),
			copy_button(() => {
				const [a, b = a] = sources.map(source => command_here(source.command, source.from && source));
				return sources.length > 1 ? `${a} -o a.json && ${b} -o b.json && fathom diff a.json b.json` : a;
			}));
	}
	async function measure_now(pressed, series, kind, seconds) {
		pressed.disabled = true;
		try { location.hash = `#/flame?a=p${(await json(`/api/profiles?series=${series}&seconds=${seconds}&kind=${kind}`, { method: "POST" })).id}`; } catch (problem) { said.textContent = problem.message; pressed.disabled = false; }
	}
	load();
	return { key: event => graph?.key(event), theme: dark => graph?.theme(dark), leave: () => { gone = true; clearTimeout(again); graph?.stop(); } };
}

const weight_text = (unit, value) => unit === "nanoseconds" ? show.ns(value) : unit === "bytes" ? show.bytes(value) : `${show["1"](value)} samples`;

// A container's CPU over time in which a range is chosen by dragging; what is not dragged is the last minute.
function range_picker(series, changed) {
	const canvas = el("canvas", { id: "picker", tabindex: 0, role: "img", "aria-label": "CPU over time: drag to choose a range; arrow keys move it, with Shift its length" }), said = el("span", { class: "dim", "aria-live": "polite" });
	let data = null, chosen = null, draft = null, gone = false, asked = 0;
	const last_minute = () => { const to = model.replay?.to_ms || model.self?.time_ms || Date.now(); return { from: Math.max(to - 60000, model.replay?.from_ms || 0), to }; };
	const span = () => chosen || last_minute();
	const chart = { unit: "cores", least: 0.01, lines: [{ name: "cpu" }] };
	function paint() {
		const { from, to } = draft || span();
		said.textContent = `${clock(from)}–${clock(to)} (${span_words(Math.round((to - from) / 1000))})`;
		if (!data || gone || !canvas.clientWidth) return;
		const values = data.resources[0]?.values || { cpu: [] };
		data.gaps = gaps_of(data, [values.cpu || []]);
		draw_chart(canvas, chart, data, values, null);
		const pen = canvas.getContext("2d"), width = canvas.clientWidth, x = time => LEFT + (width - LEFT) * Math.min(Math.max((time - data.from_ms) / (data.steps * data.step_ms), 0), 1);
		pen.fillStyle = css("--accent");
		pen.globalAlpha = 0.2; pen.fillRect(x(from), 0, x(to) - x(from), canvas.clientHeight - BOTTOM);
		pen.globalAlpha = 1; pen.fillRect(x(from) - 1, 0, 2, canvas.clientHeight - BOTTOM); pen.fillRect(x(to) - 1, 0, 2, canvas.clientHeight - BOTTOM);
	}
	async function load(force) {
		if (!force && (draft || (model.replay && data) || Date.now() - asked < 5000)) return;
		const id = Number(series()) || model.rows.find(row => row.resource === "host")?.series;
		const range = model.replay ? `from_ms=${model.replay.from_ms}&to_ms=${model.replay.to_ms}` : "seconds=900", seconds = model.replay ? (model.replay.to_ms - model.replay.from_ms) / 1000 : 900;
		if (!id) { data = null; paint(); return; }
		asked = Date.now();
		try { const read = await json(`/api/series?id=${id}&names=cpu&${range}&step_ms=${Math.max(1, Math.ceil(seconds / 450)) * 1000}`); if (!gone) { data = read; paint(); } } catch { /* the banner says what is wrong with the connection */ }
	}
	const time_at = event => { const box = canvas.getBoundingClientRect(); return data.from_ms + data.steps * data.step_ms * Math.min(Math.max((event.clientX - box.left - LEFT) / (box.width - LEFT), 0), 1); };
	canvas.addEventListener("pointerdown", event => { if (data) { const at = time_at(event); draft = { start: at, from: at, to: at }; canvas.setPointerCapture(event.pointerId); } });
	canvas.addEventListener("pointermove", event => { if (!draft) return; const at = time_at(event); draft = { start: draft.start, from: Math.min(draft.start, at), to: Math.max(draft.start, at) }; paint(); });
	canvas.addEventListener("pointerup", () => { if (draft && draft.to - draft.from >= 1000) chosen = { from: Math.round(draft.from), to: Math.round(draft.to) }; draft = null; paint(); changed(); });
	canvas.addEventListener("keydown", event => {
		const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!by) return;
		const { from, to } = span(), step = Math.max(5000, Math.round((to - from) / 4));
		chosen = event.shiftKey ? { from: Math.min(from, to - 5000 + by * step > from ? from : from), to: Math.max(from + 5000, to + by * step) } : { from: from + by * step, to: to + by * step };
		paint(); changed();
		event.preventDefault(); event.stopPropagation();
	});
	const sized = new ResizeObserver(paint);
	sized.observe(canvas);
	return { box: el("section", { class: "chart low" }, el("header", {}, el("strong", {}, `CPU, in cores${model.replay ? "" : ", last 15 minutes"}: drag to choose a range`), said), canvas), span, load, paint, leave: () => { gone = true; sized.disconnect(); } };
}

// Whether there are stacks of all times, and why not.
async function sampler_words() {
	const { parts, replay } = await json("/api/self"), part = parts.find(one => one.name === "profile"), blocked = parts.find(one => one.name === "offcpu");
	const looked = blocked.state !== "on" ? "" : blocked.looked_ratio === null ? " Stacks of blocked threads: soon." : ` Stacks of blocked threads: looked at for ${text("ratio", blocked.looked_ratio)} of the time.`;
	return replay ? "" : (part.state === "on" ? "Sampled 19 times a second, all the time." : `Not sampled now: ${part.state}${part.why ? `: ${part.why}` : ""}.`) + looked;
}

// Without a capture: what there is, and how to get one.
function flame_chooser(view) {
	const first = address().query.get("compare"), wanted = address().query.get("series") || "0";
	const who = container_select(wanted, true, () => { set_query({ series: who.value === "0" ? "" : who.value }); picker.load(true); }), list = el("div", { id: "jobs" }), recorded = el("section", { "aria-label": "Recorded" }), measured = el("section", { "aria-label": "Measure" }), against = el("p", { class: "dim" });
	const picker = range_picker(() => who.value, () => {}), sampler = el("span", { class: "dim" }), earlier = el("div", { id: "earlier" });
	const kind = el("select", { id: "recorded-kind", "aria-label": "What of it" }, Object.entries(kinds).filter(([one]) => recorded_kinds.has(one) || model.replay?.stacks.includes(one)).map(([value, words]) => el("option", { value }, words)));
	let gone = false, asked = 0;
	const target = source => `#/flame?${new URLSearchParams(first ? { a: first, b: source } : { a: source })}`;
	view.append(el("h1", {}, first ? "Compare with…" : "Flame graphs"), first ? against : "", el("div", { class: "bar" }, el("label", {}, "Of ", who), el("span", { class: "grow" }), export_menu([["JSON", async () => save(json_blob(await json("/api/profiles")), "fathom-measurements.json")]]), copy_button(() => command_of("profile", 60, row_of(who.value)?.name))), recorded, measured, el("h2", {}, model.replay ? "" : "Measurements"), list, earlier);
	if (first) find_source(first).then(source => { against.textContent = `The first is ${source.says}. Choose the second: another container or another range, recorded or measured.`; }, error => { against.textContent = error.message; });
	const open = button(first ? "Compare" : "Open", () => { const { from, to } = picker.span(); location.hash = target(range_source(who.value, kind.value, from, to)); }, { id: "open-range" });
	recorded.append(el("h2", {}, "Recorded"), picker.box, el("div", { class: "bar" }, kind, open, first ? null : button("FlameScope", () => { const { from, to } = picker.span(); location.hash = `#/flame?${new URLSearchParams({ scope: "1", series: who.value, range: String(Math.max(5, Math.round((to - from) / 1000))), to: String(Math.round(to)) })}`; }), sampler));
	sampler_words().then(words => { sampler.textContent = words; }, () => {});
	if (!model.replay) measured.append(el("h2", {}, "Measure now"), profile_form(() => Number(who.value), () => row_of(who.value)));
	async function live() {
		who.refresh();
		picker.load();
		try {
			const all = await json("/api/profiles");
			if (gone) return;
			const stacks = all.profiles.filter(job => kinds[job.kind]).reverse();
			fill(list, ...(stacks.length ? stacks.map(job => job_line(job, target)) : [el("p", { class: "dim" }, model.replay ? "" : "None since the agent's start.")]));
			if (!model.replay && Date.now() - asked > 10000) await live_earlier(all.profiles);
		} catch { /* the banner says what is wrong with the connection */ }
	}
	// What was measured before, and is in the history alone.
	async function live_earlier(listed) {
		asked = Date.now();
		const events = (await events_of(`kind=measured&from_ms=${asked - 7 * 86400e3}&to_ms=${asked}`).catch(() => [])).filter(event => kinds[event.fields.what] && !listed.some(job => job.kind === event.fields.what && event.time_ms >= job.start_ms - 1000 && event.time_ms < job.start_ms + 1000 * job.seconds + 30000));
		if (!gone) fill(earlier, events.length ? el("h3", {}, "Earlier, in the history") : null, events.slice(0, 50).map(event => el("p", { class: "job" }, el("a", { href: target(measured_source(event)) }, `${event.container || "the whole machine"}: ${kinds[event.fields.what]}, ${event.fields.duration / 1e9} s, ${new Date(event.time_ms).toLocaleString()}`))));
	}
	return { live, theme: picker.paint, leave: () => { gone = true; picker.leave(); } };
}

// ---- measurements on demand

function profile_form(series, row) {
	const kind = el("select", { id: "kind", "aria-label": "What to measure" }, ...[["walltime", "Wall time: running, waiting, blocked"], ["profile", "On CPU"], ["offcpu", "Blocked"], ["memory", "Memory growth"], ["heap", "Allocations"]].map(([value, words]) => el("option", { value }, words)));
	const seconds = el("select", { "aria-label": "How long" }, ...[2, 5, 10, 30, 60].map(value => el("option", { value, selected: value === 10 }, `${value} s`)));
	const said = el("span", { class: "dim", role: "status" });
	const start = el("button", { type: "button", id: "start", onclick: async () => {
		start.disabled = true;
		try {
			await json(`/api/profiles?series=${series()}&seconds=${seconds.value}&kind=${kind.value}`, { method: "POST" });
			said.textContent = "";
		} catch (error) { said.textContent = error.message; }
		start.disabled = false;
		current?.refresh?.();
		draw_live();
	} }, "Measure");
	return el("div", { class: "bar inner" }, kind, seconds, start, copy_button(() => command_of(kind.value, seconds.value, row()?.name)), said);
}

function job_line(job, target = source => `#/flame?a=${source}`) {
	const name = `${job.container === "all" ? "the whole machine" : job.container}: ${kinds[job.kind] || job.kind}, ${job.seconds} s, ${clock(job.start_ms)} `;
	if (job.state === "failed") return el("p", {}, name, el("span", { class: "dim" }, `failed: ${job.error}`));
	if (job.state !== "done") return el("p", {}, name, el("progress", { value: job.progress, "aria-label": "Progress" }), ` ${job.state}`);
	return el("p", { class: "job" }, el("a", { href: target(`p${job.id}`) }, name), job.inconclusive ? el("span", { class: "dim" }, " (covers less than 95 %) ") : "",
		...["svg", "pprof", "folded", "json"].map(format => button(format, async () => {
			save(await (await ask(`/api/profiles/${job.id}/result?format=${format}`)).blob(), `fathom-${job.id}.${format === "pprof" ? "pb.gz" : format}`);
		})));
}
