// SPDX-License-Identifier: Apache-2.0
// ---- one container: what is wrong with it, what it uses, waits for and loses, on one time axis

const heats = [["runq", "Run-queue latency: waits for a CPU"], ["fs", "File operations"], ["block", "Disk requests"], ["tcp", "TCP round trips"]];
const bad_events = new Set(["oom", "oom_kill", "oom-kill"]);

function step_for(seconds) {
	return seconds <= 900 ? 1000 : Math.max(10000, Math.ceil(seconds / 720 / 10) * 10000);
}

// [resource, utilisation, saturation, errors] from the latest values; what is not known says so.
function use_of(now, row) {
	const part = (name, limit, unit) => known(now[name]) ? known(now[limit]) ? `${text(unit, now[name])} of ${text(unit, now[limit])}` : `${text(unit, now[name])}, no limit` : "not known";
	const ratio = (name, words) => [known(now[name]) ? `${show.ratio(now[name])} ${words}` : "not known", now[name] > 0.05], count = (name, words) => [known(now[name]) ? `${show["1/s"](now[name])} ${words}` : "not known", now[name] > 0];
	return [
		["CPU", [part("cpu", "cpu_limit", "cores"), known(now.cpu_limit) && now.cpu > 0.9 * now.cpu_limit], ratio("runqueue_wait", "waiting for a CPU"), ratio("throttled", "throttled")],
		["Memory", [part("memory", "memory_limit", "bytes"), known(now.memory_limit) && now.memory > 0.9 * now.memory_limit], ratio("pressure_memory", "some thread stalled"), [known(row?.oom_kills) ? `${row.oom_kills} OOM kills` : "not known", row?.oom_kills > 0]],
		["Disk", [known(now.io_read) ? `${show["bytes/s"](now.io_read)} read, ${text("bytes/s", now.io_write)} written` : "not known"], ratio("pressure_io", "some thread stalled"), ["not known by container"]],
		["Network", [known(now.net_received) ? `${show["bytes/s"](now.net_received)} in, ${text("bytes/s", now.net_sent)} out` : "not known"], [known(now.net_dropped) ? `${show["1/s"](now.net_dropped)} dropped` : "see its connections"], ["see its connections"]],
		["Threads", [part("pids", "pids_limit", "1"), known(now.pids_limit) && now.pids > 0.9 * now.pids_limit], count("faults_major", "major faults"), count("refaults", "pages came back")],
	];
}

function verdict_box(one) {
	return el("article", { class: `verdict-box ${/^\w+$/.test(one.severity) ? one.severity : ""}` }, el("h3", {}, one.rule, " ", el("span", { class: "dim" }, `${one.fault}${one.culprit ? `: ${one.culprit}` : ""}, confidence ${one.confidence}, since ${clock(one.since_ms)}`)), el("p", {}, one.title),
		el("details", {}, el("summary", {}, "Evidence"), el("ul", {}, (one.evidence || []).map(words => el("li", {}, words))), one.disproof ? el("p", {}, el("b", {}, "What would disprove it: "), one.disproof) : null),
		one.advice ? el("p", {}, el("b", {}, "Try: "), one.advice) : null, one.more ? el("p", {}, el("code", {}, one.more)) : null);
}

