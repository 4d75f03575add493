// SPDX-License-Identifier: Apache-2.0
// replay.mjs CHROMIUM PROFILE_DIR LINK CONTAINER PICTURES_DIR : walks through the page of a capture that is shown and prints as JSON what was seen.
import { chromium } from "playwright-core";

const [program, profile, link, container, pictures] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags, viewport: { width: 1280, height: 720 } });
const seen = { errors: [], commands: {} };
try {
	const page = context.pages()[0] ?? await context.newPage();
	page.setDefaultTimeout(120000);
	await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(link).origin });
	page.on("pageerror", error => seen.errors.push(String(error)));
	const until = async (what, argument) => {
		for (const end = Date.now() + 120000; !await page.evaluate(what, argument);) {
			if (Date.now() > end) throw new Error(`waited 30 s for ${what}`);
			await new Promise(done => setTimeout(done, 50));
		}
	};
	const go = hash => page.evaluate(hash => { location.hash = hash; }, hash);
	const copied = async view => {
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator("button.copy").first().click();
		await until(async () => !!await navigator.clipboard.readText());
		seen.commands[view] = await page.evaluate(() => navigator.clipboard.readText());
	};

	await page.goto(link);
	const row = page.locator(`tbody tr[data-name="${container}"]`);
	await row.waitFor();
	seen.state = await page.locator("#state").textContent();
	seen.pause = await page.locator("#pause").isVisible();
	seen.verdict = await row.locator("td[data-key=verdict] a").innerText();
	seen.cpu = await row.locator("td[data-key=cpu]").innerText();
	await copied("overview");
	await page.screenshot({ path: `${pictures}/replay-overview.png` });
	await row.locator("a").first().click();
	await until(() => document.querySelector(".charts")?.dataset.drawn && document.querySelector("#heat") && !document.querySelector("#heat").closest("section").hidden);
	seen.measures = await page.locator("#start, #look").count();
	await copied("container");
	await page.screenshot({ path: `${pictures}/replay-container.png` });
	// a range of it, and with the back button all of it again
	const chart = await page.locator(".chart:not([hidden]) canvas").nth(1).boundingBox();
	await page.mouse.move(chart.x + chart.width * 0.55, chart.y + 30);
	await page.mouse.down();
	await page.mouse.move(chart.x + chart.width * 0.95, chart.y + 30, { steps: 3 });
	await page.mouse.up();
	await until(() => location.hash.includes("to="));
	seen.range = await page.evaluate(() => location.hash);
	await page.goBack();
	await until(() => !location.hash.includes("to="));
	await go("#/map");
	await page.locator("#map[data-links]").waitFor();
	seen.map = await page.locator(".stage .caption").innerText();
	await copied("map");
	await go("#/latency?what=runq");
	await until(() => Number(document.getElementById("latency")?.dataset.cells) > 0);
	await copied("latency");
	await go("#/flame");
	await page.locator("#picker").waitFor();
	await go(`#/flame?${new URLSearchParams({ a: await page.evaluate(() => range_source(0, "profile", model.replay.from_ms, model.replay.to_ms)) })}`);
	await page.locator("#view[data-ready]").waitFor();
	await copied("flame range");
	seen.flame = await page.locator("h1").innerText();
	await copied("flame");
	await go("#/flame?scope=1");
	await until(() => document.getElementById("scope")?.dataset.cells);
	seen.scope = Number(await page.locator("#scope").getAttribute("data-cells"));
	// two ranges beside each other, as commands on the capture
	const half = await page.evaluate(() => { const { from_ms, to_ms } = model.replay, middle = Math.round((from_ms + to_ms) / 2); return new URLSearchParams({ a: range_source(0, "profile", from_ms, middle), b: range_source(0, "profile", from_ms, to_ms) }).toString(); });
	await go(`#/flame?${half}`);
	await page.locator("#view[data-ready]").waitFor();
	await copied("compared");
	// a part of it by keyboard alone: begin and end with Enter, arrows between
	const series = await page.evaluate(name => model.rows.find(one => one.name === name).series, container);
	await go(`#/container/${series}`);
	await until(() => document.querySelector(".charts")?.dataset.drawn);
	await page.locator("#marks").focus();
	for (const key of ["ArrowLeft", "ArrowLeft", "Enter", "ArrowLeft", "ArrowLeft", "ArrowLeft", "Enter"]) await page.keyboard.press(key);
	await until(() => location.hash.includes("to="));
	seen.key_range = await page.evaluate(() => location.hash);
	await copied("part");
	// what is not there says so
	await go("#/container/999999");
	await until(() => /999999/.test(document.querySelector("h1").textContent));
	await go("#/latency?what=syscall");
	await page.getByText("This is dear").waitFor();
	seen.kind_shown = await page.getByLabel("Kind").isVisible();
	// several frames of one name: the one that weighs most is gone to
	const node = (parent, frame, self) => [parent, frame, self];
	await page.route("**/api/flame?**", route => route.fulfill({ json: { start_realtime_ns: 0, duration_ns: 1e9, shapes: [{ kind: "calltree", unit: "count", frames: [["function", "little", ""], ["function", "much", ""], ["process", "same", ""]],
		nodes: [node(0, 0, 0), node(0, 0, 0), node(1, 2, 1), node(0, 1, 0), node(3, 2, 9)], ledger: { coverage: 1, rung: "", misses: "", notes: [] } }] } }));
	await go("#/flame?a=r,0,profile,1000,2000&at=same");
	await page.locator("#view[data-ready]").waitFor();
	await until(() => location.hash.includes("z="));
	seen.widest = await page.evaluate(() => address().query.get("z"));
	await page.unroute("**/api/flame?**");
	seen.drawn = await page.evaluate(() => {
		// a heat map of ten seconds' axis whose own time begins two seconds later: its first cell stands in the third second
		const canvas = el("canvas", {});
		canvas.style.cssText = "position: fixed; left: 0; top: 0; width: 562px; height: 116px";
		document.body.append(canvas);
		draw_latency(canvas, { from_ms: 2000, step_ms: 1000, steps: 8, bounds_ns: [0, 1, 2, 4, 8, 16, 32, 64], cells: [[0, 3, 5]] }, { low: 0, high: 7 }, { axis: { from_ms: 0, step_ms: 1000, steps: 10 } });
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 100), columns = new Set();
		for (let i = 3; i < data.length; i += 4) { const x = (i >> 2) % canvas.width; if (data[i] && x > LEFT) columns.add(x); }
		canvas.remove();
		const odd = Date.UTC(2026, 0, 5, 10, 3, 17), bursts = Array.from({ length: 9 }, (_, i) => ({ kind: "exec", time_ms: 1000 * (9 - i), process: i % 3 ? "sh" : "cat" }));
		return { heat: [Math.min(...columns), Math.max(...columns)], ticks: [60, 300, 3600, 86400, 30 * 86400].map(seconds => time_ticks({ from_ms: odd, step_ms: 1000, steps: seconds }, 1200)), buckets: [0, 1000, 64e3, 512e3, 2e6].map(bucket_words),
			rows: starts_together([...bursts, { kind: "oom", time_ms: 0, fields: {} }]).map(one => [one.kind, one.fields?.change]), fields: [field_words(["usage", 2 ** 20]), field_words(["1s_before", 1024]), field_words(["file", "/bin/sh"])] };
	});
	await go("#/host");
	await page.locator("#view[data-ready]").waitFor();
	seen.host = await page.getByRole("table", { name: "The first sixty seconds" }).innerText();
	await copied("host");
	await go("#/self");
	await page.getByRole("table", { name: "Probes" }).locator("tbody tr").first().waitFor();
	seen.self = await page.locator("h1").innerText();
	seen.banner = await page.locator("#banner").textContent();
} catch (error) {
	seen.failed = String(error);
	await context.pages()[0]?.screenshot({ path: `${pictures}/replay-failed.png` });
} finally {
	await context.close();
}
console.log(JSON.stringify(seen));
