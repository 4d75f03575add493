// SPDX-License-Identifier: Apache-2.0
// ---- latency: time to the right, longer upwards, darker is more; a region of it leads to what happened in it

const latencies = [["runq", "Waits for a CPU", "runq"], ["block", "Disk: in the device", "block"], ["queue", "Disk: queued before that", "block"], ["fs", "File operations", "fs"], ["dns", "DNS answers", "dns"], ["tcp", "TCP round trips", "connections"],
	["connect", "Connecting", "connections"], ["session", "Connections' lives", "connections"], ["syscall", "System calls", "syscall"], ["futex", "Lock waits", "futex"], ["fault", "Page faults", "fault"]];
const latency_command = what => what === "session" ? "fathom tcp" : `fathom latency ${{ queue: "block", tcp: "rtt" }[what] || what} --heatmap`;
const measured_only = new Set(["syscall", "futex", "fault"]);
const slow_kinds = { block: "slow-block", queue: "slow-block", fs: "slow-fs", syscall: "slow-syscall", futex: "slow-futex" };
const blocked_by = new Set(["block", "queue", "fs", "futex", "dns", "tcp", "connect", "session", "syscall"]); // what a thread waits for without a CPU

// A measurement's histogram with slots of time, in the form of /api/latency.
function heat_of_capture(capture, kind) {
	const shape = capture.shapes.find(one => one.kind === "histogram"), cells = new Map(), kinds_seen = new Map(), step_ms = shape.slot_ns / 1e6;
	for (const row of shape.rows) {
		const name = row.values.slice(1).filter(one => one !== null).map(words_of).join(" · ");
		kinds_seen.set(name, (kinds_seen.get(name) || 0) + row.counts.count);
		if (kind && kind !== name) continue;
		for (const [slot, buckets] of row.slots || []) for (const [bucket, count] of buckets) cells.set(slot * 64 + bucket, (cells.get(slot * 64 + bucket) || 0) + count);
	}
	return { from_ms: capture.start_realtime_ns / 1e6, step_ms, steps: Math.ceil(capture.duration_ns / 1e6 / step_ms), gaps: [], bounds_ns: shape.bounds, cells: [...cells].map(([key, count]) => [Math.floor(key / 64), key % 64, count]),
		kinds: [...kinds_seen].map(([name, count]) => ({ name, count })), rung: shape.ledger.rung, misses: words_of(shape.ledger.misses) };
}

// Bounds of the buckets that hold something, one more each way.
function heat_rows(data) {
	const used = data.cells.map(cell => cell[1]);
	const low = Math.max(0, Math.min(...used, data.bounds_ns.length - 1) - 1), high = Math.min(data.bounds_ns.length - 1, Math.max(...used, 0) + 1);
	return used.length ? { low, high: Math.max(high, low + 5) } : { low: 9, high: 24 };
}

// `axis`: the time it is drawn over, where that is not its own.
function draw_latency(canvas, data, rows, { cross = null, region = null, draft = null, axis = data } = {}) {
	const { pen, width, height } = prepare(canvas), count = rows.high - rows.low + 1, tall = (height - BOTTOM) / count;
	const x = step => LEFT + (width - LEFT) * Math.min(Math.max((data.from_ms + step * data.step_ms - axis.from_ms) / (axis.steps * axis.step_ms), 0), 1), end_ms = axis.from_ms + axis.steps * axis.step_ms, seen_ms = data.from_ms + data.steps * data.step_ms;
	draw_gaps(pen, { ...axis, gaps: [...data.gaps || [], ...seen_ms < end_ms ? [[seen_ms, end_ms]] : []] }, width, height);
	const most = Math.max(...data.cells.map(cell => cell[2]), 1);
	pen.fillStyle = css("--accent");
	for (const [step, bucket, number] of data.cells) {
		if (bucket < rows.low || bucket > rows.high) continue;
		pen.globalAlpha = 0.14 + 0.86 * Math.log1p(number) / Math.log1p(most);
		const left = Math.round(x(step)), right = Math.round(x(step + 1));
		if (right > left || x(step + 1) > LEFT) pen.fillRect(left, height - BOTTOM - (bucket - rows.low + 1) * tall, Math.max(right - left, 1), tall - (tall > 6 ? 0.5 : 0));
	}
	pen.globalAlpha = 1;
	pen.fillStyle = css("--dim");
	pen.textAlign = "right";
	const every = Math.max(1, Math.ceil(16 / tall));
	for (let bucket = rows.low; bucket <= rows.high; bucket++) if ((bucket - rows.low) % every === 0) pen.fillText(data.bounds_ns[bucket] ? trimmed(show.ns(data.bounds_ns[bucket])) : "0", LEFT - 6, Math.max(height - BOTTOM - (bucket - rows.low) * tall + 1, 9));
	draw_axis(pen, axis, width, height);
	draw_cross(pen, axis, width, height, cross);
	for (const [box, colour] of [[region, css("--text")], [draft, css("--warm")]]) {
		if (!box) continue;
		pen.strokeStyle = colour;
		pen.lineWidth = 1.5;
		pen.strokeRect(x(box.step), height - BOTTOM - (box.high - rows.low + 1) * tall, x(box.last + 1) - x(box.step), (box.high - box.low + 1) * tall);
	}
}

