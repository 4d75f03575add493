// SPDX-License-Identifier: Apache-2.0
// ---- FlameScope: when samples were taken, a column a second, from its beginning (below) to its end; a range of it leads to its flame graph

function draw_scope(canvas, data, { cross = null, range = null } = {}) {
	const { pen, width, height } = prepare(canvas), wide = (width - LEFT) / data.columns, tall = (height - BOTTOM) / data.rows, most = Math.max(data.most, 1);
	// from one cell to another: whole columns between them, parts of the first and the last
	const boxes_of = (from, to) => {
		const boxes = [];
		for (let cell = from; cell < to;) {
			const column = Math.floor(cell / data.rows), end = Math.min(to, (column + 1) * data.rows);
			boxes.push([LEFT + column * wide, height - BOTTOM - (end - column * data.rows) * tall, wide, (end - cell) * tall]);
			cell = end;
		}
		return boxes;
	};
	canvas.dataset.gaps = JSON.stringify(data.gaps);
	for (const [from, to] of data.gaps) {
		const cell_at = ms => (ms - data.from_ms) * data.rows / 1000, boxes = boxes_of(Math.max(cell_at(from), 0), Math.min(cell_at(to), data.columns * data.rows));
		if (boxes.length) draw_gap(pen, boxes, height, !data.samples && data.samples_without_time ? "when the samples were taken was not recorded" : to === data.not_over_ms ? "not over yet" : undefined);
	}
	pen.fillStyle = css("--warm");
	for (const [column, row, count] of data.cells) {
		pen.globalAlpha = 0.16 + 0.84 * count / most;
		pen.fillRect(LEFT + column * wide, height - BOTTOM - (row + 1) * tall, Math.max(wide, 1) - (wide > 5 ? 0.6 : 0), tall - (tall > 4 ? 0.5 : 0));
	}
	pen.globalAlpha = 1;
	pen.fillStyle = css("--dim");
	pen.textAlign = "right";
	for (const share of [0, 0.25, 0.5, 0.75, 1]) pen.fillText(`${1000 * share} ms`, LEFT - 6, Math.max(height - BOTTOM - (height - BOTTOM) * share + (share ? 4 : 0), 10));
	draw_axis(pen, { ...data, steps: data.columns, step_ms: 1000 }, width, height);
	for (const [one, colour, fill] of [[range, css("--accent"), 0.18], [cross === null ? null : { from: cross, to: cross + 1 }, css("--text"), 0.35]]) {
		if (!one) continue;
		pen.fillStyle = colour;
		pen.globalAlpha = fill;
		for (const place of boxes_of(one.from, one.to)) pen.fillRect(...place);
		pen.globalAlpha = 1;
	}
}

// A cell has some four ticks of each CPU's clock, 99 and 19 a second, unless another one is chosen: with fewer, the stripes of the clock look like
// work and rest.
const SCOPE_CELL_MS = 200, SCOPE_CELL_MEASURED_MS = 40, SCOPE_CELLS_MS = [10, 20, 40, 50, 100, 200, 500];

