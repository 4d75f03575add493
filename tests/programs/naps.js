// SPDX-License-Identifier: Apache-2.0
// Blocks in every way Node.js does: the event loop's wait, Atomics.wait (futex) in a worker, reads in libuv's threads.
'use strict';
const fs = require('fs');
const { Worker, isMainThread, workerData } = require('worker_threads');

function nap_on_futex(cell)
{
	for (;;)
		Atomics.wait(cell, 0, 0, 5);
}

function nap_on_pipe(path)
{
	const opened = fs.openSync(path, 'r+'); // of both ends, so that it never ends
	const again = () => fs.read(opened, Buffer.alloc(1), 0, 1, null, again);

	again();
	setInterval(() => fs.writeSync(opened, 'x'), 5);
}

if (isMainThread) {
	require('child_process').execFileSync('mkfifo', ['/tmp/pipe']);
	new Worker(__filename, { workerData: new Int32Array(new SharedArrayBuffer(4)) });
	nap_on_pipe('/tmp/pipe');
} else {
	nap_on_futex(workerData);
}
