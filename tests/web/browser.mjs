// SPDX-License-Identifier: Apache-2.0
// browser.mjs CHROMIUM PROFILE_DIR PAGE SEARCH : opens a flame graph (.html or .svg), zooms, searches, turns it over,
// and prints as JSON what was seen. What is right is for the caller to say.
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";

const [program, profile, page_file, wanted] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags,
	viewport: { width: 1280, height: 800 } });
const seen = { errors: [], dialogs: 0, requests: 0 };

try {
	const page = context.pages()[0] ?? await context.newPage();
	page.on("pageerror", error => seen.errors.push(String(error)));
	page.on("console", message => { if (message.type() === "error") seen.errors.push(message.text()); });
	page.on("dialog", dialog => { seen.dialogs++; dialog.dismiss(); });
	page.on("request", request => { if (!/^(file|data):/.test(request.url())) seen.requests++; });
	const began = Date.now();
	await page.goto(pathToFileURL(page_file).href);
	if (await page.locator("#map").count()) await map(page);
	else if (page_file.endsWith(".html")) await html(page);
	else await svg(page);
	async function html(page) {
		await page.waitForSelector("body[data-ready='1']", { timeout: 80000 });
		seen.open_ms = Date.now() - began;
		const graph = page.locator("#graph");
		const drawn = () => graph.evaluate(canvas => Number(canvas.dataset.drawn));
		const zoomed = () => graph.evaluate(canvas => canvas.dataset.zoomed);
		seen.drawn = await drawn();
		seen.title = await page.locator("h1").textContent();
		seen.rows = await page.locator("#functions tr").count();
		seen.first_row = await page.locator("#functions tr td:last-child").first().textContent();
		const size = await graph.boundingBox();
		await page.mouse.click(size.x + size.width / 2, size.y + size.height - 4 - 19 * 1.5); // the row above the root
		await page.waitForFunction(() => document.getElementById("graph").dataset.zoomed !== "all");
		seen.zoomed = await zoomed();
		seen.crumbs = await page.locator("#crumbs button").allTextContents();
		seen.hash_zoomed = new URL(page.url()).hash;
		await page.keyboard.press("Escape");
		await page.waitForFunction(() => document.getElementById("graph").dataset.zoomed === "all");
		await page.keyboard.press("/");
		await page.keyboard.type(wanted);
		await page.waitForFunction(() => document.getElementById("matched").textContent !== "");
		seen.matched = await page.locator("#matched").textContent();
		seen.hash_searched = new URL(page.url()).hash;
		await page.reload();
		await page.waitForSelector("body[data-ready='1']");
		seen.matched_again = await page.locator("#matched").textContent();
		await sandwich(page, graph);
		await page.keyboard.press("Escape");
		await page.keyboard.press("i");
		seen.inverted = await page.locator("#invert").getAttribute("aria-pressed");
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Enter");
		await page.waitForFunction(() => document.getElementById("graph").dataset.zoomed !== "all");
		seen.walked = await zoomed();
		seen.frame_ms = await page.evaluate(() => new Promise(done => {
			let frames = 0;
			const start = performance.now();
			document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
			(function next() {
				if (++frames === 20) done((performance.now() - start) / 20);
				else requestAnimationFrame(next);
			}());
		}));
	}
	async function map(page) {
		const box = () => page.locator("#map").getAttribute("viewBox");
		const story = () => page.locator("#story").textContent();
		const place = await page.locator("#map").boundingBox();
		seen.title = await page.locator("h1").textContent();
		seen.nodes = await page.locator(".node").count();
		seen.links = await page.locator(".link").count();
		seen.box = await box();
		await page.mouse.move(place.x + 300, place.y + 20);
		await page.mouse.wheel(0, -100);
		await page.waitForFunction(before => document.getElementById("map").getAttribute("viewBox") !== before, seen.box);
		seen.zoomed = await box();
		await page.mouse.down();
		await page.mouse.move(place.x + 340, place.y + 60, { steps: 4 });
		await page.mouse.up();
		seen.moved = await box();
		await page.keyboard.press("0");
		seen.fitted = await box();
		await page.keyboard.press("/");
		await page.keyboard.type(wanted);
		seen.found = await page.locator("#found").textContent();
		seen.near = await page.locator(".near").count();
		await page.keyboard.press("Escape");
		await page.locator(".link").last().focus();
		seen.story = await story();
		await page.keyboard.press("t");
		seen.theme = await page.locator("html").getAttribute("data-theme");
	}
	// Of what was searched for: the function in the middle, the rows above and below it, and the caller in the middle.
	async function sandwich(page, graph) {
		const middle = () => graph.evaluate(canvas => canvas.dataset.sandwich);
		const details = () => page.locator("#details").textContent();
		const until = async right => { // page.waitForFunction evaluates text, which the page forbids
			for (let tries = 0; !right(await middle()); tries++) {
				if (tries === 400) throw new Error("the sandwich did not change");
				await page.waitForTimeout(25);
			}
		};
		await page.keyboard.press("s");
		await until(name => name !== "");
		const name = await middle();
		seen.sandwich = { middle: name, details: await details(), crumbs: await page.locator("#crumbs").textContent(),
			hash: new URL(page.url()).hash };
		const box = await graph.boundingBox();
		const row = async offset => ({ x: box.x + box.width / 2,
			y: box.y + await graph.evaluate(canvas => Number(canvas.dataset.middle)) + offset * 19 });
		for (const [side, offset] of [["caller", -1], ["callee", 1]]) {
			const at = await row(offset);
			await page.mouse.move(at.x, at.y);
			seen.sandwich[side] = await details();
		}
		await page.reload();
		await page.waitForSelector("body[data-ready='1']");
		seen.sandwich.again = await middle();
		const at = await row(-1);
		await page.mouse.click(at.x, at.y);
		if (seen.sandwich.caller !== seen.sandwich.details) await until(now => now !== name);
		seen.sandwich.climbed = await middle();
		await page.keyboard.press("s");
		await until(now => now === "");
	}
	async function svg(page) {
		await page.waitForSelector("#search", { timeout: 80000 });
		seen.open_ms = Date.now() - began;
		const rects = page.locator("#frames rect");
		const width = n => rects.nth(n).evaluate(rect => Number(rect.getAttribute("width")));
		seen.drawn = await rects.count();
		seen.title = await page.locator("#title").textContent();
		const labels = () => page.locator("#frames text").evaluateAll(texts => texts.filter(text => text.style.display !== "none").map(text => text.textContent));
		seen.labels = await labels();
		seen.before = await width(1);
		await rects.nth(1).click();
		seen.after = await width(1);
		seen.zoomed = await page.locator("#frames rect").nth(1).locator("title").evaluate(title => title.textContent.split("\n")[0]);
		seen.hash_zoomed = new URL(page.url()).hash;
		await page.keyboard.press("Escape");
		seen.reset = await width(1);
		seen.labels_again = await labels();
		await page.keyboard.press("/");
		await page.keyboard.type(wanted);
		seen.matched = await page.locator("#matched").textContent();
		seen.hash_searched = new URL(page.url()).hash;
		await page.reload();
		await page.waitForSelector("#search");
		seen.matched_again = await page.locator("#matched").textContent();
		await page.keyboard.press("Escape");
		const y = () => rects.nth(0).evaluate(rect => Number(rect.getAttribute("y")));
		const floor = await y();
		await page.keyboard.press("i");
		seen.inverted = String(await y() < floor);
	}
} finally {
	await context.close();
}
console.log(JSON.stringify(seen));