function flame_scope(view, query) {
	const measured = /^p(\d+)$/.exec(query.get("of") || "")?.[1];
	let data = null, cross = null, start = null, pressed = null, by_seconds = false, gone = false, asked = 0, seen_to = 0;
	const wanted = (query.get("sel") || "").split(",").map(Number), crumbs = el("nav", { class: "crumbs", "aria-label": "Where" });
	let times = wanted.length === 2 && wanted.every(one => one > 0) ? { from: wanted[0], to: wanted[1] } : null;
	const who = container_select(query.get("series"), true, () => { times = null; set_query({ series: who.value === "0" ? "" : who.value, sel: "" }); load(true); });
	const time = period_control(60, () => { times = null; set_query({ sel: "" }); load(true); }), usual_ms = measured ? SCOPE_CELL_MEASURED_MS : SCOPE_CELL_MS;
	const cell = el("select", { id: "cell", class: "narrow", "aria-label": "Length of a cell", title: "Shorter cells show shorter bursts; below what the samples' clock tells them apart, its stripes show, too", onchange: () => { set_query({ cell: cell.value === String(usual_ms) ? "" : cell.value }); load(true).then(tell); } },
		SCOPE_CELLS_MS.map(ms => el("option", { value: ms, selected: ms === (SCOPE_CELLS_MS.find(one => String(one) === query.get("cell")) || usual_ms) }, `Cells of ${ms} ms`)));
	const canvas = el("canvas", { id: "scope", tabindex: 0, role: "img", "aria-label": "Samples by parts of a second: a column is a second. Drag, or click the beginning and then the end, to choose a range, on the time axis of whole seconds; arrow keys move, Enter marks its beginning and its end" });
	const hint = el("p", { class: "dim hint" }), said = el("span", { class: "dim", role: "status" }), now = el("span", { class: "dim", "aria-live": "polite" }), empty = el("p", { class: "empty", hidden: true }), chosen = el("div", { id: "scope-range", class: "bar" }), box = el("section", { class: "chart tall" }, el("header", {}, el("strong", {}, "Threads on CPU, by parts of a second"), now), canvas);
	view.append(crumbs, el("h1", {}, "FlameScope"), el("div", { class: "bar" }, measured ? null : [time.box, who], cell, said, el("span", { class: "grow" }),
		export_menu([["PNG", () => canvas.toBlob(blob => save(blob, "fathom-flamescope.png"))], ["CSV", () => data && save(csv_of([["time", "samples"], ...data.cells.map(([column, row, count]) => [new Date(data.from_ms + 1000 * column + data.cell_ms * row).toISOString(), count])]), "fathom-flamescope.csv")], ["JSON", () => data && save(json_blob(data), "fathom-flamescope.json")]]),
		copy_button(() => command_here(command_of("profile", Math.min(time.now().seconds, 60), row_of(who.value)?.name), times))), box, hint, empty, chosen);
	fill(crumbs, el("a", { href: "#/" }, "Overview"), " › ", el("a", { href: measured ? `#/flame?a=p${measured}` : `#/flame?series=${who.value}` }, measured ? "measurement" : "flame graphs"));

	async function load(force) {
		if (!force && (measured || Date.now() - asked < 2000)) return;
		asked = Date.now();
		try {
			const read = await json(`/api/flamescope?cell_ms=${cell.value}&${measured ? `profile=${measured}` : `${time.now().query}${who.value !== "0" ? `&series=${who.value}` : ""}`}`);
			if (gone || start !== null) return;
			data = read;
		} catch (error) { if (!gone) { data = null; fill(empty, error.message); paint(); } return; }
		seen_to = data.from_ms + 1000 * data.columns;
		// what is sampled now is known when its window is over
		if (!model.replay && !measured && data.gaps.at(-1)?.[1] >= Date.now() - 5000) data.not_over_ms = data.gaps.at(-1)[1];
		if (!data.samples && data.samples_without_time) data.gaps = [[data.from_ms, data.from_ms + 1000 * data.columns]];
		said.textContent = !data.samples ? data.samples_without_time ? `${show["1"](data.samples_without_time)} samples without their times: see the flame graph` : "no samples in this range" : `${show["1"](data.samples)} samples${data.samples_without_time ? `, and ${show["1"](data.samples_without_time)} of which the moment is not known` : ""}; at ${data.frequency_hz} Hz a CPU${data.most ? `; darkest: ${show["1"](data.most)} in ${data.cell_ms} ms` : ""}`;
		paint();
	}
	const moment = cell => data.from_ms + 1000 * Math.floor(cell / data.rows) + data.cell_ms * (cell % data.rows);
	const cell_of = ms => Math.round(Math.floor((ms - data.from_ms) / 1000) * data.rows + ((ms - data.from_ms) % 1000) / data.cell_ms);
	const exact = ms => `${clock(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
	const between = (a, b) => ({ from: Math.min(a, b), to: Math.max(a, b) + 1 });
	function paint() {
		empty.hidden = !!data;
		box.hidden = !data;
		if (!data) { fill(chosen); return; }
		const range = start !== null && cross !== null ? between(...by_seconds ? of_seconds(start, cross) : [start, cross]) : times ? { from: Math.max(0, cell_of(times.from)), to: Math.min(data.columns * data.rows, cell_of(times.to)) } : null;
		draw_scope(canvas, data, { cross, range: range && range.to > range.from ? range : null });
		canvas.dataset.cells = String(data.cells.length);
		now.textContent = !data.samples ? "" : cross === null ? start === null ? "Drag, or click beginning and end; on the axis: whole seconds." : "Now the end." : `${exact(moment(cross))}: ${data.cells.find(([column, row]) => column * data.rows + row === cross)?.[2] || 0} samples`;
	}
	function tell() {
		if (!times || !data) { fill(chosen); return; }
		const { from, to } = times, range = { from: cell_of(from), to: cell_of(to) }, number = data.cells.reduce((sum, [column, row, count]) => sum + (column * data.rows + row >= range.from && column * data.rows + row < range.to ? count : 0), 0);
		const source_of = (from, to) => measured ? `c,${measured},${from},${to}` : range_source(who.value, "profile", from, to), source = source_of(from, to), length = to - from, compared = (a, shares) => `#/flame?${new URLSearchParams({ a, b: source, ...(shares ? { n: "1" } : {}) })}`;
		fill(chosen, el("b", {}, `${exact(from)}–${exact(to)}`), el("span", { class: "dim", id: "scope-count" }, `${span_words(length / 1000)}, ${show["1"](number)} samples`), el("a", { class: "button strong", href: `#/flame?a=${encodeURIComponent(source)}` }, "Flame graph of it"),
			el("a", { class: "button", href: compared(source_of(from - length, from)) }, "Against as long before"),
			el("a", { class: "button", title: "What is more here than usual: shares, not sums", href: compared(source_of(data.from_ms, data.from_ms + 1000 * data.columns), true) }, "Against all of it"), button("Clear", () => { times = null; set_query({ sel: "" }); paint(); tell(); }));
	}
	function choose(a, b) {
		const { from, to } = between(a, b);
		times = { from: moment(from), to: moment(to) };
		start = null;
		// what is chosen stays where it is
		if (!measured && !time.now().to) { set_query({ to: String(seen_to) }); pause(true); time.show(); }
		set_query({ sel: `${times.from},${times.to}` });
		paint();
		tell();
	}
	const at = event => { const area = canvas.getBoundingClientRect(), column = Math.floor((event.clientX - area.left - LEFT) / (area.width - LEFT) * data.columns), row = Math.floor((area.height - BOTTOM - (event.clientY - area.top)) / (area.height - BOTTOM) * data.rows); return Math.min(Math.max(column, 0), data.columns - 1) * data.rows + Math.min(Math.max(row, 0), data.rows - 1); };
	// Below the cells is the axis, where whole seconds are chosen.
	const is_axis = event => event.clientY - canvas.getBoundingClientRect().top > canvas.clientHeight - BOTTOM, of_seconds = (a, b) => [Math.floor(Math.min(a, b) / data.rows) * data.rows, Math.floor(Math.max(a, b) / data.rows) * data.rows + data.rows - 1];
	canvas.addEventListener("pointerdown", event => {
		if (!data || event.button) return;
		canvas.setPointerCapture(event.pointerId);
		pressed = at(event);
		by_seconds = start === null && is_axis(event);
		if (start === null) { start = pressed; times = null; tell(); }
	});
	canvas.addEventListener("pointermove", event => { if (!data) return; cross = at(event); paint(); });
	canvas.addEventListener("pointerup", event => {
		if (pressed === null) return;
		const end = at(event), is_range = by_seconds || end !== pressed || start !== pressed;
		pressed = null;
		if (is_range) choose(...by_seconds ? of_seconds(start, end) : [start, end]); else paint();
		by_seconds = false;
	});
	canvas.addEventListener("pointerleave", () => { if (pressed === null && start === null) { cross = null; if (data) paint(); } });
	canvas.addEventListener("keydown", event => {
		if (!data) return;
		const by = { ArrowLeft: -data.rows, ArrowRight: data.rows, ArrowUp: 1, ArrowDown: -1 }[event.key];
		if (by) { cross = Math.min(Math.max((cross ?? 0) + by, 0), data.columns * data.rows - 1); paint(); } else if (event.key === "Enter" && cross !== null) { if (start === null) start = cross; else choose(start, cross); paint(); } else return;
		event.preventDefault(); event.stopPropagation();
	});
	const sized = new ResizeObserver(paint);
	sized.observe(canvas);
	load(true).then(tell);
	if (!measured) sampler_words().then(words => { if (words.startsWith("Not")) hint.textContent = words; }, () => {});
	return { period: measured ? null : time, theme: paint, live: () => { who.refresh(); if (!model.paused && start === null && !time.now().to) load(); }, escape: () => { if (start !== null || times) { start = times = null; set_query({ sel: "" }); paint(); tell(); } else history.back(); }, leave: () => { gone = true; sized.disconnect(); } };
}

