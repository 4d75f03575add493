// SPDX-License-Identifier: Apache-2.0
// Three quarters of the time in one function, one quarter in another, called from the event loop.
'use strict';

let sink = 0;

function three_quarters()
{
	let x = 1;
	for (let i = 0; i < 300000; i++)
		x = (Math.imul(x, 1664525) + 1013904223 + i) | 0;
	return x;
}

function one_quarter()
{
	let x = 1;
	for (let i = 0; i < 100000; i++)
		x = (Math.imul(x, 1664525) + 1013904223 + i) | 0;
	return x;
}

function turn()
{
	sink ^= three_quarters();
	sink ^= one_quarter();
	setImmediate(turn);
}

turn();