// What its colours mean: the darkest cell, the others by the logarithm.
const heat_legend = heat => heat.cells.length ? `darkest: ${show["1"](Math.max(...heat.cells.map(cell => cell[2])))} in ${span_words(heat.step_ms / 1000)}` : "";

function heat_at(event, canvas, data, rows) {
	const box = canvas.getBoundingClientRect(), step = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * data.steps), tall = (box.height - BOTTOM) / (rows.high - rows.low + 1);
	return { step: Math.min(Math.max(step, 0), data.steps - 1), bucket: Math.min(Math.max(rows.low + Math.floor((box.height - BOTTOM - (event.clientY - box.top)) / tall), rows.low), rows.high) };
}

const bounds_words = (data, low, high) => `${data.bounds_ns[low] ? trimmed(show.ns(data.bounds_ns[low])) : "0"}–${data.bounds_ns[high + 1] ? trimmed(show.ns(data.bounds_ns[high + 1])) : "more"}`;

function latency(view) {
	const { query } = address();
	let what = query.get("what") || "runq", kind = query.get("kind") || "", source = query.get("a") || "", data = null, rows = null, cross = null, start = null, draft = null, gone = false, asked = 0, region_times = null;
	const wanted = (query.get("sel") || "").split(",").map(Number); // from_ms, to_ms, lowest and highest bucket
	if (wanted.length === 4 && wanted.every(Number.isFinite)) region_times = wanted;
	const who = container_select(query.get("series"), true, () => { source = ""; set_query({ series: who.value === "0" ? "" : who.value, a: "", sel: "" }); region_times = null; load(true); });
	const whats = el("select", { id: "what", "aria-label": "What takes time", onchange: () => { what = whats.value; kind = ""; source = ""; region_times = null; set_query({ what, kind: "", a: "", sel: "" }); load(true); } }, ...latencies.map(([value, words]) => el("option", { value, selected: value === what }, words)));
	who.classList.add("narrow");
	const of_kind = el("select", { "aria-label": "Kind", class: "narrow", hidden: true, onchange: () => { kind = of_kind.value; set_query({ kind }); load(true); } });
	const said = el("span", { class: "dim", role: "status" }), canvas = el("canvas", { id: "latency", tabindex: 0, role: "img", "aria-label": "Heat map: time to the right, longer upwards. Drag to select a region; arrow keys move the crosshair, Enter selects its column." });
	const panel = el("section", { id: "region", "aria-label": "The selected region" }), now = el("span", { class: "dim", "aria-live": "polite" }), empty = el("p", { class: "empty", hidden: true });
	const time = period_control(300, () => { source = ""; region_times = null; set_query({ a: "", sel: "" }); load(true); });
	const exact = button("Measure 10 s in detail", async () => {
		try { source = `p${(await json(`/api/profiles?series=${who.value}&seconds=10&kind=${latencies.find(one => one[0] === what)[2]}`, { method: "POST" })).id}`; set_query({ a: source, sel: "" }); region_times = null; load(true); } catch (error) { said.textContent = error.message; }
	});
	view.append(el("h1", { class: "off" }, "Latency"), el("div", { class: "bar" }, time.box, who, whats, of_kind, exact, el("span", { class: "grow" }),
		export_menu([["PNG", () => canvas.toBlob(blob => save(blob, `fathom-${what}.png`))], ["CSV", () => data && save(csv_of(rows_of()), `fathom-${what}.csv`)], ["JSON", () => data && save(json_blob(data), `fathom-${what}.json`)]]),
		copy_button(() => `${latency_command(what)} -d ${Math.min(time.now().seconds, 60)}${row_of(who.value) ? ` ${quote(row_of(who.value).name)}` : ""}`)),
	el("section", { class: "chart tall" }, el("header", {}, el("strong", {}, "Latency over time ", said), now), canvas), empty, panel);

	async function load(force) {
		if (!force && Date.now() - asked < Math.max(950, time.now().seconds * 2)) return;
		asked = Date.now();
		exact.hidden = !!model.replay || latencies.find(one => one[0] === what)[2] === "connections";
		try {
			if (source) {
				const found = await find_source(source);
				if (gone) return;
				if (found.state === "failed") throw new Error(found.error);
				if (found.state !== "done") { said.textContent = "measuring…"; setTimeout(() => !gone && source && load(true), 400); return; }
				data = heat_of_capture(await json(`${found.path}format=json`), kind);
			} else if (measured_only.has(what)) {
				data = null;
				of_kind.hidden = true;
				fill(empty, model.replay ? "This is dear and not recorded." : "This is dear and not watched all the time: measure it.");
				paint();
				return;
			} else data = await json(`/api/latency?what=${what}&${time.now().query}${who.value !== "0" ? `&series=${who.value}` : ""}${kind ? `&kind=${encodeURIComponent(kind)}` : ""}`);
		} catch (error) { if (!gone) { data = null; fill(empty, error.message); paint(); } return; }
		if (gone) return;
		rows = heat_rows(data);
		fill(of_kind, el("option", { value: "" }, "all kinds"), (data.kinds || []).map(one => el("option", { value: one.name, selected: one.name === kind }, `${one.name} (${show["1"](one.count)})`)));
		of_kind.hidden = !(data.kinds?.length > 1) && !kind;
		const total = data.cells.reduce((sum, cell) => sum + cell[2], 0);
		said.textContent = `${data.state && data.state !== "on" ? `${data.state}: ${data.why || ""}; ` : ""}${show["1"](total)} in all${total ? `; 99 % within ${quantile_words(0.99)}; ${heat_legend(data)}` : ""}`;
		said.title = `${data.rung ? `by ${data.rung}` : ""}${data.misses ? `, which misses ${data.misses}` : ""}`;
		paint();
		if (force || region_times) region();
	}
	function quantile_words(share) {
		const sums = new Map();
		let total = 0, sum = 0;
		for (const [, bucket, count] of data.cells) { sums.set(bucket, (sums.get(bucket) || 0) + count); total += count; }
		for (const bucket of [...sums.keys()].sort((a, b) => a - b)) { sum += sums.get(bucket); if (sum >= share * total) return trimmed(show.ns(data.bounds_ns[bucket + 1] || data.bounds_ns[bucket])); }
		return "–";
	}
	const chosen = () => {
		if (!region_times || !data) return null;
		const [from, to, low, high] = region_times, step = Math.max(0, Math.floor((from - data.from_ms) / data.step_ms)), last = Math.min(data.steps - 1, Math.ceil((to - data.from_ms) / data.step_ms) - 1);
		return last >= step ? { step, last, low, high } : null;
	};
	function paint() {
		empty.hidden = !!data;
		canvas.parentElement.hidden = !data;
		if (!data) return;
		draw_latency(canvas, data, rows, { cross, region: chosen(), draft });
		canvas.dataset.cells = String(data.cells.length);
		now.textContent = cross === null ? "Drag to select a region." : `${clock(data.from_ms + (cross.step + 1) * data.step_ms)} · ${bounds_words(data, cross.bucket, cross.bucket)}: ${data.cells.find(cell => cell[0] === cross.step && cell[1] === cross.bucket)?.[2] || 0}`;
	}
	function select(box) {
		region_times = [Math.round(data.from_ms + box.step * data.step_ms), Math.round(data.from_ms + (box.last + 1) * data.step_ms), box.low, box.high];
		set_query({ sel: region_times.join() });
		paint();
		region();
	}
	async function region() {
		const box = chosen();
		if (!box) { fill(panel); return; }
		const [from, to] = region_times, number = data.cells.filter(([step, bucket]) => step >= box.step && step <= box.last && bucket >= box.low && bucket <= box.high).reduce((sum, cell) => sum + cell[2], 0);
		const total = data.cells.filter(([step]) => step >= box.step && step <= box.last).reduce((sum, cell) => sum + cell[2], 0), series = who.value, one = row_of(series);
		const events = el("table", { "aria-label": "Events of the region" }), slow = el("div", {});
		fill(panel, el("h2", {}, `${clock(from)}–${clock(to)}, ${bounds_words(data, box.low, box.high)}`), el("p", { id: "region-count" }, `${show["1"](number)} of the ${show["1"](total)} in this time (${digits(100 * number / Math.max(total, 1))} %).`),
			el("div", { class: "bar" }, el("a", { class: "button", href: `#/flame?${new URLSearchParams({ a: range_source(series, blocked_by.has(what) ? "offcpu" : "profile", from, to) })}` }, blocked_by.has(what) ? "Flame graph: blocked" : "Flame graph: on CPU"),
				button("Zoom to it", () => { region_times = null; source = ""; set_query({ sel: "", a: "" }); time.choose(from, to); }), series !== "0" ? el("a", { class: "button", href: `#/container/${series}?range=${Math.max(60, Math.round((to - from) / 1000))}&to=${to + 20000}` }, "Container") : null,
				slow_kinds[what] && !model.replay ? button("List slow ones for 5 s", () => catch_slow(slow, series)) : null, button("Clear", () => { region_times = null; set_query({ sel: "" }); paint(); region(); })), slow, el("h3", {}, "Events"), events);
		try {
			const found = await json(`/api/events?from_ms=${from}&to_ms=${to}${one ? `&container=${encodeURIComponent(one.name)}` : ""}`), inside = found.events;
			fill(events, el("thead", {}, el("tr", {}, ["Time", "What", "Container", "Process", "Details"].map(words => el("th", { class: "text", scope: "col" }, words)))), el("tbody", {}, starts_together(inside).slice(0, 100).map(event => event_row({ container: "", ...event }))));
			if (!inside.length) events.replaceWith(el("p", { class: "dim" }, "None in this time."));
		} catch { /* the banner says what is wrong with the connection */ }
	}
	async function catch_slow(place, series) {
		try {
			let job = await json(`/api/profiles?series=${series}&seconds=5&kind=${slow_kinds[what]}`, { method: "POST" });
			place.textContent = "Watching…";
			while (!gone && !["done", "failed"].includes(job.state)) { await new Promise(done => setTimeout(done, 400)); job = await json(`/api/profiles/${job.id}`); }
			if (gone) return;
			if (job.state === "failed") throw new Error(job.error);
			const list = (await json(`/api/profiles/${job.id}/result`)).shapes.find(one => one.kind === "events").events.sort((a, b) => b.latency_ns - a.latency_ns);
			fill(place, list.length ? el("table", { "aria-label": "Slow operations" }, el("tbody", {}, list.slice(0, 50).map(one => el("tr", {}, ...[clock(one.realtime_ns / 1e6), show.ns(one.latency_ns), words_of(one.container), `${words_of(one.process)} ${one.pid || ""}`, Object.entries(one).filter(([key]) => ["operation", "call", "file", "device", "bytes", "type"].includes(key)).map(([key, value]) => `${key} ${words_of(value) || value}`).join(", ")].map(words => el("td", { class: "text" }, words)))))) : el("p", { class: "dim" }, "Nothing was slow."));
		} catch (error) { place.textContent = error.message; }
	}
	const rows_of = () => [["time", "from_ns", "to_ns", "count"], ...data.cells.map(([step, bucket, count]) => [new Date(data.from_ms + step * data.step_ms).toISOString(), data.bounds_ns[bucket], data.bounds_ns[bucket + 1], count])];
	const boxed = (a, b) => ({ step: Math.min(a.step, b.step), last: Math.max(a.step, b.step), low: Math.min(a.bucket, b.bucket), high: Math.max(a.bucket, b.bucket) });
	canvas.addEventListener("pointerdown", event => { if (!data) return; canvas.setPointerCapture(event.pointerId); start = heat_at(event, canvas, data, rows); });
	canvas.addEventListener("pointermove", event => { if (!data) return; cross = heat_at(event, canvas, data, rows); draft = start ? boxed(start, cross) : null; paint(); });
	canvas.addEventListener("pointerup", event => { if (!start) return; const box = boxed(start, heat_at(event, canvas, data, rows)); start = draft = null; select(box); });
	canvas.addEventListener("pointerleave", () => { if (!start) { cross = null; paint(); } });
	canvas.addEventListener("keydown", event => {
		if (!data) return;
		const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
		if (move) { cross ||= { step: data.steps >> 1, bucket: rows.low }; cross = { step: Math.min(Math.max(cross.step + move[0], 0), data.steps - 1), bucket: Math.min(Math.max(cross.bucket + move[1], rows.low), rows.high) }; paint(); } else if (event.key === "Enter" && cross) select({ step: cross.step, last: cross.step, low: cross.bucket, high: rows.high }); else return;
		event.preventDefault(); event.stopPropagation();
	});
	const sized = new ResizeObserver(paint);
	sized.observe(canvas);
	load(true);
	return { period: time, theme: paint, live: () => { who.refresh(); if (!model.paused && !source && !start && !time.now().to) load(); }, escape: () => { if (region_times) { region_times = null; set_query({ sel: "" }); paint(); region(); } else history.back(); }, leave: () => { gone = true; sized.disconnect(); } };
}

