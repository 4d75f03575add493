// SPDX-License-Identifier: Apache-2.0
// ---- one container: what is wrong with it, what it uses, waits for and loses, on one time axis

const heats = [["runq", "Run-queue latency: waits for a CPU"], ["fs", "File operations"], ["block", "Disk requests"], ["tcp", "TCP round trips"]];

// What stands as marks on the time axis: [lane, whose event, colour, what is written beside it, whether it goes through all charts].
const lives = new Set(["start", "stop", "restart", "deploy"]);
const life_words = ({ kind, fields }) => kind === "deploy" && fields?.image_before ? `deploy ${fields.image_before} → ${fields.image}` : kind;
const mark_lanes = [
	["OOM kills", ({ kind }) => /oom/.test(kind), "--bad", event => event.process || "", true],
	["throttled", () => false, "--warm"],
	["limits", ({ kind }) => kind === "limit", "--limit", ({ fields }) => fields?.change || "", true],
	["lives", ({ kind }) => lives.has(kind), "--good", life_words, true],
	["programs", ({ kind }) => kind === "exec", "--accent"],
	["others", ({ kind }) => kind !== "exec" && kind !== "limit" && !lives.has(kind) && !/oom/.test(kind), "--accent", ({ kind, fields }) => kind === "measured" ? `measured ${kinds[fields.what] || fields.what}` : kind],
];
const THROTTLED_LEAST = 0.05; // of the time: less is not marked

// [resource, utilisation, saturation, errors] from the latest values; what is not known says so.
function use_of(now, row, talk) {
	const part = (name, limit, unit, words = "") => known(now[name]) ? known(now[limit]) ? `${text(unit, now[name])} of ${trimmed(text(unit, now[limit]))}${words}` : `${text(unit, now[name])}${words}, no limit` : "not known";
	const ratio = (name, words) => [known(now[name]) ? `${percent(now[name])} ${words}` : "not known", now[name] > 0.05], threads = (name, words) => [known(now[name]) ? `${show.threads(now[name])} threads ${words}` : "not known", now[name] > 0.5], count = (name, words) => [known(now[name]) ? `${show["1/s"](now[name])} ${words}` : `${words} not known`, now[name] > 0];
	const both = (...cells) => [[...new Set(cells.map(([words]) => words))].join(", "), cells.some(([, hot]) => hot)];
	return [
		["CPU", [part("cpu", "cpu_limit", "cores", " cores"), known(now.cpu_limit) && now.cpu > 0.9 * now.cpu_limit], threads("runqueue_wait", "wait for one"), ratio("throttled", "throttled")],
		["Memory", [part("memory", "memory_limit", "bytes"), known(now.memory_limit) && now.memory > 0.9 * now.memory_limit], both(ratio("pressure_memory", "some thread stalled"), count("faults_major", "major faults"), count("refaults", "refaults")), [known(kills_of(row)) ? `${show["1"](kills_of(row))} OOM kills` : "not known", kills_of(row) > 0]],
		["Disk", [known(now.io_read) ? `${show["bytes/s"](now.io_read)} read, ${text("bytes/s", now.io_write)} written` : "not known"], ratio("pressure_io", "some thread stalled"), ["not known by container"]],
		["Network", [known(now.net_received) ? `${show["bytes/s"](now.net_received)} in, ${text("bytes/s", now.net_sent)} out` : "not known"], talk ? [talk.segments ? `${percent(talk.lost / talk.segments)} of segments sent again` : "nothing sent by TCP", talk.lost > 0.01 * talk.segments] : ["not known"],
			talk ? [`${show["1"](talk.failed)} connections failed`, talk.failed > 0] : ["not known"]],
		["Threads", [part("pids", "pids_limit", "1"), known(now.pids_limit) && now.pids > 0.9 * now.pids_limit], ["none: fork fails or does not"], ["not recorded: fathom use"]],
	];
}

// A sentence that begins with the rule's name, which stands before it, goes on without it.
const said_once = (rule, sentence) => sentence?.startsWith(`${rule}: `) ? sentence.slice(rule.length + 2) : sentence;

