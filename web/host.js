// SPDX-License-Identifier: Apache-2.0
// ---- the machine: utilisation, saturation and errors of each resource; the checklist of the first sixty seconds

const host_units = [value => show["1"](value), value => show.ratio(value), value => show["1/s"](value), value => show.bytes(value), value => show["bytes/s"](value), value => duration(value)];

function duration(seconds) {
	return seconds >= 172800 ? `${digits(seconds / 86400)} days` : seconds >= 7200 ? `${digits(seconds / 3600)} h` : seconds >= 120 ? `${digits(seconds / 60)} min` : seconds >= 1 || !seconds ? `${digits(seconds)} s` : show.ns(seconds * 1e9);
}

const span_words = seconds => trimmed(duration(seconds)); // of lengths that are exact

const pressures = { pressure_cpu: "some wait for CPUs", pressure_memory: "some wait for memory", pressure_io: "some wait for disks", running: "running or ready", blocked: "blocked" };

// In the order in which one looks: the command one would type, and what it would show.
const checklist = [
	["uptime", ["load_1", "load_5", "load_15", "uptime"]], ["dmesg | tail", ["oom_kills", "reclaim_stalls"]], ["vmstat 1", ["running", "blocked", "swapped_in", "swapped_out", "switches", "interrupts", "forks"]],
	["mpstat -P ALL 1", ["cpu_user", "cpu_system", "cpu_iowait", "cpu_irq", "cpu_softirq", "cpu_steal", "cpu_idle"]], ["pidstat 1", ["threads", "files"]], ["iostat -xz 1", ["read_bytes", "written_bytes", "pressure_io"]],
	["free -m", ["memory_total", "memory_available", "memory_available_share", "memory_cache", "swap_used", "pressure_memory"]], ["sar -n DEV 1", ["softnet_drops", "conntrack", "udp_overflows"]],
	["sar -n TCP,ETCP 1", ["tcp_active_opens", "tcp_passive_opens", "tcp_failed_attempts", "tcp_resets", "tcp_retransmits", "tcp_listen_overflows"]], ["top", ["pressure_cpu"]],
];
const own = one => known(one) ? { value: one, abnormal: false } : one || { value: null, abnormal: false };