// A choice of containers that follows births and deaths; 0 is the whole machine.
function container_select(chosen, with_machine, changed) {
	const select = el("select", { id: "who", "aria-label": "Container", onchange: changed });
	let before = null;
	select.refresh = () => {
		const rows = model.rows.filter(is_shown).sort((a, b) => a.name < b.name ? -1 : 1), signature = rows.map(row => row.series).join(), value = select.value || chosen || "0";
		if (signature === before) return;
		before = signature;
		fill(select, with_machine ? el("option", { value: 0 }, "the whole machine") : null, rows.map(row => el("option", { value: row.series }, row.name)));
		if (value !== "0" && !rows.some(row => String(row.series) === value)) select.append(el("option", { value }, `series ${value} (ended)`));
		select.value = value;
	};
	select.refresh();
	return select;
}

// What an event's numbers are where they are no plain counts; times are nanoseconds, as everywhere.
const event_bytes = new Set(["usage", "limit", "resident", "anon", "file", "shmem", "swap", "processes_resident", "1s_before", "5s_before", "bytes"]);
function field_words([key, value]) {
	const number = typeof value === "number", words = number && event_bytes.has(key) ? show.bytes(value) : number && /^(duration|latency|latency_ns)$/.test(key) ? show.ns(value) : typeof value === "string" ? value : words_of(value) || String(value);
	return `${key.replace(/_ns$/, "").replace(/^(\d)s_before$/, "$1 s before").replaceAll("_", " ")} ${words}`;
}

