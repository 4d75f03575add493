// SPDX-License-Identifier: Apache-2.0
// ---- what is known: filled by the stream

const model = {
	rows: [], // of /api/containers
	lanes: new Map(), // series number → [{ time, values, waits }], the last LIVE_SECONDS
	self: null, replay: null, paused: false, connected: false, last: 0, // replay: the capture that is shown in place of this machine
};

function lane(series) {
	if (!model.lanes.has(series)) model.lanes.set(series, []);
	return model.lanes.get(series);
}

function take(interval) {
	model.self = interval;
	model.last = Date.now();
	const names = new Set(model.rows.map(row => row.series));
	let strange = false;
	for (const resource of interval.resources) {
		const list = lane(resource.series);
		list.push({ time: interval.time_ms, values: resource.values, waits: resource.waits });
		while (list.length && list[0].time < interval.time_ms - LIVE_SECONDS * 1000) list.shift();
		if (!names.has(resource.series)) strange = true;
	}
	for (const [series, list] of model.lanes)
		if (!list.length || list.at(-1).time < interval.time_ms - LIVE_SECONDS * 1000) model.lanes.delete(series);
	return strange;
}

async function refresh_rows() {
	const answer = await json("/api/containers");
	model.rows = answer.containers;
}

// Of what the lines in the table are: the last minutes, or all of a capture.
const lane_span = () => model.replay ? Math.max(model.replay.to_ms - model.replay.from_ms, 1000) : LIVE_SECONDS * 1000;

async function load_past() {
	const names = "cpu,cpu_limit,throttled,runqueue_wait,memory,memory_limit,io_read,io_write,net_received,net_sent,pids,oom_kills,pressure_memory";
	const { replay } = model, range = replay ? `from_ms=${replay.from_ms}&to_ms=${replay.to_ms}&waits=1&step_ms=${Math.max(1, Math.ceil(lane_span() / 300e3)) * 1000}` : `seconds=${LIVE_SECONDS}&step_ms=5000`;
	const past = await json(`/api/series?${range}&names=${names}`);
	for (const resource of past.resources) {
		const list = [], waits = Array.from({ length: past.steps }, () => []);
		for (const [step, bucket, count] of resource.waits || []) waits[step]?.push([bucket, count]);
		for (let step = 0; step < past.steps; step++) {
			const values = {};
			for (const [name, row] of Object.entries(resource.values))
				if (row[step] !== null) values[name] = row[step];
			if (Object.keys(values).length)
				list.push({ time: past.from_ms + (step + 1) * past.step_ms, values, waits: waits[step], step: past.step_ms });
		}
		model.lanes.set(resource.series, list);
	}
}

// One connection at a time; when it breaks, another is tried, and the page says so meanwhile.
let streaming = null;
async function stream() {
	if (streaming) streaming.abort();
	const control = streaming = new AbortController();
	while (!control.signal.aborted) {
		try {
			const { replay } = await json("/api/self");
			model.replay = replay;
			await refresh_rows();
			await load_past();
			if (replay) { show_replay(); return; }
			const answer = await ask("/api/stream", { signal: control.signal });
			model.connected = true;
			banner("");
			current ? draw_live() : draw();
			await read_events(answer.body.getReader(), control);
		} catch (error) {
			if (control.signal.aborted || !token) return;
			model.connected = false;
			banner(`No connection: ${error.message}. What is shown is old; trying again…`);
			current ? draw_live() : draw();
		}
		model.connected = false;
		await new Promise(done => setTimeout(done, 1000));
	}
}

// A capture is all there once; nothing more comes.
function show_replay() {
	const { replay } = model;
	model.self = { time_ms: replay.to_ms, resources: [] };
	model.last = Date.now();
	model.connected = true;
	banner("");
	$("pause").hidden = true;
	$("nav-host").hidden = !(replay.readings > 1);
	draw();
}

async function read_events(reader, control) {
	const decoder = new TextDecoder();
	let waiting = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done || control.signal.aborted) throw new Error("it closed the stream");
		waiting += decoder.decode(value, { stream: true });
		for (let end; (end = waiting.indexOf("\n\n")) >= 0; waiting = waiting.slice(end + 2)) await one_event(waiting.slice(0, end));
	}
}

async function one_event(message) {
	const name = /^event: (.*)$/m.exec(message)?.[1], data = /^data: (.*)$/m.exec(message)?.[1];
	if (name === "gap") banner(`This page was too slow: ${data} seconds are missing.`);
	if (name === "edges" && !model.paused) current?.edges?.();
	if (name !== "interval") return;
	const strange = take(JSON.parse(data));
	if (strange || model.self.ticks % 5 === 0) await refresh_rows();
	incomplete();
	if (!model.paused) draw_live();
}

// A number that is missing is said, not hidden.
function incomplete() {
	if (model.self?.trouble) banner(`The last reading failed: ${model.self.trouble}`);
	else if ($("banner").dataset.kind === "trouble") banner("");
}

function banner(words) {
	$("banner").textContent = words;
	$("banner").hidden = !words;
	$("banner").dataset.kind = words.startsWith("The last") ? "trouble" : "";
}

// ---- the address

function address() {
	const [path, query] = location.hash.slice(1).split("?");
	return { path: path || "/", query: new URLSearchParams(query || "") };
}

function set_query(changes, is_step) {
	const { path, query } = address();
	for (const [key, value] of Object.entries(changes)) value ? query.set(key, value) : query.delete(key);
	const text = query.toString();
	history[is_step ? "pushState" : "replaceState"](null, "", `#${path}${text ? `?${text}` : ""}`);
}