function host(view) {
	let gone = false, last = null, job = null;
	const said = el("span", { class: "dim", role: "status" }), use = el("table", { "aria-label": "Utilisation, saturation, errors" }), list = el("table", { "aria-label": "The first sixty seconds" }), cpus = el("div", { class: "cpus", role: "img", "aria-label": "CPUs" }), more = el("div", {}), empty = el("p", { class: "empty" }, "Waiting for the first reading…");
	const time = model.replay ? period_control(60, () => live(true)) : null;
	const closer = button("Processes and kernel messages", measure);
	view.append(el("h1", {}, "This machine"), el("div", { class: "bar" }, said, el("span", { class: "grow" }), model.replay ? time.box : closer, export_menu([["CSV", () => last && save(csv_of([["name", "value", "abnormal"], ...Object.entries(last.values).map(([name, one]) => [name, own(one).value, own(one).abnormal])]), "fathom-host.csv")], ["JSON", () => last && save(json_blob(last), "fathom-host.json")]]), copy_button(() => "fathom host")),
		empty, el("h2", {}, "Utilisation, saturation, errors"), cpus, use, el("h2", {}, "The first sixty seconds"), list, more);

	// Words of one's own: the names of sar and vmstat stand beside them.
	const words_for = name => ({ load_1: "load 1 min", load_5: "5 min", load_15: "15 min", files: "file table", threads: "threads of limit", conntrack: "conntrack table", uptime: "up", read_bytes: "read", written_bytes: "written", softnet_drops: "packets dropped by CPUs", udp_overflows: "UDP overflows", oom_kills: "OOM kills", reclaim_stalls: "stalls for memory", switches: "context switches" })[name] || pressures[name] || name.replace(/^(cpu|tcp|memory)_/, "").replaceAll("_", " ");
	const meaning = name => last.meanings?.find(one => one.name === name) || { label: name.replaceAll("_", " "), unit: /share|cpu_|pressure/.test(name) ? 1 : /bytes|memory/.test(name) ? 3 : 0 };
	const cell = (words, abnormal, why) => el("td", { class: `text${abnormal ? " hot" : ""}`, title: why || null }, words);
	function value_words(name) {
		const { value } = own(last.values[name]), { unit } = meaning(name);
		return `${words_for(name)} ${known(value) ? (host_units[unit] || host_units[0])(value) : "not known"}`;
	}
	const abnormal = name => !!own(last.values[name]).abnormal;
	function values_cell(names) {
		const there = names.filter(name => name in last.values), made = el("td", { class: "text" });
		there.forEach((name, i) => made.append(i ? ", " : "", el("span", { class: abnormal(name) ? "hot whole" : "whole", title: meaning(name).meaning || null }, value_words(name))));
		if (!there.length) made.append("not known");
		return made;
	}
	function use_rows() {
		const rows = [["CPU", el("td", { class: "text" }, `busy ${known(own(last.values.cpu_idle).value) ? show.ratio(1 - own(last.values.cpu_idle).value) : "not known"}`), values_cell(["running", "load_1", "pressure_cpu"]), values_cell(["cpu_steal"])],
			["Memory", el("td", { class: `text${abnormal("memory_available_share") ? " hot" : ""}` }, `used ${known(own(last.values.memory_available_share).value) ? show.ratio(1 - own(last.values.memory_available_share).value) : "not known"}`), values_cell(["swapped_in", "swapped_out", "reclaim_stalls", "pressure_memory"]), values_cell(["oom_kills"])]];
		for (const disk of (last.disks || []).filter(one => !/^(loop|ram)/.test(one.name) || own(one.busy).value > 0).slice(0, 12)) {
			const busy = own(disk.busy), wait = own(disk.wait_s);
			rows.push([`Disk ${disk.name}`, cell(`busy ${text("ratio", busy.value)}; read ${text("bytes/s", disk.read_bytes_per_s)}, written ${text("bytes/s", disk.write_bytes_per_s)}`, busy.abnormal), cell(`queue ${known(disk.queue) ? digits(disk.queue) : "not known"}, an answer takes ${known(wait.value) ? duration(wait.value) : "not known"}`, wait.abnormal), cell("not known: the kernel counts none by disk")]);
		}
		for (const one of (last.interfaces || []).filter(one => one.received_packets_per_s || one.sent_packets_per_s || own(one.errors_per_s).value || own(one.drops_per_s).value).slice(0, 12)) {
			const drops = own(one.drops_per_s), errors = own(one.errors_per_s);
			rows.push([`Network ${one.name}`, cell(`received ${text("bytes/s", one.received_bytes_per_s)}, sent ${text("bytes/s", one.sent_bytes_per_s)}`), cell(`dropped ${text("1/s", drops.value)}`, drops.abnormal), cell(`errors ${text("1/s", errors.value)}`, errors.abnormal)]);
		}
		rows.push(["TCP", values_cell(["tcp_active_opens", "tcp_passive_opens"]), values_cell(["tcp_listen_overflows"]), values_cell(["tcp_failed_attempts", "tcp_retransmits", "tcp_resets"])]);
		return rows;
	}
	function paint() {
		empty.hidden = true;
		said.textContent = `${clock(last.time_ms)}, over ${digits(last.interval_s)} s`;
		const few = (last.cpus || []).length <= 16;
		cpus.classList.toggle("few", few);
		fill(cpus, (last.cpus || []).slice(0, 512).map(cpu => { const busy = own(cpu.busy).value, made = el("span", { title: `CPU ${cpu.cpu}: user ${text("ratio", cpu.user)}, system ${text("ratio", cpu.system)}, waits for disks ${text("ratio", cpu.iowait)}, stolen ${text("ratio", cpu.steal)}` }, few ? `CPU ${cpu.cpu} ${text("ratio", busy)}` : `${cpu.cpu}`); made.style.setProperty("--busy", known(busy) ? busy.toFixed(3) : "0"); if (!known(busy)) made.className = "unknown"; return made; }));
		fill(use, el("thead", {}, el("tr", {}, ...["Resource", "Utilisation", "Saturation", "Errors"].map(words => el("th", { scope: "col", class: "text" }, words)))), el("tbody", {}, use_rows().map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, name), ...cells))));
		fill(list, el("thead", {}, el("tr", {}, ...["", "In place of", "Shows", "What that means"].map(words => el("th", { scope: "col", class: "text" }, words)))), el("tbody", {}, checklist.map(([command, names]) => {
			const bad = names.filter(abnormal);
			return el("tr", {}, el("td", { class: bad.length ? "hot" : "good" }, bad.length ? "!" : "✓"), el("td", { class: "text" }, el("code", { class: "whole" }, command)), values_cell(names), el("td", { class: "text" }, bad.map(name => meaning(name).meaning).filter(Boolean).join("; ") || (bad.length ? "abnormal" : "nothing abnormal")));
		})));
		view.dataset.ready = "1";
	}
	// Who has the CPUs and what the kernel said are read when they are asked for.
	async function measure() {
		closer.disabled = true;
		try {
			job = await json("/api/profiles?series=0&seconds=1&kind=host", { method: "POST" });
			while (!gone && !["done", "failed"].includes(job.state)) { await new Promise(done => setTimeout(done, 250)); job = await json(`/api/profiles/${job.id}`); }
			if (job.state === "failed") throw new Error(job.error);
			const read = await json(`/api/profiles/${job.id}/result`);
			if (gone) return;
			fill(more, el("h2", {}, `Processes, ${clock(job.start_ms)}`), el("table", { "aria-label": "Processes" }, el("thead", {}, el("tr", {}, ...["Process", "Container", "State", "CPU", "Memory"].map((words, i) => el("th", { scope: "col", class: i < 3 ? "text" : "" }, words)))),
				el("tbody", {}, (read.processes || []).slice(0, 20).map(one => el("tr", {}, el("td", { class: "text" }, `${words_of(one.command)} ${one.pid}`), el("td", { class: "text" }, words_of(one.container) || "–"), el("td", { class: "text" }, one.state), el("td", {}, text("cores", one.cpu)), el("td", {}, text("bytes", one.memory_bytes)))))),
			el("h2", {}, "Kernel messages"), read.messages?.length ? el("table", { "aria-label": "Kernel messages" }, el("tbody", {}, read.messages.slice(-30).reverse().map(one => el("tr", {}, el("td", { class: "text" }, `${duration(one.age_s)} ago`), el("td", { class: "text" }, words_of(one.text)))))) : el("p", { class: "dim" }, "None that matter."));
		} catch (error) { fill(more, el("p", { class: "hot" }, error.message)); }
		closer.disabled = false;
	}
	async function live(force) {
		if ((model.paused || time) && last && !force) return;
		try { const read = await json(time ? `/api/host?${time.now().query}` : "/api/host"); if (gone || !read.values) return; last = read; paint(); } catch (error) { if ((!last || time) && !gone) { empty.hidden = false; empty.textContent = error.message; } }
	}
	return { period: time, live, leave: () => { gone = true; } };
}