// Programs that were started one after the other, more than three, are one row: they would hide what happens seldom.
function starts_together(events) {
	const rows = [];
	for (let at = 0, end; at < events.length; at = end) {
		for (end = at; end < events.length && events[end].kind === "exec";) end++;
		if (end - at > 3) {
			const counts = new Map();
			for (const { process } of events.slice(at, end)) counts.set(process || "?", (counts.get(process || "?") || 0) + 1);
			const ranked = [...counts].sort((a, b) => b[1] - a[1]);
			rows.push({ ...events[at], kind: `${end - at} programs started`, process: "", pid: null, fields: { change: `${ranked.slice(0, 8).map(([name, count]) => count > 1 ? `${name} × ${count}` : name).join(", ")}${ranked.length > 8 ? ` and ${ranked.length - 8} others` : ""}; since ${clock(events[end - 1].time_ms)}` } });
		} else if (end > at) rows.push(...events.slice(at, end));
		else rows.push(events[end++]);
	}
	return rows;
}

function event_row(event) {
	if (event.kind === "measured" && kinds[event.fields.what]) return el("tr", {}, el("td", { class: "text whole" }, clock(event.time_ms)), el("td", { class: "text" }, "measured"), "container" in event ? el("td", { class: "text" }, event.container || "") : null, el("td", {}, ""), el("td", { class: "text" }, el("a", { href: `#/flame?a=${encodeURIComponent(measured_source(event))}` }, `${kinds[event.fields.what]}, ${event.fields.duration / 1e9} s: flame graph`)));
	const said = event.fields?.change || Object.entries(event.fields || {}).filter(([key]) => key !== "cgroup").map(field_words).join(", ");
	return el("tr", {}, el("td", { class: "text whole" }, clock(event.time_ms)), el("td", { class: "text whole" }, event.kind), "container" in event ? el("td", { class: "text" }, event.container || "") : null, el("td", { class: "text whole" }, `${event.process || ""} ${event.pid || ""}`), el("td", { class: "text" }, said));
}