// The range a view is of: its last seconds, or, with "to", some that do not move. Both are in the address.
function period_control(fallback, changed) {
	const now = () => {
		const { query } = address(), { replay } = model, all = replay ? Math.ceil((replay.to_ms - replay.from_ms) / 1000) : 0;
		const seconds = Math.min(Math.max(Number(query.get("range")) || (replay ? all : fallback), 1), 35 * 86400), to = Number(query.get("to")) || replay?.to_ms || null;
		return { seconds, to, query: to ? `from_ms=${to - seconds * 1000}&to_ms=${to}` : `seconds=${seconds}` };
	};
	const select = el("select", { "aria-label": "Range", onchange: () => { set_query({ range: select.value }); changed(); } });
	const live = button(model.replay ? "All of it" : "Live", () => { set_query({ to: "", ...(model.replay ? { range: "" } : {}) }); pause(false); show_now(); changed(); });
	// Half its length to the one side or the other; to the end is live again.
	function move(by) {
		const { seconds, to } = now(), end = model.self?.time_ms || Date.now(), next = Math.max((to || end) + by * seconds * 500, model.replay ? model.replay.from_ms + seconds * 1000 : 0);
		if (next >= end - 500) { if (!to) return; set_query({ to: "" }); pause(false); } else { set_query({ to: String(Math.round(next)) }); pause(true); }
		show_now();
		changed();
	}
	const later = button("›", () => move(1), { "aria-label": "Later", title: "later" });
	const box = el("span", { class: "period" }, button("‹", () => move(-1), { "aria-label": "Earlier", title: "earlier" }), select, later, live);
	function show_now() {
		const { seconds, to } = now(), list = ranges.some(([value]) => value === seconds) ? ranges : [[seconds, span_words(seconds)], ...ranges];
		fill(select, list.map(([value, words]) => el("option", { value, selected: value === seconds }, to ? words : `last ${words}`)));
		live.hidden = later.hidden = !to;
		live.title = to ? `shown is what ends at ${new Date(to).toLocaleString()}` : "";
	}
	show_now();
	// The next shorter or longer of those one can choose.
	function resize(by) {
		const { seconds } = now(), list = ranges.map(([value]) => value), next = by < 0 ? list.findLast(value => value < seconds) : list.find(value => value > seconds);
		if (next) { set_query({ range: String(next) }); show_now(); changed(); }
	}
	return { box, now, show: show_now, move, resize, span: () => { const { seconds, to } = now(), end = to || model.self?.time_ms || Date.now(); return { from: end - seconds * 1000, to: end }; },
		choose: (from, to) => { set_query({ range: String(Math.max(1, Math.round((to - from) / 1000))), to: String(Math.round(to)) }, true); pause(true); show_now(); changed(); } };
}

function pause(on) {
	if (on && !model.paused && model.last && !model.replay) $("state").textContent = "paused";
	model.paused = on || !!model.replay;
	$("pause").setAttribute("aria-pressed", String(on));
}

const views = [
	[/^\/$/, overview, "nav-overview"], [/^\/container\/(\d+)$/, container, "nav-overview"], [/^\/flame$/, flame, "nav-flame"], [/^\/map$/, map, "nav-map"], [/^\/latency$/, latency, "nav-latency"], [/^\/host$/, host, "nav-host"], [/^\/self$/, self, "nav-self"],
];
let current = null; // { live: function or null, leave: function or null }

function draw() {
	const { path } = address();
	current?.leave?.();
	current = null;
	if (!token) { login(); return; }
	for (const link of document.querySelectorAll("header nav a")) link.removeAttribute("aria-current");
	delete $("view").dataset.ready;
	pause(!!address().query.get("to"));
	for (const [pattern, view, link] of views) {
		const found = pattern.exec(path);
		if (!found) continue;
		$(link).setAttribute("aria-current", "page");
		$("view").replaceChildren();
		current = view($("view"), ...found.slice(1)) || {};
		draw_live();
		return;
	}
	$("view").replaceChildren(el("p", { class: "empty" }, "There is no such view. ", el("a", { href: "#/" }, "Overview")));
}

function draw_live() {
	const age = Date.now() - model.last;
	const { replay } = model;
	$("state").title = replay ? `${replay.name}${replay.host ? `, recorded on ${replay.host}` : ""}` : "";
	$("state").textContent = !model.last ? "" : replay ? `capture ${replay.name.length > 28 ? `${replay.name.slice(0, 27)}…` : replay.name} · ${new Date(replay.from_ms).toLocaleDateString()} ${clock(replay.from_ms)}–${clock(replay.to_ms)}` : model.paused ? "paused" : !model.connected ? `not connected · ${clock(model.self.time_ms)}` : age > STALE_MS ? "no news" : `live · ${clock(model.self.time_ms)}`;
	current?.live?.();
}

function login() {
	streaming?.abort();
	const input = el("input", { type: "password", autocomplete: "off", "aria-label": "Token", placeholder: "Token" });
	$("view").replaceChildren(el("form", { id: "login", onsubmit: event => {
		event.preventDefault();
		enter(input.value.trim());
	} }, el("h1", {}, "The token, please"),
	el("p", { class: "dim" }, "Open the link that “fathom serve” printed, or paste what is in its state directory, in the file token."),
	input, el("button", {}, "Open")));
	input.focus();
}

function enter(given) {
	token = given;
	sessionStorage.setItem("token", token);
	begin();
}

// Views are drawn once it is known who is there.
function begin() {
	current?.leave?.();
	current = null;
	fill($("view"), el("p", { class: "empty" }, "Asking the agent…"));
	stream();
}

