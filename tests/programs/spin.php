<?php
// SPDX-License-Identifier: Apache-2.0
// Burns CPU in one function, through a C function (usort) and a callback.
function work()
{
    $numbers = range(1, 200);
    usort($numbers, fn ($a, $b) => $b <=> $a);
}

while (true) {
    work();
}
