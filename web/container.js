// SPDX-License-Identifier: Apache-2.0
function container(view, id) {
	const series = Number(id);
	let seconds = Number(address().query.get("range")) || 300, data = null, cross = null, gone = false, asked = 0;
	const heading = el("h1", {}), facts = el("div", { class: "facts" }), said = el("span", { class: "dim", role: "status" });
	const range = el("select", { "aria-label": "Range", onchange: () => {
		seconds = Number(range.value);
		set_query({ range: String(seconds) });
		load();
	} }, ...ranges.map(([value, words]) => el("option", { value, selected: value === seconds }, words)));
	const panels = charts.map(chart => {
		const now = chart.lines.map(() => el("span", {}));
		const canvas = el("canvas", { role: "img", "aria-label": `${chart.title} over time` });
		const head = el("header", {}, el("strong", {}, chart.title), ...chart.lines.map((line, i) => el("span", { class: "dim" }, el("i", { class: `key c${i}` }), `${line.says} `, now[i])));
		return { chart, now, canvas, box: el("section", { class: "chart" }, head, canvas) };
	});
	const heat = el("canvas", { id: "heat", role: "img", "aria-label": "Waits for a CPU by length, over time" }), heat_now = el("span", { class: "dim" });
	const heat_box = el("section", { class: "chart wide" }, el("header", {}, el("strong", {}, "Run-queue latency: waits for a CPU, by length"), heat_now), heat);
	const grid = el("div", { class: "charts" }, ...panels.slice(0, 2).map(panel => panel.box), heat_box, ...panels.slice(2).map(panel => panel.box));
	const jobs = el("div", {}), list = el("table", { "aria-label": "Events" });
	view.append(heading, facts, el("div", { class: "bar" }, range, said, el("span", { class: "grow" }), copy_button(() => `fathom top ${quote(row()?.name || "")}`),
		el("button", { type: "button", onclick: () => download_csv() }, "CSV")), grid,
	el("h2", {}, "Profile"), profile_form(() => series, () => row()), jobs, el("h2", {}, "Events"), list);

	const row = () => model.rows.find(one => one.series === series);
	function title() {
		const one = row();
		heading.textContent = one?.name || data?.resources[0]?.name || "…";
		facts.replaceChildren(...[["runtime", one?.runtime], ["image", one?.image], ["id", one?.id?.slice?.(0, 12)], ["pod", one?.pod], ["cgroup", one?.cgroup],
			["", one ? one.dead ? "ended" : "" : data ? "not running now" : ""]].filter(([, value]) => value).map(([key, value]) => el("span", {}, key ? `${key} ` : "", el("b", {}, String(value)))));
	}
	function paint() {
		if (!data) return;
		const resource = data.resources[0];
		for (const { chart, now, canvas } of panels) {
			draw_chart(canvas, chart, data, resource?.values, cross);
			chart.lines.forEach((line, i) => {
				const values = resource?.values[line.name] || [];
				now[i].textContent = text(chart.unit, cross !== null ? values[cross] : values.findLast(known));
			});
		}
		draw_heat(heat, data, resource, cross);
		heat_now.textContent = cross === null ? "" : `${(resource?.waits || []).filter(cell => cell[0] === cross).reduce((sum, cell) => sum + cell[2], 0)} waits`;
		grid.dataset.drawn = String(data.from_ms);
		said.textContent = cross === null ? `${data.step_ms / 1000} s a point` : clock(data.from_ms + (cross + 1) * data.step_ms);
		if (!resource) said.textContent = "nothing is known of it in this range";
	}
	async function load() {
		asked = Date.now();
		try {
			const answer = await json(`/api/series?id=${series}&seconds=${seconds}&step_ms=${step_for(seconds)}&waits=1`);
			if (gone) return;
			data = answer;
			title();
			paint();
		} catch (error) { said.textContent = error.message; }
	}
	async function load_lists() {
		try {
			const [all, events] = await Promise.all([json("/api/profiles"), row() ? json(`/api/events?container=${encodeURIComponent(row().name)}`) : { events: [] }]);
			if (gone) return;
			jobs.replaceChildren(...all.profiles.filter(job => job.container === row()?.name).reverse().map(job => job_line(job)));
			list.replaceChildren(el("thead", {}, el("tr", {}, ...["Time", "What", "Process", ""].map(words => el("th", { class: "text", scope: "col" }, words)))),
				el("tbody", {}, ...events.events.slice(0, 50).map(event => el("tr", {}, el("td", { class: "text" }, clock(event.time_ms)), el("td", { class: "text" }, event.kind),
					el("td", { class: "text" }, `${event.process || ""} ${event.pid || ""}`), el("td", { class: "text" }, Object.entries(event.fields).map(([key, value]) => `${key} ${value}`).join(", "))))));
			list.hidden = !events.events.length;
		} catch { /* the banner says what is wrong with the connection */ }
	}
	function download_csv() {
		if (!data?.resources[0]) return;
		const names = Object.keys(data.resources[0].values);
		const lines = [["time", ...names].join(",")];
		for (let step = 0; step < data.steps; step++)
			lines.push([new Date(data.from_ms + (step + 1) * data.step_ms).toISOString(), ...names.map(name => data.resources[0].values[name][step] ?? "")].join(","));
		save(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }), "fathom.csv");
	}
	for (const canvas of [...panels.map(panel => panel.canvas), heat]) {
		canvas.addEventListener("mousemove", event => {
			if (!data) return;
			const box = canvas.getBoundingClientRect();
			const step = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * data.steps);
			cross = step >= 0 && step < data.steps ? step : null;
			paint();
		});
		canvas.addEventListener("mouseleave", () => { cross = null; paint(); });
	}
	const sized = new ResizeObserver(paint);
	sized.observe(grid);
	load();
	load_lists();
	return {
		live: () => {
			title();
			if (model.paused) return;
			if (Date.now() - asked > Math.max(900, seconds * 2)) load();
			load_lists();
		},
		leave: () => { gone = true; sized.disconnect(); },
	};
}