function verdict_box(one) {
	const facts = [one.culprit || { container: "its own fault", neighbour: "a neighbour's fault", host: "the host's fault", peer: "a peer's fault" }[one.fault] || one.fault, `confidence ${one.confidence}`, one.since_ms ? `since ${clock(one.since_ms)}` : ""];
	return el("article", { class: `verdict-box ${/^\w+$/.test(one.severity) ? one.severity : ""}` }, el("h3", {}, one.rule, " ", el("span", { class: "dim" }, facts.filter(Boolean).join(" · "))), el("p", {}, said_once(one.rule, one.title)),
		one.advice ? el("p", {}, el("b", {}, "Try: "), one.advice) : null,
		el("details", {}, el("summary", {}, "Evidence"), el("ul", {}, (one.evidence || []).map(words => el("li", {}, words))), one.disproof ? el("p", {}, el("b", {}, "What would disprove it: "), one.disproof) : null, one.more ? el("p", {}, el("b", {}, "Look closer: "), el("code", {}, command_here(one.more))) : null));
}

const fact_words = { share: value => percent(value), cores: value => digits(value), seconds: value => show.ns(value * 1e9), bytes: value => show.bytes(value), per_second: value => show["1/s"](value), count: value => show["1"](value) };
const condition_words = { at_least: "≥", below: "<", more_than: ">" };

// A finding of fathom diagnose, in the form of /api/verdicts.
function verdict_of_finding(one) {
	const value = (number, unit) => (fact_words[unit] || String)(number);
	return { ...one, rule: one.verdict, title: one.sentence, severity: one.score >= 0.5 && one.confidence !== "low" ? "critical" : "warning",
		evidence: one.evidence.map(({ label, value: number, unit, condition, threshold, source }) => `${label} ${value(number, unit)} (${condition_words[condition] ? `${condition_words[condition]} ${value(threshold, unit)}; ` : ""}${source})`) };
}

let looked = null; // { series, time, mine: processes }, of the last look

