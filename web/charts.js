// SPDX-License-Identifier: Apache-2.0
// ---- charts on one time axis, with one crosshair

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = () => [css("--accent"), css("--warm"), css("--good")];

function prepare(canvas) {
	const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
	if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
	if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
	const pen = canvas.getContext("2d");
	pen.setTransform(ratio, 0, 0, ratio, 0, 0);
	pen.clearRect(0, 0, width, height);
	pen.font = "11px system-ui, sans-serif";
	return { pen, width, height };
}

const LEFT = 62, BOTTOM = 16;
const time_x = (data, width, step) => LEFT + (width - LEFT) * (step + 0.5) / data.steps;

// Round times of the place's own clock that leave room for their words: [[time, words]].
const TICK_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
const TICK_WIDTH = 84;
function time_ticks(data, width) {
	const span = data.steps * data.step_ms, room = Math.max(Math.floor((width - LEFT) / TICK_WIDTH), 1), step = 1000 * (TICK_SECONDS.find(seconds => span / 1000 / seconds <= room) || TICK_SECONDS.at(-1));
	const offset = -60000 * new Date(data.from_ms).getTimezoneOffset(), ticks = [];
	for (let time = Math.ceil((data.from_ms + offset) / step) * step - offset; time <= data.from_ms + span; time += step) {
		const is_day = step >= 86400e3 || (span > 86400e3 && (time + offset) % 86400e3 === 0);
		ticks.push([time, is_day ? new Date(time).toLocaleDateString([], { month: "short", day: "numeric" }) : clock(time).slice(0, step % 60000 ? 8 : 5)]);
	}
	return ticks;
}

function draw_axis(pen, data, width, height) {
	pen.fillStyle = pen.strokeStyle = css("--dim");
	pen.lineWidth = 1;
	pen.textAlign = "center";
	pen.beginPath();
	for (const [time, words] of time_ticks(data, width)) {
		const x = LEFT + (width - LEFT) * (time - data.from_ms) / (data.steps * data.step_ms), half = pen.measureText(words).width / 2;
		pen.moveTo(x, height - BOTTOM); pen.lineTo(x, height - BOTTOM + 3);
		if (x - half > LEFT - 8 && x + half < width) pen.fillText(words, x, height - 3);
	}
	pen.stroke();
}

// The least round number that holds it: 1, 2, 2.5 or 5 times a power of ten; of bytes a power of two.
function round_top(value, unit) {
	if (unit === "bytes") return 2 ** Math.ceil(Math.log2(value) - 1e-9);
	const power = 10 ** Math.floor(Math.log10(value)), times = value / power;
	return power * ([1, 2, 2.5, 5].find(one => one >= times - 1e-9) || 10);
}

// One on the other, the first lowest; `hidden`: names left out. Where one is not known nothing is drawn: the sum would be too small.
function stacked(chart, values, steps, hidden) {
	const shown = chart.lines.filter(line => !hidden.has(line.name)), tops = [];
	let before = new Float64Array(steps);
	for (const line of shown) {
		const now = Float64Array.from(before, (sum, step) => known(values?.[line.name]?.[step]) ? sum + Math.max(values[line.name][step], 0) : NaN);
		tops.push({ line, from: before, to: now });
		before = now;
	}
	return { layers: tops, most: Math.max(...before.filter(Number.isFinite), 0) };
}

function draw_stack(canvas, chart, data, values, cross, hidden) {
	const { layers, most } = stacked(chart, values, data.steps, hidden), { pen, width, height, y } = chart_ground(canvas, chart, data, round_top(Math.max(most, chart.least), chart.unit));
	for (const { line, from, to } of layers) {
		pen.fillStyle = css(`--at-${chart.lines.indexOf(line)}`);
		const whole = layers.at(-1).to;
		// one shape for each run of steps that are known
		for (let step = 0; step < data.steps; step++) {
			if (!Number.isFinite(whole[step])) continue;
			const first = step;
			while (step + 1 < data.steps && Number.isFinite(whole[step + 1])) step++;
			pen.beginPath();
			pen.moveTo(time_x(data, width, first - 0.5), y(to[first]));
			for (let i = first; i <= step; i++) pen.lineTo(time_x(data, width, i), y(to[i]));
			pen.lineTo(time_x(data, width, step + 0.5), y(to[step])); pen.lineTo(time_x(data, width, step + 0.5), y(from[step]));
			for (let i = step; i >= first; i--) pen.lineTo(time_x(data, width, i), y(from[i]));
			pen.lineTo(time_x(data, width, first - 0.5), y(from[first]));
			pen.fill();
		}
	}
	draw_cross(pen, data, width, height, cross);
}

