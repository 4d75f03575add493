"use strict";
/* A function's name without what stands between the brackets of templates and of parameters, as render/names.c has it. */
function briefName(name) {
	function end(open) {
		const opening = name[open], closing = opening === "<" ? ">" : ")";
		let depth = 0;
		for (let at = open; at < name.length; at++) {
			if (name[at] === opening) depth++;
			else if (name[at] === closing && name[at - 1] !== "-" && --depth === 0) return at;
		}
		return -1;
	}

	function belongs(open) {
		const before = name.slice(0, open);
		return before.endsWith(")") ? before.endsWith("operator()") : /[\w>~]$/.test(before) && !before.endsWith("operator");
	}

	let brief = "";
	if (name[0] === "[") return name;
	for (let at = 0; at < name.length; at++) {
		brief += name[at];
		if ((name[at] !== "<" && name[at] !== "(") || !belongs(at)) continue;
		const closing = end(at);
		if (closing <= at + 1) continue;
		brief += "…";
		at = closing - 1;
	}
	return brief;
}
const briefNames = new Map(), BRIEF_NAMES_MAX = 20000;
/* What of a name `room` letters hold. */
function fitName(name, room) {
	if (name.length <= room || Array.from(name).length <= room) return name;
	if (briefNames.size >= BRIEF_NAMES_MAX) briefNames.clear();
	if (!briefNames.has(name)) briefNames.set(name, briefName(name));
	const brief = briefNames.get(name), letters = Array.from(brief);
	return letters.length <= room ? brief : letters.slice(0, room - 1).join("") + "…";
}
