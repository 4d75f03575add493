// SPDX-License-Identifier: Apache-2.0
// agent.mjs CHROMIUM PROFILE_DIR LINK CONTAINER PICTURES_DIR : walks through a live agent's page as a person would and
// prints as JSON what was seen. What is right is for the caller to say.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [program, profile, link, container, pictures] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags,
	viewport: { width: 1280, height: 720 } });
const seen = { errors: [], foreign: [], dialogs: 0 };
const origin = new URL(link).origin;

try {
	const page = context.pages()[0] ?? await context.newPage();
	page.setDefaultTimeout(120000);
	page.on("pageerror", error => seen.errors.push(String(error)));
	page.on("console", message => { if (message.type() === "error" && !/401|404|Failed to load/.test(message.text())) seen.errors.push(message.text()); });
	page.on("dialog", dialog => { seen.dialogs++; dialog.dismiss(); });
	page.on("request", request => { const url = new URL(request.url()); if (url.origin !== origin && !/^(data|blob):/.test(request.url())) seen.foreign.push(request.url()); });
	const picture = name => page.screenshot({ path: `${pictures}/${name}.png` });

	// page.waitForFunction evaluates a string inside the page, which its policy forbids, rightly
	const until = async (what, argument) => {
		for (const end = Date.now() + 120000; !await page.evaluate(what, argument);) {
			if (Date.now() > end) throw new Error(`waited 30 s for ${what}`);
			await new Promise(done => setTimeout(done, 50));
		}
	};

	// Every file a view can be saved as: what it begins with, how long it is, and the text of those that are text.
	await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
	seen.files = {};
	seen.commands = {};
	seen.complaints = {};
	const files = async view => {
		const menu = page.locator("details.menu").first(), names = await menu.locator("button").allTextContents();
		seen.files[view] = {};
		for (const name of names) {
			await menu.evaluate(one => { one.open = true; });
			const [file] = await Promise.all([page.waitForEvent("download"), menu.getByRole("button", { name, exact: true }).click()]);
			const bytes = readFileSync(await file.path());
			seen.files[view][name] = { name: file.suggestedFilename(), base64: bytes.length < 4000000 ? bytes.toString("base64") : bytes.subarray(0, 64).toString("base64"), size: bytes.length };
		}
		await menu.evaluate(one => { one.open = false; });
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator("button.copy").first().click();
		await until(async () => !!await navigator.clipboard.readText());
		seen.commands[view] = await page.evaluate(() => navigator.clipboard.readText());
	};
	// What somebody who cannot see, or not well, would stumble over.
	const complaints = async view => {
		seen.complaints[view] = await page.evaluate(() => {
			const found = [], visible = one => one.checkVisibility?.() ?? true, words = one => `${one.tagName} ${one.id || one.className} ${one.textContent.trim().slice(0, 30)}`;
			for (const one of document.querySelectorAll("a[href], button, input, select, summary, canvas, progress, table, svg[role=img], [tabindex='0']")) {
				if (!visible(one)) continue;
				const name = one.getAttribute("aria-label") || (one.getAttribute("aria-labelledby") && document.getElementById(one.getAttribute("aria-labelledby"))?.textContent) || one.labels?.[0]?.textContent || (["TABLE", "CANVAS", "SELECT"].includes(one.tagName) ? "" : one.textContent.trim());
				if (!name) found.push(`no name: ${words(one)}`);
				if (one.tagName === "CANVAS" && !one.getAttribute("role")) found.push(`no role: ${words(one)}`);
			}
			if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} first headings`);
			const ids = [...document.querySelectorAll("[id]")].map(one => one.id), twice = ids.find((id, i) => ids.indexOf(id) !== i);
			if (twice) found.push(`two elements called ${twice}`);
			const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
			const rgba = colour => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); const data = pen.getImageData(0, 0, 1, 1).data; return [data[0], data[1], data[2], data[3] / 255]; };
			const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
			const light = colour => { const [r, g, b] = colour.map(value => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
			const back = one => { const own = rgba(getComputedStyle(one).backgroundColor); return own[3] >= 0.99 || !one.parentElement ? own.slice(0, 3) : over(own, back(one.parentElement)); };
			for (const one of document.querySelectorAll("body *")) {
				if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || !visible(one) || one.disabled || one.closest(".off, noscript, option")) continue;
				const behind = back(one), ink = over(rgba(getComputedStyle(one).color), behind), [a, b] = [light(ink), light(behind)].sort((x, y) => y - x), contrast = (a + 0.05) / (b + 0.05);
				if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(1)}: ${words(one)}`);
			}
			if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
			return found;
		});
	};

	// without the token: asked for it, nothing shown
	await page.goto(`${origin}/`);
	await page.waitForSelector("#login");
	seen.without_token = await page.locator("main").innerText();

	await page.goto(link);
	await page.reload(); // a change behind # alone is no navigation
	const row = page.locator(`tbody tr[data-name="${container}"]`);
	await row.waitFor();
	seen.hash = new URL(page.url()).hash;
	seen.roles = { table: await page.getByRole("table", { name: "Containers" }).count(), headers: await page.getByRole("columnheader").count(),
		status: await page.getByRole("status").count() };
	await until(() => /^live/.test(document.getElementById("state").textContent));
	const cpu = () => row.locator("td[data-key=cpu]").innerText();
	await until(name => { const cell = document.querySelector(`tbody tr[data-name="${name}"] td[data-key=cpu]`); return cell && /\d/.test(cell.textContent); }, container);
	seen.cpu = await cpu();
	seen.name_width = (await row.locator("td").first().boundingBox()).width;
	seen.table_width = (await page.getByRole("table", { name: "Containers" }).locator("tbody").boundingBox()).width;
	seen.state = await page.locator("#state").textContent();
	await until(before => document.getElementById("state").textContent !== before, seen.state);
	await picture("overview");
	await files("overview");
	await complaints("overview");
	await page.locator(".brand").focus();
	seen.focus = [];
	for (let i = 0; i < 12; i++) { await page.keyboard.press("Tab"); seen.focus.push(await page.evaluate(() => (document.activeElement.getAttribute("aria-label") || document.activeElement.textContent).trim())); }
	await page.keyboard.press("Escape");
	await page.evaluate(() => document.activeElement.blur());
	await page.keyboard.press("?");
	seen.keys = await page.getByRole("dialog").innerText();
	await page.keyboard.press("?");
	await page.getByRole("dialog").waitFor({ state: "hidden" });
	seen.markup = await page.locator("tbody b, tbody img, tbody script").count();

	// filter and sort live in the address and survive a reload
	await page.keyboard.press("/");
	await page.keyboard.type("no such container");
	await page.getByText("No container matches").waitFor();
	await page.locator("#filter").fill(`${container} cpu>0.01`);
	await until(() => document.querySelectorAll("tbody tr").length === 1);
	await page.getByRole("button", { name: "Memory" }).click();
	seen.address = new URL(page.url()).hash;
	await page.reload();
	await row.waitFor();
	seen.filter_again = await page.locator("#filter").inputValue();
	seen.sorted = await page.locator("th[aria-sort]").getAttribute("data-key");

	// keyboard into the container, back with the browser's button
	await page.locator("#filter").blur();
	await page.keyboard.press("ArrowDown");
	await page.keyboard.press("Enter");
	await page.waitForSelector("h1");
	await until(() => document.querySelector(".charts")?.dataset.drawn);
	seen.title = await page.locator("h1").textContent();
	await page.locator(".chart canvas").first().hover({ position: { x: 400, y: 50 } });
	await until(() => document.querySelectorAll("#heat").length);
	await until(() => /limit/.test(document.getElementById("marks").dataset.kinds) && Number(document.getElementById("marks").dataset.throttled) > 0);
	seen.changes = await page.getByRole("table", { name: "Events" }).locator("tbody tr", { hasText: "→" }).first().innerText();
	await picture("container");
	seen.heat_ink = await page.evaluate(() => { const canvas = document.getElementById("heat"); const data = canvas.getContext("2d").getImageData(70, 0, canvas.width - 70, canvas.height - 20).data; let ink = 0; for (let i = 3; i < data.length; i += 4) ink += data[i] > 0; return ink; });

	// beside the time before, which is in the address
	await page.locator("#against").selectOption("before");
	await until(() => /\(/.test(document.querySelectorAll(".chart:not(.marks):not(.threads):not([hidden]) header")[0].textContent));
	seen.against = new URL(page.url()).hash;
	await page.locator("#against").selectOption("");
	await files("container");
	await complaints("container");

	// a profile: start, progress, result, zoom, search
	await page.locator("#kind").selectOption("profile");
	await page.getByLabel("How long").selectOption("2");
	await page.locator("#start").click();
	await page.locator("progress").waitFor();
	seen.progress = await page.locator("progress").count();
	await page.locator("p.job a").waitFor({ timeout: 300000 });
	await page.locator("p.job a").click();
	const graph = page.locator("#graph"); // in a shadow root, which locators look into
	const drawn = async (right, what) => {
		for (const end = Date.now() + 120000; !right(await graph.evaluate(canvas => ({ ...canvas.dataset })));) {
			if (Date.now() > end) throw new Error(`waited 30 s for ${what}`);
			await new Promise(done => setTimeout(done, 50));
		}
	};
	await page.locator("#view[data-ready]").waitFor();
	await drawn(data => Number(data.drawn) > 1, "frames");
	seen.frames = Number(await graph.getAttribute("data-drawn"));
	await page.keyboard.press("/");
	await page.keyboard.type("sh");
	await page.getByText(/^matched/).waitFor();
	seen.matched = await page.getByText(/^matched/).textContent();
	await page.keyboard.press("Escape");
	const size = await graph.boundingBox();
	await page.mouse.click(size.x + 200, size.y + size.height - 4 - 19 * 1.5);
	await drawn(data => data.zoomed !== "all", "the zoom");
	seen.zoomed = await graph.getAttribute("data-zoomed");
	seen.flame_address = new URL(page.url()).hash;
	await page.reload();
	await drawn(data => data.zoomed !== "all", "the zoom of the address");
	await files("flame");
	await complaints("flame");
	await page.keyboard.press("s");
	await drawn(data => data.sandwich !== "", "the sandwich");
	await picture("flame");
	// back: from the sandwich to the zoom, to the whole, to the container, to the table
	await page.goBack();
	await drawn(data => data.sandwich === "" && data.zoomed !== "all", "the zoom again");
	await page.goBack();
	await drawn(data => data.zoomed === "all", "the whole again");
	await page.goBack();
	await page.waitForSelector("#start");
	await page.goBack();
	await row.waitFor();
	seen.back = new URL(page.url()).hash;

	// map: the browser itself is a connection; a click tells its numbers, dragging pins, all of it is in the address
	await page.keyboard.press("m");
	await until(() => Number(document.getElementById("map")?.dataset.links) > 0);
	seen.map = { nodes: Number(await page.locator("#map").getAttribute("data-nodes")) };
	await page.locator(".map aside tbody button").first().click();
	await until(() => /opened/.test(document.getElementById("story").textContent));
	seen.map.story = await page.locator("#story").innerText();
	seen.map.address = new URL(page.url()).hash;
	await page.getByRole("button", { name: "All", exact: true }).click();
	const stage = await page.locator("#map").boundingBox();
	const moved = async what => {
		const frames = Number(await page.locator("#map").getAttribute("data-frames"));
		await what();
		await until(before => Number(document.getElementById("map").dataset.frames) > before, frames);
	};
	await moved(async () => { await page.mouse.move(stage.x + 20, stage.y + 20); await page.mouse.wheel(0, -200); });
	await moved(() => page.locator("#map").press("ArrowLeft"));
	await until(() => location.hash.includes("view="));
	seen.map.view = new URL(page.url()).hash;
	await page.getByLabel("Filter").fill("no such end");
	await page.getByText("No connection matches the filter").waitFor();
	await picture("map-empty");
	await page.getByLabel("Filter").fill("");
	await files("map");
	await complaints("map");
	await picture("map");

	// latency: a region by hand, its numbers, in the address; zoom to it and back to live
	await page.keyboard.press("l");
	await until(() => Number(document.getElementById("latency")?.dataset.cells) > 0);
	const heat = await page.locator("#latency").boundingBox();
	await page.mouse.move(heat.x + 300, heat.y + 20);
	await page.mouse.down();
	await page.mouse.move(heat.x + heat.width - 5, heat.y + 240, { steps: 3 });
	await page.mouse.up();
	seen.latency = { region: await page.locator("#region-count").innerText(), address: new URL(page.url()).hash };
	await page.reload();
	seen.latency.again = await page.locator("#region-count").innerText();
	seen.latency.flame = await page.getByRole("link", { name: /Flame graph/ }).getAttribute("href");
	await picture("latency");
	await files("latency");
	await complaints("latency");
	await page.getByRole("button", { name: "Zoom to it" }).click();
	await until(() => document.getElementById("pause").getAttribute("aria-pressed") === "true");
	seen.latency.zoomed = new URL(page.url()).hash;
	await page.getByRole("button", { name: "Live", exact: true }).click();
	await until(() => document.getElementById("pause").getAttribute("aria-pressed") === "false");

	await page.keyboard.press("h");
	await page.locator("#view[data-ready]").waitFor();
	seen.host = { use: await page.getByRole("table", { name: "Utilisation, saturation, errors" }).locator("tbody tr").count(),
		checklist: await page.getByRole("table", { name: "The first sixty seconds" }).locator("tbody tr").count(), words: await page.locator("main").innerText() };
	await picture("host");
	await files("host");
	await complaints("host");
	// what each kind of latency is as a command
	for (const what of ["block", "queue", "fs", "dns", "tcp", "connect", "session", "syscall", "futex", "fault"]) {
		await page.evaluate(hash => { location.hash = hash; }, `#/latency?what=${what}`);
		await until(wanted => document.getElementById("what")?.value === wanted, what);
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator("button.copy").first().click();
		await until(async () => !!await navigator.clipboard.readText());
		seen.commands[`latency ${what}`] = await page.evaluate(() => navigator.clipboard.readText());
	}

	await page.keyboard.press("s");
	await page.getByRole("table", { name: "Probes" }).locator("tbody tr").first().waitFor();
	seen.probes = await page.getByRole("table", { name: "Probes" }).locator("tbody tr").count();
	await files("self");
	await complaints("self");
	await page.locator("#theme").click();
	await complaints("self, dark");
	await picture("self-dark");
	await page.evaluate(() => { location.hash = "#/"; });
	await row.waitFor();
	await picture("overview-dark");
	await complaints("overview, dark");

	// what was recorded: a range, another range against it, the machine against the container
	const series = await page.evaluate(name => model.rows.find(one => one.name === name).series, container);
	await page.evaluate(hash => { location.hash = hash; }, `#/flame?series=${series}`);
	await page.locator("#picker").waitFor();
	await files("flame graphs");
	await complaints("flame graphs, dark");
	await page.locator("#open-range").click();
	await drawn(data => Number(data.drawn) > 1, "the recorded range");
	seen.range = new URL(page.url()).hash;
	// two stretches whose windows of samples are over
	const end = Date.now(), is_there = ([number, from, to]) => ask(`/api/flame?kind=profile&${number ? `series=${number}&` : ""}from_ms=${from}&to_ms=${to}`).then(() => true, () => false);
	for (const stretch of [[series, end - 20000, end - 10000], [series, end - 10000, end]]) await until(is_there, stretch);
	const source = (number, from, to) => `r,${number},profile,${end - from * 1000},${end - to * 1000}`;
	seen.compared = {};
	for (const [name, a, b] of [["ranges", source(series, 20, 10), source(series, 10, 0)], ["containers", source(0, 20, 0), source(series, 20, 0)]]) {
		await page.evaluate(hash => { location.hash = hash; }, `#/flame?${new URLSearchParams({ a, b })}`);
		await page.getByRole("button", { name: "change" }).waitFor();
		await drawn(data => Number(data.drawn) > 1, "what is compared");
		seen.compared[name] = { says: await page.locator("h1").innerText(), rows: await page.locator("#functions tr").count() };
		await files(`compared ${name}`);
	}
	await picture("compared-dark");
	// blocked threads: stacks of some seconds of a range, and for how many; all of it without stacks
	await until(async number => {
		const to = Date.now(), shape = await json(`/api/flame?kind=offcpu&detail=stacks&series=${number}&from_ms=${to - 60000}&to_ms=${to}`).then(one => one.shapes[0], () => null);
		return shape && shape.frames.some(([kind]) => kind === "user" || kind === "kernel" || kind === "unresolved");
	}, 0);
	const now = Date.now();
	await page.evaluate(hash => { location.hash = hash; }, `#/flame?a=r,0,offcpu,${now - 60000},${now}`);
	await drawn(data => Number(data.drawn) > 1, "stacks of blocked threads");
	seen.blocked = { said: await page.locator(".said").innerText() };
	await complaints("flame blocked, dark");
	await picture("blocked-dark");
	await page.getByRole("button", { name: "Without stacks" }).click();
	await page.getByText("By what threads waited for, without stacks").waitFor();
	await page.getByRole("button", { name: "With stacks" }).click();
	await page.getByText(/^Stacks of \d+ windows? in this range/).waitFor();
	await page.evaluate(() => { location.hash = "#/"; });
	await row.waitFor();

	// the connection breaks: it is said, and what is shown is called old
	await page.route("**/api/**", route => route.abort());
	await page.evaluate(() => streaming.abort());
	await page.evaluate(() => { stream(); });
	await page.locator("#banner:not([hidden])").waitFor();
	seen.banner = await page.locator("#banner").textContent();
	await until(() => /^not connected/.test(document.getElementById("state").textContent));
	await page.evaluate(() => { location.hash = "#/map"; });
	await page.getByText("No map: the agent does not answer").waitFor();
	seen.lost_offers = await page.getByRole("button", { name: /^Watch connections/ }).count();
	seen.lost_scrolls = await page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
	await picture("lost");
	await page.unroute("**/api/**");
	await until(() => document.getElementById("banner").hidden);
	seen.token_kept = await page.evaluate(() => Object.keys(localStorage).join());
} catch (error) {
	seen.failed = String(error);
	await context.pages()[0]?.screenshot({ path: `${pictures}/failed.png` });
} finally {
	await context.close();
}
console.log(JSON.stringify(seen));