// `base`: values to compare with, step by step; drawn fainter, on the same scale.
function draw_chart(canvas, chart, data, values, cross, base) {
	const lines = chart.lines.map(line => values?.[line.name] || []), others = chart.lines.map(line => !line.limit && base?.[line.name] || []);
	const limit = lines.map((line, i) => chart.lines[i].limit ? Math.max(...line.filter(known), 0) : 0);
	const top = round_top(Math.max(...lines.flat().filter(known), ...others.flat().filter(known), ...limit, chart.least || 1e-9), chart.unit);
	const { pen, width, height, y } = chart_ground(canvas, chart, data, top);
	const curve = (line, i, is_other) => {
		pen.strokeStyle = chart.lines[i].limit ? css("--dim") : colours()[i % 3];
		pen.lineWidth = 1.5;
		pen.globalAlpha = is_other ? 0.45 : 1;
		pen.setLineDash(is_other ? [2, 2] : chart.lines[i].limit ? [5, 3] : []);
		pen.beginPath();
		let open = false;
		line.forEach((value, step) => {
			if (!known(value)) { open = false; return; }
			const x = time_x(data, width, step);
			open ? pen.lineTo(x, y(value)) : (pen.moveTo(x - 0.5, y(value)), pen.lineTo(x, y(value)));
			open = true;
		});
		pen.stroke();
		pen.setLineDash([]);
		pen.globalAlpha = 1;
	};
	others.forEach((line, i) => curve(line, i, true));
	lines.forEach((line, i) => curve(line, i, false));
	draw_cross(pen, data, width, height, cross);
}

// Round numbers, exact however small.
const axis_words = (unit, value) => ["cores", "threads"].includes(unit) ? String(Number(value.toPrecision(3))) : unit === "1/s" ? `${axis_words("1", value)}/s` : trimmed(show[unit](value));

// Scale, axis and gaps of a chart from 0 to `top`.
function chart_ground(canvas, chart, data, top) {
	const { pen, width, height } = prepare(canvas), y = value => 6 + (height - BOTTOM - 7) * (1 - value / top);
	pen.strokeStyle = css("--line");
	pen.lineWidth = 1;
	pen.fillStyle = css("--dim");
	pen.textAlign = "right";
	for (const share of [0, 0.5, 1]) {
		const at = y(share * top);
		pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(width, at); pen.stroke();
		pen.fillText(axis_words(chart.unit, share * top), LEFT - 6, Math.max(at + 4, 10));
	}
	draw_axis(pen, data, width, height);
	draw_gaps(pen, data, width, height);
	return { pen, width, height, y };
}

// Times of which nothing is known are hatched, so that they are not taken for zero.
function draw_gaps(pen, data, width, height) {
	const span = data.steps * data.step_ms;
	pen.canvas.dataset.gaps = JSON.stringify(data.gaps || []);
	for (const [from, to] of data.gaps || []) {
		const left = LEFT + (width - LEFT) * Math.max((from - data.from_ms) / span, 0), right = LEFT + (width - LEFT) * Math.min((to - data.from_ms) / span, 1);
		if (right - left >= 0.5) draw_gap(pen, [[left, 0, right - left, height - BOTTOM]], height);
	}
}

// Of boxes from left to right; said in the widest place where there is room.
function draw_gap(pen, boxes, height, words = "nothing recorded") {
	const left = boxes[0][0], right = boxes.at(-1)[0] + boxes.at(-1)[2];
	pen.save();
	pen.beginPath();
	for (const box of boxes) pen.rect(...box);
	pen.clip();
	pen.strokeStyle = css("--line");
	pen.lineWidth = 1;
	pen.beginPath();
	for (let x = left - height; x < right; x += 7) { pen.moveTo(x, height); pen.lineTo(x + height, 0); }
	pen.stroke();
	pen.textAlign = "center";
	const wide = pen.measureText(words).width + 14;
	if (right - left > wide + 10) {
		const middle = (left + right) / 2, level = (height - BOTTOM) / 2;
		pen.fillStyle = css("--panel"); pen.fillRect(middle - wide / 2, level - 9, wide, 18);
		pen.fillStyle = css("--dim"); pen.fillText(words, middle, level + 4);
	}
	pen.restore();
}