function container(view, id) {
	const series = Number(id);
	let data = null, cross = null, gone = false, asked = 0, asked_heats = 0, threads = null, listed = 0, told = 0, drag = null, events = [], heat_data = new Map(), talk = null, called = null, several = false;
	const given = address().query.get("without"), hidden = new Set(given === null ? charts.flatMap(chart => chart.lines.filter(line => line.idle).map(line => line.name)) : given.split("~"));
	const heading = el("h1", {}), crumbs = el("nav", { class: "crumbs", "aria-label": "Where" }, el("a", { href: "#/" }, "Overview"), " › "), facts = el("div", { class: "facts" }), said = el("span", { class: "dim", role: "status" }), verdicts = el("section", { "aria-label": "Verdicts" }), deeper = el("section", { "aria-label": "Diagnosis in depth" }), use = el("table", { "aria-label": "Utilisation, saturation, errors" });
	const time = period_control(300, () => { load(true); load_events(true); load_lists(true); });
	// What the charts are compared with: the same length of time just before, or another container in the same time.
	let base = null;
	const against = el("select", { id: "against", class: "narrow", "aria-label": "Compare with", onchange: () => { set_query({ with: against.value }); base = null; load(true); } });
	function fill_against() {
		const chosen = address().query.get("with") || "", others = model.rows.filter(one => is_shown(one) && one.series !== (row()?.series || series)).sort((a, b) => a.name < b.name ? -1 : 1), signature = others.map(one => one.series).join();
		if (against.dataset.signature === signature) return;
		against.dataset.signature = signature;
		fill(against, el("option", { value: "" }, "Compare with…"), el("option", { value: "before" }, "the time before"), others.map(one => el("option", { value: one.series }, one.name)));
		against.value = chosen;
		if (against.selectedIndex < 0) against.append(el("option", { value: chosen, selected: true }, `series ${chosen}`));
	}
	async function load_base() {
		const is_before = against.value === "before", span = data.steps * data.step_ms, from = is_before ? data.from_ms - span : data.from_ms;
		const read = await json(`/api/series?id=${is_before ? series : against.value}&from_ms=${from}&to_ms=${from + span}&step_ms=${data.step_ms}${is_before && several ? "&lives=1" : ""}`);
		base = read.resources[0]?.values || {};
	}
	const mean = values => { const list = (values || []).filter(known); return list.length ? list.reduce((sum, value) => sum + value, 0) / list.length : null; };
	const panels = charts.map(chart => {
		const now = chart.lines.map(() => el("span", {}));
		const canvas = el("canvas", { role: "img", "aria-label": `${chart.title} over time` });
		const head = chart.stack ? el("header", {}, el("strong", {}, chart.title), el("span", { class: "legend", role: "group", "aria-label": "Shown" }, chart.lines.map((line, i) => button([el("i", { class: `key at${i}` }), `${line.says} `, now[i]], () => toggle(line.name), { class: "plain", "data-line": line.name, "aria-pressed": "true", title: "show or leave out" })))) : el("header", {}, el("strong", {}, chart.title), ...chart.lines.map((line, i) => el("span", { class: "dim" }, el("i", { class: `key ${line.limit ? "limit" : `c${i}`}` }), `${line.says} `, now[i])));
		return { chart, now, canvas, box: el("section", { class: chart.stack ? "chart wide threads" : "chart", hidden: !!chart.stack }, head, canvas) };
	});
	const maps = heats.map(([what, title]) => {
		const canvas = el("canvas", { id: what === "runq" ? "heat" : null, role: "img", "aria-label": `${title}, by length, over time` }), now = el("span", { class: "dim" });
		return { what, canvas, now, box: el("section", { class: `chart${what === "runq" ? " wide" : ""}`, hidden: what !== "runq" }, el("header", {}, el("strong", {}, el("a", { href: `#/latency?series=${series}&what=${what}` }, title)), now), canvas) };
	});
	const marks = el("canvas", { id: "marks", tabindex: 0, role: "img", "aria-label": "Events over time. Arrow keys move the crosshair of all charts, Enter marks the beginning of a range and then its end" }), marks_now = el("span", { class: "dim" });
	const marks_box = el("section", { class: "chart wide marks" }, el("header", {}, el("strong", {}, "What happened"), marks_now), marks);
	const grid = el("div", { class: "charts" }, marks_box, ...[panels[1], panels[0], panels[2]].map(panel => panel.box), maps[0].box, ...panels.slice(3).map(panel => panel.box), ...maps.slice(1).map(one => one.box));
	const jobs = el("div", {}), list = el("table", { "aria-label": "Events" }), talks = el("table", { "aria-label": "Connections" }), processes = el("div", {});
	// The one of the address, or who bears its name now: a container that was restarted has another number.
	const row = () => {
		const one = model.rows.find(one => one.series === series), heir = one && !one.dead ? null : model.rows.find(other => called && other.name === called && is_shown(other));
		if (one) called = one.name;
		return heir || one;
	};
	const flame_link = el("a", { class: "button" }, "Flame graph");
	view.append(...[crumbs, heading, facts, el("div", { class: "state" }, el("div", {}, verdicts, deeper), use), el("div", { class: "bar" }, time.box, against, said, el("span", { class: "grow" }), model.replay ? "" : button("Diagnose in depth", diagnose, { id: "diagnose", title: "10 s with every probe: what the verdicts of every ten seconds leave out" }), flame_link, el("a", { class: "button", href: `#/latency?series=${series}` }, "Latency"), el("a", { class: "button", href: `#/map?sel=container:${encodeURIComponent(row()?.name || "")}` }, "Map"),
		export_menu([["CSV", () => download_csv()], ["JSON", () => data && save(json_blob(data), "fathom-container.json")], ["PNG", () => all_charts().toBlob(blob => save(blob, "fathom-container.png"))]]), copy_button(() => `fathom use ${quote(row()?.name || data?.resources[0]?.name || "")}`)),
	grid, model.replay ? "" : [el("h2", {}, "Profile"), profile_form(() => series, row), jobs, el("h2", {}, "Processes"), el("div", { class: "bar" }, button("Look now (1 s)", look, { id: "look" })), processes].flat(), el("h2", {}, "Connections"), talks, el("h2", {}, "Events"), list].flat().filter(Boolean));

	function title() {
		const one = row(), { from, to } = time.span();
		heading.textContent = one?.name || data?.resources[0]?.name || (data ? `Nothing is known of series ${series}` : "…");
		flame_link.href = `#/flame?${new URLSearchParams({ a: range_source(series, "profile", Math.max(from, to - 60000), to) })}`;
		fill(facts, [["runtime", one?.runtime], ["image", one?.image], ["id", one?.id?.slice?.(0, 12)], ["pod", one?.pod], ["cgroup", one?.cgroup],
			["", one && !one.dead || !data ? "" : !one && !data.resources.length ? `no container has had this number${model.replay ? " in this capture" : ""}` : model.replay ? "ended" : "not running now"]].filter(([, value]) => value).map(([key, value]) => el("span", {}, key ? `${key} ` : "", el("b", {}, String(value)))));
		const now = cross !== null && data?.resources[0] ? Object.fromEntries(Object.entries(data.resources[0].values).map(([name, values]) => [name, values[cross]])) : latest(one?.series || series);
		fill(use, el("thead", {}, el("tr", {}, ["Resource", "Utilisation", "Saturation", "Errors"].map(words => el("th", { scope: "col", class: "text" }, words)))),
			el("tbody", {}, use_of(now, one, talk).map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, name), cells.map(([words, hot]) => el("td", { class: `text${hot ? " hot" : ""}` }, words))))));
	}
	function paint() {
		if (!data || gone) return;
		const resource = data.resources[0];
		data.gaps = gaps_of(data, Object.values(resource?.values || { none: [] }));
		const has_classes = Object.entries(threads?.values || {}).some(([name, values]) => name.startsWith("offcpu_") && values.some(known));
		for (const { chart, now, canvas, box } of panels) {
			if (chart.stack) box.hidden = !has_classes; else if (chart.title.startsWith("Threads held")) box.hidden = has_classes; // the former says more
			if (box.hidden) continue;
			if (chart.stack) {
				const values = shifted(threads, data);
				draw_stack(canvas, chart, { ...data, gaps: gaps_of(data, chart.lines.map(line => values[line.name] || [])) }, values, cross, hidden);
				for (const one of box.querySelectorAll("[data-line]")) set_attribute(one, "aria-pressed", String(!hidden.has(one.dataset.line)));
			} else draw_chart(canvas, chart, data, resource?.values, cross);
			mark_events(canvas);
			chart.lines.forEach((line, i) => {
				const values = (chart.stack ? shifted(threads, data) : resource?.values)?.[line.name] || [];
				const here = cross !== null ? values[cross] : base ? mean(values) : values.findLast(known), other = base && !line.limit && !chart.stack ? base[line.name] || [] : null;
				now[i].textContent = other ? `${text(chart.unit, here)} (${text(chart.unit, cross !== null ? other[cross] : mean(other))})` : text(chart.unit, here);
			});
		}
		for (const one of maps) {
			const heat = heat_data.get(one.what);
			one.box.hidden = !heat || (one.what !== "runq" && !heat.cells.length);
			if (one.box.hidden) continue;
			const step = cross === null ? null : Math.floor((data.from_ms + (cross + 0.5) * data.step_ms - heat.from_ms) / heat.step_ms);
			draw_latency(one.canvas, heat, heat_rows(heat), { cross, axis: data });
			one.now.textContent = step === null ? heat_legend(heat) : `${show["1"](heat.cells.filter(cell => cell[0] === step).reduce((sum, cell) => sum + cell[2], 0))} in ${span_words(heat.step_ms / 1000)}`;
		}
		for (const one of maps) if (!one.box.hidden) mark_events(one.canvas);
		draw_marks();
		grid.dataset.drawn = String(data.from_ms);
		said.textContent = !resource ? "nothing is known of it in this range" : cross === null ? `${data.step_ms / 1000} s a point${base ? `; means (${against.selectedOptions[0]?.textContent})` : ""}` : clock(data.from_ms + (cross + 1) * data.step_ms);
		if (drag && cross !== null) for (const { canvas, box } of [...panels, ...maps, { canvas: marks, box: marks_box }]) if (!box.hidden) shade(canvas);
	}
	// Values of another answer, at the steps of this one: it may be some seconds older.
	let moved = null;
	function shifted(from, to) {
		if (!from || from.step_ms !== to.step_ms) return {};
		if (moved?.from === from && moved.at === to.from_ms) return moved.values;
		const by = Math.round((to.from_ms - from.from_ms) / to.step_ms), values = Object.fromEntries(Object.entries(from.values).map(([name, list]) => [name, Array.from({ length: to.steps }, (_, step) => list[step + by] ?? null)]));
		moved = { from, at: to.from_ms, values };
		return values;
	}
	function toggle(name) {
		hidden.has(name) ? hidden.delete(name) : hidden.add(name);
		set_query({ without: [...hidden].sort().join("~") || "none" });
		paint();
	}
	const x_of = (time_ms, width) => LEFT + (width - LEFT) * (time_ms - data.from_ms) / (data.steps * data.step_ms);
	function shade(canvas) {
		const pen = canvas.getContext("2d"), width = canvas.clientWidth, [from, to] = [Math.min(drag.step, cross), Math.max(drag.step, cross) + 1];
		pen.fillStyle = css("--accent");
		pen.globalAlpha = 0.18;
		pen.fillRect(time_x(data, width, from - 0.5), 0, time_x(data, width, to - 0.5) - time_x(data, width, from - 0.5), canvas.clientHeight - BOTTOM);
		pen.globalAlpha = 1;
	}
	const inside = event => event.time_ms >= data.from_ms && event.time_ms <= data.from_ms + data.steps * data.step_ms;
	// What may explain a bend stands in every chart.
	function mark_events(canvas) {
		const pen = canvas.getContext("2d"), width = canvas.clientWidth, height = canvas.clientHeight - BOTTOM;
		pen.lineWidth = 1.25;
		for (const [, is_its, colour, , everywhere] of mark_lanes) {
			if (!everywhere) continue;
			pen.strokeStyle = css(colour);
			pen.setLineDash(colour === "--bad" ? [] : [3, 3]);
			pen.beginPath();
			for (const event of events) if (inside(event) && is_its(event)) { const x = x_of(event.time_ms, width); pen.moveTo(x, 0); pen.lineTo(x, height); }
			pen.stroke();
		}
		pen.setLineDash([]);
	}
	function draw_marks() {
		const { pen, width, height } = prepare(marks), lanes = mark_lanes.filter(([name, is_its]) => name !== "others" || events.some(is_its)), tall = (height - BOTTOM) / lanes.length, here = events.filter(inside).reverse();
		const throttled = data.resources[0]?.values.throttled || [];
		draw_axis(pen, data, width, height);
		draw_gaps(pen, data, width, height);
		lanes.forEach(([name, is_its, colour, words], i) => {
			const mine = here.filter(is_its), top = i * tall;
			pen.strokeStyle = css("--grid");
			pen.lineWidth = 1;
			pen.beginPath(); pen.moveTo(LEFT, top + tall - 0.5); pen.lineTo(width, top + tall - 0.5); pen.stroke();
			pen.fillStyle = css("--dim");
			pen.textAlign = "right";
			pen.fillText(name, LEFT - 6, top + tall / 2 + 4);
			pen.fillStyle = css(colour);
			if (name === "throttled") throttled.forEach((share, step) => {
				if (!(share > THROTTLED_LEAST)) return;
				const x = time_x(data, width, step - 0.5);
				pen.globalAlpha = 0.35 + 0.65 * Math.min(share, 1);
				pen.fillRect(x, top + 2, Math.max(time_x(data, width, step + 0.5) - x, 1) + 0.3, tall - 4);
			});
			pen.globalAlpha = words ? 1 : 0.5;
			pen.textAlign = "left";
			for (let at = 0; at < mine.length;) {
				const x = x_of(mine[at].time_ms, width), first = at;
				for (; at < mine.length && x_of(mine[at].time_ms, width) - x < 3; at++) pen.fillRect(x_of(mine[at].time_ms, width) - 1, top + 1.5, 2.5, tall - 3);
				const said = words ? mine.slice(first, Math.min(at, first + 4)).map(words).filter(Boolean).join(" · ") : "", next = at < mine.length ? x_of(mine[at].time_ms, width) : width;
				if (said && pen.measureText(said).width + 8 < next - x) pen.fillText(said, x + 5, top + tall / 2 + 4);
			}
			pen.globalAlpha = 1;
		});
		draw_cross(pen, data, width, height, cross);
		if (cross === null) marks_now.textContent = `${here.length ? `${here.length} in this range` : "nothing in this range"}; drag over a chart to select a part of it`;
		else {
			const reach = Math.max(data.step_ms, 4 * data.steps * data.step_ms / Math.max(width - LEFT, 1)), at = data.from_ms + (cross + 0.5) * data.step_ms, near = here.filter(event => Math.abs(event.time_ms - at) <= reach);
			const told = near.filter(event => event.kind !== "exec").map(event => event.fields?.change || (event.kind === "measured" ? `measured ${kinds[event.fields.what] || event.fields.what}` : "") || `${life_words(event)} ${event.process || ""}`.trim()), started = near.filter(event => event.kind === "exec");
			marks_now.textContent = [...told.slice(0, 4), started.length === 1 ? `started ${started[0].process || "a program"}` : started.length ? `${started.length} programs started` : "", throttled[cross] > THROTTLED_LEAST ? `throttled ${percent(throttled[cross])}` : ""].filter(Boolean).join(" · ") || "nothing here";
		}
		marks.dataset.marks = String(here.length);
		marks.dataset.kinds = [...new Set(here.map(event => event.kind))].sort().join(" ");
		marks.dataset.throttled = String(throttled.filter(share => share > THROTTLED_LEAST).length);
	}
	// Whatever is read from whole intervals costs the agent the more the longer the range is: asked for the more seldom.
	const seldom = () => Math.min(Math.max(1900, time.now().seconds * 1000 / 60), 15000);
	async function load(force) {
		const period = time.now();
		if (!force && (period.to || Date.now() - asked < Math.max(900, period.seconds * 2))) return;
		asked = Date.now();
		try {
			const step = step_for(period.seconds), answer = await json(`/api/series?id=${series}&${period.query}&step_ms=${step}${several ? "&lives=1" : ""}`);
			if (gone) return;
			data = answer;
			called ||= data.resources[0]?.name;
			if (!told) load_events(true); // now it is known who that is
			if (against.value) await load_base(); else base = null;
			if (gone) return;
			title();
			paint();
			if (!force && asked - asked_heats < seldom()) return;
			asked_heats = asked;
			const waited = json(`/api/threads?series=${series}&from_ms=${data.from_ms}&to_ms=${data.from_ms + data.steps * data.step_ms}&step_ms=${data.step_ms}`).catch(() => null);
			const wanted = heats.map(([what]) => json(`/api/latency?what=${what}&series=${series}&${period.query}&step_ms=${Math.max(step, Math.ceil(period.seconds / 300) * 1000)}`).catch(() => null));
			threads = await waited;
			(await Promise.all(wanted)).forEach((heat, i) => { if (heat) heat_data.set(heats[i][0], heat); });
			paint();
		} catch (error) { said.textContent = error.message; }
	}
	// Every second, but then only the latest ones.
	async function load_events(force) {
		const name = row()?.name || data?.resources[0]?.name || called, { from, to } = time.span(), since = !force && !time.now().to && events.length ? Math.max(from, events[0].time_ms - 3000) : from;
		if (!name || (!force && (Date.now() - told < 900 || (time.now().to && told)))) return;
		told = Date.now();
		try {
			const found = await json(`/api/events?container=${encodeURIComponent(name)}&from_ms=${Math.round(since)}&to_ms=${Math.round(to) + 2000}`), before = events.length ? `${events.length} ${events[0].time_ms}` : "";
			if (gone) return;
			events = [...found.events, ...events.filter(event => event.time_ms < since && event.time_ms >= from && since !== from)];
			// One that was there before under another number, or is again.
			if (!several && (row()?.series !== series || events.some(event => ["restart", "deploy", "stop"].includes(event.kind)))) { several = true; load(true); }
			if (list.childElementCount && before === (events.length ? `${events.length} ${events[0].time_ms}` : "")) return;
			if (events.length) fill(list, el("thead", {}, el("tr", {}, ["Time", "What", "Process", "Details"].map(words => el("th", { class: "text", scope: "col" }, words)))), el("tbody", {}, starts_together(events).slice(0, 50).map(({ container: _, ...event }) => event_row(event))));
			else fill(list, el("tbody", {}, el("tr", {}, el("td", { class: "dim" }, "None in this range."))));
			paint();
		} catch { /* the banner says what is wrong with the connection */ }
	}
	async function load_lists(force) {
		if (!force && Date.now() - listed < seldom()) return;
		listed = Date.now();
		const name = row()?.name || data?.resources[0]?.name, quiet = promise => promise.catch(() => null); // the banner says what is wrong with the connection
		const [all, judged, edges] = await Promise.all([quiet(json("/api/profiles")), quiet(json("/api/verdicts")), quiet(json(`/api/edges?${time.now().query}&series=${series}`))]);
		if (gone) return;
		if (all) fill(jobs, all.profiles.filter(job => job.container === name && kinds[job.kind]).reverse().map(job => job_line(job)));
		const mine = (judged?.verdicts || []).filter(one => one.series === (row()?.series || series));
		const open = [...verdicts.querySelectorAll("details")].map(one => one.open);
		if (judged) fill(verdicts, mine.map(verdict_box), !mine.length && row() && judged.time_ms ? el("p", { class: "good" }, model.replay ? "✓ Nothing found wrong in this capture." : "✓ Nothing found wrong in the last ten seconds.") : null);
		verdicts.querySelectorAll("details").forEach((one, i) => { one.open = !!open[i]; });
		if (edges?.ends) {
			const graph = map_graph(edges, "none", new Set());
			talk = graph.links.reduce((all, link) => ({ segments: all.segments + link.segments, lost: all.lost + link.lost, failed: all.failed + link.failed }), { segments: 0, lost: 0, failed: 0 });
			fill(talks, el("thead", {}, el("tr", {}, ["From → to", "Ports", "Opened", "Failed", "Bytes", "Round trip"].map((words, i) => el("th", { scope: "col", class: i < 2 ? "text" : "" }, words)))), el("tbody", {}, graph.links.slice(0, 50).map(link => el("tr", { class: link.status === 2 ? "bad" : link.status ? "warn" : "" },
				el("td", {}, el("a", { href: `#/map?sel=${encodeURIComponent(link_name(link))}` }, link_name(link))), el("td", { class: "text" }, [...link.ports].slice(0, 8).join(", ")), el("td", {}, show["1/s"](link.rate)), el("td", {}, show["1"](link.failed)), el("td", {}, text("bytes/s", link.flow)), el("td", {}, rtt_words(link))))));
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
			looked = { series, time: job.start_ms, mine };
			if (!gone) list_processes();
		} catch (error) { if (!gone) fill(processes, el("p", { class: "hot" }, error.message)); }
		if (!gone) $("look").disabled = false;
	}
	// What was seen when somebody looked last is there, too, when he comes back from a process.
	function list_processes() {
		if (looked?.series !== series) return;
		const { mine, time: seen_ms } = looked;
		fill(processes, el("p", { class: "dim hint" }, `Seen at ${clock(seen_ms)}. A click measures one's wall time for 2 s.`), mine.length ? el("table", { "aria-label": "Processes" }, el("thead", {}, el("tr", {}, ["Process", "Pid", "State", "CPU, cores", "Memory"].map(words => el("th", { scope: "col" }, words)))), el("tbody", {}, mine.slice(0, 50).map(one => el("tr", {}, el("td", {}, button(words_of(one.command), () => profile_process(words_of(one.command)), { class: "plain", title: "Measure wall time for 2 s and show this process" })), el("td", {}, String(one.pid)), el("td", {}, one.state), el("td", {}, text("cores", one.cpu)), el("td", {}, text("bytes", one.memory_bytes)))))) : el("p", { class: "dim" }, "None could be seen."));
	}
	// What the agent's own verdicts leave out for being dear: locks, disks, connections, answers.
	async function diagnose() {
		const closer = $("diagnose");
		closer.disabled = true;
		fill(deeper, el("p", { class: "dim" }, "Looking at locks, disks, connections and answers, too, for 10 s…"));
		try {
			let job = await json(`/api/profiles?series=${row()?.series || series}&seconds=10&kind=diagnose`, { method: "POST" });
			while (!gone && !["done", "failed"].includes(job.state)) { await new Promise(done => setTimeout(done, 400)); job = await json(`/api/profiles/${job.id}`); }
			if (job.state === "failed") throw new Error(job.error);
			const read = await json(`/api/profiles/${job.id}/result`);
			if (!gone) fill(deeper, el("h3", {}, `In depth, ${clock(job.start_ms)}, for 10 s`), read.findings.length ? read.findings.map(one => verdict_box(verdict_of_finding(one))) : el("p", { class: "good" }, "✓ Nothing found wrong."));
		} catch (error) { if (!gone) fill(deeper, el("p", { class: "hot" }, error.message)); }
		if (!gone) closer.disabled = false;
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
	function select_range(a, b) {
		cross = drag = null;
		time.choose(data.from_ms + Math.min(a, b) * data.step_ms, data.from_ms + (Math.max(a, b) + 1) * data.step_ms);
	}
	for (const canvas of [...panels.map(panel => panel.canvas), ...maps.map(one => one.canvas), marks]) {
		const step_at = event => { const box = canvas.getBoundingClientRect(), step = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * data.steps); return step >= 0 && step < data.steps ? step : null; };
		canvas.addEventListener("pointerdown", event => { const step = data && step_at(event); if (step !== null) { drag = { step }; canvas.setPointerCapture(event.pointerId); } });
		canvas.addEventListener("pointermove", event => { if (!data) return; cross = step_at(event); paint(); title(); });
		canvas.addEventListener("pointerup", event => {
			const was = drag, step = data && step_at(event);
			drag = null;
			if (was && step !== null && Math.abs(step - was.step) >= 2) select_range(step, was.step);
		});
		canvas.addEventListener("pointerleave", () => { if (!drag) { cross = null; paint(); title(); } });
	}
	marks.addEventListener("keydown", event => {
		const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key] * (event.shiftKey ? 10 : 1);
		if (!data || (!by && event.key !== "Enter")) return;
		if (by) cross = Math.min(Math.max((cross ?? data.steps - 1) + by, 0), data.steps - 1);
		else if (cross !== null && !drag) drag = { step: cross };
		else if (drag && Math.abs(cross - drag.step) >= 2) select_range(drag.step, cross);
		paint();
		title();
		event.preventDefault(); event.stopPropagation();
	});
	marks.addEventListener("blur", () => { cross = drag = null; paint(); title(); });
	const sized = new ResizeObserver(paint);
	sized.observe(grid);
	fill_against();
	list_processes();
	load(true);
	load_events(true);
	load_lists(true);
	return { period: time, theme: paint, refresh: () => load_lists(true), escape: () => { if (drag || cross !== null) { cross = drag = null; paint(); title(); } else history.back(); },
		live: () => {
			fill_against();
			if (!drag && cross === null) title();
			if (model.paused) return;
			load();
			load_events();
			load_lists();
		},
		leave: () => { gone = true; sized.disconnect(); },
	};
}
