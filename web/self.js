// SPDX-License-Identifier: Apache-2.0
// ---- self

function self(view) {
	const cards = el("div", { class: "cards" }), parts = el("table", { "aria-label": "Probes" }), notes = el("ul", {}), disk = el("p", {}), heap = el("p", {});
	let last = null;
	view.append(el("div", { class: "bar" }, el("h1", {}, model.replay ? "What the capture rests on" : "What the agent itself takes"), el("span", { class: "grow" }), export_menu([["JSON", () => last && save(json_blob(last), "fathom-self.json")], ["CSV", () => last && save(csv_of([["probe", "state", "rung", "misses", "cost_seconds", "kernel_runs_per_second", "kernel_ns_per_run", "kernel_cores", "kernel_measured_by"], ...last.parts.map(part => [part.name, part.state, part.rung, part.misses, part.cost_seconds, part.kernel?.runs_per_second, part.kernel?.ns_per_run, part.kernel?.cores, part.kernel?.measured_by])]), "fathom-self.csv")]]), copy_button(() => "fathom cost")), cards, el("h2", {}, "Probes"), parts, model.replay ? "" : el("p", { class: "dim hint" }, "The agent's kernel programs time one call in 64 themselves: what a probe's take together is an estimate from that. What each takes is counted while ", el("code", {}, "kernel.bpf_stats_enabled"), " is on, which makes every program on the machine slower; ", el("code", {}, "fathom cost"), " turns it on for as long as it looks."), el("h2", {}, "History and memory"), disk, heap, el("h2", {}, "What was shed"), notes);
	const card = (words, value, under) => el("div", { class: "card" }, el("span", { class: "dim" }, words), el("b", {}, value), el("span", { class: "dim" }, under || ""));
	// What is not counted is unknown, not nothing.
	const cost_words = one => one.cores === null ? one.ns_per_run === null ? one.programs ? "not known yet" : "not known: the kernel's statistics are off" : `${text("ns", one.ns_per_run)} a run when it was last known` : `${text("ratio", one.cores)} of a core: ${text("1", one.runs_per_second)} runs/s${one.ns_per_run === null ? "" : `, ${text("ns", one.ns_per_run)} each`}`;
	const kernel_cell = ({ kernel, state, name }, opened) => !kernel ? (state === "on" && !model.replay ? "none of the agent's own" : "–") : kernel.cores === null && kernel.ns_per_run === null ? cost_words(kernel) :
		el("details", { "data-part": name, open: opened.has(name) }, el("summary", {}, `${cost_words(kernel)}${kernel.measured_by === "itself" ? ", by their own timing" : ""}${kernel.measured_by === "itself" && kernel.untimed ? ` (without ${kernel.untimed} that do not time themselves)` : ""}`), el("ul", {}, kernel.programs.map(one => el("li", {}, el("code", {}, one.name), `: ${cost_words(one)}`))));
	let gone = false;
	async function live() {
		let now;
		try { now = await json("/api/self"); } catch { return; }
		if (gone) return;
		last = now;
		const of = (value, unit) => value ? `of ${text(unit, value)} allowed` : "no bound";
		cards.hidden = !!model.replay;
		cards.replaceChildren(card("CPU, of one core", text("ratio", now.cpu_cores), `${of(now.limits.cpu_cores, "ratio")}; ${text("ratio", now.answers_cores)} for readers${now.limits.cpu_cores ? ", which have none" : ""}`), card("Memory", text("bytes", now.resident_bytes), `${of(now.limits.resident_bytes, "bytes")}${now.children_resident_bytes ? `; ${text("bytes", now.children_resident_bytes)} at most in who looks for stacks` : ""}`),
			card("Kernel maps", text("bytes", now.map_bytes), of(now.limits.map_bytes, "bytes")), card("A reading takes", text("ns", now.tick_seconds * 1e9), `${now.ticks} so far`),
			card("Requests", text("1", now.http.requests), `${now.http.refused} refused; ${now.http.streams} watching`));
		const lost = part => Object.entries(part.items).map(([name, count]) => `${name.replaceAll("_", " ")}: ${show["1"](count)}`).join(", ");
		const opened = new Set([...parts.querySelectorAll("details[open]")].map(one => one.dataset.part));
		parts.replaceChildren(el("thead", {}, el("tr", {}, ...["Probe", "State", "How", "What that cannot see", "Lost", "Kernel programs", "CPU so far"].map((words, i) => el("th", { class: i < 6 ? "text" : "", scope: "col" }, words)))),
			el("tbody", {}, ...now.parts.map(part => el("tr", {}, el("td", { class: "text" }, el("b", {}, part.name), el("span", { class: "under" }, part.shows)),
				el("td", { class: `text${part.state === "on" ? "" : " hot"}` }, part.state === "on" ? part.looked_ratio === null ? "on" : `on, for ${text("ratio", part.looked_ratio)} of the time` : `${part.state}: ${part.why || ""}${part.retry_ms ? `; tried again at ${clock(part.retry_ms)}` : ""}`), el("td", { class: "text" }, part.rung || "–"),
				el("td", { class: "text" }, part.misses || part.why || "nothing known"), el("td", { class: "text" }, lost(part) || "nothing"), el("td", { class: "text" }, kernel_cell(part, opened)), el("td", {}, part.cost_seconds === null ? "–" : text("ns", part.cost_seconds * 1e9))))));
		disk.textContent = `${now.history.memory_ticks} readings in memory (${text("bytes", now.history.memory_bytes)}); ${now.history.on_disk ? `${text("bytes", now.history.disk_bytes)} of ${text("bytes", now.history.disk_budget_bytes)} on disk` : "none on disk"}${now.history.trouble ? `; NOT WRITTEN: ${now.history.trouble}` : ""}`;
		heap.textContent = `In the heap ${text("bytes", now.memory.heap_bytes + now.memory.heap_mapped_bytes)} are in use; ${text("bytes", now.memory.readings_bytes + now.memory.intervals_bytes + now.memory.stacks_bytes)} hold the last minutes, packed. All of it has bounds: ${Object.entries(now.memory.counts).map(([kind, count]) => `${count} ${kind.replaceAll("_", " ")}`).join(", ")}.`;
		notes.replaceChildren(...(now.notes.length ? now.notes : ["Nothing so far."]).map(words => el("li", {}, words)));
	}
	return { live, leave: () => { gone = true; } };
}