// Runs of steps at which a list of lanes knows nothing, as [from_ms, to_ms].
function gaps_of(data, lanes) {
	const gaps = [];
	for (let step = 0, start = -1; step <= data.steps; step++) {
		const empty = step < data.steps && lanes.every(lane => !known(lane[step]));
		if (empty && start < 0) start = step;
		if (!empty && start >= 0) { gaps.push([data.from_ms + start * data.step_ms, data.from_ms + step * data.step_ms]); start = -1; }
	}
	return gaps;
}

function draw_cross(pen, data, width, height, cross) {
	if (cross === null) return;
	cross = cross.step ?? cross;
	pen.strokeStyle = css("--text");
	pen.lineWidth = 0.5;
	const x = time_x(data, width, cross), words = clock(data.from_ms + (cross + 1) * data.step_ms), half = pen.measureText(words).width / 2 + 4, middle = Math.min(Math.max(x, LEFT + half), width - half);
	pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, height - BOTTOM); pen.stroke();
	pen.fillStyle = css("--text");
	pen.fillRect(middle - half, height - BOTTOM + 1, 2 * half, BOTTOM - 1);
	pen.fillStyle = css("--back");
	pen.textAlign = "center";
	pen.fillText(words, middle, height - 4);
}

const charts = [
	{ title: "CPU, in cores", unit: "cores", least: 0.01, lines: [{ name: "cpu", says: "used" }, { name: "cpu_limit", says: "limit", limit: true }] },
	{ title: "Where its threads are", unit: "threads", least: 0.01, stack: true, lines: [{ name: "cpu", says: "running" }, { name: "runqueue_wait", says: "waiting for a CPU" }, { name: "offcpu_io", says: "disk, files" }, { name: "offcpu_net", says: "network" },
		{ name: "offcpu_futex", says: "lock" }, { name: "offcpu_pagefault", says: "page fault" }, { name: "offcpu_pipe", says: "pipe" }, { name: "offcpu_other", says: "other" }, { name: "offcpu_poll", says: "poll", idle: true }, { name: "offcpu_sleep", says: "sleep", idle: true }] },
	{ title: "Threads held up", unit: "threads", least: 0.01, lines: [{ name: "runqueue_wait", says: "waiting for a CPU" }, { name: "throttled", says: "throttled" }, { name: "disk_wait", says: "on a disk" }] },
	{ title: "Memory", unit: "bytes", least: 4096, lines: [{ name: "memory", says: "charged" }, { name: "memory_limit", says: "limit", limit: true }, { name: "working_set", says: "working set" }] },
	{ title: "Pressure: some thread waits", unit: "ratio", least: 0.01, lines: [{ name: "pressure_cpu", says: "CPU" }, { name: "pressure_memory", says: "memory" }, { name: "pressure_io", says: "I/O" }] },
	{ title: "Disk", unit: "bytes/s", least: 1000, lines: [{ name: "io_read", says: "read" }, { name: "io_write", says: "written" }] },
	{ title: "Network", unit: "bytes/s", least: 1000, lines: [{ name: "net_received", says: "received" }, { name: "net_sent", says: "sent" }] },
	{ title: "Threads", unit: "1", least: 1, lines: [{ name: "pids", says: "threads" }, { name: "pids_limit", says: "limit", limit: true }] },
	{ title: "Major faults, refaults", unit: "1/s", least: 1, lines: [{ name: "faults_major", says: "major faults" }, { name: "refaults", says: "refaults" }] },
];
const ranges = [[60, "1 min"], [300, "5 min"], [900, "15 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 day"], [604800, "7 days"]];

function step_for(seconds) {
	return seconds <= 900 ? 1000 : Math.max(10000, Math.ceil(seconds / 720 / 10) * 10000);
}