function container(view, id) {
	const series = Number(id);
	let data = null, cross = null, gone = false, asked = 0, listed = 0, drag = null, events = [], heat_data = new Map();
	const heading = el("h1", {}), crumbs = el("nav", { class: "crumbs", "aria-label": "Where" }, el("a", { href: "#/" }, "Overview"), " › "), facts = el("div", { class: "facts" }), said = el("span", { class: "dim", role: "status" }), verdicts = el("section", { "aria-label": "Verdicts" }), use = el("table", { "aria-label": "Utilisation, saturation, errors" });
	const time = period_control(300, () => load(true));
	const panels = charts.map(chart => {
		const now = chart.lines.map(() => el("span", {}));
		const canvas = el("canvas", { role: "img", "aria-label": `${chart.title} over time` });
		const head = el("header", {}, el("strong", {}, chart.title), ...chart.lines.map((line, i) => el("span", { class: "dim" }, el("i", { class: `key ${line.limit ? "limit" : `c${i}`}` }), `${line.says} `, now[i])));
		return { chart, now, canvas, box: el("section", { class: "chart" }, head, canvas) };
	});
	const maps = heats.map(([what, title]) => {
		const canvas = el("canvas", { id: what === "runq" ? "heat" : null, role: "img", "aria-label": `${title}, by length, over time` }), now = el("span", { class: "dim" });
		return { what, canvas, now, box: el("section", { class: `chart${what === "runq" ? " wide" : ""}`, hidden: what !== "runq" }, el("header", {}, el("strong", {}, el("a", { href: `#/latency?series=${series}&what=${what}` }, title)), now), canvas) };
	});
	const marks = el("canvas", { id: "marks", role: "img", "aria-label": "Events over time" }), marks_now = el("span", { class: "dim" });
	const marks_box = el("section", { class: "chart wide low" }, el("header", {}, el("strong", {}, "Events"), marks_now), marks);
	const grid = el("div", { class: "charts" }, marks_box, ...panels.slice(0, 2).map(panel => panel.box), maps[0].box, ...panels.slice(2).map(panel => panel.box), ...maps.slice(1).map(one => one.box));
	const jobs = el("div", {}), list = el("table", { "aria-label": "Events" }), talks = el("table", { "aria-label": "Connections" }), processes = el("div", {});
	const row = () => model.rows.find(one => one.series === series);
	const flame_link = el("a", { class: "button" }, "Flame graph");
	view.append(...[crumbs, heading, facts, verdicts, el("div", { class: "bar" }, time.box, said, el("span", { class: "grow" }), flame_link, el("a", { class: "button", href: `#/latency?series=${series}` }, "Latency"), el("a", { class: "button", href: `#/map?sel=container:${encodeURIComponent(row()?.name || "")}` }, "Map"),
		export_menu([["CSV", () => download_csv()], ["JSON", () => data && save(json_blob(data), "fathom-container.json")], ["PNG", () => all_charts().toBlob(blob => save(blob, "fathom-container.png"))]]), copy_button(() => `fathom use ${quote(row()?.name || data?.resources[0]?.name || "")}`)),
	use, el("p", { class: "dim hint" }, "Drag over a chart to select a range."), grid, model.replay ? "" : [el("h2", {}, "Profile"), profile_form(() => series, row), jobs, el("h2", {}, "Processes"), el("div", { class: "bar" }, button("Look now (1 s)", look, { id: "look" })), processes].flat(), el("h2", {}, "Connections"), talks, el("h2", {}, "Events"), list].flat().filter(Boolean));

	function title() {
		const one = row(), { from, to } = time.span();
		heading.textContent = one?.name || data?.resources[0]?.name || "…";
		flame_link.href = `#/flame?${new URLSearchParams({ a: range_source(series, "profile", Math.max(from, to - 60000), to) })}`;
		fill(facts, [["runtime", one?.runtime], ["image", one?.image], ["id", one?.id?.slice?.(0, 12)], ["pod", one?.pod], ["cgroup", one?.cgroup],
			["", one ? one.dead ? "ended" : "" : data ? "not running now" : ""]].filter(([, value]) => value).map(([key, value]) => el("span", {}, key ? `${key} ` : "", el("b", {}, String(value)))));
		const now = cross !== null && data?.resources[0] ? Object.fromEntries(Object.entries(data.resources[0].values).map(([name, values]) => [name, values[cross]])) : latest(series);
		fill(use, el("thead", {}, el("tr", {}, ["Resource", "Utilisation", "Saturation", "Errors"].map(words => el("th", { scope: "col", class: "text" }, words)))),
			el("tbody", {}, use_of(now, one).map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, name), cells.map(([words, hot]) => el("td", { class: `text${hot ? " hot" : ""}` }, words))))));
	}
	function paint() {
		if (!data || gone) return;
		const resource = data.resources[0];
		data.gaps = gaps_of(data, Object.values(resource?.values || { none: [] }));
		for (const { chart, now, canvas } of panels) {
			draw_chart(canvas, chart, data, resource?.values, cross);
			mark_events(canvas);
			chart.lines.forEach((line, i) => {
				const values = resource?.values[line.name] || [];
				now[i].textContent = text(chart.unit, cross !== null ? values[cross] : values.findLast(known));
			});
		}
		for (const one of maps) {
			const heat = heat_data.get(one.what);
			one.box.hidden = !heat || (one.what !== "runq" && !heat.cells.length);
			if (one.box.hidden) continue;
			const step = cross === null ? null : { step: Math.floor((data.from_ms + (cross + 0.5) * data.step_ms - heat.from_ms) / heat.step_ms) };
			draw_latency(one.canvas, heat, heat_rows(heat), { cross: step && step.step >= 0 && step.step < heat.steps ? step : null });
			one.now.textContent = step ? `${heat.cells.filter(cell => cell[0] === step.step).reduce((sum, cell) => sum + cell[2], 0)} of them` : "";
		}
		draw_marks();
		grid.dataset.drawn = String(data.from_ms);
		said.textContent = !resource ? "nothing is known of it in this range" : cross === null ? `${data.step_ms / 1000} s a point` : clock(data.from_ms + (cross + 1) * data.step_ms);
		if (drag && cross !== null) for (const { canvas } of panels) shade(canvas);
	}
	const x_of = (time_ms, width) => LEFT + (width - LEFT) * (time_ms - data.from_ms) / (data.steps * data.step_ms);
	function shade(canvas) {
		const pen = canvas.getContext("2d"), width = canvas.clientWidth, [from, to] = [Math.min(drag.step, cross), Math.max(drag.step, cross) + 1];
		pen.fillStyle = css("--accent");
		pen.globalAlpha = 0.18;
		pen.fillRect(time_x(data, width, from - 0.5), 0, time_x(data, width, to - 0.5) - time_x(data, width, from - 0.5), canvas.clientHeight - BOTTOM);
		pen.globalAlpha = 1;
	}
	// The grave ones stand in every chart.
	function mark_events(canvas) {
		const pen = canvas.getContext("2d"), width = canvas.clientWidth;
		pen.fillStyle = css("--bad");
		for (const event of events) if (/oom/.test(event.kind)) { const x = x_of(event.time_ms, width); if (x >= LEFT && x <= width) pen.fillRect(x - 0.75, 0, 1.5, canvas.clientHeight - BOTTOM); }
	}
	function draw_marks() {
		const { pen, width, height } = prepare(marks), kinds_seen = [...new Set(events.map(event => event.kind))].sort(), tall = (height - BOTTOM) / Math.max(kinds_seen.length, 1);
		draw_axis(pen, data, width, height);
		kinds_seen.forEach((kind, i) => {
			pen.fillStyle = css("--dim");
			pen.textAlign = "right";
			pen.fillText(kind, LEFT - 5, i * tall + tall / 2 + 4);
			pen.fillStyle = /oom/.test(kind) ? css("--bad") : css("--accent");
			pen.globalAlpha = /oom/.test(kind) ? 1 : 0.5;
			for (const event of events) { const x = x_of(event.time_ms, width); if (event.kind === kind && x >= LEFT && x <= width) pen.fillRect(x - 1, i * tall + 2, 2, tall - 4); }
			pen.globalAlpha = 1;
		});
		draw_cross(pen, data, width, height, cross);
		const inside = events.filter(event => event.time_ms >= data.from_ms && event.time_ms <= data.from_ms + data.steps * data.step_ms), here = cross === null ? inside : inside.filter(event => Math.floor((event.time_ms - data.from_ms) / data.step_ms) === cross);
		marks_now.textContent = here.length === 1 ? `${here[0].kind} ${here[0].process || ""}` : `${here.length}${cross === null ? " in this range" : ""}`;
		marks.dataset.marks = String(inside.length);
	}
	async function load(force) {
		const period = time.now();
		if (!force && (period.to || Date.now() - asked < Math.max(900, period.seconds * 2))) return;
		asked = Date.now();
		try {
			const step = step_for(period.seconds), wanted = heats.map(([what]) => json(`/api/latency?what=${what}&series=${series}&${period.query}&step_ms=${Math.max(step, Math.ceil(period.seconds / 300) * 1000)}`).catch(() => null));
			const answer = await json(`/api/series?id=${series}&${period.query}&step_ms=${step}`);
			if (gone) return;
			data = answer;
			title();
			paint();
			(await Promise.all(wanted)).forEach((heat, i) => { if (heat) heat_data.set(heats[i][0], heat); });
			paint();
		} catch (error) { said.textContent = error.message; }
	}
	async function load_lists(force) {
		if (!force && Date.now() - listed < 1900) return;
		listed = Date.now();
		const name = row()?.name || data?.resources[0]?.name, { from, to } = time.span();
		const quiet = promise => promise.catch(() => null); // the banner says what is wrong with the connection
		const [all, found, judged, edges] = await Promise.all([quiet(json("/api/profiles")), name ? quiet(json(`/api/events?container=${encodeURIComponent(name)}&from_ms=${Math.round(from)}&to_ms=${Math.round(to) + 2000}`)) : null, quiet(json("/api/verdicts")), quiet(json(`/api/edges?${time.now().query}&series=${series}`))]);
		if (gone) return;
		if (all) fill(jobs, all.profiles.filter(job => job.container === name && kinds[job.kind]).reverse().map(job => job_line(job)));
		if (found) {
			events = found.events;
			fill(list, el("thead", {}, el("tr", {}, ["Time", "What", "Process", ""].map(words => el("th", { class: "text", scope: "col" }, words)))), el("tbody", {}, events.slice(0, 50).map(({ container: _, ...event }) => event_row(event))));
			list.hidden = !events.length;
		}
		const mine = (judged?.verdicts || []).filter(one => one.series === series);
		const open = [...verdicts.querySelectorAll("details")].map(one => one.open);
		if (judged) fill(verdicts, mine.map(verdict_box), !mine.length && row() && judged.time_ms ? el("p", { class: "good" }, "Nothing found wrong in the last ten seconds.") : null);
		verdicts.querySelectorAll("details").forEach((one, i) => { one.open = !!open[i]; });
		if (edges?.ends) {
			const graph = map_graph(edges, "none", new Set());
			fill(talks, el("thead", {}, el("tr", {}, ["From → to", "Ports", "Opened", "Failed", "Bytes", "Round trip"].map((words, i) => el("th", { scope: "col", class: i < 2 ? "text" : "" }, words)))), el("tbody", {}, graph.links.slice(0, 50).map(link => el("tr", { class: link.status === 2 ? "bad" : link.status ? "warn" : "" },
				el("td", {}, el("a", { href: `#/map?sel=${encodeURIComponent(link_name(link))}` }, link_name(link))), el("td", { class: "text" }, [...link.ports].slice(0, 8).join(", ")), el("td", {}, show["1/s"](link.rate)), el("td", {}, show["1"](link.failed)), el("td", {}, text("bytes/s", link.flow)), el("td", {}, link.rtt ? trimmed(text("ns", link.rtt)) : "–")))));
			if (!graph.links.length) fill(talks, el("tbody", {}, el("tr", {}, el("td", { class: "dim" }, "None in this range."))));
		} else talks.hidden = true;
		paint();
	}
	// Who it is made of, and from there to what each does.
	async function look() {
		$("look").disabled = true;
		try {
			let job = await json("/api/profiles?series=0&seconds=1&kind=host", { method: "POST" });
			while (!gone && !["done", "failed"].includes(job.state)) { await new Promise(done => setTimeout(done, 250)); job = await json(`/api/profiles/${job.id}`); }
			if (job.state === "failed") throw new Error(job.error);
			const read = await json(`/api/profiles/${job.id}/result`), mine = read.processes.filter(one => words_of(one.container) === row()?.name);
			if (gone) return;
			fill(processes, mine.length ? el("table", { "aria-label": "Processes" }, el("thead", {}, el("tr", {}, ["Process", "Pid", "State", "CPU", "Memory"].map(words => el("th", { scope: "col" }, words)))), el("tbody", {}, mine.slice(0, 50).map(one => el("tr", {}, el("td", {}, button(words_of(one.command), () => profile_process(words_of(one.command)), { class: "plain", title: "Measure on CPU for 2 s and show this process" })), el("td", {}, String(one.pid)), el("td", {}, one.state), el("td", {}, text("cores", one.cpu)), el("td", {}, text("bytes", one.memory_bytes)))))) : el("p", { class: "dim" }, "None could be seen."));
		} catch (error) { if (!gone) fill(processes, el("p", { class: "hot" }, error.message)); }
		if (!gone) $("look").disabled = false;
	}
	async function profile_process(name) {
		try { location.hash = `#/flame?${new URLSearchParams({ a: `p${(await json(`/api/profiles?series=${series}&seconds=2&kind=walltime`, { method: "POST" })).id}`, at: name })}`; } catch (error) { fill(processes, el("p", { class: "hot" }, error.message)); }
	}
	function download_csv() {
		if (!data?.resources[0]) return;
		const names = Object.keys(data.resources[0].values);
		save(csv_of([["time", ...names], ...Array.from({ length: data.steps }, (_, step) => [new Date(data.from_ms + (step + 1) * data.step_ms).toISOString(), ...names.map(name => data.resources[0].values[name][step])])]), "fathom.csv");
	}
	// All charts that are shown, with their titles, one below the other.
	function all_charts() {
		const shown = [...grid.querySelectorAll("section:not([hidden])")], ratio = devicePixelRatio || 1, width = 900, sheet = el("canvas", {}), tall = section => section.querySelector("canvas").clientHeight + 34;
		sheet.width = width * ratio; sheet.height = (shown.reduce((sum, section) => sum + tall(section), 0) + 34) * ratio;
		const pen = sheet.getContext("2d");
		pen.scale(ratio, ratio);
		pen.fillStyle = css("--panel"); pen.fillRect(0, 0, width, sheet.height);
		pen.fillStyle = css("--text"); pen.font = "bold 15px system-ui, sans-serif"; pen.fillText(heading.textContent, 10, 22);
		let y = 34;
		for (const section of shown) {
			const canvas = section.querySelector("canvas");
			pen.fillStyle = css("--text"); pen.font = "bold 12px system-ui, sans-serif"; pen.fillText(section.querySelector("strong").textContent, 10, y + 14);
			pen.fillStyle = css("--dim"); pen.font = "12px system-ui, sans-serif"; pen.textAlign = "right"; pen.fillText([...section.querySelectorAll("header > span")].map(one => one.textContent).join("   "), width - 10, y + 14); pen.textAlign = "left";
			pen.drawImage(canvas, 10, y + 22, width - 20, canvas.clientHeight);
			y += tall(section);
		}
		return sheet;
	}
	for (const canvas of [...panels.map(panel => panel.canvas), ...maps.map(one => one.canvas), marks]) {
		const step_at = event => { const box = canvas.getBoundingClientRect(), step = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * data.steps); return step >= 0 && step < data.steps ? step : null; };
		canvas.addEventListener("pointerdown", event => { const step = data && step_at(event); if (step !== null) { drag = { step }; canvas.setPointerCapture(event.pointerId); } });
		canvas.addEventListener("pointermove", event => { if (!data) return; cross = step_at(event); paint(); title(); });
		canvas.addEventListener("pointerup", event => {
			const was = drag, step = data && step_at(event);
			drag = null;
			if (was && step !== null && Math.abs(step - was.step) >= 2) time.choose(data.from_ms + Math.min(step, was.step) * data.step_ms, data.from_ms + (Math.max(step, was.step) + 1) * data.step_ms);
		});
		canvas.addEventListener("pointerleave", () => { if (!drag) { cross = null; paint(); title(); } });
	}
	const sized = new ResizeObserver(paint);
	sized.observe(grid);
	load(true);
	load_lists(true);
	return { period: time, theme: paint, refresh: () => load_lists(true),
		live: () => {
			if (!drag && cross === null) title();
			if (model.paused) return;
			load();
			load_lists();
		},
		leave: () => { gone = true; sized.disconnect(); },
	};
}
