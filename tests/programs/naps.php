<?php
/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in three ways: a sleep, a read from a socket whose other end is another program's, a wait for both. */
$echo = proc_open(['cat'], [['pipe', 'r'], ['pipe', 'w']], $pipes);

function nap_asleep() { usleep(5000); }
function nap_on_pipe($pipes) { fwrite($pipes[0], "x\n"); fflush($pipes[0]); return fread($pipes[1], 2); }
function nap_in_select($pipes) { $read = [$pipes[1]]; $none = null; return stream_select($read, $none, $none, 0, 3000); }

while (true) {
	nap_asleep();
	nap_on_pipe($pipes);
	nap_in_select($pipes);
}
