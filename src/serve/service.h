/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager of services that started us is told, as sd_notify(3) describes it: a datagram to NOTIFY_SOCKET. */
#pragma once

/* Ready: we answer, and know what to do with signals. Nothing happens where nobody asked to be told. */
void service_ready(void);
