// SPDX-License-Identifier: Apache-2.0
// What every walk through a page needs: a browser, waiting for what is on the page, files and commands that it hands out.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const DEADLINE_MS = 120000;
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// walk(CHROMIUM, PROFILE_DIR, LINK, PICTURES_DIR, steps): opens the link, lets `steps({ page, seen, until, go, copied, file, picture })` go through it and prints `seen` as JSON.
export async function walk(program, profile, link, pictures, steps) {
	const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags, viewport: { width: 1280, height: 720 } });
	const seen = { errors: [] }, page = context.pages()[0] ?? await context.newPage();
	page.setDefaultTimeout(DEADLINE_MS);
	page.on("pageerror", error => seen.errors.push(String(error)));
	await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(link).origin });
	// page.waitForFunction evaluates a string inside the page, which its policy forbids, rightly
	const until = async (what, argument) => {
		for (const end = Date.now() + DEADLINE_MS; !await page.evaluate(what, argument);) {
			if (Date.now() > end) throw new Error(`waited for ${what} with ${JSON.stringify(argument)}`);
			await new Promise(done => setTimeout(done, 50));
		}
	};
	const go = hash => page.evaluate(hash => { location.hash = hash; }, hash);
	const copied = async () => {
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator("button.copy").first().click();
		await until(async () => !!await navigator.clipboard.readText());
		return page.evaluate(() => navigator.clipboard.readText());
	};
	// What the menu "Export" saves under that name, in base64.
	const file = async name => {
		const menu = page.locator("details.menu").first();
		await menu.evaluate(one => { one.open = true; });
		const [saved] = await Promise.all([page.waitForEvent("download"), menu.getByRole("button", { name, exact: true }).click()]);
		await menu.evaluate(one => { one.open = false; });
		return readFileSync(await saved.path()).toString("base64");
	};
	const picture = name => page.screenshot({ path: `${pictures}/${name}.png` });
	try {
		await page.goto(link);
		await steps({ page, seen, until, go, copied, file, picture });
	} catch (error) {
		seen.failed = String(error.stack || error);
		await picture("failed");
	} finally {
		await context.close();
	}
	console.log(JSON.stringify(seen));
}
